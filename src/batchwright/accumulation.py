"""Compares the accumulation of a sampler with that of a trainer."""

from __future__ import annotations

from fractions import Fraction

from .errors import Infeasible, warn
from .run.sampler import BatchSampler
from .told_accumulation import Accumulation

__all__ = ["check_accumulation"]


def check_accumulation(sampler: BatchSampler, told: Accumulation, *, maker: str = "plan.sampler") -> None:
    """Check that a sampler accumulates as many micro-batches as the trainer that steps the optimizer.

    Args:
        sampler: the sampler of the training loader.
        told: how many of the sampler's batches the trainer runs for one optimizer step.
        maker: what the sampler was made with.

    Raises:
        Infeasible: both accumulate, but different numbers of micro-batches.

    Warns:
        PoorWarning: only one of the two accumulates, so that steps are uneven or not the ones that were planned.
    """
    batches, setting, *_ = told
    planned, done = sampler.accumulate, batches * sampler.fetch
    if planned == done:
        return
    fact = f"{maker} accumulates {planned} micro-batches for an optimizer step, {setting} is {batches}"
    if sampler.fetch > 1:
        fact += f" batches of {sampler.fetch}, which makes {done}"
    wanted = Fraction(planned, sampler.fetch)
    change = f"pass {maker}(accumulate={done})"
    way_out = f"{change} or {setting}={wanted}" if wanted.denominator == 1 else change
    if planned > 1 and batches > 1:
        raise Infeasible(fact, way_out)
    if planned > 1:
        warn(f"{fact}: a step takes {done} in place of {planned}; {way_out}.")
    elif (left := len(sampler) % batches) or sampler.plan.unit == "step":
        cost = f"the last step of an epoch has {left} of {batches}" if left else "a step may have several tasks"
        warn(f"{fact}: {cost}; {change}.")
