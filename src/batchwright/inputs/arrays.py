"""Arrays from any object that holds values: lists, tensors, columns of tables.

Objects are recognised by their methods and attributes, so no library has to be imported to find out whether an object
is its.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from os import PathLike
from typing import Any

import numpy as np

from ..errors import Infeasible, shown, typed
from ..readings import check_count, reading
from .tables import is_frame, is_unread, only_column
from .values import PLAIN, is_tensor, kinds_of, plain

__all__ = ["EXACT_AS_FLOAT", "as_array"]

EXACT_AS_FLOAT = 1 << 53
"""float64 holds all integers up to this one."""

_NUMBERS = (bool, int, float)


def as_array(values: Any, *, called: str) -> np.ndarray:
    """Read values of any shape as an array; see `columns.column` for the accepted types. Objects in it become plain values.

    Raises:
        Infeasible: the values make no array: rows of different lengths, a tensor that is sparse or without data, a set,
            an iterator.

    Example:
        >>> as_array([[1, 0], [0, 1]], called="labels").shape
        (2, 2)
    """
    with reading(values, called, "pass a list, an array or a tensor"):
        if hasattr(values, "__len__") and getattr(values, "ndim", None) != 0:
            check_count(values, called)
        return _read(values, called)


def _read(values: Any, called: str) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return _plain_objects(values)
    if isinstance(values, (int, float, np.generic)):
        return np.asanyarray(values)
    if is_tensor(values):
        return _from_tensor(values.detach(), called)
    if isinstance(values, (str, bytes, bytearray, Mapping, Set, Iterator)) or values is None:
        raise _no_column(values, called)
    if isinstance(values, range):
        return np.arange(values.start, values.stop, values.step)
    if isinstance(values, (list, tuple)):
        return _from_sequence(values, called)
    if is_unread(values) or (hasattr(values, "to_pylist") and is_frame(values)):
        values = only_column(values, called)
    if hasattr(values, "to_numpy"):
        arrow = hasattr(type(values), "type")
        return _plain_objects(np.asarray(values.to_numpy(zero_copy_only=False) if arrow else values.to_numpy()))
    if hasattr(values, "to_pylist"):
        return _from_sequence(values.to_pylist(), called)
    if hasattr(values, "__array__"):
        return _plain_objects(np.asarray(values))
    if not isinstance(values, Sequence):
        raise _no_column(values, called)
    try:
        items = values[:]
    except TypeError:  # a deque
        items = values
    return _from_sequence(items, called)


def _no_column(values: Any, called: str) -> Infeasible:
    """The error for an object that is no column: why, and what to pass instead."""
    fact = f"{called} is {typed(values)}, one value a sample is needed"
    if isinstance(values, Iterator):
        return Infeasible(f"{fact}, and this can be read only once", f"pass list({called})")
    if isinstance(values, Set):
        return Infeasible(f"{fact}, and this has no order", "pass a list, in the order of the samples")
    if isinstance(values, Mapping):
        return Infeasible(fact, "pass the values as a list, in the order of the samples")
    if isinstance(values, (str, PathLike)) and os.path.isfile(values):
        return Infeasible(fact, f"of a table in that file, pass bw.Column({shown(values)}, 'the name of its column')")
    return Infeasible(fact, "pass a list, an array or a tensor")


def _from_tensor(tensor: Any, called: str) -> np.ndarray:
    """Read a tensor, which may be on an accelerator and of a type that NumPy does not have."""
    if tensor.is_nested:
        raise Infeasible(f"{called} is a nested tensor, its rows have lengths of their own", "pass one value a sample")
    if tensor.device.type == "meta":
        raise Infeasible(f"{called} is a tensor on the meta device, it holds no values", "pass it with its values")
    if str(tensor.layout) != "torch.strided":
        raise Infeasible(f"{called} is a tensor of layout {tensor.layout}", "pass its to_dense()")
    try:
        tensor = (tensor.dequantize() if tensor.is_quantized else tensor).cpu().resolve_conj().resolve_neg()
        try:
            return np.asarray(tensor)
        except TypeError:  # bfloat16 and the 8-bit kinds, which NumPy lacks and float32 holds exactly
            return np.asarray(tensor.cfloat() if tensor.is_complex() else tensor.float())
    except (TypeError, RuntimeError) as error:
        raise Infeasible(
            f"{called} is a tensor whose values cannot be read ({shown(error)})", "pass a NumPy array or a list"
        ) from error


def _from_sequence(values: Sequence[Any], called: str) -> np.ndarray:
    items = list(values)
    kinds = set(map(type, items))
    if not kinds <= PLAIN and not kinds_of(items) <= PLAIN:
        items = list(map(plain, items))
        kinds = set(map(type, items))
    numeric = all(issubclass(each, _NUMBERS) for each in kinds)
    if kinds & {str, bytes, tuple, type(None)} or any(issubclass(each, tuple) for each in kinds):
        return _objects(items)
    if len(kinds) > 1 and not numeric:  # NumPy would turn mixed types into text, NaN or rows
        return _objects(items)
    try:
        array = np.asarray(items)
    except (TypeError, ValueError, RuntimeError):  # ragged rows; tensors that are no single values NumPy knows
        raise Infeasible(
            f"{called} holds {len(items)} values {typed(items[0])} that make no array",
            f"pass {called} as one plain value a sample",
        ) from None
    if numeric and array.dtype.kind == "f" and _loses_digits(items, array):
        return _objects(items)
    return _plain_objects(array)


def _objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def _loses_digits(items: list[Any], array: np.ndarray) -> bool:
    """Whether float64 does not hold all integers among these exactly."""
    with np.errstate(invalid="ignore"):
        large = np.flatnonzero(np.abs(array) >= EXACT_AS_FLOAT)
    exact = (
        (items[place], float(array[place])) for place in large.tolist()
    )  # Python compares an integer with a float exactly
    return any(isinstance(item, int) and item != number for item, number in exact)


def _plain_objects(array: np.ndarray) -> np.ndarray:
    """Turn the objects of an array into plain values; the array that was passed in is not changed."""
    if array.dtype.kind == "T" and hasattr(array.dtype, "na_object"):
        array = _with_none(array, array.dtype.na_object)
    if array.dtype.kind != "O":
        return array
    if kinds_of(array.flat) <= PLAIN:
        return array
    found = np.empty(array.shape, object)
    for place, value in enumerate(array.flat):
        found.flat[place] = plain(value)
    return np.ma.array(found, mask=array.mask) if isinstance(array, np.ma.MaskedArray) else found


def _with_none(array: np.ndarray, absent: Any) -> np.ndarray:
    """Text of NumPy's `StringDType` as objects; what is missing is None, also where the array has a text for it."""
    found = array.astype(object)
    if isinstance(absent, str):
        found[found == absent] = None
    return found
