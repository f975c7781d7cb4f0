"""The state of a stream: one value of JSON; checks that a loaded state is as it was saved, before anything changes.

What a pass has in memory stands in it as text, with a digest in front, so that it is not read twice.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from ..errors import Infeasible, listed, shown, typed, warn
from ..readings import as_list
from .encoded import Unwritable, decoded, encoded
from .made_of import differences, differing_accounts

__all__ = ["check_groups", "kept", "lacking", "merged", "opened_all", "remembered", "sealed", "together", "unsealed"]

_VERSION = 6
_ENTRIES = ("version", "arguments", "contents", "epoch", "replica", "run", "next", "check")
_DIGEST = 16  # bytes of a digest; twice as many hexadecimal digits stand in front of the content
_DEEPEST = 4  # lists around a state
_SAME_STEP = "load states that all readers saved at the same step"
_ANEW = "load another copy of the state, or begin again"


def kept(everything: Any, way_out: str = "") -> str:
    """Everything that a pass has in memory as JSON, with its digest in front.

    Args:
        everything: it.
        way_out: what else to do, besides reading other samples, if some cannot be written.

    Raises:
        Infeasible: a sample in it cannot be written as JSON, arrays and tensors.
    """
    try:
        text = json.dumps(encoded(everything), separators=(",", ":"), allow_nan=False)
    except Unwritable as error:
        raise Infeasible(
            f"the state would hold a value of type {error}, which cannot be written without pickling it",
            f"read samples of numbers, text, bytes, lists, dictionaries, arrays and tensors{way_out}",
        ) from None
    except (ValueError, RecursionError) as error:  # integers of thousands of digits; lists that hold themselves
        raise Infeasible(
            f"the state would hold a value that JSON cannot: {error}",
            f"read samples of smaller integers, and of lists that are less deep{way_out}",
        ) from None
    return _digest(text) + text


def check_groups(labels: Sequence[Hashable]) -> None:
    """Check that the labels of groups can stand in a state.

    Raises:
        Infeasible: one cannot be written as JSON.
    """
    try:
        encoded(list(labels))
    except Unwritable as error:
        raise Infeasible(
            f"the state would hold the groups by their labels, and key gives a value of type {error}, which cannot be "
            "written without pickling it",
            "let key return text or a number, such as key=lambda sample: str(...)",
        ) from None


def remembered(anchor: str) -> Any:
    """Read what `kept` wrote.

    Raises:
        Infeasible: it is not as it was saved.
    """
    text = anchor[2 * _DIGEST :]
    if _digest(text) != anchor[: 2 * _DIGEST]:
        raise Infeasible(f"the {len(anchor):,} characters of memory in the state are not those that were saved", _ANEW)
    return decoded(json.loads(text))


def sealed(state: dict[str, Any]) -> dict[str, Any]:
    """Add the version, and a checksum of all entries, to a state."""
    state = {"version": _VERSION, **state}
    return {**state, "check": _check(state)}


def merged(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The states of all readers of a stream as one, to be loaded by any number of readers.

    Use it to save one file for a run of several ranks and workers. A list of the states can be loaded as well.

    Args:
        states: the states of all readers (every worker of every rank), in any order; or states that this made, of each rank
            one for instance.

    Returns:
        One state, of JSON types.

    Raises:
        Infeasible: they are not the states of all readers of one stream at one epoch.

    Example:
        >>> from batchwright import online
        >>> def stream(rank, world_size):
        ...     return online.packed(range(1, 60), length=int, capacity=90, rank=rank, world_size=world_size)
        >>> two = [stream(rank, 2) for rank in range(2)]
        >>> given = [next(iter(one)) for one in two]
        >>> again = stream(0, 1)
        >>> again.load_state_dict(merged([one.state_dict() for one in two]))
        >>> sorted(number for batch in [*given, *again] for number in batch) == list(range(1, 60))
        True
    """
    flat = _flat(states)
    first = flat[0] if flat and isinstance(flat[0], Mapping) else {}
    found = opened_all(flat, str(first.get("arguments")), str(first.get("contents")))
    missing = lacking(found)
    if missing:
        raise Infeasible(
            f"{len(found)} states are not those of all {found[0]['replica'][1]} readers: "
            f"those of readers {listed(missing)} are missing",
            "merge the states of every worker of every rank",
        )
    return together(found)


def together(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several states as one value, which is not checked before it is loaded."""
    return {"version": _VERSION, "readers": list(found)}


def lacking(found: Sequence[Mapping[str, Any]]) -> list[int]:
    """The readers whose states are not among these; none if all are of the beginning of an epoch, the same for all."""
    if all(state["run"] is None for state in found):
        return []
    return sorted(set(range(found[0]["replica"][1])) - {state["replica"][0] for state in found})


def _flat(states: Any, depth: int = 0) -> list[Any]:
    """The states in lists of lists and in what `merged` made: of readers, of the ranks of a run, of the runs of a job."""
    inner = states["readers"] if isinstance(states, Mapping) and "readers" in states else states
    if not isinstance(inner, Sequence) or isinstance(inner, (str, bytes)):
        return [inner]
    if depth == _DEEPEST:
        raise Infeasible(f"the states are in lists that are nested more than {_DEEPEST} times", "pass a list of states")
    return [one for state in as_list(inner, "states") for one in _flat(state, depth + 1)]


def opened_all(states: Any, arguments: str, contents: str) -> list[dict[str, Any]]:
    """Check the states of readers of a stream, sorted by reader; `states` may be nested.

    Raises:
        Infeasible: one is named twice, or of another stream, epoch or number of readers or ranks.
    """
    found = [unsealed(state, arguments, contents) for state in _flat(states)]
    if not found:
        raise Infeasible("there are 0 states", "load the state of every reader")
    # A reader that has not begun does not count its epoch yet: which comes next is known by those that have.
    epochs, following = ({state[entry] for state in found if entry == "epoch" or state["run"] is not None}
                         for entry in ("epoch", "next"))  # fmt: skip
    if len(epochs) > 1 or len(following) > 1:
        which = epochs if len(epochs) > 1 else following
        raise Infeasible(f"the states are of epochs {listed(sorted(which))}", _SAME_STEP)
    for place, what in ((1, "readers"), (2, "ranks")):
        counts = sorted({state["replica"][place] for state in found})
        if len(counts) > 1:
            raise Infeasible(f"the states are of {listed(counts)} {what}", _SAME_STEP)
    if len({state["replica"][0] for state in found}) < len(found):
        raise Infeasible(f"the state of a reader is named twice among {len(found)}", "load the state of each once")
    return sorted(found, key=lambda state: state["replica"][0])


def unsealed(state: Any, arguments: str, contents: str) -> dict[str, Any]:
    """Check a state that `sealed` made, for a stream of these arguments whose sources hold this, and copy it.

    Raises:
        Infeasible: it is of another stream or version, not as it was saved, or no state at all.
    """
    if not isinstance(state, Mapping):
        raise Infeasible(f"the state is {typed(state)}", "load what state_dict() gave")
    if "consumed" in state and "readers" not in state:
        raise Infeasible(
            "the state is of a plan", "load it into the plan's sampler or loader, and a stream's state here"
        )
    # First the version: states of another one may lack entries, and that is not the fault to name.
    if "version" in state and not _is(state["version"], _VERSION):
        raise Infeasible(
            f"the state is of version {shown(state['version'])} and states are of version {_VERSION} now",
            "begin again, or go on with the batchwright that saved it",
        )
    missing = [entry for entry in _ENTRIES if entry not in state]
    if missing:
        raise Infeasible(f"the state has no {', '.join(missing)}", "load what state_dict() gave")
    if not _is(state["check"], due := _check(state)):
        raise Infeasible(
            f"the state is not as it was saved: its checksum is {shown(state['check'])} and should be {due!r}", _ANEW
        )
    if state["arguments"] != arguments:
        differing = differences(state["arguments"], arguments, of_contents=False)
        raise Infeasible(
            f"the state is of a stream with other arguments: {listed(differing)}",
            "make the stream with the arguments it was stopped with",
        )
    # Between two epochs nothing of the sources is left to be read: the next epoch may read others.
    if state["run"] is not None and state["contents"] != contents:
        differing = differences(state["contents"], contents, of_contents=True)
        if differing:
            raise Infeasible(
                f"the state is of a pass over other data: {listed(differing)}",
                "resume with the data that the stream was stopped with, or begin again",
            )
        said = differing_accounts(state["contents"], contents)
        if said:
            warn(
                f"the state may be of a pass over other data: {listed(said)}; what was read is left out by its number, so "
                "if samples were added or moved before that place, some come twice and others never; resume with the data "
                "that the stream was stopped with, or begin again"
            )
    if state["run"] is not None and state["run"]["anchor"] is not None:
        remembered(state["run"]["anchor"])
    return copy.deepcopy(dict(state))


def _is(found: Any, due: Any) -> bool:
    return type(found) is type(due) and found == due


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=_DIGEST).hexdigest()


def _check(state: Mapping[str, Any]) -> str:
    """The checksum of a state; for what was in memory its own digest is used, so that it is not read twice."""
    run = state["run"]
    if type(run) is dict:
        anchor = run.get("anchor")
        run = {**run, "anchor": (len(anchor), anchor[: 2 * _DIGEST]) if type(anchor) is str else anchor}
        run = sorted(run.items(), key=repr)
    entries = sorted(((entry, state[entry]) for entry in state if entry not in ("run", "check")), key=repr)
    return _digest(repr((entries, run)))[:16]
