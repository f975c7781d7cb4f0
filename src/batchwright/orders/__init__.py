"""Orders: endless sequences of sample indices, of which any part can be computed without what comes before it."""

from __future__ import annotations

from .dealt import Dealt
from .hierarchical import Hierarchical, Levels
from .in_turn import InTurn
from .independent import Independent
from .mixed import Mixed
from .protocol import Order, is_order
from .shard_dealt import ShardDealt
from .shard_shuffle import ShardShuffle
from .shard_weights import ShardWeights
from .shards import Shards
from .share_change import ShareChange
from .shared import SharedOrder, is_shared

__all__ = [
    "Dealt",
    "Hierarchical",
    "InTurn",
    "Independent",
    "Levels",
    "Mixed",
    "Order",
    "ShardDealt",
    "ShardShuffle",
    "ShardWeights",
    "Shards",
    "ShareChange",
    "SharedOrder",
    "is_order",
    "is_shared",
]
