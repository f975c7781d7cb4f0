"""Reads labels of samples that have several each: a matrix of ones and zeros, or a list for each sample."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Infeasible, shown, typed
from .columns import as_numbers
from .values import is_tensor, missing, no_label, plain

__all__ = ["LabelRates", "LabelSets", "label_sets"]

LabelSets = tuple[list[Hashable], np.ndarray, np.ndarray]
"""Names; where the labels of each sample start, int64 (samples + 1); the labels' numbers, sample by sample, int64."""

_LISTS = "pass a list of labels for each sample"


@dataclass(frozen=True)
class LabelRates:
    """The labels of samples that have several each, and the rate of each label: the part of samples that have it.

    Attributes:
        names: the labels.
        starts: where the labels of each sample begin in `numbers`, int64 (samples + 1).
        numbers: the labels' numbers, sample by sample, int64.
        natural: the rate of each label in the data set, float64 (labels,).
        wanted: its wanted rate.
        reached: its expected rate in what is drawn.
    """

    names: list[Hashable]
    starts: np.ndarray
    numbers: np.ndarray
    natural: np.ndarray
    wanted: np.ndarray
    reached: np.ndarray

    def rates_of(self, shares: np.ndarray) -> np.ndarray:
        """The part of draws that have each label, float64 (labels,), given the share of each sample, float64 (samples,)."""
        each = np.repeat(shares, np.diff(self.starts))
        return np.bincount(self.numbers, weights=each, minlength=len(self.names))

    def counts(self, batches: np.ndarray) -> np.ndarray:
        """The samples with each label in micro-batches of one size, int64 (batches, samples): int64 (batches, labels)."""
        first = self.starts[batches.ravel()]
        spans = self.starts[batches.ravel() + 1] - first
        row = np.repeat(np.arange(len(batches)).repeat(batches.shape[1]), spans)
        within = np.arange(spans.sum()) - np.repeat(np.cumsum(spans) - spans, spans)
        labels = self.numbers[np.repeat(first, spans) + within]
        cells = np.bincount(row * len(self.names) + labels, minlength=len(batches) * len(self.names))
        return cells.reshape(len(batches), len(self.names))


def label_sets(labels: Any) -> LabelSets:
    """Read the names of labels, and for each sample the numbers of its labels.

    Args:
        labels: a sparse matrix of scipy or torch, a two-dimensional array or a data frame of shape (n_samples,
            n_labels), 1 where the label holds and 0 where not, or a list of lists of labels.

    Raises:
        Infeasible: an entry of a matrix is neither 0 nor 1, or the labels of a sample are no list of labels.

    Example:
        >>> names, starts, numbers = label_sets([["cat"], ["dog", "cat"], []])
        >>> names, starts.tolist(), numbers.tolist()
        (['cat', 'dog'], [0, 1, 3, 3], [0, 0, 1])
    """
    if hasattr(labels, "coded"):  # a column of a file
        labels = np.asarray(labels)
    if hasattr(labels, "tocsr"):
        return _of_scipy(labels)
    if is_tensor(labels) and not labels.is_nested and str(labels.layout) != "torch.strided":
        return _of_sparse(labels)
    if is_tensor(labels) and labels.is_nested:
        return _of_lists(labels)
    shape = getattr(labels, "shape", ())
    if len(shape) == 2:
        return _of_matrix(labels)
    objects = isinstance(labels, np.ndarray) and labels.dtype.kind == "O" and labels.ndim == 1  # an array of lists
    if is_tensor(labels) or (isinstance(labels, np.ndarray) and not objects):
        raise Infeasible(
            f"labels is {typed(labels)} of shape {tuple(shape)}, samples x labels are needed",
            "pass a matrix, 1 where the label holds and 0 where not; for one label a sample use balanced(labels, ...)",
        )
    return _of_lists(labels)


def _of_sparse(labels: Any) -> LabelSets:
    """A sparse tensor of any layout."""
    if labels.ndim != 2 or labels.device.type == "meta":
        raise Infeasible(
            f"labels is a sparse tensor of {labels.ndim} dimensions on device {labels.device}",
            "pass one of two dimensions, samples x labels, with its values",
        )
    entries = labels.detach().to_sparse_coo().coalesce().cpu()  # by row, then by column
    rows, columns = entries.indices().numpy()
    holds = _holds(as_numbers(entries.values(), called="labels"), lambda place: (rows[place], columns[place]))
    return list(range(labels.shape[1])), _starts(rows[holds], labels.shape[0]), columns[holds].astype(np.int64)


def _of_scipy(labels: Any) -> LabelSets:
    if len(labels.shape) != 2:
        raise Infeasible(
            f"labels is a sparse array of shape {labels.shape}", "pass one of two dimensions, samples x labels"
        )
    matrix = labels.tocsr(copy=True)
    matrix.sum_duplicates()
    matrix.sort_indices()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    columns = matrix.indices.astype(np.int64)
    holds = _holds(as_numbers(matrix.data, called="labels"), lambda place: (rows[place], columns[place]))
    return list(range(matrix.shape[1])), _starts(rows[holds], matrix.shape[0]), columns[holds]


def _of_matrix(labels: Any) -> LabelSets:
    values = labels.to_numpy() if hasattr(labels, "to_numpy") else labels
    dense = np.asarray(np.ma.filled(as_numbers(values, called="labels").astype(float), np.nan))
    names = [plain(name) for name in getattr(labels, "columns", range(dense.shape[1]))]
    if len(set(names)) < len(names):
        raise Infeasible(f"two of the {len(names)} columns of labels have one name", "give each column its own name")
    rows, columns = np.nonzero(_holds(dense, lambda place: np.unravel_index(place, dense.shape)))
    return names, _starts(rows, len(dense)), columns.astype(np.int64)


def _holds(values: np.ndarray, where: Any) -> np.ndarray:
    """Which entries are 1; all must be 0 or 1."""
    holds: np.ndarray = values == 1
    other = ~holds & (values != 0)
    if other.any():
        place = int(other.ravel().argmax())
        sample, label = where(place)
        raise Infeasible(
            f"labels is {values.ravel()[place]} at sample {sample}, label {label}: 1 says that a label holds, 0 that not "
            f"({int(other.sum())} such entries)",
            "pass labels == 1 where other values stand for unknown, labels > 0 for counts, labels > 0.5 for probabilities",
        )
    return holds


def _starts(rows: np.ndarray, count: int) -> np.ndarray:
    """Where the entries of each of `count` rows begin, and the end."""
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))]).astype(np.int64)


def _of_lists(labels: Any) -> LabelSets:
    lists = _sets(labels)
    names: list[Any] = list(dict.fromkeys(name for row in lists for name in row))
    with suppress(TypeError):  # names that do not compare stay in order of appearance
        names = sorted(names)
    number = {name: place for place, name in enumerate(names)}
    starts = np.concatenate([[0], np.cumsum([len(row) for row in lists], dtype=np.int64)]).astype(np.int64)
    return names, starts, np.array([place for row in lists for place in sorted(number[n] for n in row)], np.int64)


def _sets(labels: Any) -> list[dict[Any, None]]:
    """The labels of every sample without repetitions, in order of appearance."""
    if hasattr(labels, "to_pylist") or hasattr(labels, "to_list"):
        labels = labels.to_pylist() if hasattr(labels, "to_pylist") else labels.to_list()
    ordered = isinstance(labels, (Sequence, np.ndarray)) or is_tensor(labels)  # a nested one has rows of labels
    if isinstance(labels, (str, bytes, bytearray)) or not ordered:
        raise Infeasible(f"the labels are {typed(labels)}", _LISTS)
    rows = [_row(row, sample) for sample, row in enumerate(labels)]
    found = [dict.fromkeys(row) for row in rows]
    found_names: set[Any] = set().union(*found)
    flags = found_names <= {-1, 0, 1} and any(row != sorted(names) for row, names in zip(rows, found, strict=True))
    numbers = all(isinstance(name, (int, float)) for name in found_names)
    parts = numbers and any(name % 1 for name in found_names)
    if len({len(row) for row in rows}) == 1 and (flags or parts):
        raise Infeasible(
            f"all {len(rows)} samples have {len(rows[0])} labels, each of them from {min(found_names)} to "
            f"{max(found_names)}: these are no names, they tell which labels hold",
            "pass np.array(labels), 1 where the label holds and 0 where not",
        )
    return found


def _row(row: Any, sample: int) -> list[Any]:
    """The labels of one sample, as plain values."""
    if hasattr(row, "tolist") and not isinstance(row, (list, tuple)):
        row = row.tolist()
    elif hasattr(row, "as_py"):
        row = row.as_py()
    way_out = _LISTS
    if isinstance(row, Mapping):
        way_out = f"{_LISTS}; of a record the entry that holds them, such as [record['labels'] for record in labels]"
    if isinstance(row, (str, bytes, bytearray, Mapping, Iterator)) or not isinstance(row, Collection):
        of_type = "" if row is None else f", {typed(row)}"
        raise Infeasible(f"the labels of sample {sample} are {shown(row)}{of_type}", way_out)
    found = [plain(name) for name in row]
    for name in found:
        why = "missing" if missing(name) else no_label(name)
        if why is not None:
            raise Infeasible(
                f"a label of sample {sample} is {why} ({shown(name)})",
                "pass numbers, strings or tuples, a list for each sample",
            )
    return found
