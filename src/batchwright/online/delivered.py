"""Says of a balanced stream when it delivers other shares than it was asked for, and what each policy would give."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import shown
from ..kernels.array_types import Floats, Integers
from .batch import StreamReport

__all__ = ["StreamCounts", "no_batch", "one_sided", "poor_estimate", "poor_repeats", "poor_shares", "poor_waiting"]

_DRIFT = 4  # slots: rounding alone can keep a group this far from its share at any time
_OFF = 10  # a share is poor if it is off by more than a tenth of itself
_DROPPED = 4  # waiting is poor if it returns a quarter of what it reads, or less
_MISSED = 20  # samples that a worker should have met of a group, of which it met none: by chance once in 10^8
_CHANCE = 5  # standard deviations of a count: an estimate from a source that does not change is not that far off
_ENOUGH = 2  # waiting is worth its exact shares if it returns half of what it reads


@dataclass(frozen=True, slots=True)
class StreamCounts:
    """What a balanced stream has read and delivered so far.

    Attributes:
        labels: the groups.
        shares: the share that each was asked for, float64 (groups,).
        expected: the slots planned for each, int64 (groups,).
        had: the slots that each had, int64 (groups,).
        seen: the samples read of each, int64 (groups,).
        read: samples read.
        delivered: samples delivered.
        source: the name of the source, and which reader it is.
        when_short: the policy in force.
        before: the samples delivered before the first of each group was read, int64 (groups,).
        batch_size: samples in a batch.
        estimated: the shares by all samples read, float64 (groups,), if they are estimated from what has been read.
    """

    labels: Sequence[Hashable]
    shares: Floats
    expected: Integers
    had: Integers
    seen: Integers
    read: int
    delivered: int
    source: str
    when_short: str
    before: Integers
    batch_size: int
    estimated: Floats | None = None

    def rarest(self) -> tuple[int, int]:
        """The group that limits exact shares most, and how many samples these allow for without repeats."""
        # Not 0 in the division; groups without a share limit nothing.
        possible = np.where(self.shares > 0, self.seen / np.maximum(self.shares, 1e-300), np.inf)
        number = int(np.argmin(possible))
        return number, int(min(possible[number], self.read))

    def policies(self) -> str:
        """What each policy gives for a stream like this one, in figures."""
        number, exact = self.rarest()
        name, seen, share = shown(self.labels[number]), int(self.seen[number]), float(self.shares[number])
        repeat = f"each of group {name} about {self.read * share / seen:.3g} times" if seen else "none to repeat"
        return (
            f"for {self.read:,} samples read, when_short='wait' gives {exact:,} in exact shares, 'repeat' gives "
            f"{self.read:,} with {repeat}, 'redistribute' gives {self.read:,} with {seen / self.read:.2%} of group {name}"
        )

    def way_out(self) -> str:
        """The policy that would do."""
        number, exact = self.rarest()
        others = "a target nearer to the natural shares"
        best = "wait" if exact * _ENOUGH >= self.read else "repeat" if self.seen[number] else None
        return f"pass {others}" if best in (None, self.when_short) else f"pass when_short={best!r}, or {others}"


def poor_shares(delivery: StreamCounts) -> str | None:
    """What to warn of if a group has a share that is off by more than a tenth of what was asked for; else None."""
    expected, had = delivery.expected, delivery.had
    off = np.flatnonzero((np.abs(expected - had) > _DRIFT) & (np.abs(expected - had) * _OFF > expected))
    if not len(off):
        return None
    lacks = (expected - had)[off] / np.maximum(expected[off], 1)
    worst = off[np.argmax(lacks) if lacks.max() > 0 else np.argmin(lacks)]
    total = int(had.sum())
    more = f"; {len(off):,} groups in all are off by more than a tenth" if len(off) > 1 else ""
    if delivery.before[worst] and delivery.seen[worst]:
        more = f"; {delivery.before[worst]:,} samples were given before its first one came, and cannot be of it{more}"
    return (
        f"group {shown(delivery.labels[worst])} has {had[worst]:,} of the {expected[worst]:,} slots due to it, "
        f"{had[worst] / total:.2%} of what was given for {expected[worst] / total:.2%}: {delivery.seen[worst]:,} of the "
        f"{delivery.read:,} samples read from source {delivery.source} were of it{more}; {delivery.policies()}; "
        f"{delivery.way_out()}"
    )


def poor_estimate(delivery: StreamCounts) -> str | None:
    """What to warn of if a group has another share than it has of all that was read, since the source changes; else None."""
    if delivery.estimated is None:
        return None
    had, total = delivery.had, int(delivery.had.sum())
    wanted = delivery.estimated * total
    miss = np.abs(wanted - had)
    off = np.flatnonzero((miss > _DRIFT) & (miss * _OFF > wanted) & (miss > _CHANCE * np.sqrt(wanted)))
    if not len(off):
        return None
    worst = off[np.argmax(miss[off])]
    return (
        f"group {shown(delivery.labels[worst])} is {had[worst] / total:.2%} of what was given, and was asked to be "
        f"{delivery.estimated[worst]:.2%} by the {delivery.read:,} samples read from source {delivery.source}: shares "
        "follow what had been read at each time, and the source changes as it is read; shuffle it, or, if every group "
        "comes from the beginning, pass natural= with the shares of the whole source"
    )


def no_batch(source: str, read: int, part: str, batch_size: int) -> str:
    """What to warn of if a pass gave no batch."""
    return (
        f"source {source} ended after {read:,} samples{part} and gave no batch of {batch_size:,}; pass a smaller "
        "batch_size, shares for the groups that come, or more samples for each worker and rank"
    )


def poor_waiting(delivery: StreamCounts) -> str | None:
    """What to warn of if waiting drops three quarters of what is read, or more; else None."""
    if delivery.when_short != "wait" or delivery.delivered * _DROPPED > delivery.read:
        return None
    number, _ = delivery.rarest()
    return (
        f"waiting gave {delivery.delivered:,} of the {delivery.read:,} samples read from source {delivery.source}: group "
        f"{shown(delivery.labels[number])} fills {delivery.shares[number]:.2%} of every batch and was "
        f"{delivery.seen[number]:,} of these samples; {delivery.policies()}; {delivery.way_out()}"
    )


def poor_repeats(delivery: StreamCounts) -> str | None:
    """What to warn of if a group has fewer samples than a batch takes of it, so that they repeat in it; else None."""
    quotas = np.floor(delivery.shares * delivery.batch_size + 1e-9).astype(np.int64)
    few = np.flatnonzero((delivery.seen < quotas) & (delivery.seen > 0) & (delivery.had > delivery.seen))
    if delivery.when_short != "repeat" or not len(few):
        return None
    worst = few[np.argmax(delivery.had[few] / delivery.seen[few])]
    more = f"; so do those of {len(few) - 1:,} more groups" if len(few) > 1 else ""
    return (
        f"samples repeat within a batch: {quotas[worst]:,} of every {delivery.batch_size:,} are of group "
        f"{shown(delivery.labels[worst])}, and {delivery.seen[worst]:,} of the {delivery.read:,} samples read from source "
        f"{delivery.source} were of it, each given about {delivery.had[worst] / delivery.seen[worst]:,.3g} times so far"
        f"{more}; pass a target nearer to the natural shares, or fewer readers"
    )


def one_sided(reports: Mapping[int, StreamReport]) -> list[str]:
    """What to warn of if a worker of a loader met no sample of a group that the others met often; else nothing.

    Such a worker gives the group no share. It happens where groups come in a rhythm that has a factor in common with the
    number of workers. A worker that reads samples at random misses a group of which its part should hold `_MISSED` with a
    probability of exp(-`_MISSED`).

    Args:
        reports: the counts of each worker, by its number.
    """
    seen: dict[Hashable, int] = {}
    for report in reports.values():
        for group, count in report.seen.items():
            seen[group] = seen.get(group, 0) + count
    read = max(1, sum(report.read for report in reports.values()))
    return [
        f"worker {worker} of {len(reports)} read none of the {count:,} samples of group {shown(group)}, so its batches have "
        "none of it; shuffle the source, or pass num_workers=1"
        for worker, report in sorted(reports.items())
        for group, count in seen.items()
        if report.expected and not report.seen.get(group) and count * report.read > _MISSED * read
    ][:1]
