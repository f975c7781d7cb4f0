"""Numbers that stay together, such as the samples of a preference pair."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import Infeasible
from ..groups import Groups
from ..kernels.array_types import Integers

__all__ = ["Bundles"]

_SHOWN = 4  # members that a message names


class Bundles(NamedTuple):
    """Numbers that stay together; every number is in one bundle.

    Attributes:
        offsets: where each bundle starts in `members`, with the end of the last, int64 (bundles + 1).
        members: the numbers, bundle by bundle, int64.
    """

    offsets: Integers
    members: Integers

    @classmethod
    def of(cls, keys: Any, count: int, columns: str, each: str) -> Bundles:
        """Those of one key stay together: the argument `together`.

        Args:
            keys: a key for each number.
            count: how many numbers there are.
            columns: what there are as many of, for the message.
            each: what a number stands for, for the message.
        """
        groups = Groups.from_keys(keys, called="together")
        if groups.sample_count != count:
            raise Infeasible(f"{groups.sample_count} keys for {count} {columns}", f"pass one key {each}")
        assert groups.index is not None
        return cls(groups.starts, groups.index.astype(np.int64))

    def summed(self, column: Any) -> np.ndarray:
        """The sum of a column over each bundle."""
        sums: np.ndarray = np.add.reduceat(column[self.members], self.offsets[:-1])
        return sums

    def spread(self, values: np.ndarray) -> np.ndarray:
        """From a value for each bundle to one for each number."""
        found = np.empty(self.members.size, values.dtype)
        found[self.members] = np.repeat(values, np.diff(self.offsets))
        return found

    def named(self, bundle: int, called: str) -> str:
        """The numbers of a bundle, for a message."""
        inside = self.members[self.offsets[bundle] : self.offsets[bundle + 1]].tolist()
        more = f" and {len(inside) - _SHOWN} more" if len(inside) > _SHOWN else ""
        return f"{called} {', '.join(map(str, inside[:_SHOWN]))}{more} stay together and have"
