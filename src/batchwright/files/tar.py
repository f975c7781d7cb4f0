"""Reads the samples of tar shards by webdataset's rules: members whose names are alike up to the first dot make one."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = ["names_of_shard", "rows_of_shard", "sample_of"]

_OWN = ("key", "bytes")  # columns that every shard has
# Members that hold one value as text.
_TEXT = frozenset({"cls", "cls2", "index", "count", "txt", "text", "id", "label"})
_PARTS = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)$")
_NOTES = re.compile(r"__[^/]*__($|/)")


def rows_of_shard(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The samples of a shard, in their order: of each the chosen columns; None for one that it lacks.

    Only the headers of the members are read, and of those members that hold a chosen column their content.
    """
    texts = [name for name in names if name in _TEXT]
    fields = [name for name in names if name not in _TEXT and name not in _OWN]
    row: dict[str, Any] = {}
    sample = ""
    with tarfile.open(path, "r:") as opened:
        for member in opened:
            found = sample_of(member)
            if found is None:
                continue
            if row and found[0] != sample:
                yield {name: row.get(name) for name in names}
                row = {}
            sample, ending = found
            row = row or {"key": str(PurePosixPath(sample)), "bytes": 0}
            row["bytes"] += member.size
            wanted = ending in texts or (fields and ending == "json")
            content = opened.extractfile(member) if wanted else None
            if content is not None and ending == "json":
                held = json.loads(content.read())
                row |= {name: held[name] for name in fields if name in held}
            elif content is not None:
                row[ending] = content.read().decode().strip()
    if row:
        yield {name: row.get(name) for name in names}


def names_of_shard(path: Path) -> list[str]:
    """The columns of a shard, by its first sample: key, bytes, members that hold a value as text, fields of its JSON."""
    names, first = list(_OWN), None
    with tarfile.open(path, "r:") as opened:
        for member in opened:
            found = sample_of(member)
            if found is None:
                continue
            sample, ending = found
            first = first if first is not None else sample
            if sample != first:
                break
            if ending in _TEXT:
                names.append(ending)
            content = opened.extractfile(member) if ending == "json" else None
            if content is not None:
                names += json.loads(content.read())
    return names


def sample_of(member: tarfile.TarInfo) -> tuple[str, str] | None:
    """The sample that a member belongs to and its ending, by webdataset's rules; None if it belongs to none.

    That is what comes before and after the first dot of its name; the ending in small letters. A member without a dot is
    of no sample, nor are webdataset's own notes, in a file or a folder whose name is in double underscores.

    Example:
        >>> sample_of(tarfile.TarInfo("cats/7.seg.PNG")), sample_of(tarfile.TarInfo("__meta__/7.json"))
        (('cats/7', 'seg.png'), None)
    """
    found = _PARTS.match(member.name)
    if found is None or not member.isreg() or _NOTES.match(member.name):
        return None
    return found[1], found[2].lower()
