"""Reports: what is in the batches of a plan, as numbers, as a page for a browser, and as plots."""

from __future__ import annotations

from .measure_plan import measure_plan
from .plot import Plots
from .report import Report
from .step import MicroBatch, Step, step_at

__all__ = ["MicroBatch", "Plots", "Report", "Step", "measure_plan", "step_at"]
