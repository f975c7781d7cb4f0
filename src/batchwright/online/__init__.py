"""Balanced, budgeted, packed and mixed batches of data that has no index, composed as samples come."""

from .agree import equal_stop
from .balanced import balanced
from .lengths import budgeted, packed
from .mixed import mixed
from .results import Batch, Report
from .shards import Chain, Shards
from .sources import SelfSplit, Strided
from .stream import Stream

__all__ = [
    "Batch",
    "Chain",
    "Report",
    "SelfSplit",
    "Shards",
    "Stream",
    "Strided",
    "balanced",
    "budgeted",
    "equal_stop",
    "mixed",
    "packed",
]
