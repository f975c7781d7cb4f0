"""Shards of files as sequences: any sample of one can be read without decoding those before it."""

from __future__ import annotations

import json
import mmap
import tarfile
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

from ..files.tar import sample_of

__all__ = ["Lines", "Member", "Members", "Rows", "TableRows", "samples_of"]

_AT_ONCE = 512  # rows that become Python objects together: the fixed cost of a call is then small for each


class Rows(Sequence[Any]):
    """Samples by number; a subclass has `__len__` and `_at`."""

    @overload
    def __getitem__(self, number: int) -> Any: ...

    @overload
    def __getitem__(self, number: slice) -> list[Any]: ...

    def __getitem__(self, number: int | slice) -> Any:
        if isinstance(number, slice):
            return [self._at(one) for one in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        return self._at(number % len(self))

    @abstractmethod
    def _at(self, number: int) -> Any:
        """The sample of a number from 0 to the last."""


class TableRows(Rows):
    """The rows of an Arrow table, as dictionaries; `taken(numbers)` returns the table of some rows."""

    def __init__(self, count: int, taken: Callable[[range], list[Any]]) -> None:
        self._count = count
        self._taken = taken

    def __len__(self) -> int:
        return self._count

    def _at(self, number: int) -> Any:
        return self._taken(range(number, number + 1))[0]

    def strided(self, start: int, step: int) -> Iterator[Any]:
        """Rows start, start + step, ...; rows between them do not become Python objects."""
        for first in range(start, self._count, step * _AT_ONCE):
            yield from self._taken(range(first, min(self._count, first + step * _AT_ONCE), step))


class Lines(Rows):
    """Lines of JSON; a line is decoded when it is asked for."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    def _at(self, number: int) -> Any:
        return json.loads(self._lines[number])


Member = tuple[str, int, int]
"""Of a member of a tar file: the name, where its bytes begin, and how many they are."""


def samples_of(members: Iterable[tarfile.TarInfo]) -> list[list[Member]]:
    """The members of each sample, by webdataset's rules."""
    found: list[list[Member]] = []
    key = None
    for member in members:
        sample = sample_of(member)
        if sample is None:
            continue
        if sample[0] != key:
            found.append([])
            key = sample[0]
        found[-1].append((member.name, member.offset_data, member.size))
    return found


class Members(Rows):
    """The samples of a tar file, by webdataset's rules; only the members of a sample that is asked for are read.

    Args:
        path: the file.
        content: its bytes, or a map of them.
        samples: the members of each sample.
        decode: makes a sample of webdataset's dictionary of bytes.
    """

    def __init__(
        self,
        path: str,
        content: bytes | mmap.mmap,
        samples: Sequence[Sequence[Member]],
        decode: Callable[[dict[str, Any]], Any],
    ) -> None:
        self._path = path
        self._content = content
        self._samples = samples
        self._decode = decode

    def __len__(self) -> int:
        return len(self._samples)

    def _at(self, number: int) -> Any:
        from webdataset.tariterators import group_by_keys

        [sample] = group_by_keys(self._contents(self._samples[number]))
        return self._decode(sample)

    def _contents(self, members: Sequence[Member]) -> Iterator[dict[str, Any]]:
        for name, begin, size in members:
            yield {"fname": name, "data": self._content[begin : begin + size], "__url__": self._path}
