"""How arguments of the user are read: whatever goes wrong there is a refusal that names the argument, or what is missing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from .errors import Infeasible, no_column, said, shown, typed

__all__ = [
    "MOST_VALUES",
    "as_list",
    "call_in_loop",
    "check_column",
    "check_count",
    "library",
    "reading",
    "reading_file",
]

MOST_VALUES = 1 << 32  # of a column or a list: the samples of groups are numbered by 32 bits
_MOST_LISTED = 1 << 20
Result = TypeVar("Result")


@contextmanager
def reading(value: Any, called: str, way_out: str) -> Iterator[None]:
    """Read an argument by the code of another library, whose errors become a refusal that names the argument.

    It holds nothing but the reading: errors of what is done afterwards, and of the user's own functions, stay as they are.

    Example:
        >>> with reading("x", "size", "pass size as a number"):
        ...     float("x")
        Traceback (most recent call last):
        ...
        batchwright.errors.Infeasible: size is 'x', of type str (ValueError: could not convert string to float: 'x'); pass...
    """
    try:
        yield
    except Infeasible:
        raise
    except Exception as error:
        raise Infeasible(f"{called} is {shown(value)}, {typed(value)} ({said(error)})", way_out) from error


@contextmanager
def reading_file(
    path: Any, way_out: str = "write the file again", errors: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """Read a file by the code of another library, whose errors become a refusal that names the file.

    Args:
        path: its path or URL.
        way_out: what to do if it cannot be read.
        errors: those that mean so; each library raises errors of its own for files that are damaged.

    Example:
        >>> with reading_file("a.json"):
        ...     int("x")
        Traceback (most recent call last):
        ...
        batchwright.errors.Infeasible: 'a.json' cannot be read: ValueError: invalid literal for int() with base 10: 'x'; w...
    """
    try:
        yield
    except Infeasible:
        raise
    except errors as error:
        raise Infeasible(f"{shown(str(path))} cannot be read: {said(error)}", way_out) from None


def check_column(of: str, name: Any, names: Iterable[Any]) -> None:
    """Refuse the name of a column that a file does not have, or has more than once.

    Args:
        of: the file, in words.
        name: the column that was named.
        names: the columns that there are.

    Example:
        >>> check_column("a.csv", "class", ["class", "text"])
    """
    known = list(names)
    if name not in known:
        raise no_column(of, name, known)
    if known.count(name) > 1:
        raise Infeasible(
            f"{of} has {known.count(name)} columns {shown(name)}", "write the file again, every column by another name"
        )


def check_count(values: Any, called: str) -> None:
    """Check that what is going to be walked through has an end that can be reached.

    Raises:
        Infeasible: it says that it has more than 2^32 items.

    Example:
        >>> check_count([1, 2], "sizes")
    """
    try:
        count = len(values)
    except OverflowError:  # a range that is longer than `len` can say
        count = sys.maxsize
    except Exception:
        return
    if count > MOST_VALUES:
        raise Infeasible(f"{called} has {count} items", f"pass {called} of at most {MOST_VALUES} items")


def as_list(values: Iterable[Any], called: str, *, most: int = _MOST_LISTED) -> list[Any]:
    """A list of an argument that has few items, such as names; what never ends is refused, and not waited for.

    Raises:
        Infeasible: there are more than `most` items, 2^20 if it is left out.

    Example:
        >>> as_list(range(3), "names")
        [0, 1, 2]
    """
    check_count(values, called)
    found = list(islice(values, most + 1))
    if len(found) > most:
        raise Infeasible(f"{called} has more than {most} items", f"pass {called} of at most as many")
    return found


def library(module: str, needed_by: str, *, install: str | None = None, or_else: str = "") -> Any:
    """A module of a library that only some calls need.

    Args:
        module: its name.
        needed_by: what needs it, in words.
        install: what pip installs, if it is not the library's own name.
        or_else: what else may be done, for the way out.

    Raises:
        Infeasible: the library is not installed.

    Example:
        >>> library("json.decoder", "a recipe").JSONDecoder.__name__
        'JSONDecoder'
    """
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
        return importlib.import_module(module)
    except ImportError:
        way_out = f"run pip install {install or package}{or_else}"
        raise Infeasible(f"{needed_by} needs {package}, which is not installed", way_out) from None


def call_in_loop(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a user's function; a `StopIteration` in it is an error, as a loop would take it for its end.

    Raises:
        RuntimeError: the function raised `StopIteration`.

    Example:
        >>> call_in_loop(next, iter([]))
        Traceback (most recent call last):
        ...
        RuntimeError: next raised StopIteration
    """
    try:
        return function(*arguments)
    except StopIteration as error:
        raise RuntimeError(f"{getattr(function, '__name__', 'the function')} raised StopIteration") from error
