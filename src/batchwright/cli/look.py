"""`batchwright rewind`: the samples of a step of a run, and the steps in which a sample comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import Infeasible, check_integer
from ..files import Column
from ..micro_batches import LAST
from ..plans.fixed import FixedPlan
from ..plans.plan import Plan
from ..recipes import RecipeRun

__all__ = ["occurrences", "step_of"]

_AT_ONCE = 1 << 16  # samples


def step_of(plan: Plan, run: RecipeRun, step: int, rank: int | None, shown: dict[str, Column]) -> dict[str, Any]:
    """The samples of a step: of every rank, or of one.

    Args:
        plan: the plan.
        run: its ranks and accumulation.
        step: 0 or more, counted through all epochs.
        rank: the rank, or None for all.
        shown: columns whose values are shown beside the numbers of the samples.
    """
    step = _counted(step, run)
    if rank is not None:
        rank = check_integer(rank, "rank", least=0)
        if rank >= run.world_size:
            raise Infeasible(
                f"rank is {rank}, and the run has {run.world_size} rank{'s' if run.world_size > 1 else ''}",
                "pass a smaller --rank; or pass the number of ranks as --world-size, if the recipe does not name it",
            )
    other = next((name for name, column in shown.items() if len(column) != plan.groups.sample_count), None)
    if other is not None:
        raise Infeasible(
            f"the plan has {plan.groups.sample_count} samples, of several sources, and column {other!r} has "
            f"{len(shown[other])} rows",
            "leave out --show; plan.locate(samples) says which source a sample is of",
        )
    batches, length = plan.stepped(run.step_size), plan.epoch_length(run.step_size)
    samples = []
    for within in range(run.step_size):
        number, at = step * run.step_size + within, within % run.world_size
        if rank is not None and rank != at:
            continue
        for slot, sample in enumerate(batches[number].tolist()):
            place = {"micro_batch": number, "rank": at, "slot": slot, "sample": sample}
            samples.append(place | {name: column[sample] for name, column in shown.items()})
    first = step * run.step_size
    return {
        "step": step,
        "epoch": first // length,
        "step_in_epoch": first % length // run.step_size,
        "samples": samples,
    }


def _counted(step: int, run: RecipeRun) -> int:
    return check_integer(step, "step", least=0, most=(LAST + 1) // run.step_size - 1)


def occurrences(
    plan: Plan, run: RecipeRun, sample: int, step: int, epochs: int, watch: Callable[[Iterator[int]], Any] = iter
) -> dict[str, Any]:
    """When a sample came last before a step, and when it comes next, within some epochs on either side.

    Args:
        plan: the plan.
        run: its ranks and accumulation.
        sample: the number of the sample.
        step: the step, counted through all epochs.
        epochs: how far to look.
        watch: called with how many micro-batches were looked at, one number at a time, and returns an iterator over them.
    """
    count = plan.groups.sample_count
    sample = check_integer(sample, "sample", least=0, most=count - 1)
    batches, length = plan.stepped(run.step_size), plan.epoch_length(run.step_size)
    middle = _counted(step, run) * run.step_size
    low, high = max(0, middle - epochs * length), middle + epochs * length
    backwards = _numbers_with(batches, sample, middle - 1, low - 1, -1)
    onwards = _numbers_with(batches, sample, middle, high, 1)
    found: list[int | None] = [None, None]

    def looking() -> Iterator[int]:
        looked = 0
        for way, numbers in enumerate((backwards, onwards)):
            for count, number in numbers:
                looked += count
                yield looked
                if number is not None:
                    found[way] = number
                    break

    for _ in watch(looking()):
        pass
    before, after = found
    return {
        "sample": sample,
        "step": step,
        "before": None if before is None else _place(before, run, length),
        "next": None if after is None else _place(after, run, length),
        "looked_at": {"first_step": low // run.step_size, "last_step": high // run.step_size - 1},
    }


def _place(number: int, run: RecipeRun, length: int) -> dict[str, int]:
    return {
        "step": number // run.step_size,
        "rank": number % run.step_size % run.world_size,
        "micro_batch": number,
        "epoch": number // length,
    }


def _numbers_with(batches: Any, sample: int, first: int, stop: int, stride: int) -> Iterator[tuple[int, int | None]]:
    """How many micro-batches were looked at, and the first among them that holds a sample, if one does.

    They are looked at from `first` on, before `stop`; `stride` is 1 or -1.
    """
    if isinstance(batches, FixedPlan):
        size = max(1, _AT_ONCE // batches.batch_size)
        while (stop - first) * stride > 0:
            taken = min(size, abs(stop - first))
            low = first if stride > 0 else first - taken + 1
            found = np.flatnonzero((batches.order.batches_at(low + np.arange(taken)) == sample).any(axis=1)) + low
            yield taken, int(found[::stride][0]) if found.size else None
            first += taken * stride
        return
    for number in range(first, stop, stride):
        yield 1, number if sample in batches[number] else None
