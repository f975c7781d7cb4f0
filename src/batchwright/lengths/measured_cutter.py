"""What cutters share whose limits count measures of each item, such as tokens and frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..kernels.array_types import Floats, Integers
from .cutter import Cutter
from .numbers import NumberRows
from .sort_keys import Keys, SortKeys, similarity_keys_of

__all__ = ["MeasuredCutter"]


@dataclass(frozen=True)
class MeasuredCutter(Cutter):
    """A cutter with one limit for each measure, where the size of an item is its largest fraction of a limit.

    Args:
        amounts: what each item takes of each limit, read as an array of shape (items, measures).
        limits: the most of each measure in a micro-batch or a pack, (measures,).
    """

    amounts: NumberRows
    limits: np.ndarray

    @property
    def has_one_limit(self) -> bool:
        """Whether there is one measure."""
        return self.limits.size == 1

    @property
    def count_ignores_order(self) -> bool:
        """See `Cutter`: with several limits, items of the same size may differ in what they have of each measure."""
        return self.has_one_limit

    @property
    def similarity_keys(self) -> SortKeys:
        """See `Cutter`."""
        return self._size_keys if self.has_one_limit else similarity_keys_of(self.amounts)

    def sizes_of(self, items: Integers) -> Floats:
        """See `Cutter`: the largest fraction of a limit."""
        return self._sizes(self.amounts[items])

    def _sizes(self, amounts: np.ndarray) -> Floats:
        sizes: Floats = (amounts.reshape(-1, self.limits.size) / self.limits).max(axis=1)
        return sizes

    @cached_property
    def _size_keys(self) -> Keys:
        """Sort keys by size, the largest first."""
        if self.has_one_limit:  # then a key is looked up by the amount itself
            return Keys(self.amounts.columns[0], self._sizes)
        return Keys.of(self._sizes(self.amounts[:]))

    @property
    def _amounts_follow_from_keys(self) -> bool:
        """Whether items of one sort key have the same amounts: with one limit, and if no two amounts have the same size."""
        keys = self._size_keys
        return self.has_one_limit and np.unique(keys.of_value).size == keys.values.size
