"""The words that declare a field, wherever it stands in a sample: what a refusal tells its reader to write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from keyword import iskeyword
from typing import Any

__all__ = ["clipped", "declaration", "listed", "noted", "typed"]

_LONGEST = 80
_MOST_NAMES = 12

_PLACES = tuple("0123456789")


def clipped(value: Any) -> str:
    """`repr(value)` in one line of bounded length; its type where it has none.

    Example:
        >>> clipped("ids"), len(clipped("x" * 10_000))
        ("'ids'", 80)
    """
    try:
        words = repr(value)
    except Exception:  # somebody's own `__repr__`
        return typed(value)
    if "\n" in words:
        words = " ".join(words.split())
    if len(words) <= _LONGEST:
        return words
    half = _LONGEST // 2
    return f"{words[: half - 2]} ... {words[-(_LONGEST - half - 3) :]}"


def typed(value: Any) -> str:
    """What a value is, for "it is ...": "None", or "a" and its type.

    Example:
        >>> typed(None), typed([])
        ('None', 'a list')
    """
    return "None" if value is None else f"a {type(value).__name__}"


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Run a user's own code: what it raises goes on as it is, with a note of which sample it was run for."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


def listed(names: Iterable[Any]) -> str:
    """The names joined by commas: a dozen, and how many more there are.

    Example:
        >>> listed("ab"), listed([]), listed(range(100))[-14:]
        ('a, b', 'none', '11 and 88 more')
    """
    written = [clipped(name) if len(str(name)) > _LONGEST else str(name) for name in names]
    more = len(written) - _MOST_NAMES
    return ", ".join(written[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "") or "none"


def declaration(path: Sequence[str], field: str) -> str:
    """What to write so that the part of a sample under `path` is declared as `field`.

    Args:
        path: the names on the way to the part, its own last.
        field: the declaration in Python.

    Example:
        >>> for path in (["ids"], ["text", "ids"], ["1"], ["input-ids"]):
        ...     print(declaration(path, "bw.ragged()"))
        declare it: ids = bw.ragged()
        declare it: text = {'ids': bw.ragged()}
        declare it: bw.Collate([None, bw.ragged()])
        declare it: bw.Collate({'input-ids': bw.ragged()})
    """
    if any(len(name) > _LONGEST for name in path):
        return f"declare the field of that name as {field}"
    for name in reversed(path[1:]):
        field = _inside(name, field)
    if path[0].isidentifier() and not iskeyword(path[0]):
        return f"declare it: {path[0]} = {field}"
    return f"declare it: bw.Collate({_inside(path[0], field)})"


def _inside(name: str, field: str) -> str:
    if name in _PLACES:
        return f"[{'None, ' * int(name)}{field}]"
    return f"{{{name!r}: {field}}}"
