"""The arguments of cutters, admissions and sequences as short texts: the fingerprint of a plan is made of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from ..kernels.array_types import blocks
from .numbers import NumberRows, Numbers

__all__ = ["fields_as_text"]

_SHOWN = 8  # arrays of more numbers are replaced by a digest, so that an identity stays a few lines long


def fields_as_text(value: Any, called: Mapping[str, str] | None = None) -> dict[str, str]:
    """Every argument of a dataclass, by name: two values share these texts only if all their arguments are equal.

    All fields are taken, so that one that is added later is never left out; but not those with `compare=False`, nor those
    that the constructor does not take, which are computed from the others.

    Args:
        value: the dataclass.
        called: fields that have another name in the identity; names there are part of fingerprints, and stay.
    """
    names = {one.name: one.name for one in fields(value) if one.init and one.compare} | dict(called or {})
    return {text: _text(getattr(value, name)) for name, text in names.items()}


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray | Numbers | NumberRows):
        return str(value[:].tolist()) if math.prod(value.shape) <= _SHOWN else _digest(value)
    if isinstance(value, tuple):
        return " ".join(map(_text, value))
    return str(value)


def _digest(array: np.ndarray | Numbers | NumberRows) -> str:
    """16 hexadecimal digits of an array, its shape and the kind of its numbers."""
    hasher = hashlib.blake2b(f"{array.shape} {array.dtype.kind}".encode(), digest_size=8)
    for first, last in blocks(array.shape[0]):
        hasher.update(np.ascontiguousarray(array[first:last]).data)
    return hasher.hexdigest()
