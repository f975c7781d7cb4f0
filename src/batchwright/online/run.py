"""One pass of one replica over its feeds, and its state.

Saving all samples in memory after every batch would take too long. So a state is an anchor (everything in memory, taken
rarely) and the number of batches returned since then; these are composed again when the state is loaded.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from ..errors import Infeasible
from .audited import StreamLimits
from .batch import StreamBatch, StreamReport
from .feed import Feed
from .replicas import Replica
from .sources import Source
from .states import kept, remembered

__all__ = ["Composer", "Recipe", "Run", "steps_of"]

_COMPOSED = 4  # of a source that is read again from its start, one part is composed again where four are skipped
_WRITTEN = 64  # bytes of a state, beside its samples, that take about half as long to write as a sample takes to read
_LEAST = 256  # bytes that a feed or a group takes of a state


class Composer(Protocol):
    """Composes batches from one replica's feeds; its whole state is in `memory` and `held`."""

    keeps_repeats: bool
    """Whether samples of different turns of a source that restarts are alike; see `redeal`."""

    @property
    def feeds(self) -> Sequence[Feed]:
        """The feeds it reads."""

    def start(self) -> None:
        """Begin at the start of the feeds."""

    def compose(self) -> StreamBatch | None:
        """The next batch; None at the end."""

    def held(self) -> list[list[Any]]:
        """For each feed the items in memory."""

    def memory(self) -> Any:
        """The rest of the state, as plain data."""

    def resume(self, memory: Any, held: list[list[Any]]) -> None:
        """Continue from there."""

    def pending(self) -> list[list[Any]]:
        """For each feed the items that were read and not delivered, the oldest first."""

    def pooled(self) -> list[list[Any]]:
        """For each feed the items that are remembered, to be repeated."""

    def take_over(self, others: Sequence[Any], index: int, readers: int, pools: list[Any]) -> None:
        """Take part `index` of `readers` of the counts of other composers of this kind, before anything is read.

        Args:
            others: the composers of all readers of a run that has stopped.
            index: which of the new readers this is.
            readers: how many there are.
            pools: what was remembered by all, in the order of `pooled`, under the ordinals of the new readers.
        """

    def report(self) -> StreamReport:
        """The counts so far."""

    def shares(self) -> dict[Hashable, float]:
        """The shares of the groups now in force; empty if there are no quotas."""

    def judge(self) -> None:
        """Warn if what was delivered so far is far from what was asked for."""


class Recipe(Protocol):
    """The arguments of a stream: a frozen value that makes a composer for each replica and epoch."""

    def composer(self, replica: Replica, epoch: int) -> Composer:
        """A composer that has not started."""

    def arguments(self) -> dict[str, Any]:
        """Everything that the batches depend on, except the user's own objects and the epoch."""

    def contents(self) -> dict[str, Any]:
        """What the sources hold."""

    def in_words(self) -> str:
        """The arguments in words."""

    def sources(self) -> Sequence[Source]:
        """The sources that are read."""

    def wanted(self, epoch: int, seen: Mapping[Hashable, int]) -> dict[Hashable, float]:
        """What the target gives each group or source, if so many samples of each were read; empty for other streams."""

    def limits(self, epoch: int) -> StreamLimits:
        """What is promised, for an audit."""


class Run:
    """One pass of one replica over its feeds."""

    def __init__(self, recipe: Recipe, replica: Replica, epoch: int, state: Any, state_bytes: int) -> None:
        self.composer = recipe.composer(replica, epoch)
        self.replica = replica
        self.epoch = epoch
        self.batch: Sequence[Any] = ()
        self.used = 0  # samples of `batch` that were yielded, if the stream yields samples
        self.steps = 0
        self._state_bytes = state_bytes
        self._anchor: str | None = None
        self._anchor_at = 0  # `_progress` when it was taken
        self._spacing = 0  # how much further to go before the next
        self._since = 0
        self._given = 0  # samples in the batches composed since this run began here
        self._refusal: Infeasible | None = None  # of the last state that was refused to a loader
        self._retry_at = 0  # `_progress` when a state is tried again
        self.over = False  # the composer returned None
        self._torn = (
            False  # the composer was stopped between two batches, by an error, an interrupt or a warning as one
        )
        if state is None or state["anchor"] is None:
            self.composer.start()
        else:
            self._anchor = state["anchor"]
            self._start_from(state["anchor"], remembered(state["anchor"]))
            self._anchor_at = self._progress()
        if state is None:
            return
        for _ in range(state["batches"]):
            self.advance()
        if state["over"]:
            self.advance()
        self.used = state["used"]

    def _progress(self) -> int:
        """How many samples were read; of several feeds, of which each sample given was read, how many were given.

        It is asked for at every batch, and to ask all feeds would then take longer than to read the batch.
        """
        feeds = self.composer.feeds
        return feeds[0].read if len(feeds) == 1 else self._given

    def advance(self, *, last: bool = False) -> bool:
        """Compose the next batch; False at the end. After the last that is asked for, all are judged, before it counts."""
        self._torn = True
        batch = None if self.over else self.composer.compose()
        if last and batch is not None:
            self.composer.judge()
        self._torn = False
        if batch is None:
            self.over = True
            return False
        self.batch, self.used = batch, 0
        self.steps += 1
        self._since += 1
        self._given += len(batch)
        return True

    def state(self) -> dict[str, Any]:
        """The state: the anchor, and the number of batches since; a batch that was not returned does not count."""
        # An error or an interrupt came within a batch: what is held is neither before nor after it, so the last anchor
        # counts.
        if self._torn:
            for feed in self.composer.feeds if self._anchor is None else ():
                feed.reader.position(feed.taken)  # raises if the source cannot be read again
        # Between two anchors, batches are counted, and composed again when a run resumes.
        elif self._anchor is None or self._progress() - self._anchor_at > self._spacing:
            rest = self.batch[self.used :]
            self._anchor, self._spacing = self._weigh_anchor(self.composer.held())
            self._anchor_at, self._since = self._progress(), 0
            self.batch, self.used = rest, 0
        return {"anchor": self._anchor, "batches": self._since, "used": self.used, "over": self.over}

    def _spacing_after(self, held: int, written: int) -> int:
        """How many samples to read after an anchor before the next.

        As many as it copied, so that each sample is copied once; and as many as take the time to write the rest of it,
        which grows with the numbers of feeds and groups. Resuming reads some sources again from their start. Of
        these it may compose again a fixed part of what it reads, at little cost beside the reading: the number of anchors
        then grows with the logarithm of what was read.

        Args:
            held: the samples in it.
            written: its bytes, without these samples.
        """
        reread = sum(feed.taken for feed in self.composer.feeds if getattr(feed.reader, "rereads", False))
        return max(held, written // _WRITTEN, reread // _COMPOSED)

    def state_or_refusal(self) -> dict[str, Any] | Infeasible:
        """The state, or the error that says why there is none. It is returned and not raised: a loop may need no state.

        Each attempt may take as long as writing a state, so the next one comes when another state would be written.
        """
        if self._refusal is None or self._progress() > self._retry_at:
            try:
                state, self._refusal = self.state(), None
                return state
            except Infeasible as refusal:
                self._refusal = copy.copy(refusal)  # without the frames of its traceback
                written = _LEAST * (len(self.composer.feeds) + len(self.composer.shares()))
                self._retry_at = self._progress() + self._spacing_after(sum(map(len, self.composer.held())), written)
        return self._refusal

    def _weigh_anchor(self, held: list[list[Any]]) -> tuple[str, int]:
        """The anchor, and how many samples to read before the next."""
        feeds = [
            {**feed.state(), "items": [ordinal for ordinal, _ in items] if feed.by_reference else items}
            for feed, items in zip(self.composer.feeds, held, strict=True)
        ]
        everything = {
            "feeds": feeds,
            "memory": self.composer.memory(),
            "rest": list(self.batch[self.used :]),
            "steps": self.steps,
            "over": self.over,
        }
        anchor = kept(everything, self._without_samples())
        if len(anchor) > self._state_bytes:
            raise Infeasible(
                f"the state takes {len(anchor):,} bytes and state_bytes is {self._state_bytes:,}",
                f"pass state_bytes={len(anchor) * 2}, or a smaller buffer{self._without_samples()}",
            )
        return anchor, self._spacing_of(anchor, everything)

    def _spacing_of(self, anchor: str, everything: dict[str, Any]) -> int:
        """`_spacing_after` an anchor of this."""
        feeds, held = everything["feeds"], sum(len(feed["items"]) for feed in everything["feeds"])
        named = all(feed.by_reference for feed in self.composer.feeds)
        if not everything["rest"] and not any(feed["again"] for feed in feeds) and (named or not held):
            return self._spacing_after(held, len(anchor))
        others = {**everything, "rest": [], "feeds": [{**feed, "items": [], "again": []} for feed in feeds]}
        return self._spacing_after(held, len(kept(others)))

    def _without_samples(self) -> str:
        """What lets a state name samples that it has by value now, as one more way out."""
        feeds = self.composer.feeds
        if all(feed.by_reference for feed in feeds):  # what is left of a batch is by value all the same
            return ", or let the stream give batches, if no other reads it" if self.used < len(self.batch) else ""
        if any(_reads_a_stream(feed.source) for feed in feeds):
            return ""
        return ", or pass a sequence, online.Sharded or a reader such as online.tar: a state only names their samples"

    def _start_from(self, anchor: str, everything: Any) -> None:
        held = []
        for feed, saved in zip(self.composer.feeds, everything["feeds"], strict=True):
            feed.resume(saved)
            held.append(feed.fetch(saved["items"]))
        self._spacing = self._spacing_of(anchor, everything)
        self.composer.resume(everything["memory"], held)
        self.batch, self.used = everything["rest"], 0
        self.steps, self.over = everything["steps"], everything["over"]


def steps_of(state: Mapping[str, Any] | None) -> int:
    """How many batches a pass with this state has given; none if there is no state."""
    if state is None:
        return 0
    return int(state["batches"]) + (0 if state["anchor"] is None else int(remembered(state["anchor"])["steps"]))


def _reads_a_stream(source: Any) -> bool:
    """Whether samples of a source come from another stream, which cannot give them again."""
    inner = getattr(source, "sources", ())
    return callable(inner) or any(map(_reads_a_stream, inner))
