"""The calls of the sweep: which public functions have one, which arguments are swept, and what is done with a result."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any

import batchwright as bw
from batchwright.online import Chain, SelfSplit, Sharded, Strided

from ..test_public import FUNCTIONS
from .made import LABELS, Call
from .table import AMONG_MODULES, BY_THE_LIBRARY, CALLED, CALLS


def swept() -> dict[str, Callable[[], Call]]:
    return CALLS | CALLED


def missing() -> set[str]:
    """The public functions and methods with arguments that no call is here for."""
    known = {*CALLS, *BY_THE_LIBRARY}
    seen = {inspect.unwrap(FUNCTIONS[name]) for name in CALLS}
    return {
        name
        for name, function in FUNCTIONS.items()
        if parameters(function)
        and name not in known
        and inspect.unwrap(function) not in seen
        and not getattr(function, "__isabstractmethod__", False)
        and not ("Plan." in name and name.rpartition(".")[2] in AMONG_MODULES)
        and not (name.startswith("EachOnce."))
    }


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    found = inspect.signature(function).parameters.values()
    return [parameter for parameter in found if parameter.name not in ("self", "cls")]


def arguments() -> Iterator[tuple[str, inspect.Parameter]]:
    """Every argument that is swept: the name of its call, and its parameter."""
    for name, make in swept().items():
        for parameter in parameters(make().function):
            yield name, parameter


def run(made: Call, parameter: inspect.Parameter, value: Any) -> None:
    """Call with a value in place of one argument, and use what comes back."""
    given, several, named = {**made.arguments, parameter.name: value}, [], {}
    for one in parameters(made.function):
        if one.name not in given:
            continue
        if one.kind is one.POSITIONAL_ONLY or one.kind is one.VAR_POSITIONAL:
            several.append(given.pop(one.name))
        elif one.kind is one.VAR_KEYWORD:
            named["word"] = given.pop(one.name)
    if any(one.kind is one.VAR_POSITIONAL for one in parameters(made.function)):  # what stands before is positional too
        before = [one.name for one in parameters(made.function) if one.kind is one.POSITIONAL_OR_KEYWORD]
        several = [given.pop(name) for name in before if name in given] + several
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        use(made.function(*several, **given, **named))


def use(got: Any) -> None:
    """What a user does next with it: a lazy refusal comes late, but comes in words too."""
    if isinstance(got, bw.Plan):
        got[0], got.summary(), got.fingerprint
    elif isinstance(got, bw.targets.Target):
        with suppress(bw.Infeasible):  # of other groups than these
            bw.balanced(LABELS, 2, target=got)[0]
    elif isinstance(got, bw.BatchSampler) or type(got).__name__ == "Loader":
        next(iter(got), None)
    elif isinstance(got, (bw.online.Stream, Chain, Sharded, SelfSplit, Strided)) and hasattr(got, "__iter__"):
        list(itertools.islice(got, 3))
    elif isinstance(got, AbstractContextManager):
        with got:
            pass
    repr(got)
