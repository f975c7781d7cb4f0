"""What the model and the loss must know of how the batch was sampled."""

from __future__ import annotations

from .batchnorm import frozen, per_group, recalibrate, report, synchronised, without_running_stats
from .evaluate import evaluate
from .priors import LogitAdjustment
from .weights import Weighted, Weights

__all__ = [
    "LogitAdjustment",
    "Weighted",
    "Weights",
    "evaluate",
    "frozen",
    "per_group",
    "recalibrate",
    "report",
    "synchronised",
    "without_running_stats",
]
