"""The public way to evaluate every sample exactly once on any number of ranks."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Literal, get_args

import numpy as np

from .. import columns
from ..calls import recorded
from ..errors import Infeasible, check_integer, check_number, exactly, one_of, seed_number
from ..kernels.array_types import Floats, Integers
from ..lengths.packing import pack
from ..lengths.spans import Even, Limited
from ..orders.finite import Finite, InFileOrder, Listed, Shuffled
from .balanced import check_sample_count
from .evaluated import EvaluationPlan
from .length_arguments import refuse_too_long

__all__ = ["evaluation"]

OrderName = Literal["file", "shuffled", "length"]
TooLong = Literal["refuse", "alone"]


@recorded
def evaluation(
    samples: int | Sized,
    batch_size: int | None = None,
    *,
    max_tokens: float | None = None,
    capacity: int | None = None,
    order: OrderName = "file",
    too_long: TooLong = "refuse",
    seed: int = 0,
) -> EvaluationPlan:
    """A plan that yields every sample exactly once over all ranks, in equally many steps on each.

    Use it for validation, tests and prediction. `torch.utils.data.DistributedSampler` repeats samples until all ranks have
    equally many, so metrics depend on the number of ranks. Here a rank that has no sample left gets a filler: a real
    sample that keeps it busy, so that no collective operation hangs. `sampler.real(step)` is the number of samples in a
    batch that count; `batchwright.correct.Means` leaves the others out.

    All epochs are equal. The batches of all ranks, step by step, have the samples in their order.

    Args:
        samples: how many samples there are, or a dataset that has a length. With `max_tokens`, `capacity` or
            `order="length"`: array-like of shape (n_samples,), the lengths of the samples, 0 or more; with both `capacity`
            and `order="length"`, which packs them, whole numbers of 1 or more.
        batch_size: samples in every batch. The batches of the last step are smaller, and equal in size.
        max_tokens: instead of `batch_size`: the most tokens of a padded batch: longest sample times number of samples.
        capacity: instead of `batch_size`: the largest sum of lengths in a list, for packs and for ragged batches.
        order: "file" (sample 0 first), "shuffled" (by `seed`, the same in every epoch), or "length" (longest first, for
            the least padding; with `capacity`, packs by best fit, the fullest first).
        too_long: samples longer than `max_tokens` or `capacity`: "refuse", or "alone" in a batch of their own.
        seed: of `order="shuffled"`, 0 to 2^64 - 1.

    Returns:
        A plan. Its `sampler()` goes into a `DataLoader`; `plan.real(t)` is how many samples of micro-batch t count.

    Raises:
        Infeasible: no samples; none or several of `batch_size`, `max_tokens` and `capacity`; a sample that is too long;
            lengths that are no numbers of 0 or more, or for packs not whole numbers of 1 or more.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.evaluation(10, batch_size=4)
        >>> [list(plan.sampler(rank=rank, world_size=2)) for rank in range(2)]
        [[[0, 1, 2, 3], [8]], [[4, 5, 6, 7], [9]]]
    """
    limits = {"batch_size": batch_size, "max_tokens": max_tokens, "capacity": capacity}
    given = [name for name, limit in limits.items() if limit is not None]
    if len(given) != 1:
        raise Infeasible(
            f"{' and '.join(given)} were passed" if given else "none of batch_size, max_tokens and capacity was passed",
            "pass one of batch_size, max_tokens and capacity",
        )
    order, seed = one_of(order, "order", get_args(OrderName)), seed_number(seed)
    too_long = one_of(too_long, "too_long", get_args(TooLong))
    if batch_size is not None:
        size = check_integer(batch_size, "batch_size", least=1)
        if order == "length":
            listed = Listed(_longest_first(_lengths(samples)))
            return EvaluationPlan(listed, Even(listed.count, size))
        count = _some(check_sample_count(samples))
        return EvaluationPlan(_plain(order, count, seed), Even(count, size))
    lengths = _lengths(samples)
    called = given[0]
    limit = float(check_number(limits[called], called))
    if limit <= 0:
        raise Infeasible(f"{called} is {exactly(limit)}", f"pass {called} above 0")
    over = lengths > limit
    if over.any() and too_long == "refuse":
        longest = exactly(lengths.max())
        refuse_too_long(
            f"sample {over.argmax()} has length {exactly(lengths[over][0])}, {called} is {exactly(limit)}",
            over,
            f"{called}={longest} or more",
            ["'alone'"],
        )
    if called == "capacity" and order == "length":
        return _packed(samples, lengths, limit)
    sequence: Finite = Listed(_longest_first(lengths)) if order == "length" else _plain(order, lengths.size, seed)
    costs = lengths[sequence.samples(0, lengths.size)]
    return EvaluationPlan(sequence, Limited(costs, limit, padded=called == "max_tokens"))


def _plain(order: OrderName, count: int, seed: int) -> Finite:
    return InFileOrder(count) if order == "file" else Shuffled(count, seed)


def _packed(samples: Any, lengths: Floats, capacity: float) -> EvaluationPlan:
    """Best-fit packs, the fullest first; a sample over the capacity is a pack of its own."""
    whole = columns.whole_numbers(samples, called="lengths", least=1)
    long, fitting = np.flatnonzero(lengths > capacity), np.flatnonzero(lengths <= capacity)
    packing = pack(whole[fitting], int(capacity))
    packs = [long[at : at + 1] for at in range(long.size)]
    packs += np.split(fitting[packing.members], packing.offsets[1:-1]) if fitting.size else []
    packs.sort(key=lambda members: -float(lengths[members].sum()))
    listed = np.concatenate(packs)
    begins = np.cumsum([0, *(members.size for members in packs)])
    return EvaluationPlan(Listed(listed), Limited(lengths[listed], capacity, padded=False, packs=begins))


def _lengths(samples: Any) -> Floats:
    """A column of lengths, float64 (samples,)."""
    lengths = columns.lengths_of(samples)
    _some(lengths.size)
    return lengths.astype(np.float64)


def _longest_first(lengths: Floats) -> Integers:
    return np.argsort(-lengths, kind="stable")


def _some(count: int) -> int:
    """A number of samples, checked."""
    if count < 1:
        raise Infeasible(
            "there are 0 samples to evaluate", "pass a dataset of 1 sample or more, or skip the evaluation"
        )
    return count
