"""Samples by their distinct lengths, in time and memory of the samples, however long they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Kinds"]

Integers = NDArray[np.int64]

_DENSE = 16  # lengths up to so many times the number of samples are counted, one counter each; larger ones are sorted


class Kinds(NamedTuple):
    """Distinct lengths, ascending, and the samples of each.

    Attributes:
        lengths: int64 (kinds,).
        counts: samples of each, int64 (kinds,).
        places: the samples by length, equal ones in the order given, int64.
        begin: where each kind begins in `places`, and the end of the last, int64 (kinds + 1).
    """

    lengths: Integers
    counts: Integers
    places: Integers
    begin: Integers

    @classmethod
    def of(cls, column: Integers) -> Kinds:
        """The kinds of a column of lengths of 0 or more.

        Example:
            >>> kinds = Kinds.of(np.array([7, 3, 7]))
            >>> kinds.lengths.tolist(), kinds.counts.tolist(), kinds.places.tolist()
            ([3, 7], [1, 2], [1, 0, 2])
        """
        from ..kernels.packing import group_by_length

        longest = int(column.max(initial=0))
        if longest <= _DENSE * column.size:
            places, starts = group_by_length(column, longest)
            lengths = np.flatnonzero(np.diff(starts))
            begin = np.append(starts[lengths], column.size)
        else:
            places = np.argsort(column, kind="stable")
            first = np.flatnonzero(np.diff(column[places], prepend=-1))
            lengths, begin = column[places[first]], np.append(first, column.size)
        return cls(lengths, np.diff(begin), places, begin)

    def up_to(self, length: int) -> int:
        """How many kinds are no longer than this."""
        return int(np.searchsorted(self.lengths, length, side="right"))
