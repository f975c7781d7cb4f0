"""The summary of a stream: what it is made of, and what it has read and delivered."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from ..plans.printed import Column, Printed, columns_of, table
from .batch import StreamReport

__all__ = ["StreamLine", "StreamSummary", "summarised"]

_COLUMNS = (
    Column("read", "read", 12, ","),
    Column("natural", "natural_share", 10, ".2%"),
    Column("wanted", "wanted_share", 10, ".2%"),
    Column("delivered", "share", 11, ".2%"),
    Column("slots", "slots", 12, ","),
    Column("deficit", "deficit", 10, ","),
)


@dataclass(frozen=True)
class StreamLine:
    """One group or source of a summary.

    Attributes:
        name: the group or the source.
        read: samples read of it.
        natural_share: its share of all samples read.
        wanted_share: its share of the slots planned so far; of a mixture, what the target gives it.
        share: its share of what was delivered, in units if the stream has a `unit`.
        slots: the slots it had.
        deficit: the slots it lacks now.
    """

    name: Hashable
    read: int
    natural_share: float
    wanted_share: float
    share: float
    slots: int
    deficit: int


@dataclass(frozen=True)
class StreamSummary(Printed):
    """A stream in numbers; `print` it.

    Attributes:
        stream: the stream in words.
        report: the counts of the current pass in this process; None before it has begun.
        groups: one line for each group or source, the one with most samples read first.
        notes: what was dropped, repeated, redistributed, skipped and buffered.
    """

    stream: str
    report: StreamReport | None
    groups: list[StreamLine]
    notes: list[str]

    def columns(self) -> dict[str, list[Any]]:
        """See `Exported`: one line for each of `groups`."""
        return columns_of(self.groups)

    def head(self) -> list[str]:
        """See `Printed`."""
        if self.report is None:
            return [self.stream, "nothing was read in this process yet"]
        counts = f"{self.report.read:,} samples read, {self.report.delivered:,} delivered"
        return [self.stream, counts, *(table("group", _COLUMNS, self.groups) if self.groups else ())]


def summarised(stream: str, report: StreamReport | None, wanted: dict[Hashable, float]) -> StreamSummary:
    """Make a summary; `wanted` has the shares of sources, of which a report does not tell."""
    if report is None:
        return StreamSummary(stream, None, [], [])
    read, planned, shares = sum(report.seen.values()), sum(report.expected.values()), report.shares
    lines = [
        StreamLine(
            name,
            seen,
            seen / read if read else 0.0,
            wanted[name] if name in wanted else report.expected[name] / planned if planned else 0.0,
            shares.get(name, 0.0),
            report.had.get(name, 0),
            report.deficit.get(name, 0),
        )
        for name, seen in sorted(report.seen.items(), key=lambda line: -line[1])
    ]
    counts = {
        "dropped by a full buffer": report.dropped,
        "repeated": report.repeated,
        "redistributed to other groups": report.redistributed,
        "of these not paid back, beyond max_deficit": report.written_off,
        "skipped": report.skipped,
        "buffered": report.buffered,
    }
    return StreamSummary(stream, report, lines, [f"{count:,} {what}" for what, count in counts.items() if count])
