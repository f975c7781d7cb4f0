"""The one exception family: what cannot be delivered is refused when it is asked for."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

__all__ = ["Infeasible", "PoorWarning", "by_name", "real", "whole", "yes_or_no"]


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


def whole(value: Any, called: str, *, least: int | None = None) -> int:
    """A whole number as a plain Python integer, from any integer type but truth values.

    Raises:
        Infeasible: it is not a whole number, or below the least; the message has the argument's name.

    Example:
        >>> whole(3, "seed", least=0)
        3
    """
    try:
        if isinstance(value, bool):  # an integer to Python: batch_size=True would be 1
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise Infeasible(f"{called} is {value!r}, not a whole number", f"pass {called} as an integer") from None
    if least is not None and number < least:
        raise Infeasible(f"{called} is {number}, the least is {least}", f"pass {called}={least} or more")
    return number


def real(value: Any, called: str, *, or_infinite: bool = False) -> Any:
    """A finite number as it was written; the plain number that a tensor or an array of one value holds.

    Args:
        value: what was passed.
        called: the argument's name.
        or_infinite: whether positive infinity is one too, as limits take it that limit nothing.

    Raises:
        Infeasible: it is something else; the message has the argument's name.

    Example:
        >>> real(0.3, "share"), real(2, "share")
        (0.3, 2)
    """
    try:
        number = value.item() if hasattr(value, "item") else value
        if not isinstance(number, bool) and (math.isfinite(number) or (or_infinite and number == math.inf)):
            return number
    except (TypeError, ValueError, OverflowError, RuntimeError):  # text, None, many values, no values on a meta device
        pass
    raise Infeasible(f"{called} is {value!r}, not a finite number", f"pass {called} as a number")


def yes_or_no(value: Any, called: str) -> bool:
    """A truth value, and nothing that Python would merely take for one.

    Raises:
        Infeasible: it is something else; the message has the argument's name.

    Example:
        >>> yes_or_no(True, "distinct")
        True
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise Infeasible(f"{called} is {value!r}, neither True nor False", f"pass {called}=True or {called}=False")
    return bool(value)


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
