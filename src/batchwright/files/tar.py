"""Reads the samples of tar shards: members whose names are alike up to the first dot are one sample."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = ["names_of_shard", "rows_of_shard"]

_OWN = ("key", "bytes")  # columns that every shard has
# Members that hold one value as text.
_TEXT = frozenset({"cls", "cls2", "index", "count", "txt", "text", "id", "label"})


def rows_of_shard(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The samples of a shard, in their order: of each the chosen columns; None for one that it lacks.

    Only the headers of the members are read, and of those members that hold a chosen column their content.
    """
    texts = [name for name in names if name in _TEXT]
    fields = [name for name in names if name not in _TEXT and name not in _OWN]
    row: dict[str, Any] = {}
    with tarfile.open(path, "r:") as opened:
        for member in opened:
            if not member.isfile():
                continue
            key, ending = _split(member.name)
            if row and row["key"] != key:
                yield {name: row.get(name) for name in names}
                row = {}
            row = row or {"key": key, "bytes": 0}
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
            if not member.isfile():
                continue
            key, ending = _split(member.name)
            first = first if first is not None else key
            if key != first:
                break
            if ending in _TEXT:
                names.append(ending)
            content = opened.extractfile(member) if ending == "json" else None
            if content is not None:
                names += json.loads(content.read())
    return names


def _split(name: str) -> tuple[str, str]:
    """The key of a member's sample, with its folder, and what follows the first dot of its name."""
    path = PurePosixPath(name)
    base, _, ending = path.name.partition(".")
    return str(path.parent / base), ending
