"""What plans and their loaders have and streams do not: an attribute error that says what to use in its place."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["OF_A_LOADER", "OF_A_STREAM", "missing_attribute"]

_FROM_ITS_START = "a stream is read from its start"
_KNOWN_ONCE_READ = "what a stream draws is known once it is read"
_OPTION = "it is an option of DataLoader, as it was passed to stream.loader"
_NO_SAMPLER = "a stream composes its batches itself"

OF_A_STREAM: Mapping[str, str] = MappingProxyType(
    {
        "at": f"{_FROM_ITS_START}: stream.loader().peek() shows its first batch",
        "peek": "call stream.loader().peek()",
        "epochs": "call stream.loader().epochs(n)",
        "epoch": "a loader counts epochs: stream.loader().epoch",
        "audit_of_run": "call stream.audit()",
        "progress": "stream.report() counts what was read and delivered",
        "sampler": f"{_NO_SAMPLER}: loop over stream.loader(), or DataLoader(stream, batch_size=None)",
        "batch_sampler": f"{_NO_SAMPLER}: loop over stream.loader(), or DataLoader(stream, batch_size=None)",
        "epoch_length": f"{_FROM_ITS_START} to its end: pass steps= to give it a length, then len(stream)",
        "shares": f"{_KNOWN_ONCE_READ}: stream.report().shares",
        "rates": f"{_KNOWN_ONCE_READ}: stream.report().shares",
        "weights": f"{_KNOWN_ONCE_READ}: stream.report() has the samples seen of each group and the slots it had",
        "natural_prior": f"{_KNOWN_ONCE_READ}: stream.report().seen",
        "sampled_prior": f"{_KNOWN_ONCE_READ}: stream.report().shares",
        "groups": f"{_KNOWN_ONCE_READ}: stream.report().seen, and the groups attribute of each batch",
        "table": f"{_KNOWN_ONCE_READ}: stream.summary() can go to pandas, polars and Arrow",
        "plot": f"{_KNOWN_ONCE_READ}: print(stream.summary())",
        "check": f"{_KNOWN_ONCE_READ}, so a model cannot be compared with it before",
        "stepped": "the batches of a stream are those of one rank, whatever the number of ranks",
        "batch_size": "its arguments, by their names, are in stream.arguments()",
        **dict.fromkeys(
            ("fingerprint", "identity", "run_fingerprint"),
            "stream.arguments() and stream.contents() say what a stream is made of; a state compares them",
        ),
        "to_recipe": "a stream holds its source and functions, which a recipe cannot: keep the code that makes it",
    }
)

OF_A_LOADER: Mapping[str, str] = MappingProxyType(
    {
        "plan": "its batches are those of loader.stream",
        "dataset": "its batches are those of loader.stream",
        "audit": "call loader.stream.audit()",
        "sampler": f"{_NO_SAMPLER}: loader.stream",
        "batch_sampler": f"{_NO_SAMPLER}: loader.stream",
        "at": f"{_FROM_ITS_START}: peek() shows the batch that comes next",
        "seek": f"{_FROM_ITS_START}: load the state of the place to go to",
        "state_at": f"{_FROM_ITS_START}: state_dict() is that after the last batch of the loop",
        "next_start": "epoch is the one that the next loop takes",
        "batches_done": "count the batches in the loop; report() counts the samples, also those before a resume",
        "progress": "count the batches in the loop; report() counts the samples, also those before a resume",
        "retarget": "the target of a stream may be a function of the epoch",
        "real": "a stream has no fillers: all samples of a batch count",
        "broken": "report().skipped counts what on_error='skip' left out",
        "device": "move the batch in the loop: batch.to(device)",
        "watch": "count the batches in the loop",
        "compare_accumulation": "a stream does not accumulate: the trainer alone counts its micro-batches",
        **dict.fromkeys(("multiprocessing_context", "pin_memory", "prefetch_factor", "worker_init_fn"), _OPTION),
    }
)


_OF_A_SAMPLER = frozenset(
    (
        "accumulate",
        "advance",
        "all_ranks",
        "asked_before_a_look",
        "before",
        "begin",
        "begin_loop",
        "copies",
        "epochs_done",
        "fetch",
        "fetched_by_all",
        "follow",
        "follows_group",
        "given_out",
        "looks",
        "new_shares_in",
        "of_mesh",
        "over",
        "passes_done",
        "position",
        "rank",
        "real_of_all",
        "run",
        "shares_from",
        "started_at",
        "trainer",
        "world_size",
        "collate_fn",
        "num_workers",
    )
)
_OF_BOTH = ("batches_done", "next_start", "progress", "real", "broken", "device", "watch", "compare_accumulation",
            "retarget", "seek", "state_at", "multiprocessing_context", "pin_memory", "prefetch_factor",
            "worker_init_fn")  # fmt: skip


def _words_of_a_stream(name: str) -> str | None:
    if name in OF_A_STREAM:
        return OF_A_STREAM[name]
    if name in ("plan", "dataset"):
        return "stream.sources() has what it reads"
    if name in _OF_BOTH:
        return OF_A_LOADER[name].replace("report()", "stream.report()").replace("state_dict()", "stream.state_dict()")
    return "stream.loader() has what streams have of it" if name in _OF_A_SAMPLER else None


def _words_of_a_loader(name: str) -> str | None:
    if name in OF_A_LOADER:
        return OF_A_LOADER[name]
    if name in OF_A_STREAM:
        words = (
            OF_A_STREAM[name]
            .replace("stream.report()", "loader.report()")
            .replace("stream.summary()", "loader.summary()")
        )
        return words.replace("stream.arguments()", "loader.stream.arguments()").replace(
            "stream.contents()", "loader.stream.contents()"
        )
    if name == "loader":
        return "this is the loader: loop over it"
    return f"{_NO_SAMPLER}: loader.stream" if name in _OF_A_SAMPLER else None


def missing_attribute(value: object, name: str, *, of_a_loader: bool = False) -> AttributeError:
    """The error for an attribute that a stream, or its loader, does not have."""
    words = (_words_of_a_loader if of_a_loader else _words_of_a_stream)(name)
    said = f"; {words}" if words else ""
    return AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}{said}", name=name, obj=value)
