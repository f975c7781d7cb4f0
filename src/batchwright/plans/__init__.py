"""Plans: endless sequences of micro-batches, any of which can be computed directly. One file for each public function."""

from __future__ import annotations

from .alternating import alternating
from .balanced import balanced, shuffled, weighted
from .fixed import FixedPlan
from .hierarchical import hierarchical
from .mixed import mixed
from .multilabel import Rates, multilabel, multilabel_weights
from .plan import Plan
from .raked import raked
from .rotating import rotating
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
