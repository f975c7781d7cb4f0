"""What a stream is made of, as text in its state: its arguments, and what its sources hold; says what differs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any

from ..errors import shown

__all__ = [
    "argument",
    "arguments_of",
    "contents_of",
    "differences",
    "differing_accounts",
    "of_iterable",
    "of_shards",
    "of_webdataset",
    "written",
]

_LONGEST = 200  # characters of an argument; of a longer one, a digest stands in the state
_MOST_NAMES = 1000  # files that a state names; of more it has the number, the sum of the sizes and a digest
_NUMBERS = (int, float, str)
_OWN_ACCOUNT = "by its own account"


def argument(value: Any) -> Any:
    """An argument as JSON: a number, or a short text."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 4]}... ({_digest(text)})"


def arguments_of(source: Any) -> Any:
    """What the order of the samples of a source depends on; None for a user's own class."""
    arguments = getattr(source, "arguments", None)
    return None if arguments is None else arguments()


def contents_of(source: Any) -> Any:
    """What a source holds, as far as that is known without reading it."""
    contents = getattr(source, "contents", None)
    return None if contents is None else contents()


def written(value: Any) -> str:
    """Arguments or contents as text."""
    return json.dumps(value, separators=(",", ":"), default=str)


def of_shards(shards: Sequence[Any], amounts: Sequence[int], unit: str) -> dict[str, Any]:
    """What shards hold: the names and sizes of their files, from the folder of all on.

    Args:
        shards: the value of each: a file, a path, a number, or a tuple that begins with one of these.
        amounts: the size of each; empty if sizes are not known.
        unit: what sizes count, such as "rows".
    """
    parts = [shard if isinstance(shard, tuple) else (shard,) for shard in shards]
    paths = [_path(part[0]) for part in parts]
    known = [path for path in paths if path is not None]
    names = _relative(known) if len(known) == len(paths) else None
    begin = 0 if names is None else 1
    rests = [[one if type(one) in _NUMBERS else "" for one in part[begin:]] for part in parts]
    sizes = list(amounts) if amounts else [0] * len(parts)
    files: dict[str, int] = {}
    for name, size in zip(names or (), sizes, strict=names is not None):
        files[name] = files.get(name, 0) + size
    return {
        "what": "shards" if names is None else "files",
        "count": len(parts) if names is None else len(files),
        "unit": unit if amounts else "",
        "total": sum(sizes),
        "names": files if 0 < len(files) <= _MOST_NAMES else None,
        "shards": len(parts),
        "digest": _digest(repr((names, rests, sizes))),
    }


def of_iterable(iterable: Any) -> dict[str, Any] | None:
    """How many samples and shards an iterable says it has; None if it says nothing.

    It may count otherwise in another epoch, so a difference is no proof that it has changed.
    """
    said: dict[str, int] = {}
    with suppress(Exception):  # most have no length; some have one that raises
        said["samples"] = len(iterable)
    shards = getattr(iterable, "num_shards", None)
    if type(shards) is not int:
        listed_shards = getattr(iterable, "shards", None)
        shards = len(listed_shards) if isinstance(listed_shards, (list, tuple)) else None
    if shards is not None:
        said["shards"] = shards
    return {"what": _OWN_ACCOUNT, "names": said} if said else None


def of_webdataset(pipeline: Any) -> dict[str, Any] | None:
    """The files that a WebDataset pipeline names; None if it makes their names while it reads."""
    urls = next((stage.urls for stage in pipeline.pipeline if isinstance(getattr(stage, "urls", None), list)), None)
    return of_shards(urls, (), "") if urls else None


def _path(value: Any) -> str | None:
    path = getattr(value, "path", value)
    return os.fspath(path) if isinstance(path, (str, PurePath)) else None


def _relative(paths: Sequence[str]) -> list[str]:
    """Paths from the folder on that all are in."""
    split = [path.replace(os.sep, "/").split("/") for path in paths]
    first, last = min(split), max(split)
    common = 0
    most = min(map(len, split)) - 1
    while common < most and first[common] == last[common]:
        common += 1
    return ["/".join(parts[common:]) for parts in split]


def differences(was: str, now: str, *, of_contents: bool) -> list[str]:
    """What differs between two texts that `written` made."""
    before, after = json.loads(was), json.loads(now)
    return list((_contents if of_contents else _arguments)(before, after, ""))


def differing_accounts(was: str, now: str) -> list[str]:
    """What the user's iterables say otherwise of themselves in two texts of contents; they may be right both times."""
    return list(_accounts(json.loads(was), json.loads(now), ""))


def _accounts(was: Any, now: Any, name: str) -> Iterator[str]:
    if isinstance(was, Mapping) and isinstance(now, Mapping) and "sources" in was and "sources" in now:
        for source in was["sources"]:
            yield from _accounts(was["sources"][source], now["sources"].get(source), source)
    elif _is_own_account(was) and _is_own_account(now):
        for what in was["names"]:
            if now["names"].get(what, was["names"][what]) != was["names"][what]:
                yield f"source {shown(name)} says it has {now['names'][what]:,} {what}, it said {was['names'][what]:,}"


def _is_own_account(held: Any) -> bool:
    return isinstance(held, Mapping) and held.get("what") == _OWN_ACCOUNT


def _arguments(was: Any, now: Any, where: str) -> Iterator[str]:
    if not isinstance(was, Mapping) or not isinstance(now, Mapping):
        yield f"source{where} is of another kind"
        return
    if was.get("kind") != now.get("kind"):
        yield f"{f'source{where}' if where else 'it'} was {was.get('kind')} and is {now.get('kind')}"
        return
    found = False
    for name in dict.fromkeys([*was, *now]):
        if name == "sources":
            for source in dict.fromkeys([*was[name], *now[name]]):
                before, after = was[name].get(source, _NONE), now[name].get(source, _NONE)
                if _NONE in (before, after):
                    found = True
                    yield f"source {shown(source)} is {'new' if before == _NONE else 'missing'}"
                elif before != after:
                    found = True
                    yield from _arguments(before, after, f" {shown(source)}")
        elif was.get(name) != now.get(name):
            found = True
            of = f" of source{where}" if where else ""
            yield f"{name}{of} was {shown(was.get(name))} and is {shown(now.get(name))}"
    if not found:
        yield "the sources are in another order"


_NONE = "none"


def _contents(was: Any, now: Any, name: str) -> Iterator[str]:
    """What differs in what a source holds; `name` is the source."""
    if was == now or None in (was, now) or (_is_own_account(was) and _is_own_account(now)):
        return
    if isinstance(was, Mapping) and isinstance(now, Mapping) and "sources" in was and "sources" in now:
        for source in was["sources"]:
            yield from _contents(was["sources"][source], now["sources"].get(source), source)
        return
    if not all(isinstance(held, Mapping) and "names" in held for held in (was, now)):  # of a source of the user's own
        yield f"source {shown(name)} holds {shown(now)}, it held {shown(was)}"
        return
    if was["what"] != now["what"]:
        yield f"source {shown(name)} is of another kind"
        return
    before, after = was["names"], now["names"]
    found = False
    if before is not None and after is not None:
        for file in dict.fromkeys([*before, *after]):
            if before.get(file) != after.get(file):
                found = True
                yield f"{_of_file(file, before.get(file), after.get(file), was['unit'])} (source {shown(name)})"
    if not found and _amount(was) != _amount(now):
        found = True
        yield f"source {shown(name)} has {_amount(now)}, it had {_amount(was)}"
    if not found:
        yield f"the {was['what']} of source {shown(name)} have other names, sizes or another order"


def _of_file(file: str, before: int | None, after: int | None, unit: str) -> str:
    if before is None or after is None:
        return f"file {shown(file)} is {'new' if before is None else 'missing'}"
    return f"file {shown(file)} has {after:,} {unit}, it had {before:,}"


def _amount(held: Mapping[str, Any]) -> str:
    of_unit = f" with {held['total']:,} {held['unit']}" if held["unit"] else ""
    shards = f" in {held['shards']:,} shards" if held["what"] == "files" else ""
    return f"{held['count']:,} {held['what']}{of_unit}{shards}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()
