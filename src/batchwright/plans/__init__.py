"""Plans: an order cut into micro-batches, pure and addressable."""

from __future__ import annotations

from .alternate import alternating
from .build import balanced, shuffled, weighted
from .fixed import FixedPlan
from .hierarchy import hierarchical
from .mix import mixed
from .position import Epoch, Plan, Position
from .rotate import rotating
from .tasks import TaskPlan

__all__ = [
    "Epoch",
    "FixedPlan",
    "Plan",
    "Position",
    "TaskPlan",
    "alternating",
    "balanced",
    "hierarchical",
    "mixed",
    "rotating",
    "shuffled",
    "weighted",
]
