"""The audit of a plan as a run with some number of ranks takes it."""

from __future__ import annotations

from typing import Any

from .report import Audit

__all__ = ["audit_of_run"]


def audit_of_run(plan: Any, step_size: int, *, epoch: int = 0, first: int = 0, batches: int = 1000) -> Audit:
    """Measure the guarantees of any plan with steps of this size.

    Args:
        plan: the plan.
        step_size: micro-batches in a step.
        epoch: the epoch that is measured, of plans whose audits are of complete epochs.
        first: the first micro-batch that is measured, of other plans.
        batches: how many, of these.

    Example:
        >>> import batchwright as bw
        >>> audit_of_run(bw.evaluation(21, batch_size=4), 4).kept
        True
    """
    found: Audit
    if hasattr(plan, "cutter") or hasattr(plan, "spans"):
        found = plan.audit(step_size=step_size, epochs=1, first=epoch)
    elif hasattr(plan, "division"):  # divided among ranks: as many as the run has
        found = plan.stepped(step_size).audit(epochs=1, first=epoch)
    else:
        found = plan.stepped(step_size).audit(batches=batches, first=first)
    return found
