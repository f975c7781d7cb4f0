"""Targets: the wanted share of every group, as a pure function of group counts and of the epoch or micro-batch.

Shares are exact ratios if the formula is rational, so that a quota that should be an integer is one.
Formulas that take roots or powers are rounded to 12 significant digits, so that they are the same on every platform.
"""

from __future__ import annotations

import sys

from ..public import opened
from .capped import capped
from .counts import blend, effective_number, natural, power, repeat_factor, temperature, uniform
from .explicit import explicit
from .formula import Active, Compensating, Filler, Fixed, formula, quantities
from .moving import moving
from .resolve import resolve
from .schedule import schedule
from .stages import stages
from .target import Target
from .units import in_units

__all__ = [
    "Active",
    "Compensating",
    "Filler",
    "Fixed",
    "Target",
    "blend",
    "capped",
    "effective_number",
    "explicit",
    "formula",
    "in_units",
    "moving",
    "natural",
    "power",
    "quantities",
    "repeat_factor",
    "resolve",
    "schedule",
    "stages",
    "temperature",
    "uniform",
]

opened(sys.modules[__name__])
