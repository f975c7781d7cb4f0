"""Groups: which samples share a key, as one compact index."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from . import columns
from .errors import Infeasible, by_name

__all__ = ["Groups"]

_CHUNK = 1 << 20
_NARROW = 1 << 32  # below this many samples an index entry takes 4 bytes


class Groups:
    """An index of samples by group: 4 bytes a sample (8 from 2^32 samples on), none where groups are contiguous.

    Build one with `from_labels`, `from_sizes`, `from_indices`, `singletons` or `combine`. Immutable.

    Attributes:
        names: the user's own label of each group, in group order (sorted where labels can be sorted).
        starts: int64 (groups + 1); the samples of group g are `index[starts[g]:starts[g + 1]]`.
        index: the sample numbers, group by group, ascending within each; None where sample i is simply entry i.
        sample_count: how many samples the dataset has.

    Example:
        >>> groups = Groups.from_labels(["cat", "dog", "cat"])
        >>> groups
        Groups(2 groups of 3 samples: 'cat' 2, 'dog' 1)
        >>> groups.samples("cat").tolist()
        [0, 2]
    """

    def __init__(
        self, names: Sequence[Hashable], starts: np.ndarray, index: np.ndarray | None, sample_count: int
    ) -> None:
        self.names = names
        self.starts = starts
        self.index = index
        self.sample_count = sample_count

    @classmethod
    def from_labels(cls, labels: Any) -> Groups:
        """Group samples by their label; `labels` is any column, or a dataset that knows its labels.

        Raises:
            Infeasible: no labels found, a label missing, or no sample at all.

        Example:
            >>> Groups.from_labels([2, 0, 2, 2]).sizes.tolist()
            [1, 3]
        """
        found = columns.labels(labels)
        if found.size == 0:
            raise Infeasible("the dataset is empty: 0 labels", "pass at least one sample")
        return cls._from_values(found)

    @classmethod
    def from_sizes(cls, sizes: Mapping[Any, int]) -> Groups:
        """Groups that lie one after the other: the first `n` samples are the first group's, and so on. Takes no memory.

        Raises:
            Infeasible: no groups, no samples, or a size that is negative or not whole.

        Example:
            >>> Groups.from_sizes({"web": 3, "books": 2}).samples("books").tolist()
            [3, 4]
        """
        for name, size in by_name(sizes, "sizes").items():
            if not _is_size(size):
                raise Infeasible(f"group {name!r} has size {size!r}", "pass whole numbers of samples, 0 or more")
        starts = np.concatenate([[0], np.cumsum([int(size) for size in sizes.values()], dtype=np.int64)]).astype(
            np.int64
        )
        if starts[-1] == 0:
            raise Infeasible("the dataset is empty: all group sizes are 0", "pass at least one sample")
        return cls(list(sizes), starts, None, int(starts[-1]))

    @classmethod
    def from_indices(cls, indices: Sequence[Any] | Mapping[Any, Any], *, sample_count: int | None = None) -> Groups:
        """Groups given as lists of sample numbers, one list a group (or a mapping from label to list).

        Samples that are in no list are never drawn.

        Args:
            indices: the lists; columns of any kind. Never mutated.
            sample_count: how many samples the dataset has; the largest number named, plus one, if left out.

        Raises:
            Infeasible: a sample in two groups or twice in one, a negative number, or one beyond `sample_count`.

        Example:
            >>> Groups.from_indices([[4, 1], [2]]).samples(0).tolist()
            [1, 4]
        """
        named = indices if isinstance(indices, Mapping) else dict(enumerate(indices))
        lists = [np.sort(_sample_numbers(part, name)) for name, part in named.items()]
        starts = np.concatenate([[0], np.cumsum([part.size for part in lists], dtype=np.int64)]).astype(np.int64)
        if starts[-1] == 0:
            raise Infeasible("the dataset is empty: no group has a sample", "pass at least one sample")
        index = np.concatenate(lists)
        largest = int(index.max())
        count = largest + 1 if sample_count is None else sample_count
        if largest >= count:
            raise Infeasible(
                f"sample {largest} is named but the dataset has {count}", f"pass sample_count={largest + 1}"
            )
        groups = cls(list(named), starts, index.astype(np.uint32 if count < _NARROW else np.int64), count)
        order = np.sort(index)
        twice = order[:-1][order[1:] == order[:-1]]
        if twice.size:
            owners = [name for name, part in zip(named, lists, strict=True) if twice[0] in part]
            raise Infeasible(
                f"sample {twice[0]} is listed twice, in group {' and '.join(map(repr, owners))}",
                "list each sample once; a sample with several labels belongs to a cell of them",
            )
        return groups

    @classmethod
    def singletons(cls, sample_count: int) -> Groups:
        """Every sample a group of its own, named by its number; takes no memory.

        Example:
            >>> Groups.singletons(3).sizes.tolist()
            [1, 1, 1]
        """
        if sample_count < 1:
            raise Infeasible(f"the dataset is empty: {sample_count} samples", "pass at least one sample")
        return cls(range(sample_count), np.empty(0, np.int64), None, sample_count)

    @classmethod
    def combine(cls, *columns_or_groups: Any) -> Groups:
        """The cells of several attributes of one dataset: samples that agree in all of them; named by tuples of labels.

        Cells without a sample do not exist.

        Args:
            columns_or_groups: for each attribute a column of labels, or `Groups`.

        Raises:
            Infeasible: the groupings are of datasets of different sizes, or leave a sample ungrouped.

        Example:
            >>> Groups.combine(list("aab"), [0, 1, 1]).names
            [('a', 0), ('a', 1), ('b', 1)]
        """
        parts = [part if isinstance(part, Groups) else cls.from_labels(part) for part in columns_or_groups]
        counts = [part.sample_count for part in parts]
        if len(set(counts)) != 1:
            raise Infeasible(f"groupings of {counts} samples cannot be combined", "pass one label a sample in each")
        cells = np.zeros(parts[0].sample_count, np.int64)
        for part in parts:
            if part.grouped_count != part.sample_count:
                raise Infeasible(
                    f"{part.sample_count - part.grouped_count} of {part.sample_count} samples are in no group",
                    "combine groupings that hold every sample",
                )
            cells = cells * part.group_count + part.codes
            _, cells = np.unique(cells, return_inverse=True)
        combined = cls._from_values(cells)
        first = combined.index[combined.starts[:-1]] if combined.index is not None else combined.starts[:-1]
        names: list[Hashable] = [
            tuple(part.names[code] for part, code in zip(parts, codes, strict=True))
            for codes in zip(*(part.codes[first].tolist() for part in parts), strict=True)
        ]
        return cls(names, combined.starts, combined.index, combined.sample_count)

    @classmethod
    def _from_values(cls, values: np.ndarray) -> Groups:
        """Counting sort: two passes over chunks of the column, so that the column is never copied whole."""
        from .kernels import indexing

        names, encode, width = _coding(values)
        counts = np.zeros(width, np.int64)
        for first in range(0, values.size, _CHUNK):
            indexing.tally(encode(values[first : first + _CHUNK]), counts)
        free = np.cumsum(counts) - counts
        narrow = values.size < _NARROW
        index = np.empty(values.size, np.uint32 if narrow else np.int64)
        place: Callable[..., None] = indexing.place_narrow if narrow else indexing.place_wide
        for first in range(0, values.size, _CHUNK):
            place(encode(values[first : first + _CHUNK]), first, free, index)
        present = np.flatnonzero(counts)
        starts = np.concatenate([[0], np.cumsum(counts[present])]).astype(np.int64)
        return cls([names[code] for code in present.tolist()], starts, index, values.size)

    @property
    def group_count(self) -> int:
        """How many groups there are, empty ones included."""
        return len(self.names)

    @property
    def grouped_count(self) -> int:
        """How many samples are in a group."""
        return int(self.starts[-1]) if self.starts.size else self.sample_count

    @cached_property
    def sizes(self) -> np.ndarray:
        """Samples in each group, int64 (groups,)."""
        if not self.starts.size:
            return np.broadcast_to(np.int64(1), (self.sample_count,))
        return np.diff(self.starts)

    @cached_property
    def codes(self) -> np.ndarray:
        """The group of every sample, in the narrowest integer type; made when first asked for.

        Samples in no group have the number of groups as their code.
        """
        if not self.starts.size:
            return np.arange(self.sample_count)
        codes = np.full(self.sample_count, self.group_count, np.min_scalar_type(self.group_count))
        for group, (start, stop) in enumerate(zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)):
            codes[slice(start, stop) if self.index is None else self.index[start:stop]] = group
        return codes

    @cached_property
    def number_of(self) -> dict[Hashable, int]:
        """From the user's label to the group's number."""
        return {name: number for number, name in enumerate(self.names)}

    def group_of(self, indices: Any) -> np.ndarray:
        """The group number of each of these samples, an integer array.

        Example:
            >>> Groups.from_labels(["b", "a"]).group_of([0, 1, 0]).tolist()
            [1, 0, 1]
        """
        wanted = columns.sample_numbers(indices)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.sample_count):
            raise Infeasible(
                f"samples {wanted.min()} to {wanted.max()} asked for, the dataset has {self.sample_count}",
                f"pass numbers from 0 to {self.sample_count - 1}",
            )
        if not self.starts.size:
            return wanted
        if self.index is None:
            return np.searchsorted(self.starts, wanted, side="right") - 1
        found: np.ndarray = self.codes[wanted]
        return found

    def locate(self, indices: Any) -> tuple[list[Hashable], np.ndarray]:
        """The label of each of these samples, and the how-manieth of its group it is, counted from 0.

        Where groups lie one after the other, as the sources of a mixture do, that is the number within the source.

        Raises:
            Infeasible: a sample outside the dataset, or in no group.

        Example:
            >>> names, numbers = Groups.from_sizes({"web": 3, "books": 2}).locate([4, 0])
            >>> names, numbers.tolist()
            (['books', 'web'], [1, 0])
        """
        wanted = np.atleast_1d(columns.sample_numbers(indices))
        codes = np.asarray(self.group_of(wanted))
        if codes.size and codes.max() >= self.group_count:
            raise Infeasible(f"sample {wanted[codes.argmax()]} is in no group", "ask for samples that a group holds")
        names = [self.names[code] for code in codes.tolist()]
        if not self.starts.size:
            return names, np.zeros(wanted.size, np.int64)
        starts = self.starts[codes]
        if self.index is None:
            return names, wanted - starts
        within = [
            np.searchsorted(self.index[self.starts[code] : self.starts[code + 1]], sample)
            for code, sample in zip(codes.tolist(), wanted.tolist(), strict=True)
        ]
        return names, np.array(within, np.int64)

    def numbers_of(self, labels: Iterable[Hashable]) -> np.ndarray:
        """The numbers of the groups with these labels, int64.

        Raises:
            Infeasible: no group has one of the labels.
        """
        try:
            return np.array([self.number_of[label] for label in labels], np.int64)
        except KeyError as unknown:
            raise self._unknown(unknown.args[0]) from None

    def samples(self, name: Hashable) -> np.ndarray:
        """The samples of the group with this label, ascending.

        Raises:
            Infeasible: no group has this label.
        """
        known = self.number_of if self.starts.size else self.names  # a range looks itself up
        if name not in known:
            raise self._unknown(name)
        if not self.starts.size:
            return np.array([name], np.int64)
        number = self.number_of[name]
        start, stop = int(self.starts[number]), int(self.starts[number + 1])
        return np.arange(start, stop) if self.index is None else self.index[start:stop].astype(np.int64)

    @cached_property
    def digest(self) -> str:
        """A fingerprint of the whole index, 16 hexadecimal digits."""
        hasher = hashlib.blake2b(f"{self.sample_count} {self.group_count}".encode(), digest_size=8)
        hasher.update(np.ascontiguousarray(self.starts, "<i8").data)
        if self.index is not None:
            hasher.update(np.ascontiguousarray(self.index).data)
        return hasher.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        kept = ("names", "starts", "index", "sample_count")
        return {name: value for name, value in vars(self).items() if name in kept}

    def __len__(self) -> int:
        return self.group_count

    def _unknown(self, name: Hashable) -> Infeasible:
        return Infeasible(f"no group is called {name!r}, there are {self._some_names()}", "pass one of these labels")

    def _some_names(self) -> str:
        shown = ", ".join(repr(name) for name in list(self.names[:8]))
        return shown if len(self.names) <= 8 else f"{shown}, ... ({len(self.names)} in all)"

    def __repr__(self) -> str:
        sizes = self.sizes
        groups = "1 group" if self.group_count == 1 else f"{self.group_count} groups"
        if self.group_count <= 8:
            shown = ", ".join(f"{name!r} {size}" for name, size in zip(self.names, sizes.tolist(), strict=True))
        else:
            shown = f"sizes {sizes.min()} to {sizes.max()}"
        return f"Groups({groups} of {self.grouped_count} samples: {shown})"


def _is_size(size: Any) -> bool:
    try:
        return bool(size == int(size) and size >= 0)
    except (TypeError, ValueError, OverflowError):  # text, None, NaN, infinity
        return False


def _sample_numbers(part: Any, name: Any) -> np.ndarray:
    numbers = np.asarray(columns.column(part, called=f"the list of group {name!r}"))
    if numbers.size == 0:
        return np.empty(0, np.int64)
    if numbers.dtype.kind not in "iu" or numbers.min() < 0:
        raise Infeasible(
            f"the list of group {name!r} holds {numbers[numbers < 0][0] if numbers.dtype.kind == 'i' else numbers.dtype}",
            "pass sample numbers, whole and 0 or more",
        )
    return numbers.astype(np.int64)


def _coding(values: np.ndarray) -> tuple[Sequence[Hashable], Any, int]:
    """The possible labels, a function from a chunk of values to int64 codes, and how many codes there are."""
    if values.dtype.kind == "b":
        return [False, True], lambda chunk: chunk.astype(np.int64), 2
    if values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        if high - low < 4 * values.size + 65_536 and high < 1 << 63:
            return range(low, high + 1), lambda chunk: chunk.astype(np.int64) - low, high - low + 1
    if values.dtype.kind == "O":
        try:
            names = dict.fromkeys(values.tolist())
        except TypeError as unhashable:
            raise Infeasible(
                f"some of the {values.size} labels are no labels: {unhashable}",
                "pass numbers, strings or tuples, one a sample",
            ) from None
        number = {name: code for code, name in enumerate(_sorted_if_possible(names))}
        return (
            list(number),
            lambda chunk: np.fromiter(map(number.__getitem__, chunk), np.int64, chunk.size),
            len(number),
        )
    distinct = np.unique(values)
    return distinct.tolist(), lambda chunk: np.searchsorted(distinct, chunk).astype(np.int64), distinct.size


def _sorted_if_possible(names: Any) -> list[Any]:
    try:
        return sorted(names)
    except TypeError:  # labels of types that do not compare stay in order of appearance
        return list(names)
