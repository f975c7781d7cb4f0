"""Runs a stream through a story, and keeps what came.

A story is a list of legs. Each leg is a run of its own, with other ranks and workers, that goes on from the states of the
one before and is then killed: nothing but the states, as JSON, is left of it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from batchwright import Infeasible, online

from .stream_sources import number_of

ALL = 999  # as a stop: to the end of the epoch
ERRORS = (OSError, KeyboardInterrupt)
AHEAD = 4  # batches that are compared with those of a run that did not stop


@dataclass
class Came:
    """A batch, as it came."""

    leg: int
    rank: int
    samples: list[int]
    groups: list[Any] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)
    redistributed: dict[Any, int] = field(default_factory=dict)
    packs: list[int] = field(default_factory=list)

    @property
    def fresh(self) -> list[int]:
        return [sample for at, sample in enumerate(self.samples) if at not in self.repeats]


@dataclass
class Epoch:
    """What came in an epoch, of all ranks in all legs.

    Attributes:
        worlds: of each leg that was in it, the ranks and the workers.
        ended: whether every rank came to its end.
        reports: the reports of all ranks when the last leg in it stopped; None where there are not all.
        errors: what the sources raised.
    """

    batches: list[Came] = field(default_factory=list)
    worlds: dict[int, tuple[int, int]] = field(default_factory=dict)
    ended: bool = False
    reports: list[Any] | None = None
    errors: list[BaseException] = field(default_factory=list)

    def total(self, name: str) -> int:
        return sum(getattr(report, name) for report in self.reports or ())

    def of_reader(self) -> Iterator[list[Came]]:
        """The batches of each reader alone, if none ever changed and no rank had workers that share its batches."""
        if len(set(self.worlds.values())) == 1 and all(workers < 2 for _, workers in self.worlds.values()):
            for rank in range(next(iter(self.worlds.values()))[0]):
                yield [batch for batch in self.batches if batch.rank == rank]


class Reader:
    """One rank, which reads the stream or its loader."""

    def __init__(self, stream: Any, workers: int, words: str) -> None:
        self.stream, self.words = stream, words
        self.source = stream if "stream" in words else stream.loader(num_workers=workers)
        self.going: Iterator[Any] = iter(())
        self.looked: Any = None
        self.begun = self.exhausted = False
        self.due = self.epoch = -1
        self.error: BaseException | None = None

    def load(self, states: Any) -> None:
        """Go on from states; with "rewind" after others were read, which is undone."""
        if "rewind" in self.words:
            list(islice(self.source, 2))
            self.source.load_state_dict(states)
            iter(self.source)
        self.source.load_state_dict(states)
        if "copy" in self.words and "stream" in self.words:
            self.source = copy.copy(self.source)

    def begin(self, epoch: int) -> None:
        """Begin a loop over an epoch; nothing is read before its first batch."""
        if "set" in self.words:
            self.source.set_epoch(epoch)  # what is loaded of this epoch stays
        self.begun = self.exhausted = False
        self.looked, self.due = None, epoch
        if "peek" in self.words and "stream" not in self.words:
            with suppress(Infeasible, *ERRORS):  # nothing is left, or the source has a position of its own
                self.looked = self.source.peek()
        if "stream" in self.words or "plain" in self.words:
            self.going = iter(self.source)
        else:
            try:
                left = list(islice(self.source.epochs(epoch + 1), 1))  # which reads, where a state was loaded
            except ERRORS as error:
                self.error = error
                return
            if left:
                assert left[0].number == epoch, "the epoch that is due"
            else:
                assert self.source.epoch == epoch + 1, "nothing was left of the epoch that was loaded"
            self.going = iter(left[0] if left else self.source)

    def take(self, stop: int) -> Iterator[Any]:
        """So many batches more of the loop."""
        for _ in range(stop if self.error is None else 0):
            first, self.begun = not self.begun, True
            try:
                batch = next(self.going, None)
            except ERRORS as error:
                self.error = error
                return
            if batch is None:
                self.exhausted = True
                break
            if first and self.looked is not None:
                assert list(batch) == list(self.looked), "a look shows the batch that comes next"
            if "often" in self.words:
                self.source.state_dict()  # those that come later count from it
            yield batch
        if self.begun:
            self.epoch = (
                self.source.state_dict()["epoch"] if "stream" in self.words else self.source.epoch - self.exhausted
            )
            assert self.epoch in (self.due, self.due + 1)

    def state(self) -> Any:
        state = json.loads(json.dumps(self.source.state_dict()))
        if "twice" in self.words:
            assert json.loads(json.dumps(self.source.state_dict())) == state, "asking for a state changes nothing"
        return state

    def report(self) -> Any:
        try:
            return self.source.report()
        except Infeasible:
            return None


def came(leg: int, rank: int, batch: Any) -> Came:
    if not isinstance(batch, online.StreamBatch):
        return Came(leg, rank, [number_of(batch)])
    numbers = [number_of(sample) for sample in batch]
    return Came(
        leg, rank, numbers, list(batch.groups), list(batch.repeats), dict(batch.redistributed), list(batch.packs)
    )


def fitting(make: Callable[[int, int], Any], story: Sequence[tuple[int, int, Any, str]]) -> list[Epoch]:
    """The same as `streamed`, of a program that nothing may refuse."""
    try:
        return streamed(make, story)
    except Infeasible as refusal:
        raise AssertionError(f"refused: {refusal}") from refusal


def streamed(make: Callable[[int, int], Any], story: Sequence[tuple[int, int, Any, str]]) -> list[Epoch]:
    """What all ranks together got, by epochs.

    Args:
        make: the stream of a rank, by rank and world size.
        story: for each leg the ranks, the workers of each, the stops of all ranks in each loop, and words: "stream" for a
            loop over the stream and no loader, "plain" for one not by `epochs`, "peek" to look first, "set" to set the epoch
            that is due, "rewind" and "copy" for how states are loaded, "often", "twice" and "merged" for how they are saved,
            "again" to compare with what would have come, "steps" if the stream has these.
    """
    given: list[Epoch] = [Epoch()]
    states: Any = None
    over = (
        False  # whether the states are of streams, which stay at the end of an epoch; loaders are then before the next
    )
    for leg, (world, workers, passes, words) in enumerate(story):
        readers = [Reader(make(rank, world), workers, words) for rank in range(world)]
        if states is not None:
            for reader in readers:
                reader.load(states)
        if given[-1].ended:
            moved = over and skip_what_ended(readers, len(given) - 1)
            if any(passes[0]) or moved or not over:
                given.append(Epoch())
                over = False
        for number, stops in enumerate(passes):
            if number:
                given.append(Epoch())
            loop(given, leg, readers, stops, (world, workers), first=number == 0 and leg > 0)
            failing = [reader.error is not None for reader in readers]
            if any(failing):
                break
        if any(failing) and any(reader.exhausted for reader in readers) and "stream" not in words:
            return given  # what a rank that ended and one that failed save is not of one epoch
        over = (over and not any(passes[0])) or "stream" in words
        saved = [reader.state() for reader in readers]
        states = online.merged(saved[::-1]) if "merged" in words else saved[0] if world == 1 else saved[::-1]
        states = json.loads(json.dumps(states))
        if "again" in words:
            compare(make, readers, workers, states, len(given) - 1)
    return given


def skip_what_ended(readers: Sequence[Reader], epoch: int) -> bool:
    """A loop that goes on from the end of an epoch is empty, or there is none; whether one moved the readers to the next."""
    moved = "set" in readers[0].words  # each loop is told its epoch
    for reader in readers:
        if "stream" in reader.words or "plain" in reader.words:
            if len(readers) > 1 and "steps" not in reader.words and "set" not in reader.words:
                assert not list(reader.source), "an epoch that has ended is empty"
                moved = True
        else:
            left = list(islice(reader.source.epochs(epoch + 1), 1))
            if left:
                assert left[0].number == epoch
                assert not list(left[0]), "an epoch that has ended is empty"
                moved = True
            else:
                assert reader.source.epoch == epoch + 1, "an epoch that has ended is not one of those left"
    return moved


def loop(
    given: list[Epoch],
    leg: int,
    readers: Sequence[Reader],
    stops: Sequence[int],
    world: tuple[int, int],
    *,
    first: bool,
) -> None:
    """One loop of every rank over the last of the epochs, or the one after it."""
    due = len(given) - 1
    batches: list[Came] = []
    for rank, (reader, stop) in enumerate(zip(readers, stops, strict=True)):
        reader.begin(due)
        batches += [came(leg, rank, batch) for batch in reader.take(stop)]
    if any(reader.exhausted for reader in readers) and "stream" not in readers[0].words:
        # A loader whose loop has ended is before the next epoch, and the states of all ranks are to be of one.
        for rank, reader in enumerate(readers):
            if not reader.exhausted and reader.error is None:
                batches += [came(leg, rank, batch) for batch in reader.take(ALL)]
    begun = {reader.epoch for reader in readers if reader.begun and reader.error is None}
    assert len(begun) <= 1, "the ranks are in one epoch"
    for epoch in begun - {due}:
        # What was left of the epoch was nothing, which a loop over all that one reader reads passes over.
        assert first
        assert epoch == due + 1
        assert len(readers) == 1 or "steps" in readers[0].words
        given[-1].ended, given[-1].reports = True, None
        given.append(Epoch())
    now = given[-1]
    if not any(reader.begun or reader.error is not None for reader in readers):
        return
    now.worlds[leg] = world
    now.batches += batches
    now.errors += [reader.error for reader in readers if reader.error is not None]
    now.ended = all(reader.exhausted for reader in readers)
    reports = [reader.report() if reader.begun else None for reader in readers]
    # An error or an interrupt came within a batch, of which some may be counted.
    now.reports = None if None in reports or world[1] or now.errors else reports


def compare(make: Callable[[int, int], Any], readers: Sequence[Reader], workers: int, states: Any, epoch: int) -> None:
    """The same ranks and workers go on from the states with what would have come."""
    for rank, reader in enumerate(readers):
        if not reader.begun or reader.error is not None:
            continue
        other = Reader(make(rank, len(readers)), workers, " ".join({"stream", "steps"} & set(reader.words.split())))
        other.source.load_state_dict(states)
        expected = [came(0, rank, batch) for batch in islice(reader.going, AHEAD)]
        if not expected:
            continue  # the next epoch begins, unless another rank can be in this one
        other.begin(epoch)
        found = [came(0, rank, batch) for batch in other.take(AHEAD)]
        assert [one.__dict__ for one in found[: len(expected) or None]] == [one.__dict__ for one in expected]
