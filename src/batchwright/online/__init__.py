"""Balanced, budgeted, packed and mixed batches of data that has no index, composed as samples come."""

from .balanced import balanced
from .shards import Chain, Shards
from .sources import SelfSplit, Strided
from .stream import Batch, Report, Stream

__all__ = ["Batch", "Chain", "Report", "SelfSplit", "Shards", "Stream", "Strided", "balanced"]
