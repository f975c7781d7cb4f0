"""Runs a stream through a story and counts what came: slow, obvious, and sharing no code with the audit.

A story is a list of legs. Each leg is a run of its own, with other ranks and workers, that goes on from the states of the one
before and is then killed: nothing but the states, as JSON, is left of it.
"""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from batchwright import Infeasible, online

from .stream_sources import number_of

ALL = 999  # as a stop: to the end of the epoch
ERRORS = (OSError, KeyboardInterrupt)
AHEAD = 4  # batches that are compared with those of a run that did not stop
COUNTS = ("read", "delivered", "repeated", "dropped", "skipped", "buffered")


@dataclass
class Came:
    """A batch, as it came."""

    leg: int
    rank: int
    samples: list[int]
    groups: list[Any]
    repeats: list[int]
    redistributed: dict[Any, int]
    packs: list[int]

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
            [one] = islice(self.source.epochs(epoch + 1), 1)
            assert one.number == epoch, "the epoch that is due"
            self.going = iter(one)

    def take(self, stop: int) -> Iterator[Any]:
        """So many batches more of the loop."""
        for _ in range(stop):
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
            self.epoch = self.source.state_dict()["epoch"] if "stream" in self.words else self.source.epoch - self.exhausted
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
        return Came(leg, rank, [number_of(batch)], [], [], {}, [])
    numbers = [number_of(sample) for sample in batch]
    return Came(leg, rank, numbers, list(batch.groups), list(batch.repeats), dict(batch.redistributed), list(batch.packs))


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
    over = False  # whether the states are of streams, which stay at the end of an epoch; loaders are then before the next
    for leg, (world, workers, passes, words) in enumerate(story):
        readers = [Reader(make(rank, world), workers, words) for rank in range(world)]
        if states is not None:
            for reader in readers:
                reader.load(states)
        if given[-1].ended:
            if over:
                skip_what_ended(readers, len(given) - 1)
            alone = (world == 1 or "steps" in words) and ("stream" in words or "plain" in words)
            if any(passes[0]) or not (over and alone):
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


def skip_what_ended(readers: Sequence[Reader], epoch: int) -> None:
    """A loop that goes on from the end of an epoch: by epochs, it is empty; else if other ranks may be in the epoch."""
    for reader in readers:
        if "stream" in reader.words or "plain" in reader.words:
            if len(readers) > 1 and "steps" not in reader.words and "set" not in reader.words:
                assert not list(reader.source), "an epoch that has ended is empty"
        else:
            [one] = islice(reader.source.epochs(epoch + 1), 1)
            assert one.number == epoch
            assert not list(one), "an epoch that has ended is empty"


def loop(
    given: list[Epoch], leg: int, readers: Sequence[Reader], stops: Sequence[int], world: tuple[int, int], *, first: bool
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
    if not any(reader.begun for reader in readers):
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


def each_at_most_once(given: Sequence[Epoch], numbers: Sequence[int]) -> None:
    """Nothing comes twice but what a batch says is a repeat, which is of what the source has."""
    everything = set(numbers)
    for epoch in given:
        times = Counter(sample for batch in epoch.batches for sample in batch.fresh)
        assert max(times.values(), default=1) == 1, times.most_common(3)
        assert {sample for batch in epoch.batches for sample in batch.samples} <= everything


def once(given: Sequence[Epoch], numbers: Sequence[int]) -> None:
    """Every sample comes exactly once in an epoch that has ended, and at most once in one that was broken off."""
    each_at_most_once(given, numbers)
    for epoch in given:
        found = {sample for batch in epoch.batches for sample in batch.samples}
        assert not epoch.ended or found == set(numbers), set(numbers) - found


def at_least_once(given: Sequence[Epoch], numbers: Sequence[int]) -> None:
    for epoch in given:
        found = {sample for batch in epoch.batches for sample in batch.samples}
        assert found <= set(numbers)
        assert not epoch.ended or found == set(numbers), set(numbers) - found


def counted(given: Sequence[Epoch], buffer: int | None, skipped: int | None = None) -> None:
    """The reports of all ranks account for what came, over all legs; and no buffer has more than it may."""
    for epoch in given:
        if epoch.reports is None:
            continue
        assert epoch.total("delivered") == sum(len(batch.samples) for batch in epoch.batches)
        assert epoch.total("repeated") == sum(len(batch.repeats) for batch in epoch.batches)
        came_or_not = sum(epoch.total(name) for name in ("delivered", "dropped", "skipped", "buffered"))
        assert epoch.total("read") == came_or_not - epoch.total("repeated")
        if epoch.reports[0].expected:
            seen = sum(sum(report.seen.values()) for report in epoch.reports)
            assert seen in (epoch.total("read"), epoch.total("read") - epoch.total("skipped"))
        if buffer is not None:
            assert max(report.buffered for report in epoch.reports) <= buffer
        if epoch.ended and skipped is not None:
            assert epoch.total("skipped") == skipped


def accounted(given: Sequence[Epoch], numbers: Sequence[int]) -> None:
    """In an epoch that has ended, each sample came, was dropped, or is left over."""
    each_at_most_once(given, numbers)
    for epoch in given:
        if epoch.ended and epoch.reports is not None:
            fresh = sum(len(batch.fresh) for batch in epoch.batches)
            assert len(numbers) - fresh == epoch.total("dropped") + epoch.total("buffered")


def sizes(given: Sequence[Epoch], size: int, *, last: bool = False) -> None:
    """Every batch is full; with `last`, the last of a reader may be smaller."""
    for epoch in given:
        if not last:
            assert {len(batch.samples) for batch in epoch.batches} <= {size}
        for of_reader in epoch.of_reader():
            assert {len(batch.samples) for batch in of_reader[:-1]} <= {size}
        assert all(0 < len(batch.samples) <= size for batch in epoch.batches)


def steps(given: Sequence[Epoch], count: int) -> None:
    """Every rank makes as many steps as the others, and `count` in an epoch, by how many ranks ever."""
    for epoch in given:
        done = 0
        for leg, (world, _) in epoch.worlds.items():
            made = Counter(batch.rank for batch in epoch.batches if batch.leg == leg)
            assert len({made[rank] for rank in range(world)}) == 1, made
            done += made[0]
        assert done == count if epoch.ended else done <= count


def budget(given: Sequence[Epoch], length: Callable[[int], float], tokens: float | None, samples: int | None) -> None:
    for epoch in given:
        for batch in epoch.batches:
            assert samples is None or len(batch.samples) <= samples
            assert tokens is None or max(map(length, batch.samples)) * len(batch.samples) <= tokens


def packs(given: Sequence[Epoch], length: Callable[[int], float], capacity: float, count: int) -> None:
    for epoch in given:
        for batch in epoch.batches:
            rest = list(batch.samples)
            assert 0 < len(batch.packs) <= count
            assert sum(batch.packs) == len(rest)
            for part in batch.packs:
                assert sum(map(length, rest[:part])) <= capacity
                rest = rest[part:]


def grouped(given: Sequence[Epoch], key: Callable[[int], Any]) -> None:
    """A batch names the group of each sample."""
    assert all(batch.groups == [key(sample) for sample in batch.samples] for epoch in given for batch in epoch.batches)


def quotas(given: Sequence[Epoch], shares: Mapping[Any, float], size: int) -> None:
    """While nothing was given away a reader's groups have floor or ceil of their quotas, and drift at most 4 samples."""
    for epoch in given:
        for batches in epoch.of_reader():
            had: Counter[Any] = Counter()
            for number, batch in enumerate(batches, 1):
                if batch.redistributed:
                    break
                own = Counter(batch.groups)
                had.update(own)
                for group, share in shares.items():
                    quota = share * size
                    assert math.floor(quota + 1e-6) <= own[group] <= math.ceil(quota - 1e-6), (number, group, own)
                    assert abs(had[group] - number * quota) <= 4 + 1e-6, (number, group, had)


def balances(given: Sequence[Epoch], shares: Mapping[Any, float], size: int, most_deficit: float) -> None:
    """Slots planned are the groups' shares; what a group lacks of them is its deficit, or was written off; sums are zero."""
    for epoch in given:
        if epoch.reports is None:
            continue
        # What each of several readers was off goes on with those that follow them.
        readers = max(world for world, _ in epoch.worlds.values())
        slots = len(epoch.batches) * size
        assert sum(report.written_off for report in epoch.reports) >= 0
        for group, share in shares.items():
            planned = sum(report.expected.get(group, 0) for report in epoch.reports)
            had = sum(report.had.get(group, 0) for report in epoch.reports)
            assert abs(planned - slots * share) <= 4 * readers + 1e-6, (group, planned, slots * share)
            assert had == sum(batch.groups.count(group) for batch in epoch.batches)
            if not epoch.total("written_off"):
                assert planned - had == sum(report.deficit.get(group, 0) for report in epoch.reports)
        for report in epoch.reports:
            assert sum(report.deficit.values()) == 0
            assert max(report.deficit.values(), default=0) <= most_deficit * (readers if len(epoch.worlds) > 1 else 1)


def mixture(
    given: Sequence[Epoch], shares: Mapping[Any, float], numbers: Mapping[Any, Sequence[int]], *, until_one_ends: bool
) -> None:
    """After any number of samples each source is within one of its share, for each reader that never changed."""
    for epoch in given:
        for batch in epoch.batches:
            assert all(sample in numbers[name] for sample, name in zip(batch.samples, batch.groups, strict=True))
        for batches in epoch.of_reader():
            readers = next(iter(epoch.worlds.values()))
            if until_one_ends and (readers not in ((1, 0), (1, 1)) or not all(numbers.values())):
                break  # how many samples of a source a reader has is not known here
            had: Counter[Any] = Counter()
            for total, name in enumerate((name for batch in batches for name in batch.groups), 1):
                had[name] += 1
                assert all(abs(had[one] - share * total) <= 1 + 1e-6 for one, share in shares.items()), (total, had)
                if until_one_ends and had[name] == len(numbers[name]):
                    break
    for epoch in given:
        if epoch.worlds and not until_one_ends:  # what each of several readers was off goes on with those that follow them
            most = 2 + 2 * max(world * max(1, workers) for world, workers in epoch.worlds.values())
            had = Counter(name for batch in epoch.batches for name in batch.groups)
            assert all(abs(had[name] - share * had.total()) <= most for name, share in shares.items()), had


def units(
    given: Sequence[Epoch], shares: Mapping[Any, float], unit: Callable[[int], float], largest: float, fewest: int
) -> None:
    """No source is ahead of another, for its share, by more than their largest samples; while none can have ended."""
    for epoch in given:
        for batches in epoch.of_reader():
            had = dict.fromkeys(shares, 0.0)
            came: Counter[Any] = Counter()
            for sample, name in ((s, g) for batch in batches for s, g in zip(batch.samples, batch.groups, strict=True)):
                had[name] += unit(sample)
                came[name] += 1
                if max(came.values()) >= fewest:
                    break
                ratios = [had[one] / share for one, share in shares.items() if share]
                assert max(ratios) - min(ratios) <= 2 * largest / min(share for share in shares.values() if share) + 1e-6


def repeats_whole(given: Sequence[Epoch], numbers: Mapping[Any, Sequence[int]]) -> None:
    """A source that restarts is read whole before it is read again, by a single reader that never changed."""
    for epoch in given:
        for batches in epoch.of_reader():
            if next(iter(epoch.worlds.values())) not in ((1, 0), (1, 1)):
                continue
            for name, due in numbers.items():
                found = [s for batch in batches for s, g in zip(batch.samples, batch.groups, strict=True) if g == name]
                for at in range(0, len(found), max(1, len(due))):
                    part = found[at : at + len(due)]
                    assert len(set(part)) == len(part)
                    assert set(part) <= set(due)


def even(given: Sequence[Epoch], numbers: Mapping[Any, Sequence[int]]) -> None:
    """Sources that restart: readers may stop in different repeats; one that reads on for all makes them whole."""
    for epoch in given:
        if not epoch.worlds or epoch.worlds[max(epoch.worlds)] not in ((1, 0), (1, 1)):
            continue
        for due in numbers.values():
            found = [sample for batch in epoch.batches for sample in batch.samples if sample in set(due)]
            before = [s for batch in epoch.batches if batch.leg < max(epoch.worlds) for s in batch.samples if s in set(due)]
            whole = len(found) // max(1, len(due))
            if whole > max(Counter(before).values(), default=0):
                times = Counter(found[: whole * len(due)])
                assert times == Counter(dict.fromkeys(due, whole)), (whole, times)


def prefix(given: Sequence[Epoch]) -> None:
    """Of a source without end, what was read and is not in a buffer came, each once."""
    for epoch in given:
        found = Counter(sample for batch in epoch.batches for sample in batch.fresh)
        assert max(found.values(), default=1) == 1
        if epoch.reports is not None:
            assert found.total() == epoch.total("read") - epoch.total("buffered") - epoch.total("dropped")
            assert len(epoch.worlds) > 1 or max(world for world, _ in epoch.worlds.values()) > 1 or (
                max(found, default=-1) < epoch.total("read")
            )


def failed(given: Sequence[Epoch]) -> None:
    """What the source raised reached the loop, and the epoch did not end as if it were whole."""
    assert given[-1].errors
    assert not given[-1].ended


LAWS = {
    law.__name__: law
    for law in (
        *(fitting, streamed, each_at_most_once, once, at_least_once, counted, accounted, sizes, steps, budget, packs, grouped),
        *(quotas, balances, mixture, units, repeats_whole, even, prefix, failed),
    )
}
"""What a program may name."""
