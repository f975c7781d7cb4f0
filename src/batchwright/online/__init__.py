"""Balanced, budgeted, packed and mixed batches of data that has no index, composed as samples come."""

import sys

from ..public import opened
from .as_source import Chain
from .balanced import balanced
from .batch import StreamBatch, StreamReport
from .by_length import budgeted, packed
from .equal_stop import equal_stop
from .mixed import mixed
from .readers import arrow, huggingface, jsonl, parquet, tar
from .shards import Sharded
from .sources import SelfSplit
from .states import merged
from .stream import Stream
from .strided import Strided

__all__ = [
    "Chain", "SelfSplit", "Sharded", "Stream", "StreamBatch", "StreamReport", "Strided", "arrow", "balanced",
    "budgeted", "equal_stop", "huggingface", "jsonl", "merged", "mixed", "packed", "parquet", "tar",
]  # fmt: skip

opened(sys.modules[__name__])
