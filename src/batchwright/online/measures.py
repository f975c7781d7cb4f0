"""Measures a sample: its key, its length, its unit, its bytes; says why one cannot be measured, and what to pass instead."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sized
from contextlib import suppress
from decimal import Decimal
from numbers import Integral, Real
from operator import itemgetter
from typing import Any, cast

from ..errors import Infeasible, shown, typed

__all__ = ["MOST", "Refused", "measure_of", "number", "out_of_range"]

MOST = sys.float_info.max  # of a length or a unit: sums of larger whole numbers with floats fail

_USUAL = ("input_ids", "tokens", "ids", "text")  # names of the entry whose length is meant, where a sample has several


def measure_of(what: Any, *, argument: str) -> Callable[[Any], Any]:
    """A function of a sample: the one passed, or one that reads the entry with the given name or number."""
    if what is len:
        return _Len(argument)
    if callable(what):
        return cast(Callable[[Any], Any], what)
    if isinstance(what, (str, int)) and not isinstance(what, bool):
        return itemgetter(what) if argument == "key" else _Entry(what, argument)
    raise Infeasible(
        f"{argument} is {shown(what)}",
        f"pass {argument} as a function of a sample, or as the name of an entry",
    )


class Refused(Exception):
    """Raised by a measure or its lookup: says why a sample cannot be used, and perhaps a way out."""

    def __init__(self, why: str, way_out: str | None = None) -> None:
        super().__init__(why)
        self.way_out = way_out


class _Len:
    """The length of a sample, which is no number of entries: `len` of a dictionary counts these."""

    def __init__(self, argument: str) -> None:
        self._argument = argument

    def __call__(self, sample: Any) -> int:
        if isinstance(sample, Mapping) or hasattr(sample, "_fields"):
            entry = _with_a_length(sample)
            raise Infeasible(
                f"{self._argument}=len gives {len(sample)}, the number of entries of a sample, which is {typed(sample)}",
                f"pass {self._argument}=lambda sample: len({entry})",
            )
        return len(sample)


def _with_a_length(sample: Any) -> str:
    """The entry of a sample whose length is probably meant, as an expression."""
    if not isinstance(sample, Mapping):
        return f"sample.{next((name for name in sample._fields if _sized(getattr(sample, name))), sample._fields[0])}"
    names = [name for name in (*_USUAL, *sample) if name in sample and _sized(sample[name])]
    return f"sample[{shown(next(iter(names), next(iter(sample), '...')))}]"


def _sized(value: Any) -> bool:
    return isinstance(value, Sized) and bool(getattr(value, "shape", True))


class _Entry:
    """The entry of a sample with a name or a number; it must be a number itself, not something that has a length."""

    def __init__(self, name: str | int, argument: str) -> None:
        self._name, self._argument = name, argument

    def __call__(self, sample: Any) -> Any:
        value = sample[self._name]
        if type(value) in (int, float) or not _sized(value):
            return value
        if len(value) == 1 and hasattr(value, "item"):  # an array of one number
            return value
        raise Refused(
            f"its entry {shown(self._name)} is {typed(value)} of length {len(value):,}, not a number",
            f"pass {self._argument}=lambda sample: len(sample[{shown(self._name)}]), or the name of an entry of numbers",
        )


def number(measured: str, value: Any) -> Any:
    """A measured value as a plain int or float: sums of narrow numpy types overflow, and a state holds no fractions.

    Raises:
        Refused: it is no number.
    """
    if type(value) is int or type(value) is float:
        return value
    if hasattr(value, "item"):
        with suppress(ValueError, RuntimeError):  # arrays and tensors of several values raise these
            value = value.item()
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, (Decimal, Real)):
        return float(value)
    raise Refused(f"its {measured} is {shown(value)}, not a number")


def out_of_range(measured: str, value: float, bound: str) -> str:
    """Why a measured number that is below a bound, or not finite, cannot be used."""
    return f"its {measured} is {shown(value)}, {bound if value <= MOST else 'not a finite float'}"
