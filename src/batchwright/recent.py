"""A small cache of the values that were used last; it is empty when pickled."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

__all__ = ["Recent"]

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(OrderedDict[Key, Value]):
    """The values that were computed last, by what they were computed from; pickles and copies are empty.

    Threads share it without a lock. Two of them may compute the same value at the same time: they find the same.
    """

    def keep(self, key: Key, value: Value, most: int) -> Value:
        """Keep a value, and drop the oldest until `most` are left; returns the value."""
        self[key] = value
        while len(self) > most:
            self.popitem(last=False)
        return value

    def __reduce__(self) -> tuple[type[Recent[Key, Value]], tuple[()]]:
        return type(self), ()
