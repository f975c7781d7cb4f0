"""BatchNorm with sampled batches: which statistics are used, and over which batches, ranks and groups."""

from __future__ import annotations

from .check import check
from .per_group import PerGroup, per_group
from .recalibrate import recalibrate
from .report import BatchNormReport, LayerDifference, report
from .statistics_used import frozen, without_running_stats
from .synchronised import GlobalBatchNorm, synchronised

__all__ = [
    "BatchNormReport",
    "GlobalBatchNorm",
    "LayerDifference",
    "PerGroup",
    "check",
    "frozen",
    "per_group",
    "recalibrate",
    "report",
    "synchronised",
    "without_running_stats",
]
