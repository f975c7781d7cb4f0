"""What a loop over a loader moves, so that batches can be read beside it and all put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

__all__ = ["Moved", "put_back"]


class Moved(NamedTuple):
    """An object whose attributes say where a loop is.

    Attributes:
        part: the object.
        without: names of attributes that belong to the loop that is under way, such as its workers and who is told of its
            batches; a loop beside it begins with None there.
    """

    part: Any
    without: tuple[str, ...] = ()


@contextmanager
def put_back(moved: list[Moved]) -> Iterator[None]:
    """Within this context, these objects may be moved; behind it, they are where they were."""
    kept = [(one, dict(vars(one.part))) for one in moved]
    try:
        for one in moved:
            vars(one.part).update(dict.fromkeys(one.without))
        yield
    finally:
        for one, values in kept:
            vars(one.part).update(values)
            for name in vars(one.part).keys() - values.keys():
                del vars(one.part)[name]
