"""The error and the warning of this package, and checks of arguments."""

from __future__ import annotations

import math
import operator
import reprlib
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from numbers import Real
from typing import Any, TypeVar

__all__ = [
    "NOT_THE_USER", "Infeasible", "PoorWarning", "check_bool", "check_integer", "check_mapping", "check_number",
    "did_you_mean", "empty_dataset", "escaped", "exactly", "listed", "no_column", "noted", "one_of", "refused_of", "said",
    "seed_number", "shortened", "shown", "suggestion", "typed", "warn",
]  # fmt: skip

_LONGEST = 600  # characters of a fact, of a way out and of a warning: about seven lines of a terminal
_MOST = 1 << 62  # the default limit of integer arguments: larger numbers could overflow 64 bits in sums
Word = TypeVar("Word", bound=str)

# packages whose lines a warning does not point at: this one, and what calls it in its own name
NOT_THE_USER = frozenset({__name__.partition(".")[0], "abc", "contextlib", "copy", "dataclasses", "functools"})

_LONGEST_VALUE = 120  # characters of one value that a message shows
_MOST_NAMES = 12
_MOST_COMPARED = 1000  # names that a misspelt one is compared with


class Infeasible(ValueError):
    """The arguments cannot be satisfied; the message gives the fact, the numbers and a way out.

    Args:
        fact: what is wrong, with the numbers that show it and the user's names for things.
        way_out: what to pass instead. It is empty only if torch builds the error again in the main process, from the
            message of a loader's worker.

    Example:
        >>> raise Infeasible("batch_size is 0, the least is 1", "pass batch_size=1 or more")
        Traceback (most recent call last):
        ...
        batchwright.errors.Infeasible: batch_size is 0, the least is 1; pass batch_size=1 or more.
    """

    def __init__(self, fact: str, way_out: str = "") -> None:
        if way_out:  # without: torch passes a worker's traceback, which must not be shortened
            fact, way_out = _cut(fact, _LONGEST), _cut(way_out, _LONGEST)
        super().__init__(fact, way_out)
        self.fact = fact
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.fact}; {self.way_out}." if self.way_out else self.fact


class PoorWarning(UserWarning):
    """The arguments can be satisfied, but at a cost; the message says which."""

    def __init__(self, message: str) -> None:
        super().__init__(_cut(message, _LONGEST))


def warn(*texts: str) -> None:
    """Give a `PoorWarning` for each text, at the line of the user's code that called this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in NOT_THE_USER:
        level, frame = level + 1, frame.f_back
    for text in texts:
        warnings.warn(text, PoorWarning, stacklevel=level)


def _cut(text: str, longest: int) -> str:
    """Shorten a text to `longest` characters: of a longer one, its beginning and its end."""
    if len(text) <= longest:
        return text
    said = f" ... ({len(text)} characters in all) ... "
    head = (longest - len(said)) * 2 // 3
    return text[:head] + said + text[len(text) - (longest - len(said) - head) :]


class _Short(reprlib.Repr):
    """A `repr` that reads only the first items of a container: a list of labels may have a hundred million."""

    maxlevel = 4
    maxlist = maxtuple = maxdict = maxset = maxfrozenset = maxdeque = maxarray = 40

    def repr_str(self, x: str, level: int) -> str:
        return repr(x[: 2 * _LONGEST_VALUE]) if len(x) <= 2 * _LONGEST_VALUE else _cut(repr(x), _LONGEST_VALUE)

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() <= _LONGEST_VALUE:
            return str(x)
        return f"a {'negative ' if x < 0 else ''}number of {x.bit_length()} bits"

    def repr_instance(self, x: Any, level: int) -> str:
        try:
            text = repr(x)
        except Exception:  # the `__repr__` of a user's class may raise anything
            return f"a {type(x).__name__}"
        return _cut(" ".join(text.split()) if "\n" in text else text, _LONGEST_VALUE)


def shown(value: Any) -> str:
    """The `repr` of a value for a message, of bounded length; its type if `repr` fails.

    Example:
        >>> shown("a"), len(shown("a" * 10**6)), shown(10**5000)
        ("'a'", 120, 'a number of 16610 bits')
    """
    return _cut(_Short().repr(value), _LONGEST_VALUE)


def shortened(name: Any) -> str:
    """A name given by the user, of bounded length.

    Example:
        >>> shortened("web"), len(shortened("x" * 10_000))
        ('web', 120)
    """
    try:
        return _cut(str(name), _LONGEST_VALUE)
    except Exception:  # a user's class of text may raise anything
        return f"a {type(name).__name__}"


def escaped(text: str) -> str:
    r"""A text that is one line of a terminal: its control characters are written as `repr` writes them.

    Example:
        >>> print(escaped("\x1b[31mred\n"))
        \x1b[31mred\n
    """
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def listed(names: Iterable[Any]) -> str:
    """Join names by commas: the first twelve, and how many more there are.

    Example:
        >>> listed("ab"), listed([]), listed(range(100))[-14:]
        ('a, b', 'none', '11 and 88 more')
    """
    written = [escaped(shortened(name)) for name in names]
    more = len(written) - _MOST_NAMES
    return ", ".join(written[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "") or "none"


def said(error: BaseException) -> str:
    """The type of an error and its message, in one line of bounded length."""
    return f"{type(error).__name__}: {_cut(' '.join(str(error).split()), _LONGEST // 2)}".rstrip(": ")


def exactly(number: Any) -> str:
    """A number with all its digits: an integer if it is one, else the shortest text that is read as the same float.

    Of an integer that float64 cannot hold, only the size is shown.

    Example:
        >>> exactly(1234567.0), exactly(0.1), exactly(float("inf"))
        ('1234567', '0.1', 'inf')
    """
    try:
        plain = float(number) if not isinstance(number, int) else number
        finite = math.isfinite(plain)
    except OverflowError:
        return shown(int(number))
    return str(int(plain)) if finite and plain == int(plain) and abs(plain) < 1e16 else repr(plain)


def typed(value: Any) -> str:
    """The type of a value, for messages: "None", or "of type" and the name of its type.

    Example:
        >>> typed(None), typed([])
        ('None', 'of type list')
    """
    return "None" if value is None else f"of type {type(value).__name__}"


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Run code of the user: its exceptions get a note that says where it was called.

    Example:
        >>> try:
        ...     with noted("while sample 3 was read"):
        ...         {}["x"]
        ... except KeyError as error:
        ...     print(repr(error), error.__notes__)
        KeyError('x') ['while sample 3 was read']
    """
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


@contextmanager
def refused_of(part: str) -> Iterator[None]:
    """Put the name of a part of the arguments before what is refused of it.

    Example:
        >>> with refused_of("source 'web'"):
        ...     raise Infeasible("a size is 0", "pass 1 or more")
        Traceback (most recent call last):
        ...
        batchwright.errors.Infeasible: source 'web': a size is 0; pass 1 or more.
    """
    try:
        yield
    except Infeasible as error:
        raise Infeasible(f"{part}: {error.fact}", error.way_out) from None


def check_integer(value: Any, called: str, *, least: int | None = None, most: int | None = _MOST) -> int:
    """Check an integer argument: a Python `int`, from any integer type but booleans.

    Raises:
        Infeasible: it is not a whole number, below the least or above the most; the message has the argument's name.

    Example:
        >>> check_integer(3, "seed", least=0)
        3
    """
    try:
        if _is_truth(value):  # booleans are integers to Python and torch: batch_size=True would mean 1
            raise TypeError
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # no integer; no value on a meta device
        raise Infeasible(f"{called} is {shown(value)}, not a whole number", f"pass {called} as an integer") from None
    if least is not None and number < least:
        raise Infeasible(f"{called} is {shown(number)}, the least is {least}", f"pass {called}={least} or more")
    if most is not None and number > most:
        raise Infeasible(f"{called} is {shown(number)}, the most is {most}", f"pass {called}={most} or less")
    return number


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool")


def seed_number(seed: Any) -> int:
    """Check a seed; every function with a seed does it here.

    Raises:
        Infeasible: it is no whole number from 0 to 2^64 - 1.

    Example:
        >>> seed_number(7)
        7
    """
    return check_integer(seed, "seed", least=0, most=(1 << 64) - 1)


def check_number(value: Any, called: str, *, or_infinite: bool = False) -> Any:
    """Check a finite number; of a tensor or an array with one value, that value is taken.

    Args:
        value: what was passed.
        called: the argument's name.
        or_infinite: whether positive infinity is allowed, which for a limit means no limit.

    Raises:
        Infeasible: it is something else; the message has the argument's name.

    Example:
        >>> check_number(0.3, "share"), check_number(2, "share")
        (0.3, 2)
    """
    try:
        number = value.item() if hasattr(value, "item") else value
        if not isinstance(number, (Real, Decimal)):  # a scalar of Arrow converts itself, and is no number afterwards
            raise TypeError
        if not _is_truth(value) and (math.isfinite(number) or (or_infinite and number == math.inf)):
            return number
    except (TypeError, ValueError, OverflowError, RuntimeError):  # text, None, many values, no values on a meta device
        pass
    what, more = ("number", ", or inf for no limit") if or_infinite else ("finite number", "")
    raise Infeasible(f"{called} is {shown(value)}, not a {what}", f"pass {called} as a finite number{more}")


def check_bool(value: Any, called: str) -> bool:
    """Check a boolean argument; other values that Python treats as true or false are refused.

    Raises:
        Infeasible: it is something else; the message has the argument's name.

    Example:
        >>> check_bool(True, "distinct")
        True
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise Infeasible(f"{called} is {shown(value)}, neither True nor False", f"pass {called}=True or {called}=False")
    return bool(value)


def one_of(value: Any, called: str, choices: Sequence[Word], *, or_else: str = "") -> Word:
    """Check an argument that must be one of a few words.

    Args:
        value: what was passed.
        called: the argument's name.
        choices: the words.
        or_else: what else may be passed, for the way out.

    Raises:
        Infeasible: it is something else; the message has the argument's name and the words.

    Example:
        >>> one_of("exact", "draw", ("exact", "random"))
        'exact'
    """
    for choice in choices if isinstance(value, str) else ():  # only text: an array would be compared element by element
        if value == choice:
            return choice
    *others, last = [*map(repr, choices), *([or_else] if or_else else [])]
    way_out = f"pass {', '.join(others)} or {last}" if others else f"pass {last}"
    raise Infeasible(f"{called} is {shown(value)}", way_out + did_you_mean(value, choices))


def suggestion(name: Any, names: Iterable[Any]) -> str:
    """What a misspelt name may have meant, as a question; empty if no name is near.

    Example:
        >>> suggestion("unifrom", ["natural", "uniform"]), suggestion("x", ["natural"])
        ("did you mean 'uniform'?", '')
    """
    if not isinstance(name, str):
        return ""
    from difflib import get_close_matches  # only where something is refused

    known = [one for one, _ in zip((one for one in names if isinstance(one, str)), range(_MOST_COMPARED), strict=False)]
    near = get_close_matches(name[:_LONGEST_VALUE], known, 1)
    return f"did you mean {shown(near[0])}?" if near else ""


def did_you_mean(name: Any, names: Iterable[Any]) -> str:
    """`suggestion` as the end of a way out.

    Example:
        >>> did_you_mean("unifrom", ["natural", "uniform"]), did_you_mean("x", ["natural"])
        (" (did you mean 'uniform'?)", '')
    """
    asked = suggestion(name, names)
    return f" ({asked})" if asked else ""


def empty_dataset(why: str) -> Infeasible:
    """The error for a dataset without samples.

    Example:
        >>> str(empty_dataset("0 labels"))
        'the dataset is empty: 0 labels; pass at least one sample.'
    """
    return Infeasible(f"the dataset is empty: {why}", "pass at least one sample")


def no_column(of: str, name: Any, names: Iterable[Any], *, or_else: str = "") -> Infeasible:
    """The error for a column that a file or a table does not have.

    Args:
        of: what has columns, in words.
        name: the column that was named.
        names: the columns that there are.
        or_else: what else may be done, for the way out.

    Example:
        >>> no_column("the index", "clas", ["class", "text"]).fact
        "the index has no column 'clas', it has class, text"
    """
    known = list(names)
    fact = f"{of} has no column {shown(name)}, it has {listed(known)}"
    return Infeasible(fact, f"pass one of these names{did_you_mean(name, known)}{or_else}")


def check_mapping(parts: Any, called: str) -> Mapping[Any, Any]:
    """Check a mapping argument, which must have at least one entry.

    Raises:
        Infeasible: it is no mapping, or an empty one; the message has the argument's name.

    Example:
        >>> check_mapping({"web": 100}, "sources")
        {'web': 100}
    """
    if not isinstance(parts, Mapping):
        raise Infeasible(f"{called} is {typed(parts)}", f"pass {called} by name, as a dictionary")
    if not parts:
        raise Infeasible(f"{called} has 0 entries", "pass one at least")
    return parts
