"""Counts what came of a stream in a story: slow, obvious, and sharing no code with the audit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .stream_stories import Came, Epoch, fitting, streamed


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
        if (
            epoch.worlds and not until_one_ends
        ):  # what each of several readers was off goes on with those that follow them
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
                assert (
                    max(ratios) - min(ratios) <= 2 * largest / min(share for share in shares.values() if share) + 1e-6
                )


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
            before = [
                s for batch in epoch.batches if batch.leg < max(epoch.worlds) for s in batch.samples if s in set(due)
            ]
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
            assert (
                len(epoch.worlds) > 1
                or max(world for world, _ in epoch.worlds.values()) > 1
                or (max(found, default=-1) < epoch.total("read"))
            )


def failed(given: Sequence[Epoch]) -> None:
    """What the source raised reached the loop, and the epoch did not end as if it were whole."""
    assert given[-1].errors
    assert not given[-1].ended


LAWS = {
    law.__name__: law
    for law in (
        *(Came, Epoch, fitting, streamed, each_at_most_once, once, at_least_once, counted, accounted, sizes, steps),
        *(budget, packs, grouped),
        *(quotas, balances, mixture, units, repeats_whole, even, prefix, failed),
    )
}
"""What a program may name, besides the sources."""
