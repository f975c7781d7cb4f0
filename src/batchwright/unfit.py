"""Which argument of a call is not what its annotation says; asked only after the call has failed.

So a call that works costs nothing, and what merely behaves like the annotated type is taken. A call whose arguments all fit
has failed for another reason: an error of the user's own code, or of this package. Such errors are left as they are.
"""

from __future__ import annotations

import collections.abc
import inspect
import itertools
import numbers
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from .errors import Infeasible, said, shown, typed
from .readings import check_count

__all__ = ["unfit"]

_PACKAGE = __name__.partition(".")[0]
_MOST_NUMBER = 1 << 62  # as of `check_integer`: twice as much does not fit in 64 bits
_MOST_SEED = 1 << 64  # an integer that fits is below it
_LOOKED_AT = 100  # items of a list whose types are looked at
_ANYTHING = (Any, object, inspect.Parameter.empty)
_IN_WORDS = {
    int: "an integer",
    float: "a number",
    bool: "True or False",
    str: "text",
    type(None): "None",
    collections.abc.Callable: "a function",
    collections.abc.Mapping: "a dictionary",
    dict: "a dictionary",
}
_ORDERED = (collections.abc.Sequence, list, tuple)
_LISTS = (
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
    list,
    tuple,
)


def unfit(
    function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any], error: Exception
) -> Infeasible | None:
    """The refusal of the first argument that does not fit its annotation; None if all fit, or if there are too many.

    Args:
        function: the function that was called.
        arguments: what it was called with.
        named: the same, by name.
        error: what it raised.
    """
    try:
        bound = inspect.signature(function).bind(*arguments, **named)
    except TypeError:  # too many arguments, or too few: Python's own error says it
        return None
    hints = function.__annotations__
    for name, value in bound.arguments.items():
        if name in ("self", "cls"):
            continue
        kind = bound.signature.parameters[name].kind
        values = value if kind is kind.VAR_POSITIONAL else value.values() if kind is kind.VAR_KEYWORD else [value]
        hint = _evaluated(hints.get(name, Any), function)
        for one in values:
            try:
                check_count(one, name)
            except Infeasible as refusal:
                return refusal
            if not _fits(one, hint) or _is_unusable(one):
                words = " or ".join(dict.fromkeys(_words(hint)))
                return Infeasible(f"{name} is {shown(one)}, {typed(one)} ({said(error)})", f"pass {name} as {words}")
    return None


class _Names(dict[str, Any]):
    """The names of a module, and those that it imports for type checkers alone; any other name stands for any type."""

    def __missing__(self, name: str) -> Any:
        for home, module in list(sys.modules.items()):
            if home.partition(".")[0] == _PACKAGE and name in vars(module):
                return vars(module)[name]
        return getattr(typing, name, getattr(collections.abc, name, vars(sys.modules["builtins"]).get(name, Any)))


def _evaluated(hint: Any, function: Callable[..., Any]) -> Any:
    if not isinstance(hint, str):
        return hint
    space = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return eval(hint, {}, _Names(space))
    except Exception:  # a type of a library that is not imported
        return Any


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, of a list also its first items."""
    if isinstance(hint, typing.TypeVar):
        hint = hint.__bound__ or Any
    if isinstance(hint, (str, typing.ForwardRef)) or hint in _ANYTHING:
        return True
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if origin is typing.Literal:
        return type(value) is str and value in typing.get_args(hint)
    kind = origin or hint
    if kind is type(None) or hint is None:
        return value is None
    if kind is collections.abc.Callable:
        return callable(value)
    if kind in (int, float):
        return _is_number(value, kind)
    if kind in _LISTS:
        if isinstance(value, collections.abc.Iterator):
            return kind is collections.abc.Iterable  # a list can be read twice
        if kind in _ORDERED and isinstance(value, (collections.abc.Set, collections.abc.Mapping)):
            return False
        if isinstance(value, (str, bytes, bytearray)):
            return False
        item = (*typing.get_args(hint), Any)[0]
        unseen = kind is collections.abc.Iterable and (item in _ANYTHING or isinstance(item, typing.TypeVar))
        return (unseen and _is_loader(value)) or _items_fit(value, item)
    if kind in (collections.abc.Mapping, dict):
        parts = typing.get_args(hint)
        return isinstance(value, collections.abc.Mapping) and (len(parts) < 2 or _items_fit(_values(value), parts[1]))
    if getattr(kind, "_is_protocol", False) and "__call__" in vars(kind):
        return callable(value)
    if not inspect.isclass(kind) or getattr(kind, "_is_protocol", False):
        return True
    return isinstance(value, kind)


def _is_unusable(value: Any) -> bool:
    """Whether a value fails by itself: its methods raise, its text cannot be written, its tensor is of a special kind."""
    torch = sys.modules.get("torch")  # without it there is no tensor
    if torch is not None and isinstance(value, torch.Tensor):
        return bool(value.is_nested or value.is_meta or value.is_quantized or str(value.layout) != "torch.strided")
    try:
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, int):
            return abs(value) >= _MOST_NUMBER
        repr(value), bool(value == value), hash(value)
    except (TypeError, ValueError):  # of a list, which has no hash, and of arrays, which are neither true nor false
        pass
    except Exception:
        return True
    try:
        return hasattr(value, "__len__") and len(value) < 0
    except TypeError:  # an array of no dimensions
        return False
    except Exception:
        return True


def _is_loader(value: Any) -> bool:
    """Whether it may be a loader: to walk through it would start its workers and move its run."""
    return hasattr(value, "__iter__") and (hasattr(value, "set_epoch") or not hasattr(value, "__getitem__"))


def _items_fit(value: Any, hint: Any) -> bool:
    """Whether this can be walked through, and its first items are of a type; what can be walked once only is not."""
    try:
        walk = iter(value)
        if getattr(value, "ndim", 1) == 0:  # bytes without a type, as numpy has them
            return False
        return walk is value or all(_fits(item, hint) for item in itertools.islice(walk, _LOOKED_AT))
    except Exception:  # it says that it is a list, and cannot be read
        return False


def _values(mapping: Any) -> list[Any]:
    return [mapping[key] for key in itertools.islice(mapping, _LOOKED_AT)]


def _is_number(value: Any, kind: Any) -> bool:
    if isinstance(value, (bool, str)):
        return False
    try:
        if kind is int:
            return isinstance(value, numbers.Integral) and abs(int(value)) < _MOST_SEED
        return isinstance(value, numbers.Real) and bool(value == value)
    except Exception:  # an object whose methods raise is no number either
        return False


def _words(hint: Any) -> Iterator[str]:
    """What a type is called in a way out."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        for part in typing.get_args(hint):
            yield from _words(part)
    elif origin is typing.Literal:
        yield from map(repr, typing.get_args(hint))
    else:
        kind = type(None) if hint is None else origin or hint
        name = getattr(kind, "__name__", str(kind))
        yield _IN_WORDS.get(kind) or ("a list" if kind in _LISTS else "a path" if name == "PathLike" else f"a {name}")
