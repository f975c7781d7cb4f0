"""The summary of a stream: what it is made of, and what it has read and delivered."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import shown
from ..plans.printed import Printed, PrintedColumn, columns_of, table
from .batch import StreamReport

__all__ = ["StreamLine", "StreamSummary", "summarised"]

_COLUMNS = (
    PrintedColumn("read", "read", ","),
    PrintedColumn("natural", "natural_share", ".2%"),
    PrintedColumn("wanted", "wanted_share", ".2%"),
    PrintedColumn("delivered", "share", ".2%"),
    PrintedColumn("slots", "slots", ","),
    PrintedColumn("passes", "passes", ".3f"),
    PrintedColumn("deficit", "deficit", ","),
)

_MOST_LATE = 3  # groups that came late, which the notes name


@dataclass(frozen=True)
class StreamLine:
    """One group or source of a summary.

    Attributes:
        name: the group or the source.
        read: samples read of it.
        natural_share: its share of all samples read.
        wanted_share: what the target gives it.
        share: its share of what was delivered, in units if the stream has a `unit`.
        slots: the slots it had.
        passes: how many times each of its samples that were delivered came, on average; 1 in a mixture.
        deficit: the slots it lacks now.
    """

    name: Hashable
    read: int
    natural_share: float
    wanted_share: float
    share: float
    slots: int
    passes: float
    deficit: int


@dataclass(frozen=True)
class StreamSummary(Printed):
    """A stream in numbers; `print` it.

    Attributes:
        stream: the stream in words.
        report: the counts of the current pass; None before it has begun.
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
            return [self.stream, "nothing was read by this object yet; what a loader of it gave is in loader.summary()"]
        counts = f"{self.report.read:,} samples read, {self.report.delivered:,} delivered"
        columns = _COLUMNS if self.report.expected else [column for column in _COLUMNS if column.title != "passes"]
        return [self.stream, counts, *(table("group", columns, self.groups) if self.groups else ())]


def summarised(stream: str, report: StreamReport | None, wanted: Mapping[Hashable, float]) -> StreamSummary:
    """Make a summary; `wanted` has what the target gives each group or source."""
    if report is None:
        return StreamSummary(stream, None, [], [])
    read, shares = sum(report.seen.values()), report.shares
    lines = [
        StreamLine(
            name,
            seen,
            seen / read if read else 0.0,
            wanted.get(name, 0.0),
            shares.get(name, 0.0),
            report.had.get(name, 0),
            _passes(report.had.get(name, 0), report.repeats.get(name, 0)),
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
    notes = [f"{count:,} {what}" for what, count in counts.items() if count]
    late = sorted(report.before.items(), key=lambda entry: -entry[1])
    notes += [
        f"{count:,} samples were given before the first of group {shown(name)} came"
        for name, count in late[:_MOST_LATE]
    ]
    if len(late) > _MOST_LATE:
        notes.append(f"{len(late) - _MOST_LATE:,} more groups came late")
    return StreamSummary(stream, report, lines, notes)


def _passes(had: int, repeats: int) -> float:
    return had / max(1, had - repeats)
