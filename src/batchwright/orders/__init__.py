"""Orders: endless sequences of sample indices of which any stretch can be had without what comes before it."""

from __future__ import annotations

from .dealt import Dealt
from .independent import Independent
from .levels import Hierarchical, Levels
from .mixed import Mixed
from .protocol import Order, SharedOrder, is_shared
from .segment import Segment

__all__ = ["Dealt", "Hierarchical", "Independent", "Levels", "Mixed", "Order", "Segment", "SharedOrder", "is_shared"]
