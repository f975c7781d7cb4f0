"""The state of a stream; checks that a loaded state is as it was saved, before anything changes.

Pickled bytes that were damaged could run any code when they are unpickled. So they have a digest, which is compared
first.
"""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Mapping
from typing import Any

from ..errors import Infeasible, said, shown, typed

__all__ = ["kept", "opened", "remembered", "sealed"]

_VERSION = 2
_ENTRIES = ("version", "fingerprint", "epoch", "replica", "run", "next", "check")
_DIGEST = 16  # bytes of a digest, in front of the content
_ANEW = "load another copy of the state, or begin again"


def kept(everything: Any) -> bytes:
    """Pickle everything that a pass has in memory, with its digest in front.

    Raises:
        Infeasible: a sample in it cannot be pickled.
    """
    try:
        pickled = pickle.dumps(everything, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise Infeasible(
            f"the samples in memory cannot be pickled into the state ({said(error)})",
            "read samples that can be pickled, or pass a sequence or online.Shards: a state only names their samples",
        ) from error
    return _digest(pickled) + pickled


def remembered(anchor: bytes) -> Any:
    """Unpickle what `kept` pickled.

    Raises:
        Infeasible: the bytes are not as they were saved, or a sample in them cannot be unpickled here.
    """
    if _digest(anchor[_DIGEST:]) != anchor[:_DIGEST]:
        raise Infeasible(f"the {len(anchor):,} bytes of memory in the state are not those that were saved", _ANEW)
    try:
        return pickle.loads(anchor[_DIGEST:])
    except Exception as error:
        raise Infeasible(
            f"the samples in the state cannot be unpickled here ({said(error)})",
            "import or define here what their classes were defined by where the state was saved",
        ) from error


def sealed(state: dict[str, Any]) -> dict[str, Any]:
    """Add the version, and a checksum of all entries, to a state."""
    state = {"version": _VERSION, **state}
    return {**state, "check": _check(state)}


def opened(state: Any, fingerprint: str) -> dict[str, Any]:
    """Check a state that `sealed` made, for a stream with this fingerprint, and copy it.

    Raises:
        Infeasible: it is of another stream or version, not as it was saved, or no state at all.
    """
    if not isinstance(state, Mapping):
        raise Infeasible(f"the state is {typed(state)}", "load what state_dict() gave")
    # First the version: states of another one may lack entries, and that is not the fault to name.
    if "version" in state and not _is(state["version"], _VERSION):
        raise Infeasible(
            f"the state is of version {shown(state['version'])} and states are of version {_VERSION} now",
            "begin again, or go on with the batchwright that saved it",
        )
    missing = [entry for entry in _ENTRIES if entry not in state]
    if missing:
        raise Infeasible(f"the state has no {', '.join(missing)}", "load what state_dict() gave")
    if not _is(state["fingerprint"], fingerprint):
        raise Infeasible(
            f"the state is of a stream with fingerprint {shown(state['fingerprint'])} and this one's is {fingerprint!r}",
            "make the stream with the arguments it was stopped with",
        )
    if not _is(state["check"], due := _check(state)):
        raise Infeasible(
            f"the state is not as it was saved: its checksum is {shown(state['check'])} and should be {due!r}", _ANEW
        )
    if state["run"] is not None and state["run"]["anchor"] is not None:
        remembered(state["run"]["anchor"])
    return copy.deepcopy(dict(state))


def _is(found: Any, due: Any) -> bool:
    return type(found) is type(due) and found == due


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()


def _check(state: Mapping[str, Any]) -> str:
    """The checksum of a state; for the pickled part its own digest is used, so that it is not read twice."""
    run = state["run"]
    if type(run) is dict:
        anchor = run.get("anchor")
        run = {**run, "anchor": (len(anchor), anchor[:_DIGEST]) if type(anchor) is bytes else anchor}
        run = sorted(run.items(), key=repr)
    entries = sorted(((entry, state[entry]) for entry in state if entry not in ("run", "check")), key=repr)
    return _digest(repr((entries, run)).encode(errors="replace")).hex()[:16]
