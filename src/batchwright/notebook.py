"""A bar of progress in notebooks, for what takes over a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

__all__ = ["watched"]

_PATIENCE = 1.0  # seconds before the bar is shown
_EVERY = 0.1  # seconds between two changes of it
Piece = TypeVar("Piece")


def watched(pieces: Iterable[Piece], what: str, count: int | None = None) -> Iterator[Piece]:
    """Yield the pieces; in a notebook, show a bar of progress after the first second, and remove it at the end.

    Args:
        pieces: what is yielded.
        what: what the caller does with them, in a few words.
        count: how many there are; None if that is not known.
    """
    display = _display_of_notebook()
    if display is None:
        yield from pieces
        return
    began = changed = time.monotonic()
    shown: Any = None
    for number, piece in enumerate(pieces):
        yield piece
        now = time.monotonic()
        if now - began > _PATIENCE and now - changed > _EVERY:
            changed, bar = now, _Bar(what, number + 1, count)
            if shown is None:
                shown = display(bar, display_id=True)
            else:
                shown.update(bar)
    if shown is not None:
        shown.update(_Bar("", 0, 0))


class _Bar:
    """One state of the bar."""

    def __init__(self, what: str, done: int, count: int | None) -> None:
        self._what, self._done, self._count = what, done, count

    def __repr__(self) -> str:
        of = "" if self._count is None else f" of {self._count:,}"
        return f"{self._what}: {self._done:,}{of}" if self._what else ""

    def _repr_html_(self) -> str:
        if not self._what:
            return ""
        place = "" if self._count is None else f' value="{self._done}" max="{self._count}"'
        return f"<progress{place}></progress> {self!r}"


def _display_of_notebook() -> Any:
    """The function that shows a value in a notebook; None elsewhere, also in IPython on a terminal."""
    shell = sys.modules.get("IPython")  # in a notebook it has long been imported
    running = None if shell is None else shell.get_ipython()
    if running is None or not hasattr(running, "kernel"):
        return None
    from IPython.display import display

    return display
