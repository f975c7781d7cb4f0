"""Groups of samples that share a key, as one compact index."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from .calls import recorded
from .errors import Infeasible, check_mapping, empty_dataset, shown
from .group_parts import (
    MOST_SAMPLES,
    checked_index,
    combined,
    combined_aliases,
    count_of,
    digest_of,
    distinct_names,
    index_of_lists,
    indexed,
    size_of,
    unknown_group,
    warn_of_singles,
)
from .inputs import columns
from .inputs.tables import Coded, columns_of_frame
from .inputs.values import no_label, plain
from .labels import class_names, coded_labels, held_labels
from .labels import labels as labels_of
from .readings import check_count

__all__ = ["Groups"]


class Groups:
    """An index of samples by group.

    It takes 4 bytes for each sample (8 from 2^32 samples on), and none if groups are contiguous. Build one with
    `from_labels`, `from_sizes`, `from_indices`, `singletons` or `combine`. It is immutable, and checked.

    Attributes:
        names: the label of each group, sorted if labels can be sorted.
        starts: int64 (groups + 1): the samples of group g are `index[starts[g]:starts[g + 1]]`. Empty if every sample
            is a group of its own.
        index: the sample numbers, group by group, ascending within each group, uint32 or int64; None if entry i is
            sample i.
        sample_count: how many samples the dataset has.
        aliases: from other names, such as those of classes, to labels.
        declared: the labels in the order of a column that declares one (an ordered categorical of pandas, an `Enum` of
            polars); None for other labels. Corrections take it as the order of the logits.

    Raises:
        Infeasible: names, starts and index that are no index of `sample_count` samples.

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
        count = count_of(sample_count)
        self.names: Sequence[Hashable] = names if isinstance(names, range) else distinct_names(names)
        self.starts, self.index = checked_index(self.names, starts, index, count)
        self.sample_count = count
        self.aliases: Mapping[Hashable, Hashable] = {}
        self.declared: Sequence[Hashable] | None = None

    @classmethod
    def _made(
        cls,
        names: Sequence[Hashable],
        starts: np.ndarray,
        index: np.ndarray | None,
        sample_count: int,
        aliases: Mapping[Hashable, Hashable] | None = None,
    ) -> Groups:
        """Groups from parts that were made here and need no check."""
        groups = cls.__new__(cls)
        groups.names, groups.starts, groups.index, groups.sample_count = names, starts, index, sample_count
        groups.aliases = aliases or {}
        groups.declared = None
        return groups

    @classmethod
    def _of_index(cls, column: Any) -> Groups | None:
        """The groups of a column of an index on disk, which are mapped and not made again; None of any other labels."""
        found = column.grouping() if hasattr(column, "grouping") else None
        if found is None:
            return None
        groups = cls._made(found.names, found.starts, found.entries, found.sample_count)
        vars(groups).update(digest=found.digest, codes=found.codes, _column=column)
        return groups

    @classmethod
    def from_labels(cls, labels: Any) -> Groups:
        """Group samples by label; `labels` is a column, or a dataset that knows its labels.

        If a dataset knows the names of its classes (`ClassLabel` of Hugging Face, `class_to_idx` of torchvision),
        targets may use these names too.

        Args:
            labels: array-like of shape (n_samples,), of any dtype; or a dataset, see `batchwright.labels.labels`.

        Raises:
            Infeasible: no labels found, a label missing, a value that is no label, or no sample at all.

        Warns:
            PoorWarning: nearly every group has one sample, as with ids, file names or measurements.

        Example:
            >>> Groups.from_labels([2, 0, 2, 2]).sizes.tolist()
            [1, 3]
        """
        if isinstance(labels, Groups):
            return labels
        on_disk = cls._of_index(held_labels(labels))
        if on_disk is not None:
            return on_disk
        found = coded_labels(labels) or labels_of(labels)
        if found.size == 0:
            raise empty_dataset("0 labels")
        groups = cls._made(*indexed(found), found.size, class_names(labels))
        groups.declared = found.order if isinstance(found, Coded) else None
        warn_of_singles(found, groups.sizes)
        return groups

    @classmethod
    def from_keys(cls, keys: Any, *, called: str) -> Groups:
        """Group samples by a key, such as patient or document; here one sample for a key is nothing unusual.

        Args:
            keys: any column.
            called: its name in messages.

        Raises:
            Infeasible: a key missing, or no sample at all.

        Example:
            >>> Groups.from_keys(["p2", "p1", "p2"], called="together").sizes.tolist()
            [1, 2]
        """
        found = columns.column(keys, called=called)
        if found.size == 0:
            raise empty_dataset(f"{called} has 0 values")
        return cls._made(*indexed(found), found.size)

    @classmethod
    def from_sizes(cls, sizes: Mapping[Any, int]) -> Groups:
        """Contiguous groups: the first samples are those of the first group, and so on. Takes no memory.

        Args:
            sizes: for each label the number of its samples.

        Raises:
            Infeasible: no groups, no samples, or a size that is negative or not whole.

        Example:
            >>> Groups.from_sizes({"web": 3, "books": 2}).samples("books").tolist()
            [3, 4]
        """
        ends = list(accumulate(size_of(size, name) for name, size in check_mapping(sizes, "sizes").items()))
        if ends[-1] == 0:
            raise empty_dataset("all group sizes are 0")
        if ends[-1] > MOST_SAMPLES:
            raise Infeasible(f"the sizes sum to {ends[-1]}, the most is {MOST_SAMPLES}", "pass smaller sizes")
        return cls._made([plain(name) for name in sizes], np.array([0, *ends], np.int64), None, ends[-1])

    @classmethod
    def from_indices(cls, indices: Sequence[Any] | Mapping[Any, Any], *, sample_count: int | None = None) -> Groups:
        """Groups given as lists of sample numbers, one list for each group (or a mapping from label to list).

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
        return cls._made(*index_of_lists(indices, sample_count))

    @classmethod
    def singletons(cls, sample_count: int) -> Groups:
        """Make every sample a group of its own, named by its number. Takes no memory.

        Example:
            >>> Groups.singletons(3).sizes.tolist()
            [1, 1, 1]
        """
        count = count_of(sample_count)
        return cls._made(range(count), np.empty(0, np.int64), None, count)

    @classmethod
    @recorded
    def combine(cls, *columns_or_groups: Any) -> Groups:
        """Group samples by several attributes: a group is a combination of labels, named by their tuple.

        Combinations without a sample are no groups.

        Args:
            columns_or_groups: for each attribute labels, array-like of shape (n_samples,), or `Groups`; a data frame
                stands for its columns, such as `frame[["class", "scanner"]]`.

        Raises:
            Infeasible: the groupings are of datasets of different sizes, or leave a sample ungrouped.

        Example:
            >>> Groups.combine(list("aab"), [0, 1, 1]).names
            [('a', 0), ('a', 1), ('b', 1)]
        """
        parts = [cls.from_labels(part) for given in columns_or_groups for part in columns_of_frame(given)]
        if not parts:
            raise Infeasible("there are 0 attributes to combine", "pass a column of labels for each attribute")
        names, starts, index = combined(parts)
        return cls._made(names, starts, index, index.size, combined_aliases(parts, names))

    @property
    def group_count(self) -> int:
        """The number of groups, empty ones included."""
        return len(self.names)

    @property
    def grouped_count(self) -> int:
        """The number of samples that are in a group."""
        return int(self.starts[-1]) if self.starts.size else self.sample_count

    @cached_property
    def sizes(self) -> np.ndarray:
        """Samples in each group, int64 (groups,)."""
        if not self.starts.size:
            return np.broadcast_to(np.int64(1), (self.sample_count,))
        return np.diff(self.starts)

    @cached_property
    def codes(self) -> np.ndarray:
        """The group of every sample, in the narrowest integer type; computed at first use.

        Samples in no group have the number of groups as their code.
        """
        if not self.starts.size:
            return np.arange(self.sample_count)
        codes = np.full(self.sample_count, self.group_count, np.min_scalar_type(self.group_count))
        for group, (start, stop) in enumerate(zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)):
            codes[slice(start, stop) if self.index is None else self.index[start:stop]] = group
        return codes

    @cached_property
    def called(self) -> Sequence[Hashable]:
        """What people call each group: its class, where the dataset names its classes, else its label.

        Example:
            >>> from types import SimpleNamespace
            >>> Groups.from_labels(SimpleNamespace(targets=[1, 0, 1], classes=["cat", "dog"])).called
            ['cat', 'dog']
        """
        class_of = {label: name for name, label in self.aliases.items()}
        return [class_of.get(name, name) for name in self.names] if class_of else self.names

    @cached_property
    def number_of(self) -> dict[Hashable, int]:
        """From label to the number of the group."""
        return {name: number for number, name in enumerate(self.names)}

    def group_of(self, indices: Any) -> np.ndarray:
        """The group number of each of these samples, an integer array.

        Example:
            >>> Groups.from_labels(["b", "a"]).group_of([0, 1, 0]).tolist()
            [1, 0, 1]
        """
        wanted = columns.numbers_within(indices, self.sample_count)
        if not self.starts.size:
            return wanted
        if self.index is None:
            return np.searchsorted(self.starts, wanted, side="right") - 1
        found: np.ndarray = self.codes[wanted]
        return found

    def locate(self, indices: Any) -> tuple[list[Hashable], np.ndarray]:
        """The label of each sample, and its index within its group, from 0.

        For contiguous groups, such as the sources of a mixture, that is its number within the source.

        Raises:
            Infeasible: a sample outside the dataset, or in no group.

        Example:
            >>> names, numbers = Groups.from_sizes({"web": 3, "books": 2}).locate([4, 0])
            >>> names, numbers.tolist()
            (['books', 'web'], [1, 0])
        """
        wanted = np.atleast_1d(columns.sample_numbers(indices))
        if wanted.ndim > 1:
            raise Infeasible(f"samples have {wanted.ndim} dimensions", "pass their numbers as a list")
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
        check_count(labels, "labels")
        numbers = []
        for name in labels:
            label = self.label(name)
            if label not in self.number_of:
                raise unknown_group(label, self.names)
            numbers.append(self.number_of[label])
        return np.array(numbers, np.int64)

    def label(self, name: Any) -> Any:
        """The label for a name: the plain value of a scalar, or the label of the class with that name.

        Any other value is returned as it is.

        Example:
            >>> Groups.from_labels([2, 0, 2]).label(np.int64(2))
            2
        """
        label = plain(name)
        why = no_label(label)
        if why is not None:
            raise Infeasible(f"a group is named by a value {why}", "use the labels of the data")
        if label in self.aliases and label not in (self.number_of if self.starts.size else self.names):
            return self.aliases[label]
        return label

    def samples(self, name: Hashable) -> np.ndarray:
        """The samples of the group with this label, ascending.

        Raises:
            Infeasible: no group has this label.
        """
        name = self.label(name)
        labels = self.number_of if self.starts.size else self.names  # a range needs no dictionary
        if name not in labels:
            raise unknown_group(name, self.names)
        if not self.starts.size:
            return np.array([name], np.int64)
        number = self.number_of[name]
        start, stop = int(self.starts[number]), int(self.starts[number + 1])
        return np.arange(start, stop) if self.index is None else self.index[start:stop].astype(np.int64)

    @cached_property
    def digest(self) -> str:
        """A fingerprint of the index, 16 hexadecimal digits."""
        return digest_of(self.sample_count, self.group_count, self.starts, self.index)

    @property
    def identity(self) -> str:
        """The digest, and for messages what the groups are."""
        return f"{self.digest} as {self!r}"

    def __reduce__(self) -> Any:
        if hasattr(self, "_column"):  # another process maps the index too
            return Groups.from_labels, (self._column,)
        return super().__reduce__()

    def __getstate__(self) -> dict[str, Any]:
        kept = ("names", "starts", "index", "sample_count", "aliases", "declared")
        return {name: value for name, value in vars(self).items() if name in kept}

    def __len__(self) -> int:
        return self.group_count

    def __repr__(self) -> str:
        sizes = self.sizes
        groups = "1 group" if self.group_count == 1 else f"{self.group_count} groups"
        if self.group_count <= 8:
            listed = ", ".join(f"{shown(name)} {size}" for name, size in zip(self.called, sizes.tolist(), strict=True))
        else:
            listed = f"sizes {sizes.min()} to {sizes.max()}"
        return f"Groups({groups} of {self.grouped_count} samples: {listed})"
