"""Reads micro-batches of any kind of plan in turn, and those of a plain shuffle of the same samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Infeasible, check_integer

__all__ = ["MOST_BATCHES", "BatchRange", "BatchReader", "Shuffle", "checked_step_size", "reader_of"]

MOST_BATCHES = 1 << 20  # micro-batches that are read: each takes a few microseconds
_AT_ONCE = 1 << 20  # samples that are read together


def checked_step_size(world_size: int, accumulate: int) -> int:
    """Micro-batches in a step of a run, after a check of both arguments."""
    step_size = check_integer(world_size, "world_size", least=1) * check_integer(accumulate, "accumulate", least=1)
    if step_size > MOST_BATCHES:
        raise Infeasible(
            f"a step has {step_size} micro-batches, and at most {MOST_BATCHES} are looked at",
            "pass a smaller world_size or accumulate",
        )
    return step_size


@dataclass(frozen=True)
class BatchRange:
    """Some consecutive micro-batches.

    Attributes:
        samples: their samples, micro-batch after micro-batch, int64.
        sizes: how many samples each has, int64 (micro-batches,). 0 in evaluation, where a rank may have fillers only.
        items: their items: samples, but where a plan cuts samples or keeps some together.
        tokens: the tokens in each; None where lengths are not known.
        computed: the tokens in each with its padding; None where lengths are not known.
        costs: what each costs; None where neither costs nor lengths are known.
    """

    samples: np.ndarray
    sizes: np.ndarray
    items: np.ndarray
    tokens: np.ndarray | None
    computed: np.ndarray | None
    costs: np.ndarray | None

    def __len__(self) -> int:
        return self.sizes.size

    @property
    def batch_of(self) -> np.ndarray:
        """The micro-batch of each sample, counted from the first of these."""
        return np.repeat(np.arange(self.sizes.size), self.sizes)


class BatchReader(ABC):
    """Reads consecutive micro-batches, `at_once` of them together."""

    at_once = 1
    lengths: np.ndarray | None = None  # of every item

    @abstractmethod
    def piece(self, first: int, count: int) -> BatchRange:
        """Micro-batches first..first+count-1."""

    def pieces(self, first: int, count: int) -> Iterator[BatchRange]:
        """The same in pieces."""
        for at in range(0, count, self.at_once):
            yield self.piece(first + at, min(self.at_once, count - at))


def reader_of(plan: Any, lengths: np.ndarray | None, costs: np.ndarray | None) -> BatchReader:
    """The reader of a plan; `lengths` and `costs` are those of the samples, None where they are not known."""
    return _OfSamples(plan, lengths, costs) if plan.cutter is None else _OfLengths(plan)


def _with_lengths(
    plan: Any, samples: np.ndarray, sizes: np.ndarray, lengths: np.ndarray | None, costs: np.ndarray | None
) -> BatchRange:
    tokens = computed = found = None
    if lengths is not None:
        held = lengths[samples]
        tokens = found = computed = _reduced(np.add, held, sizes)
        if (
            plan.planned_lengths is None or plan.padded_budget is not None
        ):  # else its limit is of sums: nothing is padded
            found = computed = _reduced(np.maximum, held, sizes) * sizes
    if costs is not None:
        found = _reduced(np.add, costs[samples], sizes)
    return BatchRange(samples, sizes, samples, tokens, computed, found)


def _reduced(ufunc: np.ufunc, values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The sum or the largest of the values of each micro-batch; 0 for one without any."""
    found, held = np.zeros(sizes.size), np.flatnonzero(sizes)
    if held.size:
        found[held] = ufunc.reduceat(values, (sizes.cumsum() - sizes)[held])
    return found


class _OfSamples(BatchReader):
    """Of a plan whose micro-batches are known by their samples alone."""

    def __init__(self, plan: Any, lengths: np.ndarray | None, costs: np.ndarray | None) -> None:
        self._plan, self.lengths, self._costs = plan, lengths, costs
        self._fixed = plan.order is not None
        self.at_once = max(1, _AT_ONCE // max(1, round(plan.mean_batch_size)))

    def piece(self, first: int, count: int) -> BatchRange:
        """See `BatchReader`."""
        plan = self._plan
        if self._fixed:
            table = plan.order.batches_at(first + np.arange(count))
            samples, sizes = table.reshape(-1), np.full(count, table.shape[1])
        else:
            held = [plan[number][: plan.real(number)] for number in range(first, first + count)]
            samples, sizes = np.concatenate(held), np.array([batch.size for batch in held])
        return _with_lengths(plan, samples, sizes, self.lengths, self._costs)


class _OfLengths(BatchReader):
    """Of a plan by lengths, which knows tokens, padding and costs itself."""

    def __init__(self, plan: Any) -> None:
        self._plan = plan
        lengths = plan.cutter.item_lengths  # shape buckets have none
        self.lengths = None if lengths is None else lengths[:]
        self.at_once = max(1, (_AT_ONCE >> 4) // max(1, round(plan.mean_batch_size)))

    def piece(self, first: int, count: int) -> BatchRange:
        """See `BatchReader`."""
        plan = self._plan
        return _of_items(plan, [plan.items(number) for number in range(first, first + count)])


def _of_items(plan: Any, items: list[np.ndarray]) -> BatchRange:
    samples = [plan.admission.emitted(one) for one in items]
    tokens = np.array([plan.cutter.tokens(one) for one in items]).reshape(-1, 2)
    costs = np.array([plan.cutter.cost(one) for one in items])
    sizes = np.array([one.size for one in samples])
    return BatchRange(np.concatenate(samples), sizes, np.concatenate(items), tokens[:, 0], tokens[:, 1], costs)


class Shuffle:
    """What a plain shuffle of the same samples would put into micro-batches, all of the mean size of the plan's.

    A new permutation of all samples for every epoch, as torch's `RandomSampler` makes them, from NumPy's generator: none of
    the engine of a plan is in it.

    Args:
        plan: the plan.
        lengths: see `reader_of`.
        costs: see `reader_of`.
        seed: of the shuffle.
    """

    _MOST = 1 << 24  # samples of a permutation that is made as a whole

    def __init__(self, plan: Any, lengths: np.ndarray | None, costs: np.ndarray | None, seed: int) -> None:
        self._plan, self._lengths, self._costs = plan, lengths, costs
        self._random = np.random.default_rng(seed)
        self._items: np.ndarray | None = None
        self._mean = plan.mean_batch_size
        if plan.cutter is not None:
            self._items = plan.admission.items(np.arange(plan.order_plan.groups.sample_count))
            self._mean = plan.windows.places_per_batch
        self._index = None if self._items is not None else plan.groups.index
        self._count = plan.groups.grouped_count if self._items is None else self._items.size
        self._waiting, self._given = np.empty(0, np.int64), 0

    def micro_batches(self, count: int) -> BatchRange:
        """The next ones of the shuffle."""
        edges = (np.arange(self._given, self._given + count + 1) * self._mean).round().astype(np.int64)
        sizes, self._given = np.maximum(np.diff(edges), 1), self._given + count
        places = self._next(int(sizes.sum()))
        if self._items is not None:
            return _of_items(self._plan, np.split(self._items[places], sizes.cumsum()[:-1]))
        samples = places if self._index is None else self._index[places].astype(np.int64)
        return _with_lengths(self._plan, samples, sizes, self._lengths, self._costs)

    def _next(self, count: int) -> np.ndarray:
        parts = [np.empty(0, np.int64)]
        while count:
            if not self._waiting.size:
                self._waiting = self._permutation(count)
            parts.append(self._waiting[:count])
            self._waiting = self._waiting[count:]
            count -= parts[-1].size
        return np.concatenate(parts)

    def _permutation(self, wanted: int) -> np.ndarray:
        if self._count <= self._MOST:
            return self._random.permutation(self._count)
        # The first ones of a permutation of so many. Several calls would have to remember the earlier ones, so that the few
        # samples that come again are accepted.
        return self._random.choice(self._count, wanted, replace=False)
