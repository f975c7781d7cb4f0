"""Corrects a model, its loss and its BatchNorm layers for the way batches were sampled."""

from __future__ import annotations

import sys

from ..public import opened
from .batchnorm import check, frozen, per_group, recalibrate, report, synchronised, without_running_stats
from .evaluate import evaluate
from .loss_scale import LossScale, loss_scale
from .means import Means
from .priors import LogitAdjustment
from .weights import Weighted, Weights

__all__ = [
    "LogitAdjustment",
    "LossScale",
    "Means",
    "Weighted",
    "Weights",
    "check",
    "evaluate",
    "frozen",
    "loss_scale",
    "per_group",
    "recalibrate",
    "report",
    "synchronised",
    "without_running_stats",
]

opened(sys.modules[__name__])
