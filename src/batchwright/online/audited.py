"""Measures the guarantees of a stream on the batches that it gives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from ..audit import Audit, Finding
from ..audit.guarantee import Guarantee, measured
from ..errors import shown
from .batch import StreamReport
from .digests import Unlike

__all__ = ["AuditedBatch", "StreamLimits", "audited"]

_DRIFT = 4.0  # slots: the promise of `Quotas`


@dataclass(frozen=True, slots=True)
class AuditedBatch:
    """A batch as it was given, and what was known then.

    Attributes:
        number: its number.
        batch: the batch, or a single sample of a stream of samples.
        report: the counts up to and with it.
        shares: the shares in force by group; empty if the stream has no groups with quotas.
        digest: of its content, when it was given: a source may use its memory again; or why there is none.
    """

    number: int
    batch: Any
    report: StreamReport
    shares: dict[Any, float]
    digest: str | Unlike


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What a kind of stream promises.

    Attributes:
        batch_size: samples in every batch; None if it varies.
        cost: the cost of a batch, such as its padded tokens; None if there is none.
        most_cost: the most that it may be.
        max_deficit: the most slots that a group may lack.
        shares: the shares of the sources of a mixture by samples; None for other streams.
    """

    batch_size: int | None = None
    cost: Any = None
    most_cost: float = math.inf
    max_deficit: int | None = None
    shares: dict[Any, float] | None = None


class _StreamSize(Guarantee[AuditedBatch]):
    def __init__(self, limits: StreamLimits) -> None:
        super().__init__("G1 size")
        self._limits = limits

    def see(self, seen: AuditedBatch) -> None:
        limits = self._limits
        if limits.batch_size is not None:
            self.offer(abs(len(seen.batch) - limits.batch_size), f"batch {seen.number}")
        if limits.cost is not None:
            self.offer(limits.cost(seen.batch) - limits.most_cost, f"batch {seen.number}")


class _StreamQuota(Guarantee[AuditedBatch]):
    """Floor or ceil of its quota for each group, in batches between which nothing is owed."""

    def __init__(self) -> None:
        super().__init__("G2 quota")
        self._in_deficit = False

    def see(self, seen: AuditedBatch) -> None:
        in_deficit = bool(seen.report.deficit)
        if not (in_deficit or self._in_deficit or seen.batch.redistributed):
            for name, share in seen.shares.items():
                count, quota = seen.batch.groups.count(name), share * len(seen.batch)
                miss = max(math.floor(quota + 1e-6) - count, count - math.ceil(quota - 1e-6))
                self.offer(miss, f"batch {seen.number}, group {shown(name)}")
        self._in_deficit = in_deficit


class _StreamDrift(Guarantee[AuditedBatch]):
    """The slots planned for a group against the sum of its shares."""

    def __init__(self) -> None:
        super().__init__("G3 drift", _DRIFT)
        self._due: dict[Any, float] = {}

    def see(self, seen: AuditedBatch) -> None:
        for name, share in seen.shares.items():
            self._due[name] = self._due.get(name, 0.0) + share * len(seen.batch)
        names = list(self._due)
        off = np.array([abs(seen.report.expected.get(name, 0) - self._due[name]) for name in names])
        self.offer_groups(off, seen.number, names)


class _Mixture(Guarantee[AuditedBatch]):
    """The samples that a source gave, against its share of all."""

    def __init__(self, shares: dict[Any, float]) -> None:
        super().__init__("G3 drift", 1.0)
        self._shares = shares

    def see(self, seen: AuditedBatch) -> None:
        had, names = seen.report.had, list(self._shares)
        total = sum(had.values())
        self.offer_groups(np.array([abs(had[name] - total * self._shares[name]) for name in names]), seen.number, names)


class _Deficit(Guarantee[AuditedBatch]):
    def __init__(self, most: int) -> None:
        super().__init__("deficit", float(most))

    def see(self, seen: AuditedBatch) -> None:
        for name, lacking in seen.report.deficit.items():
            self.offer(lacking, f"batch {seen.number}, group {shown(name)}")


class _Counted(Guarantee[AuditedBatch]):
    def __init__(self) -> None:
        super().__init__("G10 counted")

    def see(self, seen: AuditedBatch) -> None:
        found = seen.report
        accounted = found.delivered - found.repeated + found.dropped + found.skipped + found.buffered
        self.offer(abs(found.read - accounted), f"batch {seen.number}")


class _Repeatable(Guarantee[AuditedBatch]):
    """A second pass with the same seed and epoch gives the same."""

    def __init__(self, again: Iterator[AuditedBatch]) -> None:
        super().__init__("G7 pure")
        self._again = again
        self._unlike = ""

    def see(self, seen: AuditedBatch) -> None:
        other = next(self._again, None)
        if isinstance(seen.digest, Unlike):
            self._unlike = (
                self._unlike or f"not measured, batch {seen.number} has {seen.digest}, which cannot be compared"
            )
        else:
            self.offer(float(other is None or other.digest != seen.digest), f"batch {seen.number}")

    def finding(self) -> Finding:
        """The worst value so far, and whether some values could not be compared."""
        found = super().finding()
        return (
            found
            if found.worst > found.bound or not self._unlike
            else replace(found, bound=math.inf, where=self._unlike)
        )


def audited(first: Iterator[AuditedBatch], again: Iterator[AuditedBatch], batches: int, limits: StreamLimits) -> Audit:
    """Measure the first `batches` batches of two passes that must be the same."""
    given = list(islice(first, batches))
    guarantees: list[Guarantee[AuditedBatch]] = [_Counted(), _Repeatable(again)]
    if limits.batch_size is not None or limits.cost is not None:
        guarantees.insert(0, _StreamSize(limits))
    if limits.max_deficit is not None:
        guarantees[1:1] = [_StreamQuota(), _StreamDrift(), _Deficit(limits.max_deficit)]
    if limits.shares is not None:
        guarantees.append(_Mixture(limits.shares))
    return measured(0, len(given), guarantees, given)
