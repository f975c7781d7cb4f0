"""A change of the shares of a dealt order, set during a run."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

__all__ = ["ShareChange"]


class ShareChange(NamedTuple):
    """Where new shares begin, and the tickets of every group up to there.

    Attributes:
        first: the first micro-batch of the order that has these shares; a round begins there.
        number: how many share_changes the order had before.
        weights: the shares, as integers in proportion.
        drawn: tickets every group had in all micro-batches before `first`.
        deficit: what every group lacked of its due by then, in 1 / `span.TICKET`.
    """

    first: int
    number: int
    weights: tuple[int, ...]
    drawn: tuple[int, ...]
    deficit: tuple[int, ...]

    def as_list(self) -> list[Any]:
        """This change in JSON types."""
        return [self.first, self.number, list(self.weights), list(self.drawn), list(self.deficit)]

    @classmethod
    def from_list(cls, given: list[Any]) -> ShareChange:
        """The inverse of `as_list`."""
        first, number, *columns = given
        weights, drawn, deficit = (tuple(map(_number, column)) for column in columns)
        return cls(_number(first), _number(number), weights, drawn, deficit)


def _number(given: Any) -> int:
    if isinstance(given, bool):
        raise TypeError(f"{given} is not a whole number")
    return operator.index(given)
