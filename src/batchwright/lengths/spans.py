"""Two ways to cut a finite order into steps of micro-batches, each of consecutive places.

Both can begin at any place of the order. So a run that resumes in another world cuts what is left, wherever it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from ..kernels.array_types import Floats, Integers
from ..kernels.consecutive import equal_steps
from ..kernels.cuts import cut_several
from ..recent import Recent

__all__ = ["Even", "Limited", "Span", "Spans"]

_KEPT = 4  # cuts that are kept; a process sees few starts and step sizes


class Span(NamedTuple):
    """The places of a micro-batch.

    Attributes:
        first: its first place.
        last: the place after its last.
        size: its samples; more than it has places if it needs fillers.
    """

    first: int
    last: int
    size: int


class Spans(Protocol):
    """A way to cut an order.

    Attributes:
        kind: its name in the identity of a plan: states hold it, so it stays.
    """

    kind: ClassVar[str]

    @property
    def filler(self) -> int:
        """The place of the sample that fills up."""
        ...

    def count(self, start: int, step_size: int) -> int:
        """How many micro-batches the places from `start` on become: a multiple of `step_size`, one step at least."""
        ...

    def span(self, start: int, step_size: int, number: int) -> Span:
        """Micro-batch `number` of those that the places from `start` on become in steps of `step_size`."""
        ...


@dataclass(frozen=True)
class Even:
    """Micro-batches of `batch_size`; those of the last step are smaller, and as large as each other.

    Tensors of one size are what a gather over ranks needs, so fillers make up what the last step lacks: less than one for
    each of its micro-batches.
    """

    sample_count: int
    batch_size: int
    kind: ClassVar[str] = "even"

    @property
    def filler(self) -> int:
        """See `Spans`."""
        return self.sample_count - 1

    def count(self, start: int, step_size: int) -> int:
        """See `Spans`."""
        return max(1, -(-(self.sample_count - start) // (step_size * self.batch_size))) * step_size

    def span(self, start: int, step_size: int, number: int) -> Span:
        """See `Spans`."""
        whole, place = divmod(number, step_size)
        step_start = start + whole * step_size * self.batch_size
        size = min(self.batch_size, max(1, -(-(self.sample_count - step_start) // step_size)))
        first = min(step_start + place * size, self.sample_count)
        return Span(first, min(first + size, self.sample_count), size)


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

    kind: ClassVar[str] = "limited"
    costs: Floats
    limit: float
    padded: bool
    packs: Integers | None = None
    _offsets: Recent[tuple[int, int], Integers] = field(default_factory=Recent, init=False, repr=False, compare=False)

    @property
    def filler(self) -> int:
        """See `Spans`."""
        return int(self.costs.argmin())

    def count(self, start: int, step_size: int) -> int:
        """See `Spans`."""
        return self.offsets(start, step_size).size - 1

    def span(self, start: int, step_size: int, number: int) -> Span:
        """See `Spans`."""
        first, last = self.offsets(start, step_size)[number : number + 2].tolist()
        return Span(first, last, max(1, last - first))

    def offsets(self, start: int, step_size: int) -> Integers:
        """Micro-batch i holds places offsets[i]..offsets[i + 1] - 1 of the order, int64 (micro-batches + 1,)."""
        found = self._offsets.get((start, step_size))
        if found is None:
            found = equal_steps(self.costs, self._runs(start), step_size, self.limit, self.padded)
            self._offsets.keep((start, step_size), found, _KEPT)
        return found

    def cost(self, first: int, last: int) -> float:
        """What a micro-batch of these places costs."""
        costs = self.costs[first:last]
        return float(costs.max(initial=0) * costs.size if self.padded else costs.sum())

    def _runs(self, start: int) -> Integers:
        """Offsets of as few micro-batches within the limit as consecutive places allow, from `start` on."""
        if self.packs is not None:
            return np.concatenate([[start], self.packs[self.packs > start]])
        limits, padded = np.array([self.limit]), np.array([self.padded])
        count = self.costs.size - start
        return start + cut_several(np.ascontiguousarray(self.costs[start:, None]), limits, padded, count, 1)
