"""The text of a declaration, for messages: what to write so that a field is declared."""

from __future__ import annotations

from collections.abc import Sequence
from keyword import iskeyword

__all__ = ["declaration"]

_LONGEST = 80  # characters of a name in a message
_PLACES = tuple("0123456789")


def declaration(path: Sequence[str], field: str) -> str:
    """The text that declares the part of a sample under `path` as `field`.

    Args:
        path: the names of the containers of the part, then its own.
        field: the declaration as Python code.

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
