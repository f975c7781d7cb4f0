"""The one exception family: what cannot be delivered is refused when it is asked for."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

__all__ = ["Infeasible", "PoorWarning", "by_name", "whole"]


class Infeasible(ValueError):
    """What was asked cannot be delivered; the message gives the fact, the numbers and the way out.

    Args:
        fact: what is wrong, with the two numbers that show it, in the user's own names.
        way_out: what to pass instead. Empty only where torch builds the error anew, in the parent process of a loader's
            worker, from the worker's whole message.

    Example:
        >>> raise Infeasible("batch_size is 0, the least is 1", "pass batch_size=1 or more")
        Traceback (most recent call last):
        ...
        batchwright.errors.Infeasible: batch_size is 0, the least is 1; pass batch_size=1 or more.
    """

    def __init__(self, fact: str, way_out: str = "") -> None:
        super().__init__(fact, way_out)
        self.fact = fact
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.fact}; {self.way_out}." if self.way_out else self.fact


class PoorWarning(UserWarning):
    """What was asked is delivered but costs something; the message says what it costs."""


def whole(value: Any, called: str) -> int:
    """A whole number as a plain Python integer, from any integer type.

    Raises:
        Infeasible: it is not a whole number; the message has the argument's name.

    Example:
        >>> whole(True, "seed")
        1
    """
    try:
        return operator.index(value)
    except TypeError:
        raise Infeasible(f"{called} is {value!r}, not a whole number", f"pass {called} as an integer") from None


def by_name(parts: Any, called: str) -> Mapping[Any, Any]:
    """Parts by name, at least one.

    Raises:
        Infeasible: it is no mapping, or an empty one; the message has the argument's name.

    Example:
        >>> by_name({"web": 100}, "sources")
        {'web': 100}
    """
    if not isinstance(parts, Mapping):
        raise Infeasible(f"{called} is of type {type(parts).__name__}", f"pass {called} by name, as a dictionary")
    if not parts:
        raise Infeasible(f"there are 0 {called}", "pass one at least")
    return parts
