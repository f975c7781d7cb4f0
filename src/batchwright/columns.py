"""Columns: one value a sample (label, length, weight, source), taken from whatever the user has.

Everything is recognised by its shape, never by its class, so no library is imported to find out whether an object is
one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from contextlib import suppress
from typing import Any

import numpy as np

from .errors import Infeasible, whole

__all__ = ["as_array", "as_numbers", "by_label", "column", "labels", "numbers", "sample_count", "sample_numbers"]

LABEL_NAMES = ("targets", "labels", "label", "target", "y")
LABEL_COLUMNS = ("label", "labels", "target", "targets", "class", "y")
_FEWEST_MEASURED = 20  # of fewer samples all may have labels of their own
_MOST_MEASURED = 0.5  # more different numbers for a sample than this are measurements, not labels


def column(values: Any, *, called: str = "column") -> np.ndarray:
    """The values of a column as a one-dimensional array, without a copy where the source allows it.

    Args:
        values: a list, tuple, range, NumPy array, torch tensor, pandas / polars / Arrow column, Hugging Face `Column`, or
            anything with `__array__` or `to_numpy`.
        called: what the column is called in messages.

    Returns:
        An array of shape (samples,). Never written to by batchwright.

    Raises:
        Infeasible: the values are not one-dimensional, or a value is missing (None, NaN, NaT, NA, masked).

    Example:
        >>> column(["cat", "dog", "cat"]).tolist()
        ['cat', 'dog', 'cat']
    """
    array = as_array(values, called=called)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        shape = " x ".join(str(side) for side in array.shape) or "a single value"
        raise Infeasible(
            f"{called} has shape {shape}, one value a sample is needed",
            "pass a one-dimensional column (for one-hot rows their argmax; several attributes one column each)",
        )
    missing = _first_missing(array)
    if missing is not None:
        raise Infeasible(
            f"{called} has no value at sample {missing} ({array[missing]!r})",
            "give every sample a value, or leave such samples out with torch.utils.data.Subset",
        )
    return array.data if isinstance(array, np.ma.MaskedArray) else array


def numbers(values: Any, *, called: str) -> np.ndarray:
    """A column of finite real numbers.

    Raises:
        Infeasible: as `column`, and where a value is not a finite number.

    Example:
        >>> numbers([1, 2.5], called="weights").tolist()
        [1.0, 2.5]
    """
    array = as_numbers(column(values, called=called), called=called)
    if array.dtype.kind == "f" and not np.isfinite(array.sum()):
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            raise Infeasible(
                f"{called} at sample {bad[0]} is {array[bad[0]]}", f"pass {called} that are finite numbers"
            )
    return array


def as_numbers(values: Any, *, called: str) -> np.ndarray:
    """Values of any shape as an array of real numbers, finite or not.

    Raises:
        Infeasible: as `as_array`, and for values that are no numbers.

    Example:
        >>> as_numbers([[1, 2]], called="costs").tolist()
        [[1, 2]]
    """
    array = as_array(values, called=called)
    if array.dtype.kind in "biuf":
        return array
    try:
        if array.dtype.kind == "c":  # of which NumPy would drop a part
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise Infeasible(
            f"{called} holds values of type {array.dtype}, numbers are needed",
            f"pass {called} as numbers",
        ) from None


def by_label(values: Any) -> Any:
    """A pandas Series as a dictionary from its index, so that it is read by label everywhere; all else as it is.

    Example:
        >>> by_label([0.5, 0.5]), by_label({"a": 1})
        ([0.5, 0.5], {'a': 1})
    """
    if isinstance(values, (Sequence, Mapping)) or not (hasattr(values, "to_dict") and hasattr(values, "index")):
        return values
    return values.to_dict()


def sample_count(source: Any, *, called: str) -> int:
    """How many samples there are: a number, or the length of something whose items are samples, not parts of another kind.

    Raises:
        Infeasible: it is neither; or its length is that of a loader, a sampler, a mapping or a text, which count batches,
            splits, columns and letters.

    Example:
        >>> sample_count(7, called="samples"), sample_count(["a", "b"], called="samples")
        (7, 2)
    """
    kind = type(source).__name__
    way_out = "pass a dataset, or the number of its samples"
    if not isinstance(source, Sized) or getattr(source, "ndim", 1) == 0:
        return whole(source, called, least=0)
    if isinstance(source, (str, bytes)):
        raise Infeasible(f"{called} is the text {source!r}", way_out)
    if isinstance(source, Mapping):
        raise Infeasible(f"{called} is of type {kind}, its {len(source)} entries are no samples", way_out)
    if not hasattr(source, "__getitem__"):
        raise Infeasible(
            f"{called} is of type {kind}, which has no sample 0: a length alone may count anything", way_out
        )
    return len(source)


def sample_numbers(values: Any, *, called: str = "samples") -> np.ndarray:
    """Numbers of samples of any shape, as integers.

    Raises:
        Infeasible: they are no whole numbers, such as a mask.

    Example:
        >>> sample_numbers([3, 1]).tolist()
        [3, 1]
    """
    numbers = as_array(values, called=called)
    if numbers.dtype.kind in "iu":
        return numbers
    if not numbers.size:
        return numbers.astype(np.int64)
    if numbers.dtype.kind == "O":  # rows as tuples, numbers as objects
        with suppress(ValueError):
            plain = np.array(numbers.tolist())
            if plain.dtype.kind in "iu":
                return plain
    raise Infeasible(
        f"{called} are given by values of type {numbers.dtype}",
        "pass their numbers, which are whole; for a mask np.flatnonzero(mask)",
    )


def labels(source: Any) -> np.ndarray:
    """The label of every sample, from a column or from a dataset that knows its labels.

    Datasets are looked through: `Subset` (nested too) and `ConcatDataset` of anything below, `.targets` / `.labels` as
    torchvision's datasets have them, the last tensor of a `TensorDataset`, a column named label (labels, target, ...) of
    a Hugging Face dataset, a data frame or a mapping of columns. Where there are several the first counts, in the order of
    `LABEL_NAMES` and `LABEL_COLUMNS`.

    Returns:
        An array of shape (samples,), of any dtype.

    Raises:
        Infeasible: no labels can be found, and the message says what was looked for; or what a dataset has in their place
            are floating-point numbers of which nearly all differ, such as weights or what a regression is to predict.

    Example:
        >>> labels({"text": ["a", "b"], "label": [1, 0]}).tolist()
        [1, 0]
    """
    finder = _finder(source)
    if finder is None:
        return column(source, called="labels")
    found = finder(source)
    _same_length(source, found)
    _not_measured(source, found)
    return found


def as_array(values: Any, *, called: str) -> np.ndarray:
    """Values of any shape as an array; see `column` for what is understood.

    Raises:
        Infeasible: values that are no array: rows of different lengths, a tensor that is sparse or holds no data.

    Example:
        >>> as_array([[1, 0], [0, 1]], called="labels").shape
        (2, 2)
    """
    if isinstance(values, (np.ndarray, int, float)):
        return np.asanyarray(values)
    if hasattr(values, "detach"):
        return _from_tensor(values.detach(), called)
    if hasattr(values, "to_numpy"):
        converted = values.to_numpy(zero_copy_only=False) if hasattr(type(values), "type") else values.to_numpy()
        return np.asarray(converted)
    if hasattr(values, "to_pylist"):
        return _from_sequence(values.to_pylist(), called)
    if hasattr(values, "__array__"):
        return np.asarray(values)
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        if called == "labels":
            raise _no_labels(values)
        raise Infeasible(
            f"{called} is of type {type(values).__name__}, one value a sample is needed",
            "pass a list, an array or a tensor",
        )
    try:
        items = values[:]
    except TypeError:  # a deque
        items = values
    return _from_sequence(items, called)


def _from_tensor(tensor: Any, called: str) -> np.ndarray:
    """A tensor that may live on an accelerator, of a type that NumPy may lack."""
    if tensor.device.type == "meta":
        raise Infeasible(f"{called} is a tensor on the meta device, it holds no values", "pass it with its values")
    if str(tensor.layout) != "torch.strided":
        raise Infeasible(f"{called} is a tensor of layout {tensor.layout}", "pass its to_dense()")
    try:
        return np.asarray(tensor.cpu())
    except TypeError:  # bfloat16 and the 8-bit kinds, which NumPy lacks and float32 holds exactly
        return np.asarray(tensor.cpu().float())


def _from_sequence(values: Any, called: str) -> np.ndarray:
    values = list(values)
    if isinstance(next(iter(values), 0), (str, bytes, tuple, type(None))) or _mixed(values):
        array = np.empty(len(values), object)
        array[:] = values
        return array
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError):  # ragged rows; tensors that are no single values NumPy knows
        raise Infeasible(
            f"{called} holds {len(values)} values of type {type(values[0]).__name__} that make no array",
            f"pass {called} as one plain value a sample",
        ) from None


def _mixed(values: list[Any]) -> bool:
    """Whether NumPy would turn some of these into something else (numbers into text, None into NaN, tuples into rows)."""
    kinds = set(map(type, values))
    return len(kinds) > 1 and not all(issubclass(kind, (bool, int, float, np.number, np.bool_)) for kind in kinds)


def _first_missing(array: np.ndarray) -> int | None:
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        return int(np.ma.getmaskarray(array).argmax())
    if array.dtype.kind in "fcmM":
        missing = np.isnan(array) if array.dtype.kind in "fc" else np.isnat(array)
        return int(missing.argmax()) if missing.any() else None
    if array.dtype.kind == "O":
        for place, value in enumerate(array):
            if value is None or _differs_from_itself(value):
                return place
    return None


def _differs_from_itself(value: Any) -> bool:
    try:
        return bool(value != value)  # NaN and NaT
    except TypeError:
        return True  # pandas.NA refuses to be a truth value
    except ValueError:
        return False  # an array, refused elsewhere


def _finder(source: Any) -> Callable[[Any], np.ndarray] | None:
    """How to find the labels of a dataset; None for what is itself a column."""
    if hasattr(source, "dataset") and hasattr(source, "indices"):
        return _of_subset
    if hasattr(source, "datasets") and hasattr(source, "cumulative_sizes"):
        return _of_concatenation
    if isinstance(source, (np.ndarray, list, tuple, range)) or hasattr(source, "detach"):
        return None
    if hasattr(source, "to_numpy") and not hasattr(source, "columns"):
        return None
    named = next((name for name in LABEL_NAMES if _is_column(getattr(source, name, None))), None)
    columns = getattr(source, "column_names", None) or getattr(source, "columns", None)
    if columns is None and hasattr(source, "keys"):
        columns = list(source.keys())
    if columns is not None and not callable(columns):
        wanted = next((name for name in LABEL_COLUMNS if name in list(columns)), None)
        if wanted is None:
            raise _no_labels(source)
        return lambda table: column(table[wanted], called=f"column {wanted!r}")
    if named is not None:
        return lambda dataset: column(getattr(dataset, named), called=f".{named}")
    if hasattr(source, "tensors") and isinstance(source.tensors, (tuple, list)) and len(source.tensors):
        return lambda dataset: column(dataset.tensors[-1], called="the last tensor of the TensorDataset")
    return None


def _is_column(value: Any) -> bool:
    return (
        value is not None and not callable(value) and not isinstance(value, (str, bytes)) and hasattr(value, "__len__")
    )


def _of_subset(subset: Any) -> np.ndarray:
    found: np.ndarray = labels(subset.dataset)[sample_numbers(subset.indices, called="the Subset's indices")]
    return found


def _of_concatenation(concatenation: Any) -> np.ndarray:
    parts: Sequence[np.ndarray] = [labels(part) for part in concatenation.datasets]
    if len({part.dtype.kind for part in parts}) > 1:
        parts = [part.astype(object) for part in parts]
    return np.concatenate(parts)


def _same_length(source: Any, found: np.ndarray) -> None:
    if not hasattr(source, "__len__") or hasattr(source, "keys") or hasattr(source, "columns"):
        return
    if len(source) != found.size:
        raise Infeasible(
            f"{type(source).__name__} has {len(source)} samples but {found.size} labels",
            "pass one label a sample, in the order of the dataset",
        )


def _not_measured(source: Any, found: np.ndarray) -> None:
    """Refuse what is no label: numbers that hardly any two samples share."""
    if found.size < _FEWEST_MEASURED or found.dtype.kind != "f" or (found == np.round(found)).all():
        return
    distinct = np.unique(found).size
    if distinct > _MOST_MEASURED * found.size:
        raise Infeasible(
            f"the labels found in {type(source).__name__} are {distinct} different numbers for {found.size} samples, such "
            f"as {found[0]:g}: most of them would be a group of their own",
            "pass the labels themselves, one a sample, in place of the dataset: for a TensorDataset(x, y, weights) its "
            ".tensors[1]",
        )


def _no_labels(source: Any) -> Infeasible:
    return Infeasible(
        f"no labels found in {type(source).__name__}: looked for {', '.join('.' + name for name in LABEL_NAMES)}, "
        f".tensors, a column called {', '.join(LABEL_COLUMNS)}, .dataset with .indices, .datasets",
        "pass the labels themselves, one a sample: balanced([y for _, y in dataset], batch_size=...)",
    )
