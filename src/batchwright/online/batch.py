"""Batches of a stream, with the group of each sample, and the report of a run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from torch.utils.data._utils.collate import default_collate_fn_map

from ..errors import Infeasible

__all__ = ["StreamBatch", "StreamReport", "total"]


class StreamBatch(list[Any]):
    """A list of samples, with information on how the stream composed it.

    Attributes:
        groups: the group of each sample; empty if the stream has no groups.
        repeats: the positions of samples that fill a slot for which the buffer had no unused sample of the group. They
            are drawn from the samples seen: most were returned before. Where groups come in bursts, some were dropped
            by a full buffer, so that this is the first time they are returned.
        redistributed: for each group whose slots in this batch went to other groups, how many.
        packs: for packed streams, the number of samples in each pack, in order.
    """

    groups: Sequence[Hashable] = ()
    repeats: Sequence[int] = ()
    redistributed: Mapping[Hashable, int] = {}  # never written to: batches with any get their own
    packs: Sequence[int] = ()


def _no_batch_of_batches(batch: Sequence[Any], *, collate_fn_map: Any = None) -> NoReturn:
    raise Infeasible(
        f"the loader makes a batch of {len(batch)} batches, the first with {len(batch[0])} samples: a stream of batches has "
        "made them already",
        "pass batch_size=None to the loader, or let the stream give samples (batches=False; of a mixture no batch_size)",
    )


default_collate_fn_map[StreamBatch] = _no_batch_of_batches  # torch's own table of types that its collate function knows


@dataclass(frozen=True)
class StreamReport:
    """Counts of one replica's run so far; every sample that was dropped, repeated or replaced is counted.

    `read` is always `delivered - repeated + dropped + skipped + buffered`.

    Attributes:
        read: samples read from the sources, and readings that failed and were skipped.
        delivered: samples returned in batches, repeats included.
        repeated: of these, the repeats (see `StreamBatch.repeats`), also those that were not returned before.
        dropped: samples that a full buffer dropped unused.
        skipped: broken samples and failed readings that were left out (`on_error="skip"`).
        redistributed: slots that went to another group because their own had no sample in the buffer.
        written_off: of these, the slots beyond `max_deficit`: they are not paid back.
        buffered: samples in memory now; when the stream has ended, the samples left over.
        deficit: for each group, the slots that it lacks now (negative: it has had too many), if not 0.
        seen: for each group or source, the samples read.
        expected: for each group, the slots planned in the batches returned so far.
        had: for each group or source, the slots it had; fewer than expected if other groups took its slots.
        repeats: for each group, the repeats among the slots it had.
        before: for each group that came late, the samples delivered before its first one was read.
        units: for each group or source, what was delivered of it in units, such as tokens, if the stream has a `unit`.
    """

    read: int
    delivered: int
    repeated: int = 0
    dropped: int = 0
    skipped: int = 0
    redistributed: int = 0
    written_off: int = 0
    buffered: int = 0
    deficit: Mapping[Hashable, int] = field(default_factory=dict)
    seen: Mapping[Hashable, int] = field(default_factory=dict)
    expected: Mapping[Hashable, int] = field(default_factory=dict)
    had: Mapping[Hashable, int] = field(default_factory=dict)
    repeats: Mapping[Hashable, int] = field(default_factory=dict)
    before: Mapping[Hashable, int] = field(default_factory=dict)
    units: Mapping[Hashable, float] = field(default_factory=dict)

    @property
    def shares(self) -> dict[Hashable, float]:
        """The share of each group or source in what was delivered: of the units if the stream has a `unit`, else of samples.

        Example:
            >>> StreamReport(read=9, delivered=8, had={"cat": 6, "dog": 2}).shares
            {'cat': 0.75, 'dog': 0.25}
        """
        amounts = self.units or self.had
        total = sum(amounts.values())
        return {name: amount / total if total else 0.0 for name, amount in amounts.items()}


def total(reports: Sequence[StreamReport]) -> StreamReport:
    """The sums of the counts of several readers."""
    found: dict[str, Any] = {}
    for entry in fields(StreamReport):
        values = [getattr(report, entry.name) for report in reports]
        found[entry.name] = _added(values) if isinstance(values[0], Mapping) else sum(values)
    # A reader that never read a sample of a group delivered everything without it.
    names = {name for report in reports for name in report.before}
    places = {name: place for place, name in enumerate(found["seen"])}
    found["before"] = {
        name: sum(report.before.get(name, 0 if name in report.seen else report.delivered) for report in reports)
        for name in sorted(names, key=places.__getitem__)
    }
    return StreamReport(**found)


def _added(parts: Sequence[Mapping[Hashable, Any]]) -> dict[Hashable, Any]:
    sums: dict[Hashable, Any] = {}
    for part in parts:
        for name, count in part.items():
            sums[name] = sums.get(name, 0) + count
    return sums
