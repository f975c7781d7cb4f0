"""The result of cutting a window into micro-batches, and its micro-batches in another order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..kernels.array_types import Floats, Integers
from ..kernels.cuts import joined_ranges
from ..kernels.shuffles import keyed_shuffle, rows_shuffled

__all__ = ["Cut", "by_steps", "steps_shuffled"]


@dataclass(frozen=True)
class Cut:
    """Micro-batches over the items of a window.

    Attributes:
        places: which items of the window, as places among them, micro-batch by micro-batch, int64.
        offsets: micro-batch b holds `places[offsets[b]:offsets[b + 1]]`, int64.
        costs: what each micro-batch costs, float64.
        in_steps: whether the micro-batches are already sorted into steps, which must stay together.
        sorted_in_steps: whether the micro-batches of each step are sorted by cost, so that neighbours cost about the same.
    """

    places: Integers
    offsets: Integers
    costs: Floats
    in_steps: bool = False
    sorted_in_steps: bool = False

    def __len__(self) -> int:
        return self.costs.size

    def batch(self, number: int) -> Integers:
        """The places of one micro-batch."""
        return self.places[self.offsets[number] : self.offsets[number + 1]]

    def chosen(self, numbers: Integers) -> Cut:
        """A cut of these micro-batches, in this order."""
        offsets = np.concatenate([[0], np.diff(self.offsets)[numbers].cumsum()])
        return Cut(joined_ranges(self.places, self.offsets, numbers), offsets, self.costs[numbers])

    def below(self, end: int) -> Cut:
        """The same micro-batches, only with places below `end`; those that become empty are left out."""
        kept = self.places < end
        sizes = np.add.reduceat(kept, self.offsets[:-1], dtype=np.int64)
        offsets = np.concatenate([[0], sizes[sizes > 0].cumsum()])
        return Cut(self.places[kept], offsets, self.costs[sizes > 0])


def steps_shuffled(cut: Cut, step_size: int, key: int) -> Cut:
    """Shuffle the steps, and the micro-batches within each step, by `key`; steps stay together.

    So the ranks of a step have near-equal costs, and expensive steps do not all come at the same time. If the micro-batches
    of each step are sorted by cost, they stay so: a step is only reversed, or not. With accumulation, the ranks then run
    micro-batches at the same time that are neighbours by cost, for any number of ranks: the first `ranks` micro-batches of
    a step, then the next `ranks`, and so on.
    """
    word = np.uint64(key)
    if step_size == 1:  # nothing to shuffle within
        return cut.chosen(keyed_shuffle(len(cut), word))
    steps = len(cut) // step_size
    if cut.sorted_in_steps:
        reverse = rows_shuffled(steps, 2, word)[:, :1] == 1
        within = np.where(reverse, np.arange(step_size)[::-1], np.arange(step_size))
    else:
        within = rows_shuffled(steps, step_size, word)
    batches = np.arange(0, steps * step_size, step_size)[:, None] + within
    return cut.chosen(batches[keyed_shuffle(steps, word)].reshape(-1))


def by_steps(cut: Cut) -> Cut:
    """Sort micro-batches by descending cost, so that neighbours make steps; those sorted into steps already stay."""
    if cut.in_steps:
        return cut
    return replace(cut.chosen(np.argsort(-cut.costs, kind="stable")), in_steps=True)
