"""Single values: turns labels, numbers and keys into plain Python values, and says which values are no labels."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np

from ..errors import typed

__all__ = ["COMPLETE", "FLOAT", "INTEGER", "PLAIN", "is_tensor", "kinds_of", "missing", "no_label", "plain"]

COMPLETE = frozenset({str, bytes, int, bool, date, datetime, time, timedelta, Fraction})
"""Types whose values are never missing, and equal if they look equal."""

PLAIN = COMPLETE | {float, complex, type(None), Decimal}
"""Types whose values are used as they are."""

# numbers as text, in files
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")  # "007" stays text, and what int64 holds is a number
FLOAT = re.compile(r"[+-]?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")


def is_tensor(value: Any) -> bool:
    """Whether this is a tensor of torch. Torch is not imported for it: if it was not imported, there is no tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, "Tensor", ()))


def kinds_of(values: Iterable[Any]) -> set[type]:
    """The types of values, and those of the parts of tuples in place of the tuples.

    Example:
        >>> kinds_of([("a", 1), 2]) == {str, int}
        True
    """
    held = list(values)
    kinds = set(map(type, held))
    if tuple in kinds:
        tuples = held if len(kinds) == 1 else [value for value in held if type(value) is tuple]
        kinds = kinds - {tuple} | set(map(type, chain.from_iterable(tuples)))
    return kinds


def plain(value: Any) -> Any:
    """The plain Python value of a scalar of NumPy, torch or Arrow, also within a tuple; other values do not change.

    Times become `datetime` values where these are exact, so that they are equal to those of pandas and of Python.

    Example:
        >>> plain(np.int64(3)), plain(np.datetime64("2020-01-02", "ns")), plain((np.str_("a"), 1))
        (3, datetime.datetime(2020, 1, 2, 0, 0), ('a', 1))
    """
    if type(value) in PLAIN:
        return value
    if isinstance(value, tuple):
        parts = tuple(map(plain, value))
        return (
            value if all(map(_same, parts, value)) else parts
        )  # without a change the same tuple is returned: a named tuple keeps its type
    if value is np.ma.masked:
        return None
    if isinstance(value, np.generic):
        return _of_time(value) if value.dtype.kind in "mM" else _of_number(value)
    if isinstance(value, np.ndarray) or is_tensor(value):
        return _of_array(value)
    if hasattr(value, "as_py"):  # a scalar of Arrow
        return value.as_py()
    return value


def _same(one: Any, other: Any) -> bool:
    return one is other


def _of_time(value: Any) -> Any:
    """A time of NumPy as Python's; unchanged if Python cannot hold it: finer than a microsecond, or too far away."""
    unit = np.datetime_data(value.dtype)[0]
    within = value.astype(f"{value.dtype.kind}8[us]") if unit in ("ns", "ps", "fs", "as") else value
    if within != value:
        return value
    found = within.item()
    return value if isinstance(found, int) else found


def _of_number(value: Any) -> Any:
    found = value.item()
    return float(found) if isinstance(found, np.floating) and float(found) == found else found  # a long double


def _of_array(value: Any) -> Any:
    """The value of an array or a tensor of one; the array itself if it has more values, or none that can be read."""
    try:
        if value.ndim > 1 or tuple(value.shape) not in ((), (1,)):
            return value
        return plain(value[()] if isinstance(value, np.ndarray) and not value.ndim else value.reshape(()).item())
    except Exception:  # a tensor on a meta device, nested, quantized: refused later, with a message that fits
        return value


def missing(value: Any) -> bool:
    """Whether this is a missing value: None, NaN, NaT, pandas' NA, or a tuple with a part that is not equal to itself.

    Example:
        >>> [missing(value) for value in (None, float("nan"), ("a", float("nan")), ("a", None), "")]
        [True, True, True, False, False]
    """
    if value is None:
        return True
    if type(value) in COMPLETE:
        return False
    if isinstance(value, tuple):
        return any(part is not None and missing(part) for part in value)
    try:
        return bool(value != value)
    except (TypeError, ArithmeticError):
        return True  # pandas.NA refuses to be a truth value, a signalling NaN to be compared
    except Exception:
        return False  # an array, a tensor: refused elsewhere


def no_label(value: Any) -> str | None:
    """Why a value cannot be the label of a group; None if it can.

    Example:
        >>> no_label("cat"), no_label([1])
        (None, 'of type list, which cannot be hashed')
    """
    if type(value) is Decimal and value.is_snan():
        return "a signalling NaN"
    if type(value) in PLAIN:
        return None
    if isinstance(value, tuple):
        return next((f"a tuple with a part {why}" for why in map(no_label, value) if why), None)
    if is_tensor(value) and value.is_nested:
        return "a nested tensor"
    if isinstance(value, np.ndarray) or is_tensor(value):
        return f"a {type(value).__name__} of shape {tuple(value.shape)}"
    try:
        hash(value)
    except Exception:  # a user's class may raise anything
        return f"{typed(value)}, which cannot be hashed"
    by_identity = getattr(type(value), "__hash__", None) is object.__hash__
    if by_identity and not isinstance(value, type):
        return f"{typed(value)}, equal to nothing but itself"
    return None
