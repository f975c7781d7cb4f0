"""Notices shards of one group each, by a look at a few samples of each shard.

The look can be wrong, since a shard may have a sample of another group in a part that was not read. `ShardComposer` keeps
such a sample until a slot of its group is due.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

from ..indexes.sources import DataFile
from .file_shards import decoder, lines, open_file
from .group_keys import check_label
from .rows import Members, Rows, samples_of

__all__ = ["LOOK", "look_at_lines", "look_at_tar", "shard_groups"]

LOOK = "look"
_SAMPLES = 16  # of a shard that are looked at, at most
_PLACES = 4  # where they are: at both ends, and evenly spaced between them
_BYTES_OF_LINES = 64 << 10  # read at each place
_BYTES_OF_TAR = 1 << 20
_MOST_SHARDS = 4096  # of a source that is looked at
_MOST_AWAY = 256  # the same if its files are behind URLs: each place is a request then
_TRIES = 8  # headers at which a part of a tar file might begin


def shard_groups(
    shards: Sequence[Any], look: Callable[[Any], Iterable[Rows]], key: Callable[[Any], Any], *, away: bool
) -> list[Hashable] | None:
    """The group of each shard; None unless all samples that are looked at are of the group of their shard.

    The look ends with the first shard that has two groups. Shards that are all of the same group give None too.

    Args:
        shards: the shards.
        look: gives the samples at each place of a shard that is looked at.
        key: the group of a sample.
        away: whether the files are behind URLs.
    """
    if len(shards) > (_MOST_AWAY if away else _MOST_SHARDS):
        return None
    found: list[Hashable] = []
    for shard in shards:
        places = list(look(shard))  # errors of reading are raised here, as they would be later
        try:
            groups = {check_label(key(rows[number])) for rows in places for number in _spread(len(rows), len(places))}
        except Exception:  # what is wrong with a sample is said when it is read
            return None
        if len(groups) != 1 or not all(map(len, places)):
            return None
        found += groups
    return found if len(set(found)) > 1 else None


def _spread(count: int, places: int) -> list[int]:
    """Evenly spaced numbers of samples, the first and the last among them."""
    wanted = min(count, _SAMPLES // places)
    return [number * (count - 1) // max(1, wanted - 1) for number in range(wanted)]


def _places(start: int, end: int, size: int) -> list[int]:
    """Where windows of so many bytes begin: at the start, so that the last ends at the end, and between them."""
    last = max(start, end - size)
    return sorted({start + (last - start) * place // (_PLACES - 1) for place in range(_PLACES)})


def look_at_lines(entry: str | None, shard: tuple[DataFile, int, int]) -> Iterator[Rows]:
    """The lines at a few places of a range of lines; a line is decoded as a whole, whichever entry is needed."""
    file, start, end = shard
    for place in _places(start, end, _BYTES_OF_LINES):
        yield lines((file, place, min(end, place + _BYTES_OF_LINES)))


def look_at_tar(handlers: Sequence[Any] | None, entry: str | None, file: DataFile) -> Iterator[Rows]:
    """The samples at a few places of a tar file.

    Args:
        handlers: of webdataset's decoding; None decodes nothing.
        entry: the only entry of a sample that is needed; None if all are.
        file: the file.
    """
    decode = decoder(handlers)

    def decoded(sample: dict[str, Any]) -> Any:
        return decode(sample if entry is None else {"__key__": sample["__key__"], entry: sample[entry]})

    with open_file(file) as content:
        for place in _places(0, file.size, _BYTES_OF_TAR):
            begin = place - place % tarfile.BLOCKSIZE
            content.seek(begin)
            part = content.read(_BYTES_OF_TAR + tarfile.BLOCKSIZE)
            found = samples_of(_members(part))
            whole = slice(1 if begin else 0, None if begin + len(part) >= file.size else -1)
            yield Members(file.path, part, found[whole], decoded)


def _members(part: bytes) -> list[tarfile.TarInfo]:
    """The members whose headers are in a part of a tar file, from the first header that leads to the end of the part."""
    headers = (at for at in range(0, len(part), tarfile.BLOCKSIZE) if part[at + 257 : at + 262] == b"ustar")
    for _, at in zip(range(_TRIES), headers, strict=False):
        found = []
        rest = io.BytesIO(part)
        rest.seek(at)
        try:
            with tarfile.open(fileobj=rest, mode="r:") as opened:
                for member in opened:
                    found.append(member)
                end = opened.offset
        except tarfile.TarError:  # the last member goes on beyond the part
            end = len(part)
        if found and not part[end:].strip(b"\0"):  # not so in a tar file that is a member
            return found
    return []
