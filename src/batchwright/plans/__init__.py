"""Plans: an order cut into micro-batches, pure and addressable."""

from __future__ import annotations

from .build import balanced, shuffled, weighted
from .fixed import FixedPlan
from .mix import mixed
from .position import Epoch, Plan, Position

__all__ = ["Epoch", "FixedPlan", "Plan", "Position", "balanced", "mixed", "shuffled", "weighted"]
