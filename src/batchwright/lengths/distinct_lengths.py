"""Groups samples by length, in time and memory that do not depend on how long they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..kernels.array_types import Integers

__all__ = ["DistinctLengths"]


# Counting sort takes one counter for each possible length, so it is used only up to 16 counters a sample; above,
# sorting is faster and takes less memory.
_DENSE = 16


class DistinctLengths(NamedTuple):
    """Distinct lengths, ascending, and the samples of each.

    Attributes:
        lengths: int64 (lengths,).
        counts: samples of each, int64 (lengths,).
        places: the samples by length, equal ones in the order given, int64.
        starts: where each length starts in `places`, and the end of the last, int64 (lengths + 1).
    """

    lengths: Integers
    counts: Integers
    places: Integers
    starts: Integers

    @classmethod
    def of(cls, column: Integers) -> DistinctLengths:
        """The distinct lengths of a column of lengths of 0 or more.

        Example:
            >>> distinct = DistinctLengths.of(np.array([7, 3, 7]))
            >>> distinct.lengths.tolist(), distinct.counts.tolist(), distinct.places.tolist()
            ([3, 7], [1, 2], [1, 0, 2])
        """
        from ..kernels.counting_sort import sorted_by_counting

        longest = int(column.max(initial=0))
        if longest <= _DENSE * column.size:
            places, by_length = sorted_by_counting(column, longest)
            lengths = np.flatnonzero(by_length[1:] != by_length[:-1])
            starts = np.append(by_length[lengths], column.size)
        else:
            places = np.argsort(column, kind="stable")
            first = np.flatnonzero(np.diff(column[places], prepend=-1))
            lengths, starts = column[places[first]], np.append(first, column.size)
        return cls(lengths, starts[1:] - starts[:-1], places, starts)

    def up_to(self, length: int) -> int:
        """How many of them are no longer than this."""
        return int(np.searchsorted(self.lengths, length, side="right"))
