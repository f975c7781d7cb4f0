"""The result of cutting a window into micro-batches, and what every way to cut must offer."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from ..errors import Infeasible
from ..kernels.array_types import Floats, Integers
from ..kernels.cuts import keyed_shuffle, rows_shuffled
from .identity import fields_as_text
from .numbers import SortKeys

__all__ = [
    "Cut",
    "Cutter",
    "Prefixes",
    "Unsearched",
    "WithIdentity",
    "by_steps",
    "check_fillable",
    "cut_evenly",
    "split_to",
    "steps_shuffled",
]


@dataclass(frozen=True)
class Cut:
    """Micro-batches over the samples of a window.

    Attributes:
        members: places among the samples of the window, micro-batch by micro-batch, int64.
        offsets: micro-batch b holds `members[offsets[b]:offsets[b + 1]]`, int64.
        costs: what each micro-batch costs, float64.
        in_steps: whether the micro-batches are already sorted into steps, which must stay together.
        sorted_in_steps: whether the micro-batches of each step are sorted by cost, so that neighbours cost about the same.
    """

    members: Integers
    offsets: Integers
    costs: Floats
    in_steps: bool = False
    sorted_in_steps: bool = False

    def __len__(self) -> int:
        return self.costs.size

    def batch(self, number: int) -> Integers:
        """The places of one micro-batch."""
        return self.members[self.offsets[number] : self.offsets[number + 1]]

    def chosen(self, numbers: Integers) -> Cut:
        """A cut of these micro-batches, in this order."""
        sizes = np.diff(self.offsets)[numbers]
        offsets = np.concatenate([[0], sizes.cumsum()])
        at = np.arange(offsets[-1]) + np.repeat(self.offsets[numbers] - offsets[:-1], sizes)
        return Cut(self.members[at], offsets, self.costs[numbers])

    def below(self, places: int) -> Cut:
        """The same micro-batches, only with places below `places`; those that become empty are left out."""
        kept = self.members < places
        sizes = np.add.reduceat(kept, self.offsets[:-1], dtype=np.int64)
        offsets = np.concatenate([[0], sizes[sizes > 0].cumsum()])
        return Cut(self.members[kept], offsets, self.costs[sizes > 0])


class Cutter(Protocol):
    """One way to turn samples into micro-batches within a limit: "batch by size".

    `samples` are numbers of items; where items are samples, these are numbers of the dataset. `step_size` is the number of
    micro-batches in a step.
    """

    @property
    def builder(self) -> str:
        """The name of the function that makes such plans."""
        ...

    @property
    def length_keys(self) -> SortKeys:
        """Sort keys by length, int64 (samples,) when they are read: 0 for the longest; equal lengths share one."""
        ...

    @property
    def count_ignores_order(self) -> bool:
        """Whether the number of micro-batches depends only on which samples there are, not on their order."""
        ...

    @property
    def knows_padding(self) -> bool:
        """Whether `tokens` tells samples from what pads them."""
        ...

    @property
    def searches(self) -> bool:
        """Whether cutting is a search with a limit of work, which may refuse; otherwise it is greedy."""
        ...

    @property
    def least_steps(self) -> int:
        """How many steps a window should have at least."""
        ...

    @property
    def similarity_keys(self) -> SortKeys:
        """Sort keys by similarity, int64 (samples,) when they are read: sorted by them, neighbours are alike.

        Equal samples share one.
        """
        ...

    @property
    def identity(self) -> dict[str, str]:
        """Every argument that changes how samples are cut, by name, as short text."""
        ...

    def cut(self, samples: Integers, batches: int, step_size: int) -> Cut:
        """Cut these samples into `batches` micro-batches of like cost, or more if the limit allows no fewer.

        `batches=0` means as few as possible. Steps are `step_size` micro-batches long.
        """
        ...

    def sizes_of(self, samples: Integers) -> Floats:
        """What each of these samples adds to a micro-batch, float64, in any unit: to guess how many samples fit."""
        ...

    @property
    def room(self) -> float:
        """The largest sum of `sizes_of` in a micro-batch; infinite if none is proven."""
        ...

    def batches_needed(self, samples: Integers, step_size: int) -> int:
        """The least number of micro-batches that `cut` makes of these samples; it does not cut them, if possible."""
        ...

    def prefixes(self, samples: Integers, step_size: int) -> Prefixes:
        """The first samples of these, of which any number can be cut."""
        ...

    def batches_of_alike(self, samples: Integers, counts: Integers) -> int | None:
        """How many micro-batches `cut` makes of many samples at least, found in little memory.

        There are `counts[n]` samples that cost as much as `samples[n]`, longest first. None if the number depends on
        more than that.
        """
        ...

    def for_window(self, divisor: int = 1) -> Cutter:
        """The cutter for one window, or for a search that may take only one part in `divisor` of the work of a window.

        It matters if cutting is a search: then all cuts for the window share one limit of work.
        """
        ...

    def over_strata(self, falling: Integers, windows: int) -> Cutter | None:
        """A cutter over one item for each stratum, which costs as much as the most expensive item of the stratum.

        A stratum is `windows` neighbours of `falling`. If these items fit into n micro-batches, then one item of each
        stratum does too, whichever it is. None if the limits of this cutter do not guarantee that.
        """
        ...

    def with_equal_costs(self, samples: Integers, cut: Cut, step_size: int) -> Cut:
        """Make the micro-batches of each step cost nearly the same; their number does not change.

        The most expensive micro-batch of a step never becomes more expensive.
        """
        ...

    def costs_of(self, samples: Integers, offsets: Integers) -> Floats:
        """What each of several micro-batches costs: micro-batch b has `samples[offsets[b]:offsets[b + 1]]`, one or more."""
        ...

    def cost(self, samples: Integers) -> float:
        """What one micro-batch of these samples costs."""
        ...

    def rows_at_least(self, samples: Integers, ranks: int) -> float:
        """A proven lower bound of what the most expensive micro-batches cost together, of rows of `ranks` micro-batches.

        However the samples are cut, one row has the most expensive sample.
        """
        ...

    def tokens(self, samples: Integers) -> tuple[float, float]:
        """The tokens in one micro-batch of these samples, and the tokens with what pads it."""
        ...

    def excess(self, samples: Integers) -> float:
        """How far one micro-batch of these samples is over its limits; 0 where none is broken."""
        ...

    def at_least(self, samples: Integers) -> int:
        """A proven lower bound: no way of cutting these samples needs fewer micro-batches."""
        ...

    def part(self, samples: Integers) -> tuple[Integers, Integers]:
        """Split one micro-batch of two samples or more into two parts of like cost: places of each."""
        ...


@dataclass(frozen=True)
class Prefixes:
    """The first samples of a sequence, to find how many of them fit: what is the same for any number is done once."""

    cutter: Cutter
    samples: Integers
    step_size: int

    def batches_needed(self, count: int) -> int:
        """See `Cutter.batches_needed`, of the first `count` samples."""
        return self.cutter.batches_needed(self.samples[:count], self.step_size)

    def cut(self, count: int, batches: int) -> Cut:
        """See `Cutter.cut`, of the first `count` samples."""
        return self.cutter.cut(self.samples[:count], batches, self.step_size)

    def for_window(self, divisor: int = 1) -> Self:
        """The same samples for a cutter with a limit of work; see `Cutter.for_window`."""
        return replace(self, cutter=self.cutter.for_window(divisor))


class WithIdentity(ABC):
    """A cutter whose fields decide its cuts."""

    knows_padding = True

    @property
    def identity(self) -> dict[str, str]:
        """See `Cutter`."""
        return fields_as_text(self)

    def prefixes(self: Cutter, samples: Integers, step_size: int) -> Prefixes:
        """See `Cutter`."""
        return Prefixes(self, samples, step_size)

    @abstractmethod
    def costs_of(self, samples: Integers, offsets: Integers) -> Floats:
        """See `Cutter`."""

    def cost(self, samples: Integers) -> float:
        """See `Cutter`."""
        return float(self.costs_of(samples, np.array([0, samples.size]))[0])


class Unsearched(WithIdentity):
    """A cutter that cuts greedily: it searches nothing, so a window needs no cutter of its own."""

    searches = False

    def for_window(self, divisor: int = 1) -> Self:
        """See `Cutter`."""
        return self


def cut_evenly(batches: int, cut_at: Callable[[int, float], Integers]) -> Integers:
    """Cut into at most `batches` micro-batches, at the smallest fraction of the limit that allows it.

    If there may be more micro-batches than are needed, a lower limit makes them all smaller in place of the last ones
    alone. If many samples cost the same, a tiny change of the fraction changes the number of micro-batches a lot. Then the
    first samples are cut at the fraction that is slightly too small, the others at the one that is large enough.

    Args:
        batches: how many there may be; at the whole limit there are no more.
        cut_at: offsets of the micro-batches from a sample on, at a fraction of the limit: `cut_at(first, fraction)`.
    """
    # Bisection on the fraction, in steps of 2^-20 of the limit: one token of a budget of a million.
    low, high = 0, 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        if cut_at(0, middle / (1 << 20)).size - 1 <= batches:
            high = middle
        else:
            low = middle
    small = cut_at(0, low / (1 << 20))
    large = high / (1 << 20)
    # Bisection on where the larger fraction begins: as late as possible, so that all of the `batches` are used.
    kept, too_many = 0, small.size - 1
    while too_many - kept > 1:
        middle = (kept + too_many) // 2
        if middle + cut_at(int(small[middle]), large).size - 1 <= batches:
            kept = middle
        else:
            too_many = middle
    return np.concatenate([small[:kept], small[kept] + cut_at(int(small[kept]), large)])


def check_fillable(samples: int, batches: int) -> None:
    """Refuse fewer samples than micro-batches.

    Raises:
        Infeasible: there are fewer.
    """
    if samples < batches:
        raise Infeasible(
            f"{samples} samples cannot fill {batches} micro-batches",
            "pass a larger window, more samples, or a smaller world_size or accumulate",
        )


def split_to(cut: Cut, batches: int, samples: Integers, cutter: Cutter) -> Cut:
    """Split the most expensive micro-batches in two until there are `batches` of them.

    Raises:
        Infeasible: there are fewer samples than that.
    """
    if len(cut) >= batches:
        return cut
    check_fillable(cut.members.size, batches)
    parts_of = [cut.batch(number) for number in range(len(cut))]
    most_expensive = [(-float(cost), number) for number, cost in enumerate(cut.costs) if parts_of[number].size > 1]
    heapq.heapify(most_expensive)  # a heap, since both halves of a split may be the most expensive again
    costs = cut.costs.tolist()
    while len(parts_of) < batches:
        _, number = heapq.heappop(most_expensive)
        halves = cutter.part(samples[parts_of[number]])
        parts = [parts_of[number][half] for half in halves]
        parts_of[number] = parts[0]
        parts_of.append(parts[1])
        costs.append(0.0)
        for place in (number, len(parts_of) - 1):
            costs[place] = cutter.cost(samples[parts_of[place]])
            if parts_of[place].size > 1:
                heapq.heappush(most_expensive, (-costs[place], place))
    offsets = np.concatenate([[0], np.cumsum([part.size for part in parts_of])])
    return Cut(np.concatenate(parts_of), offsets, np.array(costs))


def steps_shuffled(cut: Cut, step_size: int, key: int) -> Cut:
    """Shuffle the steps, and the micro-batches within each step, by `key`; steps stay together.

    So the ranks of a step have near-equal costs, and expensive steps do not all come at the same time. If the micro-batches
    of each step are sorted by cost, a step is only turned round or not: with accumulation, micro-batches that run at the
    same time are neighbours, for any number of ranks.
    """
    word = np.uint64(key)
    if step_size == 1:  # nothing to shuffle within
        return cut.chosen(keyed_shuffle(len(cut), word))
    steps = len(cut) // step_size
    if cut.sorted_in_steps:
        turned = rows_shuffled(steps, 2, word)[:, :1] == 1
        within = np.where(turned, np.arange(step_size)[::-1], np.arange(step_size))
    else:
        within = rows_shuffled(steps, step_size, word)
    batches = np.arange(0, steps * step_size, step_size)[:, None] + within
    return cut.chosen(batches[keyed_shuffle(steps, word)].reshape(-1))


def by_steps(cut: Cut) -> Cut:
    """Sort micro-batches by falling cost, so that neighbours make steps; those sorted into steps already stay."""
    if cut.in_steps:
        return cut
    return replace(cut.chosen(np.argsort(-cut.costs, kind="stable")), in_steps=True)
