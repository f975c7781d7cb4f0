"""Two ways to cut a finite order into steps of micro-batches, each a stretch of consecutive places.

Both can begin at any place of the order. So a run that resumes in another world cuts what is left, wherever it stopped.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels.consecutive import level_steps
from ..kernels.cuts import cut_several

__all__ = ["Even", "Limited", "Stretch", "Stretches"]

_KEPT = 4  # cuts that are kept; a process sees few beginnings and step sizes


class Stretch(NamedTuple):
    """The places of a micro-batch.

    Attributes:
        first: its first place.
        last: the place after its last.
        size: its samples; more than it has places if it needs fillers.
    """

    first: int
    last: int
    size: int


class Stretches(Protocol):
    """A way to cut an order."""

    @property
    def filler(self) -> int:
        """The place of the sample that fills up."""
        ...

    def count(self, begin: int, step: int) -> int:
        """How many micro-batches the places from `begin` on become: a multiple of `step`, one step at least."""
        ...

    def stretch(self, begin: int, step: int, number: int) -> Stretch:
        """Micro-batch `number` of those that the places from `begin` on become in steps of `step`."""
        ...


@dataclass(frozen=True)
class Even:
    """Micro-batches of `batch_size`; those of the last step are smaller, and as large as each other.

    Tensors of one size are what a gather over ranks needs, so fillers make up what the last step lacks: less than one for
    each of its micro-batches.
    """

    sample_count: int
    batch_size: int

    @property
    def filler(self) -> int:
        """See `Stretches`."""
        return self.sample_count - 1

    def count(self, begin: int, step: int) -> int:
        """See `Stretches`."""
        return max(1, -(-(self.sample_count - begin) // (step * self.batch_size))) * step

    def stretch(self, begin: int, step: int, number: int) -> Stretch:
        """See `Stretches`."""
        whole, place = divmod(number, step)
        begun = begin + whole * step * self.batch_size
        size = min(self.batch_size, max(1, -(-(self.sample_count - begun) // step)))
        first = min(begun + place * size, self.sample_count)
        return Stretch(first, min(first + size, self.sample_count), size)


@dataclass(frozen=True)
class Limited:
    """Micro-batches within a limit of cost, as few steps as the order allows; those of a step cost nearly the same.

    A micro-batch without a sample gets one filler, the sample of the least cost. Only the last step can have any.

    Attributes:
        costs: of the samples in their order, float64 (samples,).
        limit: the largest cost of a micro-batch.
        padded: whether the cost of a micro-batch is its most expensive sample times its number of samples, else the sum.
        packs: where packs begin in the order, and the end, int64 (packs + 1,); None where the order has no packs.
    """

    costs: NDArray[np.float64]
    limit: float
    padded: bool
    packs: NDArray[np.int64] | None = None
    _offsets: OrderedDict[tuple[int, int], NDArray[np.int64]] = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )

    @property
    def filler(self) -> int:
        """See `Stretches`."""
        return int(self.costs.argmin())

    def count(self, begin: int, step: int) -> int:
        """See `Stretches`."""
        return self.offsets(begin, step).size - 1

    def stretch(self, begin: int, step: int, number: int) -> Stretch:
        """See `Stretches`."""
        first, last = self.offsets(begin, step)[number : number + 2].tolist()
        return Stretch(first, last, max(1, last - first))

    def offsets(self, begin: int, step: int) -> NDArray[np.int64]:
        """Micro-batch i holds places offsets[i]..offsets[i + 1] - 1 of the order, int64 (micro-batches + 1,)."""
        found = self._offsets.get((begin, step))
        if found is None:
            found = level_steps(self.costs, self._runs(begin), step, self.limit, self.padded)
            self._offsets[begin, step] = found
            while len(self._offsets) > _KEPT:
                self._offsets.popitem(last=False)
        return found

    def cost(self, first: int, last: int) -> float:
        """What a micro-batch of these places costs."""
        costs = self.costs[first:last]
        return float(costs.max(initial=0) * costs.size if self.padded else costs.sum())

    def _runs(self, begin: int) -> NDArray[np.int64]:
        """Offsets of as few micro-batches within the limit as consecutive places allow, from `begin` on."""
        if self.packs is not None:
            return np.concatenate([[begin], self.packs[self.packs > begin]])
        limits, padded = np.array([self.limit]), np.array([self.padded])
        count = self.costs.size - begin
        return begin + cut_several(np.ascontiguousarray(self.costs[begin:, None]), limits, padded, count, 1)

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_offsets": OrderedDict()}
