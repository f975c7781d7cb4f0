"""Columns: one value for each sample (label, length, weight, source), read from any object that holds such values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from contextlib import suppress
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from ..errors import Infeasible, check_integer, exactly, shown, typed
from ..kernels.array_types import blocks
from .arrays import EXACT_AS_FLOAT, as_array
from .values import COMPLETE, FLOAT, kinds_of, missing, plain

__all__ = [
    "as_numbers",
    "by_label",
    "column",
    "complete",
    "lengths_of",
    "numbers",
    "numbers_of_plan",
    "numbers_within",
    "one_dimensional",
    "sample_count",
    "sample_numbers",
    "whole",
    "whole_numbers",
]


def column(values: Any, *, called: str = "column", each: str = "sample") -> np.ndarray:
    """Read a column as a one-dimensional array, without a copy if possible.

    Args:
        values: a list, tuple, range, NumPy array, torch tensor, pandas / polars / Arrow column, Hugging Face `Column`, a
            polars `LazyFrame`, DuckDB relation or Arrow dataset of one column, or anything with `__array__` or `to_numpy`.
        called: what the column is called in messages.
        each: what one value belongs to, for messages.

    Returns:
        An array of shape (samples,). Never written to by batchwright.

    Raises:
        Infeasible: the values are not one-dimensional, or a value is missing (None, NaN, NaT, NA, masked).

    Example:
        >>> column(["cat", "dog", "cat"]).tolist()
        ['cat', 'dog', 'cat']
    """
    return complete(one_dimensional(values, called=called), called=called, each=each)


def one_dimensional(values: Any, *, called: str) -> np.ndarray:
    """Read a column in which values may be missing; masked ones become None.

    Raises:
        Infeasible: the values are not one-dimensional.
    """
    array = as_array(values, called=called)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 0:
        raise Infeasible(
            f"{called} is a single value, {shown(plain(array[()]))}, one value a sample is needed",
            "pass a list, an array or a tensor of them",
        )
    if array.ndim != 1:
        raise Infeasible(
            f"{called} has shape {' x '.join(map(str, array.shape))}, one value a sample is needed",
            "pass a one-dimensional column (for one-hot rows their argmax; several attributes one column each)",
        )
    if isinstance(array, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(array)
        array = array.data
        if masked.any():
            array = array.astype(object)
            array[masked] = None
    return array


def complete(array: np.ndarray, *, called: str, each: str = "sample", otherwise: str | None = None) -> np.ndarray:
    """Check that no value of a column is missing.

    Args:
        array: array of shape (samples,).
        called: what it is called in messages.
        each: what one value belongs to, for messages.
        otherwise: the way out in the message; by default, to give every one a value.

    Raises:
        Infeasible: a value is missing.
    """
    first = _first_missing(array)
    if first is not None:
        missing = shown(plain(array[first]))
        raise Infeasible(
            f"{called} has no value at {each} {first} ({missing})", otherwise or f"give every {each} a value"
        )
    return array


def numbers(values: Any, *, called: str, each: str = "sample") -> np.ndarray:
    """Read a column of finite real numbers.

    Raises:
        Infeasible: as `column`, and if a value is not a finite number.

    Example:
        >>> numbers([1, 2.5], called="weights").tolist()
        [1.0, 2.5]
    """
    array = as_numbers(column(values, called=called, each=each), called=called, each=each)
    if array.dtype.kind == "f":
        # One sum is faster than a test of every number. It may overflow without an infinite number; then each is
        # tested.
        with np.errstate(all="ignore"):
            total = array.sum()
        if not np.isfinite(total):
            bad = np.flatnonzero(~np.isfinite(array))
            if bad.size:
                raise Infeasible(
                    f"{called} at {each} {bad[0]} is {array[bad[0]]}", f"pass {called} that are finite numbers"
                )
    return array


def lengths_of(values: Any, *, called: str = "lengths", measure: str = "length") -> np.ndarray:
    """Read a column of numbers of 0 or more.

    Args:
        values: as for `column`.
        called: the argument.
        measure: what one of the numbers is called.

    Raises:
        Infeasible: as `numbers`, and if a value is below 0.

    Example:
        >>> lengths_of([3, 0]).tolist()
        [3, 0]
    """
    found = numbers(values, called=called)
    if found.size and found.min() < 0:
        sample = int(found.argmin())
        raise Infeasible(f"sample {sample} has {measure} {exactly(found[sample])}", "pass lengths of 0 or more")
    return found


def numbers_of_plan(values: Any, sample_count: int, *, called: str) -> np.ndarray:
    """Read a column with a number for each of the samples that a plan yields, float64.

    Raises:
        Infeasible: as `numbers`, and if there are more or fewer values than samples.

    Example:
        >>> numbers_of_plan([1, 2], 2, called="costs").tolist()
        [1.0, 2.0]
    """
    found = numbers(values, called=called).astype(np.float64)  # sums of float64 do not wrap around
    if found.size != sample_count:
        raise Infeasible(
            f"there are {found.size} {called}, the plan yields {sample_count} numbers", "pass one for each of them"
        )
    return found


def whole_numbers(values: Any, *, called: str, least: int, each: str = "sample") -> np.ndarray:
    """Read a column of integers, int64; floats without a fraction are accepted.

    Raises:
        Infeasible: as `numbers`, and if a value has a fraction, is below `least` or above 2^53.

    Example:
        >>> whole_numbers([3.0, 1.0], called="lengths", least=1).tolist()
        [3, 1]
    """
    return whole(numbers(values, called=called, each=each), called=called, least=least, each=each).astype(np.int64)


def whole(array: np.ndarray, *, called: str, least: int, each: str = "sample") -> np.ndarray:
    """Check that a column of numbers holds integers, of any type; it is returned as it is.

    Raises:
        Infeasible: a value has a fraction, is below `least` or above 2^53.

    Example:
        >>> whole(np.array([3.0, 1.0]), called="lengths", least=1).tolist()
        [3.0, 1.0]
    """
    for first, last in blocks(array.size):
        part = array[first:last]
        bad = np.flatnonzero((part < least) | (part > EXACT_AS_FLOAT) | (part != np.floor(part)))
        if bad.size:
            raise Infeasible(
                f"{called} at {each} {first + bad[0]} is {exactly(part[bad[0]])}",
                f"pass whole {called} from {least} to {EXACT_AS_FLOAT}",
            )
    return array


def as_numbers(values: Any, *, called: str, each: str = "position") -> np.ndarray:
    """Read values of any shape as real numbers, finite or not; wider types become float64.

    Args:
        values: numbers.
        called: what they are called in messages.
        each: what one value belongs to, for messages.

    Raises:
        Infeasible: as `as_array`, and for values that are no numbers: text, times, complex numbers.

    Example:
        >>> as_numbers([[1, 2]], called="costs").tolist()
        [[1, 2]]
    """
    array = as_array(values, called=called)
    if array.dtype.kind in "biu" or (array.dtype.kind == "f" and array.dtype.itemsize <= 8):
        return array
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # beyond float64 is infinite, and refused as such where that matters
            return array.astype(np.float64)
    if array.dtype.kind != "O":
        times = f"{called} / np.timedelta64(1, 's')" if array.dtype.kind == "m" else called
        raise Infeasible(f"{called} holds values of type {array.dtype}, numbers are needed", f"pass {times} as numbers")
    with suppress(OverflowError, ValueError):
        if all(issubclass(each, (Real, Decimal)) for each in set(map(type, array.flat))):
            return array.astype(np.float64)
    place, value = next((place, value) for place, value in enumerate(array.flat) if not _is_number(value))
    if isinstance(value, str) and FLOAT.fullmatch(value):  # in a file, one value that is no number makes text of all
        place, value = next((found for found in enumerate(array.flat) if _is_other_text(found[1])), (place, value))
    where = f" at {each} {place}" if array.ndim else ""
    if isinstance(value, (Real, Decimal)):
        raise Infeasible(
            f"{called}{where} is {shown(value)}, which float64 does not hold", f"pass {called} that float64 holds"
        )
    raise Infeasible(
        f"{called}{where} is {shown(value)}, {typed(value)}, numbers are needed", f"pass {called} as numbers"
    )


def _is_other_text(value: Any) -> bool:
    return isinstance(value, str) and not FLOAT.fullmatch(value)


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, (Real, Decimal)) and float(value) is not None
    except (OverflowError, ArithmeticError, ValueError):  # above float64; a signalling NaN
        return False


def by_label(values: Any) -> Any:
    """Turn a pandas Series into a dictionary, so that it is read by label; other values are returned as they are.

    Example:
        >>> by_label([0.5, 0.5]), by_label({"a": 1})
        ([0.5, 0.5], {'a': 1})
    """
    if isinstance(values, (Sequence, Mapping)) or not (hasattr(values, "to_dict") and hasattr(values, "index")):
        return values
    return values.to_dict() if getattr(values, "ndim", 1) == 1 else values


def sample_count(source: Any, *, called: str) -> int:
    """The number of samples: an integer, or the length of a dataset.

    Raises:
        Infeasible: it is neither; or its length is that of a loader, a sampler, a mapping or a text, which count
            batches, splits, columns and letters.

    Example:
        >>> sample_count(7, called="samples"), sample_count(["a", "b"], called="samples")
        (7, 2)
    """
    way_out = "pass a dataset, or the number of its samples"
    if isinstance(source, (str, bytes, bytearray)):
        raise Infeasible(f"{called} is the text {shown(source)}", way_out)
    if isinstance(source, Mapping):
        raise Infeasible(f"{called} is {typed(source)}, its {len(source)} entries are no samples", way_out)
    if hasattr(source, "__index__") and getattr(source, "ndim", 0) == 0:
        number = check_integer(source, called)
        if number < 0:
            raise Infeasible(f"{called} is {shown(number)}, the least is 0", way_out)
        return number
    if not isinstance(source, Sized) or getattr(source, "ndim", 1) == 0:
        said = shown(source) if isinstance(source, (int, float, complex)) else typed(source)
        raise Infeasible(f"{called} is {said}, neither a dataset with a length nor a whole number", way_out)
    if not hasattr(source, "__getitem__"):
        raise Infeasible(
            f"{called} is {typed(source)}, which has no sample 0: a length alone may count anything", way_out
        )
    try:
        return len(source)
    except (TypeError, NotImplementedError, RuntimeError) as none:  # a sparse matrix, a stream, a nested tensor
        raise Infeasible(f"{called} is {typed(source)}, which has no length ({none})", way_out) from none


def sample_numbers(values: Any, *, called: str = "samples") -> np.ndarray:
    """Read numbers of samples, of any shape, as integers of a type that int64 holds.

    Raises:
        Infeasible: they are no whole numbers, such as a mask, or larger than any index.

    Example:
        >>> sample_numbers([3, 1]).tolist()
        [3, 1]
    """
    numbers = as_array(values, called=called)
    if isinstance(numbers, np.ma.MaskedArray):
        if np.ma.getmaskarray(numbers).any():
            raise Infeasible(f"{called} hold masked values", "leave out what is masked: values.compressed()")
        numbers = np.asarray(numbers)
    if numbers.dtype == np.uint64:
        if numbers.size and (largest := int(numbers.max())) >= 1 << 63:
            raise Infeasible(f"{called} hold {largest}", "pass the numbers of samples, below 2^63")
        return numbers.astype(np.int64)  # with int64, NumPy would compute in float64
    if numbers.dtype.kind in "iu":
        return numbers
    if not numbers.size:
        return numbers.astype(np.int64)
    if numbers.dtype.kind == "O":  # rows as tuples, numbers as objects
        with suppress(ValueError):
            plain = np.array(numbers.tolist())
            if plain.dtype.kind in "iu":
                return sample_numbers(plain, called=called)
    raise Infeasible(
        f"{called} are given by values of type {numbers.dtype}",
        "pass their numbers, which are whole; for a mask np.flatnonzero(mask)",
    )


def _first_missing(array: np.ndarray) -> int | None:
    if array.dtype.kind in "fcmM":
        absent = np.isnan(array) if array.dtype.kind in "fc" else np.isnat(array)
        return int(absent.argmax()) if absent.any() else None
    if array.dtype.kind == "O" and not kinds_of(array) <= COMPLETE:
        return next((place for place, value in enumerate(array) if missing(value)), None)
    return None


def numbers_within(samples: Any, count: int, holder: str = "the dataset") -> np.ndarray:
    """Read numbers of samples, of any shape, of a dataset, or another holder, of `count` samples.

    Raises:
        Infeasible: as `sample_numbers`, or it has no such sample.

    Example:
        >>> numbers_within([3, 1], 4).tolist()
        [3, 1]
    """
    wanted = sample_numbers(samples)
    if wanted.size and (wanted.min() < 0 or wanted.max() >= count):
        raise Infeasible(
            f"samples {wanted.min()} to {wanted.max()} asked for, {holder} has {count}",
            f"pass numbers from 0 to {count - 1}",
        )
    return wanted
