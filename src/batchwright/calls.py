"""Remembers how a plan or a target was made: as JSON values, if its arguments can be written down, and of which objects."""

from __future__ import annotations

import functools
import inspect
import math
import sys
import weakref
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from .errors import said, shown, typed
from .files import Column
from .inputs.values import is_tensor

__all__ = ["MOST_VALUES", "Call", "as_written", "call_of", "made_of", "parts_of", "recorded", "recorded_counting"]

MOST_VALUES = 4096  # of one argument that are written down; more belong into a file
_PLAIN = frozenset({bool, int, str, type(None)})  # the types that JSON has, of any value
Params = ParamSpec("Params")
Made = TypeVar("Made")


class Call(NamedTuple):
    """A call of a builder or of a target, as it stands in a recipe.

    Attributes:
        name: the name of the function.
        arguments: the arguments as JSON values, by name.
        unwritten: why the call cannot be written down; empty if it can.
        step_size: the step size of the plan that was made; 1 for a target.
    """

    name: str
    arguments: dict[str, Any]
    unwritten: str = ""
    step_size: int = 1


class _Objects:
    """Weak references to objects, for each source those of its parts; a copy in another process has none.

    A source that is a plan has those of that plan, which may be gone sooner than what it was made of.
    """

    def __init__(self, sources: tuple[Any, ...] = ()) -> None:
        self.references = [_references(source) for source in sources]

    def __reduce__(self) -> tuple[type[_Objects], tuple[()]]:
        return _Objects, ()


def _references(source: Any) -> list[weakref.ref[Any] | None]:
    held = getattr(source, "_objects", None)
    if isinstance(held, _Objects):
        return [reference for references in held.references for reference in references]
    return [weakref.ref(part) if hasattr(type(part), "__weakref__") else None for part in parts_of(source)]


class _UnwritableError(Exception):
    """An argument that a recipe cannot hold; the message says which."""


def recorded(function: Callable[Params, Made], *, counted: str = "") -> Callable[Params, Made]:
    """Let a builder remember its call with what it made. The arguments are written down at once, never kept.

    Args:
        function: the builder.
        counted: the argument that may be a data set of which only the length counts; it is written as a number.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def record(*arguments: Params.args, **named: Params.kwargs) -> Made:
        made, bound = function(*arguments, **named), signature.bind(*arguments, **named)
        vars(made)["_call"] = _call(function.__name__, bound, counted)._replace(step_size=getattr(made, "step_size", 1))
        first = next(iter(bound.arguments.values()), None)
        vars(made)["_objects"] = _Objects(tuple(first.values()) if isinstance(first, Mapping) else (first,))
        return made

    return record


def recorded_counting(function: Callable[Params, Made]) -> Callable[Params, Made]:
    """`recorded` for a builder whose `samples` may be a data set of which only the length counts."""
    return recorded(function, counted="samples")


def call_of(made: Any) -> Call | None:
    """The call that made a plan or a target; None if there was no such call, or if shares of the plan were set later."""
    found = getattr(made, "_call", None)
    return found if isinstance(found, Call) and not getattr(made, "set_shares", ()) else None


def as_written(made: Any, call: Call) -> dict[str, Any]:
    """The arguments of the call that made a plan or a target, and the n of `stepped(n)` if that was called later."""
    step_size = getattr(made, "step_size", call.step_size)
    return {"arguments": call.arguments} | ({"stepped": step_size} if step_size != call.step_size else {})


def made_of(made: Any) -> list[list[Any]]:
    """What a plan was made of, for each source or task: its data sets or labels, None for one that is gone.

    They are more than one where a source was a `ConcatDataset`, or a plan that was made of several.
    """
    held = getattr(made, "_objects", None)
    if not isinstance(held, _Objects):
        return []
    return [[None if one is None else one() for one in references] for references in held.references]


def parts_of(dataset: Any) -> list[Any]:
    """The parts of a `ConcatDataset`, through those that are ones themselves; of anything else, itself alone."""
    data = sys.modules.get("torch.utils.data")  # not imported for it: if it was not, this is none
    if data is None or not isinstance(dataset, data.ConcatDataset):
        return [dataset]
    return [part for own in dataset.datasets for part in parts_of(own)]


def _call(name: str, bound: inspect.BoundArguments, counted: str) -> Call:
    written = {}
    try:
        for parameter, value in bound.arguments.items():
            if value is None or parameter == "cls":  # None is always the default
                continue
            # An array without dimensions has no length: it is a number.
            if parameter == counted and hasattr(value, "__len__") and getattr(value, "shape", True):
                value = len(value)
            if (
                isinstance(value, tuple)
                and bound.signature.parameters[parameter].kind is inspect.Parameter.VAR_POSITIONAL
            ):
                value = list(value)
            written[parameter] = _written(value, parameter, [MOST_VALUES])
    except _UnwritableError as error:
        return Call(name, {}, str(error))
    return Call(name, written)


def _written(value: Any, called: str, left: list[int]) -> Any:
    """A value as JSON. What is no number, text or list is an object with one key that says what it is.

    Args:
        value: what was passed.
        called: the name of the argument.
        left: how many more values may be written, a list of one number.
    """
    left[0] -= 1
    if left[0] < 0:
        raise _UnwritableError(f"{called} has more than {MOST_VALUES} values")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise _UnwritableError(f"{called} is {value}")
    if isinstance(value, Fraction):
        return {"fraction": [value.numerator, value.denominator]}
    if called in ("labels", "samples") and isinstance(getattr(value, "labels", None), Column):  # an index
        value = value.labels
    if isinstance(value, Column):
        return {"column": value.name, "in": value.path, "count": len(value), "digest": value.digest}
    call = call_of(value)
    if call is not None:
        if call.unwritten:
            raise _UnwritableError(call.unwritten)
        return {_tag(value): call.name, **as_written(value, call)}
    if isinstance(value, Mapping):
        return {"map": [[_written(name, called, left), _written(part, called, left)] for name, part in value.items()]}
    if is_tensor(value) or isinstance(value, np.ndarray):
        if math.prod(value.shape) > left[0]:
            raise _UnwritableError(f"{called} has {math.prod(value.shape)} values, the most is {MOST_VALUES}")
        try:
            rows = _written(value.tolist(), called, left)
        except RuntimeError as error:  # a tensor whose values torch does not tell
            raise _UnwritableError(f"{called} is {typed(value)} ({said(error)})") from error
        return {"array": rows} if value.ndim > 1 else rows
    if isinstance(value, (list, tuple, range)):
        if len(value) > left[0]:
            raise _UnwritableError(f"{called} has {len(value)} values, the most is {MOST_VALUES}")
        kinds = {*map(type, value)}
        if kinds <= _PLAIN or (kinds == {float} and all(map(math.isfinite, value))):  # most columns: at once
            left[0] -= len(value)
            parts = list(value)
        else:
            parts = [_written(part, called, left) for part in value]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    what = f"the function {value.__qualname__}" if inspect.isfunction(value) else f"{typed(value)}, {shown(value)}"
    raise _UnwritableError(f"{called} is {what}")


def _tag(made: Any) -> str:
    """The key of a call in a recipe: "plan", "target", "groups" or "shards", by the type of what was made."""
    for kind in type(made).__mro__:
        if kind.__name__ in ("Plan", "Target", "Groups", "Shards"):
            return kind.__name__.lower()
    raise AssertionError(made)
