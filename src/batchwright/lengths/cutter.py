"""What every way to cut items into micro-batches offers: it cuts them, and measures micro-batches."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from ..kernels.array_types import Floats, Integers
from .cut import Cut
from .even_cuts import check_fillable
from .identity import fields_as_text
from .numbers import Numbers
from .sort_keys import SortKeys

__all__ = ["Cutter", "Prefixes"]


class Cutter(ABC):
    """One way to cut items into micro-batches within a limit.

    An item is a sample, a piece of one, or several samples that stay together; see `Admission`. Only packs have items that
    are not samples. `items` are their numbers, and a place of a window is an index into its `items`. `step_size` is the
    number of micro-batches in a step.
    """

    # What kind of cutter it is.

    names_in_identity: ClassVar[Mapping[str, str]] = {}
    """Fields by other names in the identity; see `fields_as_text`."""

    @property
    @abstractmethod
    def builder(self) -> str:
        """The name of the function that makes such plans."""

    @property
    def identity(self) -> dict[str, str]:
        """Every argument that changes how items are cut, by name, as short text."""
        return fields_as_text(self, self.names_in_identity)

    @property
    @abstractmethod
    def count_ignores_order(self) -> bool:
        """Whether the number of micro-batches depends only on which items there are, not on their order."""

    @property
    def searches(self) -> bool:
        """Whether cutting is a search with a limit of work, which may refuse; otherwise it is greedy."""
        return False

    @property
    def least_steps(self) -> int:
        """How many steps a window should have at least."""
        return 1

    # Cutting.

    @abstractmethod
    def cut(self, items: Integers, batches: int | None, step_size: int) -> Cut:
        """Cut these items into `batches` micro-batches of like cost.

        They are more where `batches` micro-batches within the limit cannot hold the items. None means as few as possible.
        Steps are `step_size` micro-batches long.
        """

    @abstractmethod
    def with_equal_costs(self, items: Integers, cut: Cut, step_size: int) -> Cut:
        """Sort micro-batches into steps, then exchange items so that the micro-batches of a step cost nearly the same.

        No limit is exceeded by that, and the number of micro-batches stays. Some cutters exchange nothing.
        """

    @abstractmethod
    def batches_needed(self, items: Integers, step_size: int) -> int:
        """The least number of micro-batches that `cut` makes of these items; it does not cut them, if possible."""

    def batches_needed_for_copies(self, items: Integers, copies: Integers) -> int | None:
        """The least number of micro-batches that `cut` makes of many items, found in little memory.

        There are `copies[n]` items that cost as much as `items[n]`, longest first. None if the number depends on more
        than that.
        """
        return None

    def prefixes(self, items: Integers, step_size: int) -> Prefixes:
        """The first of these items, of which any number can be cut."""
        return Prefixes(self, items, step_size)

    def for_window(self, divisor: int = 1) -> Cutter:
        """The cutter for one window, or for a search that may take only one part in `divisor` of the work of a window.

        It matters if cutting is a search: then all cuts for the window share one limit of work.
        """
        return self

    def over_strata(self, descending: Integers, window_count: int) -> Cutter | None:
        """A cutter over one item for each stratum, which costs as much as the most expensive item of the stratum.

        A stratum is `window_count` neighbours of `descending`, which are all items, longest first. If these items fit into n
        micro-batches, then one item of each stratum does too, whichever it is. None if the limits of this cutter do not
        guarantee that.
        """
        return None

    @property
    @abstractmethod
    def similarity_keys(self) -> SortKeys:
        """Sort keys by similarity, int64 (items,) when they are read: sorted by them, neighbours are alike.

        Equal items share one.
        """

    @abstractmethod
    def halves(self, items: Integers) -> tuple[Integers, Integers]:
        """Split one micro-batch of two items or more into two of like cost: places of each."""

    def split_to(self, cut: Cut, batches: int, items: Integers) -> Cut:
        """Split the most expensive micro-batches in two until there are `batches` of them.

        Raises:
            Infeasible: there are fewer items than that.
        """
        if len(cut) >= batches:
            return cut
        check_fillable(cut.places.size, batches)
        parts_of = [cut.batch(number) for number in range(len(cut))]
        most_expensive = [(-float(cost), number) for number, cost in enumerate(cut.costs) if parts_of[number].size > 1]
        heapq.heapify(most_expensive)  # a heap, since both halves of a split may be the most expensive again
        costs = cut.costs.tolist()
        while len(parts_of) < batches:
            _, number = heapq.heappop(most_expensive)
            places = parts_of[number]
            first, second = self.halves(items[places])
            parts_of[number] = places[first]
            parts_of.append(places[second])
            costs.append(0.0)
            for changed in (number, len(parts_of) - 1):
                costs[changed] = self.cost(items[parts_of[changed]])
                if parts_of[changed].size > 1:
                    heapq.heappush(most_expensive, (-costs[changed], changed))
        offsets = np.concatenate([[0], np.cumsum([part.size for part in parts_of])])
        return Cut(np.concatenate(parts_of), offsets, np.array(costs))

    # Measuring.

    @abstractmethod
    def sizes_of(self, items: Integers) -> Floats:
        """What each of these items adds to a micro-batch, float64, in any unit: to guess how many items fit."""

    @property
    def most_size(self) -> float:
        """The largest sum of `sizes_of` in a micro-batch; infinite if none is proven."""
        return np.inf

    @abstractmethod
    def costs_of(self, items: Integers, offsets: Integers) -> Floats:
        """What each of several micro-batches costs: micro-batch b has `items[offsets[b]:offsets[b + 1]]`, one or more."""

    def cost(self, items: Integers) -> float:
        """What one micro-batch of these items costs."""
        return float(self.costs_of(items, np.array([0, items.size]))[0])

    @abstractmethod
    def tokens(self, items: Integers) -> tuple[float, float]:
        """The tokens in one micro-batch of these items, and the tokens with what pads it."""

    @property
    def knows_padding(self) -> bool:
        """Whether `tokens` tells items from what pads them."""
        return True

    @property
    def item_lengths(self) -> Numbers | None:
        """The length of each item; None if what it knows of items is not a length."""
        return None

    @property
    def padded_budget(self) -> tuple[Numbers, float] | None:
        """Lengths, and a limit of the longest x the number of items; None if micro-batches have another limit."""
        return None

    @abstractmethod
    def excess(self, items: Integers) -> float:
        """How far one micro-batch of these items is over its limits; 0 where none is broken."""

    @abstractmethod
    def batches_at_least(self, items: Integers) -> int:
        """A proven lower bound: no way of cutting these items needs fewer micro-batches."""

    @abstractmethod
    def slowest_ranks_at_least(self, items: Integers, ranks: int) -> float:
        """A proven lower bound of what the slowest ranks cost together, however these items are cut.

        Every `ranks` micro-batches are run at the same time, and the most expensive one of them counts. One of these has
        the most expensive item.
        """


@dataclass(frozen=True)
class Prefixes:
    """The first items of a sequence, to find how many of them fit: what is the same for any number is done once."""

    cutter: Cutter
    items: Integers
    step_size: int

    def batches_needed(self, count: int) -> int:
        """See `Cutter.batches_needed`, of the first `count` items."""
        return self.cutter.batches_needed(self.items[:count], self.step_size)

    def cut(self, count: int, batches: int | None) -> Cut:
        """See `Cutter.cut`, of the first `count` items."""
        return self.cutter.cut(self.items[:count], batches, self.step_size)

    def for_window(self, divisor: int = 1) -> Self:
        """The same items for a cutter with a limit of work; see `Cutter.for_window`."""
        return replace(self, cutter=self.cutter.for_window(divisor))
