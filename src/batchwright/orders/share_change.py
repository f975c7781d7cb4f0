"""A change of the shares of a dealt order, set during a run."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

__all__ = ["ShareChange"]


class ShareChange(NamedTuple):
    """A change of shares: where the new ones begin, and what every group has had until then.

    Attributes:
        first: the first micro-batch of the order that has these shares; a round begins there.
        number: how many times the shares have changed, this time included.
        weights: the shares, as integers in proportion.
        drawn: tickets that every group has had in all micro-batches before `first`.
        deficit: what every group lacks of its expected tickets there, in 1 / `constant_shares.TICKET`.
    """

    first: int
    number: int
    weights: tuple[int, ...]
    drawn: tuple[int, ...]
    deficit: tuple[int, ...]

    def as_list(self) -> list[Any]:
        """The change in JSON types, for a state."""
        return [self.first, self.number, list(self.weights), list(self.drawn), list(self.deficit)]

    @classmethod
    def from_list(cls, given: list[Any]) -> ShareChange:
        """Read a change from a state; the inverse of `as_list`."""
        first, number, *columns = given
        weights, drawn, deficit = (tuple(map(_number, column)) for column in columns)
        return cls(_number(first), _number(number), weights, drawn, deficit)


def _number(given: Any) -> int:
    if isinstance(given, bool):  # an integer to Python, but not what a state holds
        raise TypeError(f"{given} is not a whole number")
    return operator.index(given)
