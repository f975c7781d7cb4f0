"""Entries of a batch that were not collated: those of a mapping, and those that were set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import Infeasible, check_integer, listed, shown, typed
from ..readings import as_list
from .ragged_value import Ragged
from .structure import Structure, Tree
from .values import Common, Extension, Opaque, Stacked, Value

Kept = TypeVar("Kept")

__all__ = ["check_rows", "chosen", "counts_of", "described", "entry", "equal", "places", "same_rows", "tree_of"]


def tree_of(mapping: Mapping[str, Any]) -> Tree:
    """The fields of a mapping; the length of its first tensor or list is the number of samples."""
    lengths = (len(value) for value in mapping.values() if _has_length(value))
    count = next(lengths, 0)  # a mapping does not say it; all others must agree, or belong to the batch as a whole
    return Tree(Structure(dict, tuple(mapping)), {name: _plain_value(mapping[name], count) for name in mapping}, count)


def _has_length(value: Any) -> bool:
    return bool(value.ndim) if isinstance(value, Tensor) else isinstance(value, (list, tuple))


def _plain_value(value: Any, count: int) -> Value:
    if isinstance(value, Tensor) and value.shape[:1] == (count,):
        return Stacked(value)
    if isinstance(value, (str, bytes, bool, int, float, complex, type(None))) or (
        isinstance(value, Tensor) and not value.ndim
    ):
        return Common(value, count)
    return Extension(value, count, "take samples of the batch that bw.Collate made, not of one made of a mapping")


def entry(value: Any, count: int) -> Value:
    """The field for a value that is set under a new name: one row for each sample, or common to all samples."""
    if isinstance(value, Tensor) and value.shape[:1] == (count,) and not value.is_nested:
        return Stacked(value)
    if isinstance(value, (list, tuple)) and len(value) == count:
        return Opaque(value) if isinstance(value, list) else Extension(value, count)
    return Common(value, count)


def equal(left: Any, right: Any) -> bool:
    """Whether two values are equal, also within containers; tensors in all numbers and dtype."""
    if left is right:
        return True
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        return isinstance(left, Tensor) and isinstance(right, Tensor) and _equal_tensors(left, right)
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return type(left) is type(right) and left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(left[name], right[name]) for name in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        both = isinstance(left, list) is isinstance(right, list) and len(left) == len(right)
        return both and all(map(equal, left, right))
    return bool(left == right)


def _equal_tensors(left: Tensor, right: Tensor) -> bool:
    if left.dtype is not right.dtype or left.layout is not right.layout or left.device != right.device:
        return False
    if left.is_nested or right.is_nested:
        return left.is_nested and right.is_nested and equal(left.unbind(), right.unbind())
    return (
        torch.equal(left.to_dense(), right.to_dense()) if left.layout is not torch.strided else torch.equal(left, right)
    )


def same_rows(before: Any, after: Any) -> bool:
    """Whether what stands in the place of `before` is as long as it; those within containers too."""
    if before is after:
        return True
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        return (before.size(0) if before.ndim else None) == (after.size(0) if after.ndim else None)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return all(same_rows(before[name], after[name]) for name in before if name in after)
    if isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)):
        return len(before) == len(after) and all(map(same_rows, before, after))
    return True


def places(numbers: Iterable[Any], count: int) -> list[int]:
    """Samples' numbers counted from the front; IndexError if there is no such sample."""
    found: list[int] = []
    try:
        numbers = as_list(numbers, "numbers")
    except TypeError:
        raise Infeasible(
            f"{shown(numbers)} is no list of samples' numbers", "pass a list of them: batch.select([0])"
        ) from None
    for given in numbers:
        if isinstance(given, slice):
            raise Infeasible(
                f"{given} is no sample's number", f"batch.select(range({count})[start:stop]) gives a batch of some"
            )
        if isinstance(given, (bool, np.bool_)) or (isinstance(given, Tensor) and given.dtype is torch.bool):
            raise Infeasible(
                f"{shown(given)} is no sample's number",
                "of a mask, batch.select([n for n, chosen in enumerate(mask) if chosen]) gives the batch",
            )
        number = check_integer(given, "a sample's number")
        if not -count <= number < count:
            raise IndexError(f"sample {number} of a batch of {count}")
        found.append(number % count)
    return found


def described(value: Any) -> str:
    """A short text for an entry: shape and dtype, or its type."""
    if isinstance(value, Tensor):
        shape = "x".join(map(str, value.shape)) or "scalar"
        return f"{shape} {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__


def counts_of(fields: Mapping[str, Value], name: str) -> tuple[int, ...]:
    """The lengths of the samples in a ragged field.

    Raises:
        Infeasible: there is no ragged field of this name.
    """
    value = fields.get(name)
    if isinstance(value, Ragged):
        return value.layout.counts
    kind = "no field of this batch" if value is None else f"{type(value).__name__}, which has no lengths"
    ragged = [other for other, field in fields.items() if isinstance(field, Ragged)]
    raise Infeasible(
        f"field {shown(name)} is {kind}",
        f"sort by one of the ragged fields: {listed(ragged)}" if ragged else "declare a field as bw.ragged()",
    )


def check_rows(outputs: Any, count: int) -> None:
    """Refuse what is no tensor with a row for each sample."""
    if isinstance(outputs, Tensor) and outputs.shape[:1] == (count,):
        return
    found = f"have shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"are {typed(outputs)}"
    raise Infeasible(
        f"outputs {found}, and the batch has {count} samples", "pass a tensor whose dimension 0 is this batch's samples"
    )


def chosen(entries: Mapping[str, Kept], names: Iterable[str]) -> dict[str, Kept]:
    """The entries of these names, in this order.

    Raises:
        Infeasible: there is no entry of a name.
    """
    try:
        return {name: entries[name] for name in names}
    except KeyError as absent:
        raise Infeasible(
            f"keys names {shown(absent.args[0])}, which is no entry", f"pass keys among {listed(entries)}"
        ) from None
