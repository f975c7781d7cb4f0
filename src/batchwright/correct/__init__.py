"""What the model and the loss must know of how the batch was sampled."""

from __future__ import annotations

from .batchnorm import frozen, per_group, recalibrate, report, synchronised, without_running_stats

__all__ = ["frozen", "per_group", "recalibrate", "report", "synchronised", "without_running_stats"]
