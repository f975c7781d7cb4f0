"""The parts of an index of groups: reads them, and checks those that users pass."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Protocol, cast

import numpy as np

from .errors import Infeasible, check_integer, did_you_mean, empty_dataset, shown, typed, warn
from .inputs import columns
from .inputs.tables import Coded
from .inputs.values import PLAIN, kinds_of, no_label, plain
from .readings import check_count

__all__ = [
    "MOST_SAMPLES",
    "NARROW",
    "checked_index",
    "combined",
    "combined_aliases",
    "count_of",
    "digest_of",
    "distinct_names",
    "index_of_lists",
    "indexed",
    "size_of",
    "sorted_if_possible",
    "unknown_group",
    "warn_of_singles",
]

MOST_SAMPLES = 1 << 61  # the sum of a few sample numbers fits 64 bits
NARROW = 1 << 32  # below this many samples, an entry of an index takes 4 bytes

_CHUNK = 1 << 20  # samples handled at once, so that no temporary array is as large as the dataset
_FEWEST_SINGLES = 20  # with fewer samples, groups of one sample are nothing unusual
_MOST_SINGLES = 0.9  # of the groups; a long tail of real classes has fewer groups of one sample
_LOOKED_AT = 32  # samples that are looked at to guess what the column is


def size_of(size: Any, name: Any) -> int:
    """Check the size of a group, an integer; 3.0 counts as one."""
    number = plain(size)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise Infeasible(f"group {shown(name)} has size {shown(number)}", "pass whole numbers of samples, 0 or more")
    return number


def count_of(count: Any) -> int:
    """Check the number of samples of a dataset, 1 or more."""
    number = check_integer(count, "sample_count")
    if number < 1:
        raise empty_dataset(f"sample_count is {shown(number)}")
    if number > MOST_SAMPLES:
        raise Infeasible(
            f"sample_count is {shown(number)}, the most is {MOST_SAMPLES}", f"pass {MOST_SAMPLES} or fewer"
        )
    return number


def distinct_names(names: Any) -> list[Hashable]:
    """Check the names of groups, which must be distinct."""
    if isinstance(names, (str, bytes)) or not isinstance(names, (Sequence, np.ndarray)):
        raise Infeasible(f"names is {typed(names)}", "pass a list of labels, one a group")
    found = [plain(name) for name in names]
    for name in found:
        why = no_label(name)
        if why is not None:
            raise Infeasible(f"a name of a group is {why}", "pass numbers, strings or tuples")
    if len(set(found)) < len(found):
        twice = next(name for name, times in Counter(found).items() if times > 1)
        raise Infeasible(f"two groups are called {shown(twice)}", "give each group a name of its own")
    return found


def checked_index(
    names: Sequence[Hashable], starts: Any, index: Any, count: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Check all of an index that the user built, and copy it."""
    starts = columns.sample_numbers(starts, called="starts").astype(np.int64)
    if not starts.size and index is None and names == range(count):
        return starts, None
    if starts.shape != (len(names) + 1,) or starts[0] != 0 or (np.diff(starts) < 0).any():
        raise Infeasible(
            f"starts are {shown(starts.tolist())} for {len(names)} groups",
            "pass where each group starts and where the last one ends: ascending, the first of them 0",
        )
    if not starts[-1]:
        raise empty_dataset("no group has a sample")
    if index is None:
        if starts[-1] != count:
            raise Infeasible(
                f"without an index the groups hold {starts[-1]} samples one after the other, there are {count}",
                f"pass sample_count={starts[-1]}, or an index",
            )
        return starts, None
    index = columns.sample_numbers(index, called="index")
    if index.shape != (starts[-1],):
        raise Infeasible(f"the index has {index.size} entries, starts end at {starts[-1]}", "pass one for each sample")
    if index.size and (index.min() < 0 or index.max() >= count):
        bad = index[(index < 0) | (index >= count)][0]
        raise Infeasible(f"the index names sample {bad} of {count}", f"pass numbers from 0 to {count - 1}")
    index = index.astype(np.uint32 if count < NARROW else np.int64)
    falls = index[1:] <= index[:-1]
    falls[starts[(starts > 0) & (starts < index.size)] - 1] = False  # a new group begins there
    if falls.any() or np.unique(index).size < index.size:
        raise Infeasible(
            "the index names a sample twice, or the samples of a group are not in ascending order",
            "pass the lists of samples to Groups.from_indices, which sorts them",
        )
    return starts, index


def _named_lists(indices: Any) -> Iterable[tuple[Any, Any]]:
    """Lists with the names of their groups; groups without names are numbered."""
    listed = isinstance(indices, (Mapping, Sequence, np.ndarray)) and not isinstance(indices, (str, bytes))
    if not listed or getattr(indices, "ndim", 1) == 0:
        raise Infeasible(f"the lists are {typed(indices)}", "pass a list of lists of sample numbers, one list a group")
    check_count(indices, "indices")
    return indices.items() if isinstance(indices, Mapping) else enumerate(indices)


def _numbers_of_group(part: Any, name: Any) -> np.ndarray:
    """Check the numbers of the samples of one group, int64."""
    called = f"the list of group {shown(name)}"
    numbers = np.asarray(columns.column(part, called=called))
    if numbers.size == 0:
        return np.empty(0, np.int64)
    if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= MOST_SAMPLES:
        held = f"values of type {numbers.dtype}"
        if numbers.dtype.kind in "iu":
            held = str(numbers[(numbers < 0) | (numbers >= MOST_SAMPLES)][0])
        raise Infeasible(f"{called} holds {held}", "pass sample numbers, whole and 0 or more")
    return numbers.astype(np.int64)


def index_of_lists(
    indices: Sequence[Any] | Mapping[Any, Any], sample_count: Any
) -> tuple[list[Hashable], np.ndarray, np.ndarray, int]:
    """Names, starts and index of groups that are given as lists of samples, and how many samples there are.

    Raises:
        Infeasible: see `Groups.from_indices`.
    """
    named = {plain(name): part for name, part in _named_lists(indices)}
    lists = [np.sort(_numbers_of_group(part, name)) for name, part in named.items()]
    starts = np.concatenate([[0], np.cumsum([part.size for part in lists], dtype=np.int64)]).astype(np.int64)
    if starts[-1] == 0:
        raise empty_dataset("no group has a sample")
    index = np.concatenate(lists)
    largest = int(index.max())
    count = largest + 1 if sample_count is None else count_of(sample_count)
    if largest >= count:
        raise Infeasible(f"sample {largest} is named but the dataset has {count}", f"pass sample_count={largest + 1}")
    _refuse_twice(index, named, lists)
    return list(named), starts, index.astype(np.uint32 if count < NARROW else np.int64), count


def indexed(values: np.ndarray | Coded) -> tuple[list[Hashable], np.ndarray, np.ndarray]:
    """Group samples of equal value: names, starts and index.

    A counting sort: two passes over chunks of the column, so that the column is never copied whole.
    """
    from .kernels import indexing

    if isinstance(values, Coded):
        held, starts, index = indexed(values.codes)
        return [values.names[code] for code in cast(list[int], held)], starts, index
    names, encode, width = _coding(values)
    counts = np.zeros(width, np.int64)
    for first in range(0, values.size, _CHUNK):
        indexing.tally(encode(values[first : first + _CHUNK]), counts)
    free = np.cumsum(counts) - counts
    narrow = values.size < NARROW
    index = np.empty(values.size, np.uint32 if narrow else np.int64)
    place: Callable[..., None] = indexing.place_narrow if narrow else indexing.place_wide
    for first in range(0, values.size, _CHUNK):
        place(encode(values[first : first + _CHUNK]), first, free, index)
    present = np.flatnonzero(counts)
    starts = np.concatenate([[0], np.cumsum(counts[present])]).astype(np.int64)
    return [names[code] for code in present.tolist()], starts, index


class Grouping(Protocol):
    """What is combined of `Groups`."""

    names: Sequence[Hashable]
    sample_count: int
    aliases: Mapping[Hashable, Hashable]

    @property
    def called(self) -> Sequence[Hashable]: ...
    @property
    def grouped_count(self) -> int: ...
    @property
    def codes(self) -> np.ndarray: ...


def combined(groupings: Sequence[Grouping]) -> tuple[list[tuple[Hashable, ...]], np.ndarray, np.ndarray]:
    """The groups of samples that have the same group in every grouping; as names, starts and index of `Groups`.

    Raises:
        Infeasible: the groupings are of different numbers of samples, or leave one ungrouped.
    """
    counts = [grouping.sample_count for grouping in groupings]
    if len(set(counts)) != 1:
        raise Infeasible(f"groupings of {shown(counts)} samples cannot be combined", "pass one label a sample in each")
    for grouping in groupings:
        if grouping.grouped_count != grouping.sample_count:
            raise Infeasible(
                f"{grouping.sample_count - grouping.grouped_count} of {grouping.sample_count} samples are in no group",
                "combine groupings that hold every sample",
            )
    cells = np.zeros(counts[0], np.int64)
    for grouping in groupings:
        # Numbers start again after each grouping: the product of all group counts could exceed 64 bits.
        cells = cells * len(grouping.names) + grouping.codes
        _, cells = np.unique(cells, return_inverse=True)
    _, starts, index = indexed(cells)
    first = index[starts[:-1]]
    found = [
        tuple(grouping.names[code] for grouping, code in zip(groupings, cell, strict=True))
        for cell in zip(*(grouping.codes[first].tolist() for grouping in groupings), strict=True)
    ]
    return found, starts, index


def combined_aliases(groupings: Sequence[Grouping], names: Sequence[tuple[Hashable, ...]]) -> dict[Hashable, Hashable]:
    """From combinations of classes to those of labels that have a sample, where a grouping names its classes; else empty."""
    if not any(grouping.aliases for grouping in groupings):
        return {}
    classes = [dict(zip(grouping.names, grouping.called, strict=True)) for grouping in groupings]
    return {tuple(own[label] for own, label in zip(classes, name, strict=True)): name for name in names}


def _refuse_twice(index: np.ndarray, names: Iterable[Any], lists: Sequence[np.ndarray]) -> None:
    """Refuse a sample that the lists of groups hold twice; `index` is all of them joined.

    Raises:
        Infeasible: one does.
    """
    order = np.sort(index)
    twice = order[:-1][order[1:] == order[:-1]]
    if twice.size:
        owners = [name for name, part in zip(names, lists, strict=True) if twice[0] in part]
        raise Infeasible(
            f"sample {twice[0]} is listed twice, in group {' and '.join(map(shown, owners))}",
            "list each sample once; a sample with several labels belongs to a cell of them",
        )


def _coding(values: np.ndarray) -> tuple[Sequence[Hashable], Any, int]:
    """The possible labels, a function from a chunk of values to int64 codes, and how many codes there are."""
    if values.dtype.kind == "b":
        return [False, True], lambda chunk: chunk.astype(np.int64), 2
    if values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        # One counter for each integer between them, if that takes little more memory than the index itself.
        if high - low < 4 * values.size + 65_536 and high < 1 << 63:
            return range(low, high + 1), lambda chunk: chunk.astype(np.int64) - low, high - low + 1
    if values.dtype.kind == "O":
        if not kinds_of(values) <= PLAIN:
            for sample, value in enumerate(values):
                why = no_label(value)
                if why is not None:
                    raise Infeasible(
                        f"the label of sample {sample} is {why}", "pass numbers, strings or tuples, one a sample"
                    )
        number = {name: code for code, name in enumerate(sorted_if_possible(dict.fromkeys(values.tolist())))}
        return (
            list(number),
            lambda chunk: np.fromiter(map(number.__getitem__, chunk), np.int64, chunk.size),
            len(number),
        )
    distinct = np.unique(values)
    names = distinct.tolist() if values.dtype.kind not in "mM" else [plain(value) for value in distinct]
    return names, lambda chunk: np.searchsorted(distinct, chunk).astype(np.int64), distinct.size


def sorted_if_possible(names: Iterable[Any]) -> list[Any]:
    """The labels of groups in the order in which groups stand; those of types that do not compare stay as they are."""
    try:
        return sorted(names)
    except TypeError:
        return list(names)


def warn_of_singles(values: np.ndarray | Coded, sizes: np.ndarray) -> None:
    """Warn of labels that are probably ids: nearly every group has one sample."""
    singles = int(np.count_nonzero(sizes == 1))
    if values.size < _FEWEST_SINGLES or singles < _MOST_SINGLES * sizes.size or singles < values.size / 2:
        return
    values = values.array() if isinstance(values, Coded) else values
    first = plain(values[0])
    probably, way_out = "ids", "pass the column of classes"
    if values.dtype.kind == "f" or isinstance(first, float):
        probably, way_out = "measurements", "group them first, such as with np.digitize(values, bins)"
    elif values.dtype.kind in "mM" or isinstance(first, (date, timedelta)):
        probably, way_out = "times", "group them first, such as by day"
    elif isinstance(first, str):
        paths = sum("/" in str(value) or "." in str(value) for value in values[:_LOOKED_AT])
        probably = "file names" if paths > _LOOKED_AT / 2 or paths == min(values.size, _LOOKED_AT) else "ids or texts"
    elif values.dtype.kind in "iu" or isinstance(first, int):
        probably = "ids or numbers of samples"
    warn(
        f"{singles} of {sizes.size} groups have one sample each, of {values.size} samples in all: the labels, such as "
        f"{shown(first)}, are probably {probably}; {way_out}"
    )


def unknown_group(name: Hashable, names: Sequence[Hashable]) -> Infeasible:
    """The error for a label that no group has; it shows the first labels that there are."""
    some = ", ".join(map(shown, list(names[:8])))
    more = "" if len(names) <= 8 else f", ... ({len(names)} in all)"
    return Infeasible(
        f"no group is called {shown(name)}, there are {some}{more}",
        f"pass one of these labels{did_you_mean(name, names)}",
    )


def digest_of(sample_count: int, group_count: int, starts: np.ndarray, index: np.ndarray | None) -> str:
    """A fingerprint of an index of groups, 16 hexadecimal digits."""
    hasher = hashlib.blake2b(f"{sample_count} {group_count}".encode(), digest_size=8)
    hasher.update(np.ascontiguousarray(starts, "<i8").data)
    if index is not None:
        hasher.update(np.ascontiguousarray(index).data)
    return hasher.hexdigest()
