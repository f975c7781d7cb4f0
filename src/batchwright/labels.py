"""Reads the label of every sample from a column, or from a dataset that knows its labels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from .errors import Infeasible, noted, shown, typed
from .inputs.columns import complete, one_dimensional, sample_numbers
from .inputs.tables import Coded, coded, column_names, is_frame, is_unread, picking, read_column, unread_names
from .inputs.values import is_tensor

__all__ = ["class_names", "coded_labels", "held_labels", "label_fn_map", "labels"]

LABEL_NAMES = ("targets", "labels", "label", "target", "y")
LABEL_COLUMNS = ("label", "labels", "target", "targets", "class", "y")
_FEWEST_MEASURED = 20  # with fewer samples, a label for each is nothing unusual
_MOST_MEASURED = 0.5  # if more than this part of all numbers are distinct, they are measurements, not labels
_NAMES_SHOWN = 8

Found = tuple[np.ndarray, str]  # a column of which values may be missing, and what it is called


def labels(source: Any) -> np.ndarray:
    """Read the label of every sample, from a column or from a dataset that knows its labels.

    For a dataset of a type in `label_fn_map`, the function there is used. Other datasets are searched:

    - `Subset` (also nested) and `ConcatDataset` of any dataset below; of a `Subset`, only the labels of its own samples
      are read;
    - `.targets`, `.labels` and the other `LABEL_NAMES`, as datasets of torchvision have them;
    - the last tensor of a `TensorDataset`;
    - a column `label` or another of `LABEL_COLUMNS` of a Hugging Face dataset, a data frame (of a lazy one, only that
      column is read), an Arrow dataset or a mapping of columns; of a frame or an Arrow dataset of one column, that one.

    If there are several, the first in the order of `LABEL_NAMES` and `LABEL_COLUMNS` counts.

    Returns:
        An array of shape (samples,), of any dtype.

    Raises:
        Infeasible: no labels were found (the message says what was searched for); or those of a dataset are
            floating-point numbers that nearly all differ, such as weights or targets of a regression.

    Example:
        >>> labels({"text": ["a", "b"], "label": [1, 0]}).tolist()
        [1, 0]
    """
    array, called = _found(source)
    complete(
        array,
        called=called,
        otherwise="give every sample a label, or leave such samples out with torch.utils.data.Subset",
    )
    if _finder(source) is not None:
        _refuse_measurements(source, array)
    return array


def coded_labels(source: Any) -> Coded | None:
    """The labels of a dictionary column (pandas and polars categories, Arrow dictionaries) as codes, without a copy.

    None for any other source, or if labels are missing; `labels` reads these.
    """
    finder = _finder(source)
    if finder is _of_table:
        return coded(source[_wanted(source, column_names(source) or [])])
    return coded(source) if finder is None else None


def held_labels(source: Any) -> Any:
    """The attribute in which a dataset holds its labels, as it is; the source itself if it is no such dataset."""
    return getattr(source, str(_name_of_labels(source))) if _finder(source) is _of_attribute else source


def known_labels(dataset: Any) -> np.ndarray | None:
    """The labels of a dataset that holds them, as `labels` finds them; None for a column or for what holds none.

    Raises:
        Infeasible: what it holds cannot be read as labels.
    """
    return labels(dataset) if _holds_labels(dataset) else None


def _holds_labels(dataset: Any) -> bool:
    """Whether a dataset has labels beside its samples; the items of a list are samples, also where it is a part."""
    if not any(kind in label_fn_map for kind in type(dataset).__mro__):
        if _is_subset(dataset):
            return _holds_labels(dataset.dataset)
        if _is_concatenation(dataset):
            return all(map(_holds_labels, dataset.datasets))
    return _finder(dataset) is not None


def class_names(source: Any) -> dict[Hashable, Hashable]:
    """From the names of classes to their labels, if a dataset has such names; else empty.

    Hugging Face keeps them in `features`, torchvision in `class_to_idx` or `classes`. Of a concatenation those of
    its parts, unless two parts have a name for different labels, or different names for a label.
    """
    if _is_subset(source):
        return class_names(source.dataset)
    if _is_plain_column(source):
        return {}
    if _is_concatenation(source):
        pairs = list(dict.fromkeys(pair for part in source.datasets for pair in class_names(part).items()))
        found = dict(pairs)
        return found if len(found) == len(set(found.values())) == len(pairs) else {}
    known = getattr(source, "class_to_idx", None)
    if isinstance(known, Mapping):
        return dict(known)
    classes = getattr(source, "classes", None)
    if isinstance(classes, (list, tuple)) and all(isinstance(name, str) for name in classes):
        return {name: number for number, name in enumerate(classes)}
    features = getattr(source, "features", None)
    if isinstance(features, Mapping):
        features = next((features[name] for name in LABEL_COLUMNS if name in features), None)
    names = getattr(features, "names", None)
    return {name: number for number, name in enumerate(names)} if isinstance(names, (list, tuple)) else {}


def _found(source: Any) -> Found:
    finder = _finder(source)
    if finder is not None:
        array, called = finder(source)
        _same_length(source, array)
        return array, called
    lazy = callable(getattr(source, "collect", None))
    known = isinstance(source, (Sequence, bytearray, Set)) or lazy or _is_array(source)
    if hasattr(source, "__getitem__") and not known:
        raise _no_labels(source)
    return _labelled(one_dimensional(source, called="labels"), getattr(source, "features", None)), "labels"


class _NoClass(float):
    """What stands for -1 in a column of Hugging Face's `ClassLabel`, where it says that a sample has no label: a NaN."""

    def __repr__(self) -> str:
        return "-1, ClassLabel's mark for no label"


def _labelled(labels: np.ndarray, feature: Any) -> np.ndarray:
    """Labels with -1 as a missing value if they are classes of Hugging Face."""
    names, numbers = getattr(feature, "names", None), getattr(feature, "str2int", None)
    if not (isinstance(names, (list, tuple)) and callable(numbers) and labels.dtype.kind in "if"):
        return labels
    absent = labels == -1
    if not absent.any():
        return labels
    found = labels.astype(object)
    found[absent] = _NoClass("nan")
    return found


def _is_array(source: Any) -> bool:
    return is_tensor(source) or any(hasattr(source, name) for name in ("to_numpy", "to_pylist", "__array__"))


label_fn_map: dict[type, Callable[[Any], Any]] = {}
"""From types of datasets to functions that return the labels of one, a column; also used for derived types.

It is used before anything else, so your own datasets need no attribute with a known name:
`batchwright.labels.label_fn_map[MyDataset] = lambda dataset: dataset.annotations["class"]`.
"""


def _finder(source: Any) -> Callable[[Any], Found] | None:
    """The function that finds the labels of a dataset; None if the source is itself a column."""
    own = next((label_fn_map[kind] for kind in type(source).__mro__ if kind in label_fn_map), None)
    if own is not None:
        return lambda dataset: _named(own(dataset), f"labels of {type(dataset).__name__}")
    return next((finder for is_such, finder in _FINDERS if is_such(source)), None)


def _is_plain_column(source: Any) -> bool:
    return isinstance(source, (np.ndarray, list, tuple, range)) or is_tensor(source)


def _is_subset(source: Any) -> bool:
    return hasattr(source, "dataset") and hasattr(source, "indices")


def _is_concatenation(source: Any) -> bool:
    return hasattr(source, "datasets") and hasattr(source, "cumulative_sizes")


def _is_series(source: Any) -> bool:
    return hasattr(source, "to_numpy") and not hasattr(source, "columns")


def _is_table(source: Any) -> bool:
    return column_names(source) is not None


def _names_labels(source: Any) -> bool:
    return _name_of_labels(source) is not None


def _has_tensors(source: Any) -> bool:
    return hasattr(source, "tensors") and isinstance(source.tensors, (tuple, list)) and len(source.tensors) > 0


def _of_table(table: Any) -> Found:
    wanted = _wanted(table, column_names(table) or [])
    array, called = _named(table[wanted], f"column {wanted!r}")
    features = getattr(table, "features", None)
    return _labelled(array, features.get(wanted) if isinstance(features, Mapping) else None), called


def _of_unread_table(table: Any) -> Found:
    """Read one column of a table that has not been read yet."""
    wanted = _wanted(table, unread_names(table))
    return _named(read_column(table, wanted), f"column {wanted!r}")


def _of_attribute(dataset: Any) -> Found:
    name = _name_of_labels(dataset)
    return _named(getattr(dataset, str(name)), f".{name}")


def _of_tensors(dataset: Any) -> Found:
    return _named(dataset.tensors[-1], "the last tensor of the TensorDataset")


def _wanted(table: Any, columns: list[Any]) -> Any:
    wanted = next((name for name in LABEL_COLUMNS if name in columns), None)
    if wanted is None and len(columns) == 1 and is_frame(table):
        return columns[0]
    if wanted is None:
        raise _no_column_of_labels(table, columns)
    return wanted


def _name_of_labels(source: Any) -> str | None:
    return next((name for name in LABEL_NAMES if _is_column(_attribute(source, name))), None)


def _named(values: Any, called: str) -> Found:
    return one_dimensional(values, called=called), called


def _attribute(source: Any, name: str) -> Any:
    with noted(f"while .{name} of the {type(source).__name__} was looked at for labels"):
        return getattr(source, name, None)


def _is_column(value: Any) -> bool:
    return (
        value is not None and not callable(value) and not isinstance(value, (str, bytes)) and hasattr(value, "__len__")
    )


def _of_subset(subset: Any) -> Found:
    array, called = _found(subset.dataset)
    numbers = sample_numbers(subset.indices, called="the Subset's indices")
    if numbers.size and (numbers.min() < -array.size or numbers.max() >= array.size):
        bad = numbers[(numbers < -array.size) | (numbers >= array.size)][0]
        raise Infeasible(
            f"the Subset's indices hold {bad}, its dataset has {array.size} samples",
            "make the Subset again, of numbers the dataset has",
        )
    return array[numbers], called if called.endswith(_OF_SUBSET) else f"{called}{_OF_SUBSET}"


_OF_SUBSET = " of the Subset"


def _of_concatenation(concatenation: Any) -> Found:
    parts: Sequence[np.ndarray] = [_found(part)[0] for part in concatenation.datasets]
    if len({part.dtype.kind for part in parts}) > 1:
        parts = [part.astype(object) for part in parts]
    return np.concatenate(parts), "labels of the ConcatDataset"


def _same_length(source: Any, found: np.ndarray) -> None:
    if not hasattr(source, "__len__") or hasattr(source, "keys") or hasattr(source, "columns"):
        return
    if len(source) != found.size:
        raise Infeasible(
            f"{type(source).__name__} has {len(source)} samples but {found.size} labels",
            "pass one label a sample, in the order of the dataset",
        )


def _refuse_measurements(source: Any, found: np.ndarray) -> None:
    """Refuse numbers that are no labels: hardly any two samples have the same."""
    if found.size < _FEWEST_MEASURED or found.dtype.kind != "f" or (found == np.round(found)).all():
        return
    distinct = np.unique(found).size
    if distinct > _MOST_MEASURED * found.size:
        raise Infeasible(
            f"the labels found in {type(source).__name__} are {distinct} different numbers for {found.size} samples, such "
            f"as {found[0]}: most of them would be a group of their own",
            "pass the labels themselves, one a sample, in place of the dataset: for a TensorDataset(x, y, weights) its "
            ".tensors[1]",
        )


def _no_column_of_labels(source: Any, columns: list[Any]) -> Infeasible:
    if not columns:
        return Infeasible(f"labels is {typed(source)} and has no columns", "pass a column of labels, one a sample")
    listed = ", ".join(map(shown, columns[:_NAMES_SHOWN])) + (", ..." if len(columns) > _NAMES_SHOWN else "")
    return Infeasible(
        f"labels is {typed(source)} and holds {listed}, none of which is called {', '.join(LABEL_COLUMNS)}",
        f"pass the one that holds the labels, such as {picking(source, 'labels', columns[0])}",
    )


def _no_labels(source: Any) -> Infeasible:
    return Infeasible(
        f"no labels found in {type(source).__name__}: looked for {', '.join('.' + name for name in LABEL_NAMES)}, "
        f".tensors, a column called {', '.join(LABEL_COLUMNS)}, .dataset with .indices, .datasets",
        "pass the labels themselves, one a sample: balanced([y for _, y in dataset], batch_size=...)",
    )


# How each kind of source is recognised, and how its labels are found; None for a column. The first that fits is used,
# so the order matters: a table may have attributes of any name, and a subset has those of its dataset.
_FINDERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Found] | None], ...] = (
    (_is_plain_column, None),
    (_is_subset, _of_subset),
    (_is_concatenation, _of_concatenation),
    (_is_series, None),
    (is_unread, _of_unread_table),
    (_is_table, _of_table),
    (_names_labels, _of_attribute),
    (_has_tensors, _of_tensors),
)
