"""What a window of an order becomes: micro-batches, each a stretch of one array."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import Infeasible
from ..kernels.cuts import keyed_order
from ..kernels.packing import group_by_length
from .identity import fields_as_text

__all__ = [
    "Cut",
    "Cutter",
    "Identified",
    "Unsearched",
    "arranged",
    "by_steps",
    "falling_ranks",
    "like_ranks",
    "mixed_places",
    "most_expensive_of_layers",
    "sorted_places",
    "split_to",
    "spread",
]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """Micro-batches over the samples of a window.

    Attributes:
        members: places in the window, micro-batch by micro-batch, int64.
        offsets: micro-batch b holds `members[offsets[b]:offsets[b + 1]]`, int64.
        costs: what each costs, float64.
        stepped: whether the micro-batches already stand step by step, and their steps must stay together.
    """

    members: Integers
    offsets: Integers
    costs: NDArray[np.float64]
    stepped: bool = False

    def __len__(self) -> int:
        return self.costs.size

    def batch(self, number: int) -> Integers:
        """The places of one micro-batch."""
        return self.members[self.offsets[number] : self.offsets[number + 1]]

    def chosen(self, numbers: Integers) -> Cut:
        """These micro-batches in this order."""
        sizes = np.diff(self.offsets)[numbers]
        offsets = np.concatenate([[0], sizes.cumsum()])
        at = np.arange(offsets[-1]) + np.repeat(self.offsets[numbers] - offsets[:-1], sizes)
        return Cut(self.members[at], offsets, self.costs[numbers])

    def below(self, places: int) -> Cut:
        """The same micro-batches without the places from `places` on, and without those that this empties."""
        kept = self.members < places
        sizes = np.add.reduceat(kept, self.offsets[:-1], dtype=np.int64)
        offsets = np.concatenate([[0], sizes[sizes > 0].cumsum()])
        return Cut(self.members[kept], offsets, self.costs[sizes > 0])


class Cutter(Protocol):
    """One way to turn samples into micro-batches within a limit."""

    @property
    def kind(self) -> str:
        """The name of the function that makes such plans."""
        ...

    @property
    def ranks(self) -> Integers:
        """The place of every sample when the longest come first, int64; equal ones share one."""
        ...

    @property
    def settled(self) -> bool:
        """Whether how many micro-batches are needed depends on which samples there are, not on their order."""
        ...

    @property
    def least_steps(self) -> int:
        """How many steps a window should have at least."""
        ...

    @property
    def alike(self) -> Integers:
        """The place of every sample when like ones stand together, the most expensive first, int64; equal ones share one."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """Everything that decides the cuts, by name, as short text."""
        ...

    def cut(self, samples: Integers, batches: int, multiple: int) -> Cut:
        """These samples in `batches` micro-batches of like cost, or in more where the limit allows no fewer.

        With `batches=0` in as few as the limit allows. Steps are `multiple` micro-batches long.
        """
        ...

    @property
    def sizes(self) -> NDArray[np.float64]:
        """What each sample adds to a micro-batch, float64 (samples,): in proportion, to guess how many samples fit."""
        ...

    @property
    def room(self) -> float:
        """The largest sum of `sizes` in a micro-batch; infinite where none is proven."""
        ...

    def needed(self, samples: Integers, multiple: int) -> Callable[[int], int]:
        """How many micro-batches `cut` makes at least of the first so many of these samples.

        Found without cutting them, where that is possible.
        """
        ...

    def for_window(self, parts: int = 1) -> Cutter:
        """The same cuts for one window.

        Where a cut is a search of limited work, all cuts that the window takes share one limit, or a part of it.
        """
        ...

    def over_layers(self, falling: Integers, windows: int) -> Cutter | None:
        """The same limits over one item for each layer, which costs as much as the most expensive item of the layer.

        A layer is `windows` neighbours of `falling`. If these items fit into n micro-batches, any one item of each layer
        does too. None if that does not follow from the limits.
        """
        ...

    def levelled(self, samples: Integers, cut: Cut, multiple: int) -> Cut:
        """The same samples in as many micro-batches, step by step, so that those of a step cost nearly the same.

        The most expensive micro-batch of a step never becomes more expensive.
        """
        ...

    def cost(self, samples: Integers) -> float:
        """What one micro-batch of these samples costs."""
        ...

    def tokens(self, samples: Integers) -> tuple[float, float]:
        """The tokens in one micro-batch of these samples, and the tokens with what pads it."""
        ...

    def excess(self, samples: Integers) -> float:
        """How far one micro-batch of these samples is over its limits; 0 where none is broken."""
        ...

    def at_least(self, samples: Integers) -> int:
        """How many micro-batches any way of cutting these samples needs, proven."""
        ...

    def part(self, samples: Integers) -> tuple[Integers, Integers]:
        """One micro-batch of two samples or more in two parts of like cost."""
        ...


class Identified:
    """A cutter whose fields decide its cuts."""

    @property
    def identity(self) -> dict[str, str]:
        """See `Cutter`."""
        return fields_as_text(self)


class Unsearched(Identified):
    """A cutter of which no cut is a search."""

    def for_window(self, parts: int = 1) -> Self:
        """See `Cutter`."""
        return self


def spread(batches: int, cut_at: Callable[[int, float], Integers]) -> Integers:
    """Offsets of at most `batches` micro-batches, cut at as small a share of the limit as allows that.

    Cutting below the limit spreads the work where there is room for more micro-batches than are needed. Where many samples
    cost the same, one step of the share is many micro-batches: then the first samples are cut at the smaller
    share, the others at the larger.

    Args:
        batches: how many there may be; at the whole limit there are no more.
        cut_at: offsets of the micro-batches from a sample on, at a share of the limit: `cut_at(first, share)`.
    """
    low, high = 0, 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        if cut_at(0, middle / (1 << 20)).size - 1 <= batches:
            high = middle
        else:
            low = middle
    small = cut_at(0, low / (1 << 20))
    large = high / (1 << 20)
    kept, too_many = 0, small.size - 1
    while too_many - kept > 1:
        middle = (kept + too_many) // 2
        if middle + cut_at(int(small[middle]), large).size - 1 <= batches:
            kept = middle
        else:
            too_many = middle
    return np.concatenate([small[:kept], small[kept] + cut_at(int(small[kept]), large)])


def split_to(cut: Cut, batches: int, samples: Integers, cutter: Cutter) -> Cut:
    """Split the most expensive micro-batches in two until there are `batches` of them.

    Raises:
        Infeasible: there are fewer samples than that.
    """
    if len(cut) >= batches:
        return cut
    if cut.members.size < batches:
        raise Infeasible(
            f"{cut.members.size} samples cannot fill {batches} micro-batches",
            "pass a larger window, more samples, or a smaller world_size or accumulate",
        )
    whole = [cut.batch(number) for number in range(len(cut))]
    most_expensive = [(-float(cost), number) for number, cost in enumerate(cut.costs) if whole[number].size > 1]
    heapq.heapify(most_expensive)
    costs = cut.costs.tolist()
    while len(whole) < batches:
        _, number = heapq.heappop(most_expensive)
        halves = cutter.part(samples[whole[number]])
        parts = [whole[number][half] for half in halves]
        whole[number] = parts[0]
        whole.append(parts[1])
        costs.append(0.0)
        for place in (number, len(whole) - 1):
            costs[place] = cutter.cost(samples[whole[place]])
            if whole[place].size > 1:
                heapq.heappush(most_expensive, (-costs[place], place))
    offsets = np.concatenate([[0], np.cumsum([part.size for part in whole])])
    return Cut(np.concatenate(whole), offsets, np.array(costs))


def arranged(cut: Cut, multiple: int, key: int) -> Cut:
    """Micro-batches in runs of `multiple`, the runs and the places within each shuffled by `key`.

    A run is a step: where the micro-batches stood step by step its ranks carry near-equal cost, and steps of any cost come
    at any time.
    """
    word = np.uint64(key)
    if multiple == 1:  # nothing to shuffle within
        return cut.chosen(keyed_order(len(cut), word))
    runs = np.arange(len(cut) // multiple * multiple).reshape(-1, multiple)
    within = np.stack([run[keyed_order(multiple, word + np.uint64(1 + place))] for place, run in enumerate(runs)])
    return cut.chosen(within[keyed_order(len(runs), word)].reshape(-1))


def by_steps(cut: Cut) -> Cut:
    """Micro-batches by falling cost, so that neighbours are steps; those that stand step by step already stay."""
    if cut.stepped:
        return cut
    return replace(cut.chosen(np.argsort(-cut.costs, kind="stable")), stepped=True)


def most_expensive_of_layers(table: np.ndarray, falling: Integers, windows: int) -> np.ndarray:
    """The largest of every `windows` neighbours of `falling` in each column; of one column those are the first ones."""
    if table.shape[1] == 1:
        return table[falling[::windows]]
    largest: np.ndarray = np.maximum.reduceat(table[falling], np.arange(0, falling.size, windows), axis=0)
    return largest


def falling_ranks(keys: np.ndarray) -> Integers:
    """The place of each key among the distinct keys, the largest 0."""
    distinct, ranks = np.unique(keys, return_inverse=True)
    return distinct.size - 1 - ranks.astype(np.int64)


def like_ranks(table: np.ndarray) -> Integers:
    """The place of each row (samples, kinds) when rows that are alike in all kinds stand together; equal rows share one.

    Strata of the first kind, within them strata of the next, and so on, falling by the last kind; every other stratum
    rises, so that neighbours are alike across strata too.
    """
    count, kinds = table.shape
    if kinds == 1:
        return falling_ranks(table[:, 0])
    strata = max(1, round((count / 16) ** (1 / kinds)))
    keys = []
    for kind in range(kinds - 1):
        ranks = falling_ranks(table[:, kind])
        keys.append((np.bincount(ranks).cumsum()[ranks] - 1) * strata // count)
    rising = sum(keys) % 2 == 1
    last = np.where(rising, table[:, -1], -table[:, -1])
    order = np.lexsort((*table.T, last, *reversed(keys)))
    changed = np.any(np.diff(table[order], axis=0, prepend=table[order[:1]]) != 0, axis=1)
    places = np.empty(count, np.int64)
    places[order] = changed.cumsum()
    return places


def mixed_places(ranks: Integers) -> Integers:
    """A sort with equal ones in an order of chance, the same for as many.

    Where costs are of several kinds, those high in one kind then stand among those high in another, and fill a limit
    together.
    """
    mixed = keyed_order(ranks.size, np.uint64(ranks.size))
    return mixed[sorted_places(ranks[mixed])]


def sorted_places(ranks: Integers) -> Integers:
    """A stable sort; by counting where there are fewer ranks than places."""
    largest = int(ranks.max(initial=0))
    return group_by_length(ranks, largest)[0] if largest < ranks.size else np.argsort(ranks, kind="stable")
