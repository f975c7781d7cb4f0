"""What messages say of values that may be of any size: enough to know them by, and no more."""

from __future__ import annotations

import reprlib
from typing import Any

__all__ = ["brief", "called", "said"]

_MOST = 100  # characters of a value or a name
_SAID = 300  # of what an error says

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _MOST
_short.maxlong = _MOST
_short.maxlevel = 3


def brief(value: Any) -> str:
    """A value as Python writes it, its middle left out where that is long."""
    return _cut(_short.repr(value), _MOST)


def called(name: Any) -> str:
    """A name that a user gave, its middle left out where it is long."""
    return _cut(str(name), _MOST)


def said(error: BaseException) -> str:
    """The type of an error and what it says, in one line."""
    return f"{type(error).__name__}: {_cut(' '.join(str(error).split()), _SAID)}".rstrip(": ")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-(most // 2) :]}"
