"""Orders: endless sequences of sample indices of which any stretch can be had without what comes before it."""

from __future__ import annotations

from .dealt import Dealt
from .hierarchical import Hierarchical, Levels
from .independent import Independent
from .mixed import Mixed
from .protocol import Order, SharedOrder, is_shared
from .share_change import ShareChange

__all__ = [
    "Dealt",
    "Hierarchical",
    "Independent",
    "Levels",
    "Mixed",
    "Order",
    "ShareChange",
    "SharedOrder",
    "is_shared",
]
