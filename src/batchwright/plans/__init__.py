"""Plans: an order cut into micro-batches, pure and addressable."""

from __future__ import annotations

from ..interface import Plan
from .alternate import alternating
from .build import balanced, shuffled, weighted
from .fixed import FixedPlan
from .hierarchy import hierarchical
from .mix import mixed
from .multi import Rates, multilabel, multilabel_weights
from .rake import raked
from .rotate import rotating
from .tasks import TaskPlan

__all__ = [
    "FixedPlan",
    "Plan",
    "Rates",
    "TaskPlan",
    "alternating",
    "balanced",
    "hierarchical",
    "mixed",
    "multilabel",
    "multilabel_weights",
    "raked",
    "rotating",
    "shuffled",
    "weighted",
]
