"""Turns the labels that keys return into values that are equal if they look equal."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, cast

import numpy as np

from ..errors import shown
from .measures import Refused

__all__ = ["GroupNumbers", "check_label"]

_VALUES = "biufcSU"  # the kinds of numpy scalars that are numbers or text, and equal to Python's


def check_label(label: Any, said: str = "key gives") -> Hashable:
    """Check a label; a tensor or array without dimensions becomes its Python value, also within tuples.

    Raises:
        Refused: it cannot be the label of a group.
    """
    if label is None:
        raise Refused(f"{said} None, and a missing label names no group")
    if isinstance(label, np.generic):
        return _equal_to_itself(label.item() if label.dtype.kind in _VALUES else label, said)
    if type(label) is tuple:
        return tuple(None if part is None else check_label(part, said) for part in label)
    shape = getattr(label, "shape", None)
    if shape is not None and hasattr(label, "item"):
        if len(shape):
            raise Refused(f"{said} a {type(label).__name__} of shape {tuple(shape)}, and a group is named by one value")
        return _equal_to_itself(label.item(), said)
    try:
        hash(label)
    except Exception:  # of the user's class, which may raise anything
        raise Refused(f"{said} a {type(label).__name__}, which cannot be hashed and so names no group") from None
    return _equal_to_itself(label, said)


def _equal_to_itself(label: Any, said: str) -> Hashable:
    """Refuse labels that are not equal to themselves: NaN, and missing values of pandas."""
    try:
        equal = bool(label == label)
    except Exception:
        equal = False
    if not equal:
        raise Refused(f"{said} {shown(label)}, which is not equal to itself and so names no group")
    return cast(Hashable, label)


class GroupNumbers(dict[Hashable, int]):
    """The number of each group by its label; a new label gets the next number."""

    def __init__(self, admit: Callable[[Hashable], int], refusal: Callable[[Hashable], str | None]) -> None:
        super().__init__()
        self._admit = admit
        self._refusal = refusal

    def __missing__(self, label: Hashable) -> int:
        """The number of a label that is not in the dictionary: new, or a tensor, since no two tensors are equal as keys."""
        value = check_label(label)
        if (number := self.get(value)) is None:
            if (why := self._refusal(value)) is not None:
                raise Refused(why)
            number = self[value] = self._admit(value)
        return number

    def of(self, label: Any) -> int:
        """The number of any label, also of one that cannot be hashed."""
        try:
            return self[label]
        except TypeError:
            return self[check_label(label)]
