"""What the sampler accumulates, held against what a trainer says it accumulates."""

from __future__ import annotations

from fractions import Fraction

from .errors import Infeasible, warn
from .sampler import BatchSampler

__all__ = ["check_accumulation"]


def check_accumulation(sampler: BatchSampler, lists: int, setting: str) -> None:
    """Compare the accumulation of a sampler with that of the trainer that steps the optimizer.

    Args:
        sampler: of the training loader.
        lists: lists of the sampler that the trainer runs for one optimizer step.
        setting: where the trainer was told so, in its own words.

    Raises:
        Infeasible: both accumulate, and not the same number of micro-batches.

    Warns:
        PoorWarning: one of the two accumulates, the other was not told, and steps come out uneven or not as planned.
    """
    told, done = sampler.accumulate, lists * sampler.fetch
    if told == done:
        return
    fact = f"the sampler accumulates {told} micro-batches for an optimizer step, {setting} is {lists}"
    if sampler.fetch > 1:
        fact += f" lists of {sampler.fetch}, which makes {done}"
    wanted = Fraction(told, sampler.fetch)
    change = f"pass plan.sampler(accumulate={done})"
    way_out = f"{change} or {setting}={wanted}" if wanted.denominator == 1 else change
    if told > 1 and lists > 1:
        raise Infeasible(fact, way_out)
    if told > 1:
        warn(f"{fact}: a step takes {done} in place of {told}; {way_out}.")
    elif (left := len(sampler) % lists) or getattr(sampler.plan, "unit", "") == "step":
        cost = f"the last step of an epoch has {left} of {lists}" if left else "a step may have several tasks"
        warn(f"{fact}: {cost}; {change}.")
