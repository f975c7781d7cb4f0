"""Shards of files as sequences: any sample of one can be read without decoding those before it."""

from __future__ import annotations

import json
import mmap
import tarfile
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

__all__ = ["Lines", "Members", "Rows", "TableRows"]

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


class Members(Rows):
    """The samples of a tar file, by webdataset's rules; only the members of a sample that is asked for are read.

    Args:
        path: the file, which is mapped into memory for as long as the samples are in use.
        decode: makes a sample of webdataset's dictionary of bytes.
    """

    def __init__(self, path: str, decode: Callable[[dict[str, Any]], Any]) -> None:
        from webdataset.tariterators import base_plus_ext

        with open(path, "rb") as file:
            self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._path = path
        self._decode = decode
        self._samples: list[list[tuple[str, int, int]]] = []  # of each member the name, where it begins, its bytes
        key = None
        with tarfile.open(fileobj=self._content, mode="r:") as opened:
            for member in opened:
                name = member.name
                prefix, _ = base_plus_ext(name) if member.isreg() and not _is_meta(name) else (None, None)
                if prefix is None:
                    continue
                if prefix != key:
                    self._samples.append([])
                    key = prefix
                self._samples[-1].append((name, member.offset_data, member.size))

    def __len__(self) -> int:
        return len(self._samples)

    def _at(self, number: int) -> Any:
        from webdataset.tariterators import group_by_keys

        [sample] = group_by_keys(self._contents(self._samples[number]))
        return self._decode(sample)

    def _contents(self, members: Sequence[tuple[str, int, int]]) -> Iterator[dict[str, Any]]:
        for name, begin, size in members:
            yield {"fname": name, "data": self._content[begin : begin + size], "__url__": self._path}


def _is_meta(name: str) -> bool:
    """Whether webdataset skips a member: its own notes, whose names are in double underscores."""
    first = name.partition("/")[0]
    return first.startswith("__") and first.endswith("__")
