"""Which plan a state is of, and what is refused: a state of another plan, and a place that an iterator is not at."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from ..base_plan import BasePlan
from ..errors import Infeasible, listed, shortened, shown
from ..orders.shares import without_spelling
from ..position import Position

__all__ = ["VERSION", "bounded_identity", "check_same_place", "check_state_of"]

VERSION = 2  # of the state
_LONGEST_SHOWN = 32  # characters of a wrong fingerprint in a message
_MOST_NAMED = 40  # arguments in a state: more than any plan has, except mixtures of many sources

# What an identity holds, by the arguments of the builders that made it: of all plans by lengths, and of each kind.
_OF_LENGTHS = {
    "steps_seed": "seed",
    "order.seed": "seed",
    "bundles": "together",
    **dict.fromkeys(("skipped", "pieces", "too_long_count", "truncate_to"), "too_long"),
    **dict.fromkeys(("order.groups", "order.epoch_batches", "epoch_samples"), "lengths"),
}
_ARGUMENTS = {
    "budgeted": {
        **_OF_LENGTHS,
        "costs": "cost",
        "budgets": "max_tokens",
        "most_samples": "max_samples",
        "count_multiple": "round_count",
        "rounded": "round_length",
    },
    "packed": {**_OF_LENGTHS, "capacities": "capacity", "costs": "cost or balance"},
    "grouped": _OF_LENGTHS,
    "bucketed": {
        **_OF_LENGTHS,
        **dict.fromkeys(("bucket_of", "areas"), "shapes or buckets"),
        **dict.fromkeys(("order.groups", "order.epoch_batches", "epoch_samples"), "shapes"),
    },
    "evaluation": {
        "order": "samples, order or seed",
        **dict.fromkeys(("sample_count", "costs"), "samples"),
        **dict.fromkeys(("cut", "limit", "padded", "packs"), "batch_size, max_tokens or capacity"),
    },
    "hybrid": {"tokens": "lengths", "costs": "cost", "steps": "ranks or batch_size"},
}
# They differ also where another argument does: named only where nothing else differs.
_FOLLOW = {"costs", "bucket_of", "most_samples", "skipped", "pieces", "too_long_count", "truncate_to"}
_FOLLOW |= {"order.groups", "order.epoch_batches", "epoch_samples", "steps"}


def bounded_identity(plan: BasePlan) -> dict[str, str]:
    """A plan's identity in bounded size, for a state: it says what differs where a state is of another plan."""
    return {name: shortened(text) for name, text in islice(plan.run_identity.items(), _MOST_NAMED)}


def check_same_place(asked: Position, epoch: int, consumed: int, fetched_by_all: int) -> None:
    """Refuse to go on with an iterator if another place was asked for since its last batch.

    Its own place may be asked for, and the start of its epoch: trainers call `set_epoch` when workers have begun to draw.

    Args:
        asked: the place that `set_epoch`, `seek` or `load_state_dict` asked for.
        epoch: the epoch of the older iterator.
        consumed: the micro-batches of that epoch that all ranks together were given.
        fetched_by_all: the micro-batches that all ranks together take for one batch each.

    Raises:
        Infeasible: it is another place.
    """
    if (asked.epoch, asked.consumed) in ((epoch, 0), (epoch, consumed)):
        return
    raise Infeasible(
        f"batch {asked.consumed // fetched_by_all} of epoch {asked.epoch} was asked for, an iterator that had begun "
        f"before goes on with batch {consumed // fetched_by_all} of epoch {epoch}",
        "call set_epoch, seek or load_state_dict before iter(loader): workers draw as soon as that is called",
    )


def check_state_of(plan: BasePlan, state: Mapping[str, Any]) -> None:
    """Refuse a state of another version or plan.

    Raises:
        Infeasible: it is one, or the state of a loader that is not batchwright's.
    """
    version, fingerprint = state.get("version"), state.get("fingerprint")
    if "version" not in state and ("_snapshot" in state or "_index_sampler_state" in state):
        raise Infeasible(
            "the state is of a StatefulDataLoader, which holds more than the sampler's",
            "load batchwright.adapters.torchdata.sampler_state(state)",
        )
    if "replica" in state or "readers" in state:
        raise Infeasible(
            "the state is of a stream", "load it into the loader that stream.loader() made, or into the stream"
        )
    if "version" not in state:
        raise Infeasible(
            f"the state has no version, but {listed(map(shown, state))}: no sampler or loader gave it",
            "load what state_dict() gave; of a checkpoint, pass the part that holds it",
        )
    if type(version) is not int or version != VERSION:
        raise Infeasible(
            f"the state has version {shown(version)}, this is version {VERSION}",
            "load it with the version of batchwright that saved it",
        )
    if fingerprint is None:
        raise Infeasible("the state has no 'fingerprint'", "load what state_dict() gave")
    if not isinstance(fingerprint, str) or fingerprint != plan.run_fingerprint:
        given = fingerprint[:_LONGEST_SHOWN] if isinstance(fingerprint, str) else shown(fingerprint)
        raise Infeasible(
            f"the state is of plan {given}, this is plan {plan.run_fingerprint}{_difference(state.get('identity'), plan)}",
            "build the plan with the arguments, labels and seed it had",
        )


def _difference(theirs: Any, plan: BasePlan) -> str:
    """Which argument of a plan differs from that of the plan in a state, in words; nothing if the state does not say."""
    ours = bounded_identity(plan)
    if not isinstance(theirs, Mapping):
        return ""
    names = [name for name in {**theirs, **ours} if _meant(theirs.get(name)) != _meant(ours.get(name))]
    if not names:
        return ""
    arguments = _ARGUMENTS.get(_kind(ours), {}) if _kind(theirs) == _kind(ours) else {}
    if arguments:
        if "order" in names:  # the other plan had none, so that nothing of it can be compared
            names = [name for name in names if not name.startswith("order.")]
        elif ours.get("order") != "none":
            arguments = {name: called for name, called in arguments.items() if not name.startswith("order.")}
        names = [name for name in names if name not in _FOLLOW] or names
        # What follows from others comes after them.
        names.sort(key=lambda name: (name != "bundles", name not in ("lengths", "tokens")))
    sources = {
        f"source {number}": f"source {shown(name)}" for number, name in enumerate(plan.groups.names[:_MOST_NAMED])
    }
    called = list(dict.fromkeys(arguments.get(name, sources.get(name, name)) for name in names))
    more = f"; also other: {listed(called[1:])}" if len(called) > 1 else ""
    was, now = (shown(texts[names[0]]) if names[0] in texts else "not there" for texts in (theirs, ours))
    return f": its {shortened(called[0])} was {was}, now it is {now}{more}"


def _kind(identity: Mapping[str, Any]) -> Any:
    """The kind of a plan that has arguments by other names than its identity; None of any other."""
    return identity.get("plan", identity.get("cut"))


def _meant(value: Any) -> Any:
    return without_spelling(value) if isinstance(value, str) else value
