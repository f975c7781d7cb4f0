"""What is called by users: its refusals end at the line that called it, and misspelt arguments are recognised.

The package gives every public function and class through `opened`, and every module that is public ends by opening itself.
Classes whose objects users get without naming them, such as the plans, are decorated with `public`.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, FunctionType, ModuleType, TracebackType
from typing import Any, TypeVar, cast

from .errors import NOT_THE_USER, Infeasible, suggestion
from .unfit import unfit

__all__ = ["internal", "opened", "public"]

Thing = TypeVar("Thing", bound=Callable[..., Any])

_PACKAGE = __name__.partition(".")[0]
_OF_TORCH = {"num_replicas": "world_size"}
"""Arguments of torch's samplers, and ours for the same."""


def public(given: Thing) -> Thing:
    """Let the refusals of a function, or of the methods of a class, end at the line that called it.

    Of the traceback, what lies within this package is left out, as far as no function of the user was called from there.
    """
    if inspect.isclass(given):
        for kind in filter(_is_ours, inspect.getmro(given)):
            for name, member in list(vars(kind).items()):
                found = _member(name, member)
                if found is not member:
                    setattr(kind, name, found)
        return given
    return _function(given)


def internal(function: Thing) -> Thing:
    """Let `public` leave this method as it is: the package calls it, some for every batch, and users do not."""
    vars(function)["_is_public"] = True
    return function


def _member(name: str, member: Any) -> Any:
    """A member of a class, with the function in it wrapped if users call it."""
    if name.startswith("_") and name != "__init__":
        return member
    if isinstance(member, (classmethod, staticmethod)):
        found = _function(member.__func__)
        return member if found is member.__func__ else type(member)(found)
    if isinstance(member, property):
        return _property(member)
    if type(member) is functools.cached_property:
        return _Cached(member, name)
    return _function(member) if isinstance(member, FunctionType) else member


class _Cached(functools.cached_property[Any]):
    """A cached property whose refusals end at the line of the user."""

    _is_public = True

    def __init__(self, member: functools.cached_property[Any], name: str) -> None:
        super().__init__(member.func)
        self.attrname, self.__doc__ = name, member.__doc__

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        try:
            return super().__get__(instance, owner)
        except Infeasible as error:
            error.__traceback__ = _up_to_user(error.__traceback__)
            raise


def _property(member: property) -> property:
    getter = member.fget
    return member if getter is None or hasattr(getter, "_is_public") else member.getter(_function(getter))


def _function(function: Thing) -> Thing:
    if hasattr(function, "_is_public") or not _is_ours(function):
        return function
    _show_choices_in_help(function)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        # A bare `raise` does not add the line it stands in to the traceback, so the line of the user is the last one.
        try:
            return function(*arguments, **named)
        except Infeasible as error:
            error.__traceback__ = _up_to_user(error.__traceback__)
            raise
        except Exception as error:
            message = _misspelt(error, function, named) if isinstance(error, TypeError) else ""
            if message:
                error.args = (message,)
                error.__traceback__ = None
                raise
            refusal = unfit(function, arguments, named, error) if _called_by_user(sys._getframe(1)) else None
            if refusal is None:
                raise
            try:
                raise refusal from error
            except Infeasible:
                refusal.__traceback__ = None
                raise

    vars(call)["_is_public"] = True
    return cast(Thing, call)


def _show_choices_in_help(function: Any) -> None:
    """Let `help` show the words that an argument takes, in place of the name of their type."""
    inner = inspect.unwrap(function)  # from Python 3.14 on, a wrapper has annotations of its own
    space = getattr(inner, "__globals__", {})
    for name, written in getattr(inner, "__annotations__", {}).items():
        aliases = [word for word in re.findall(r"\w+", written) if word in space] if isinstance(written, str) else []
        if any("Literal[" in repr(space[word]) for word in aliases):
            with suppress(NameError, TypeError):  # it also names a type that is imported for type checking alone
                inner.__annotations__[name] = eval(written, space)


def _called_by_user(frame: FrameType) -> bool:
    """Whether code outside of this package made a call: only then are its arguments those of the user."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] != _PACKAGE


def _is_ours(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).partition(".")[0] == _PACKAGE


def _up_to_user(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback up to its last line outside of this package; None if there is none."""
    last, at = None, traceback
    while at is not None:
        if at.tb_frame.f_globals.get("__name__", "").partition(".")[0] not in NOT_THE_USER:
            last = at
        at = at.tb_next
    if last is None:
        return None
    last.tb_next = None
    return traceback


def _misspelt(error: TypeError, function: Callable[..., Any], named: dict[str, Any]) -> str:
    """What to say of a keyword argument that a function does not take; empty if the error is another, or none is near."""
    text = str(error.args[0]) if error.args else ""
    for name in named:
        # From Python 3.13 on, a question follows, which knows only the function that was called last.
        said, found, _ = text.partition(f"got an unexpected keyword argument '{name}'")
        parameters = inspect.signature(function).parameters
        if found and name not in parameters:
            known = [key for key, one in parameters.items() if one.kind is not one.VAR_KEYWORD]
            message = (
                _of_ranks(name, function, known)
                or _of_audits(name, function, known)
                or suggestion(_OF_TORCH.get(name, name), known)
            )
            return f"{said}{found}; {message}" if message else ""
    return ""


def _of_ranks(name: str, function: Callable[..., Any], known: list[str]) -> str:
    """What to call with the number of ranks, where a method of a plan does not take it; empty for any other argument."""
    if name not in ("rank", "world_size", "accumulate"):
        return ""
    if "step_size" in known and name != "rank":
        return "pass step_size=, which is world_size * accumulate"
    if function.__name__ == "audit" and not function.__module__.startswith(f"{_PACKAGE}.online"):
        return "plan.sampler(rank=..., world_size=...).audit() measures the batches of a rank"
    return ""


def _of_audits(name: str, function: Callable[..., Any], known: list[str]) -> str:
    """What to pass to an audit of another kind of plan; empty for any other argument or function."""
    if function.__name__ != "audit":
        return ""
    if name == "batches" and "epochs" in known:
        return "pass epochs=, of this plan complete epochs are measured"
    return "pass batches=, the number of micro-batches" if name == "epochs" and "batches" in known else ""


def opened(value: Any) -> Any:
    """A public object of this package, made ready for users: a function, a class, or a module of them.

    A function is replaced in the module that defines it, so that it is the same object wherever it is imported from later.
    A module lists what is public only, for completion.
    """
    if isinstance(value, ModuleType):
        names = sorted(value.__all__)
        for name in names:
            member = getattr(value, name)
            vars(value)[name] = member if isinstance(member, ModuleType) else opened(member)
        vars(value)["__dir__"] = lambda: names
    elif inspect.isclass(value):
        public(value)
    elif isinstance(value, FunctionType):
        found, name, home = _function(value), value.__name__, sys.modules[value.__module__]
        if vars(home).get(name) is value:
            vars(home)[name] = found
        return found
    return value
