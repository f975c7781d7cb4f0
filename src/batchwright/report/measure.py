"""One walk over micro-batches of an epoch, in which all numbers of a report are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..audit import Audit
from ..kernels.array_types import blocks
from ..notebook import watched
from .bands import Bands
from .labels import Labels, LabelsHeld
from .pictures import (
    CompositionPicture,
    CostPicture,
    DriftPicture,
    LengthsPicture,
    PaddingPicture,
    PassesPicture,
    PresencePicture,
    SharesPicture,
)
from .reading import BatchRange, BatchReader, Shuffle

__all__ = ["Walked"]

_SHOWN = 160  # micro-batches, or steps, of a picture: as many as a narrow screen has pixels for
_MOST_COUNTED = 1 << 28  # samples whose draws are counted: 1 GB
_MOST_GROUPS = 1 << 20  # whose presence and drift are measured
_MOST_CELLS = 1 << 24  # of a table of micro-batches and groups
_TIMES = 12  # how often a sample came; more often is one bin
_BINS = 40  # of lengths


@dataclass
class _Sums:
    """What is added up over the micro-batches of the plan, or of the shuffle.

    Attributes:
        of_group: draws of every group; of all samples if they are not told apart.
        held: micro-batches that hold each group.
        shown: samples of each row in the micro-batches shown.
        sizes_shown: all samples in these.
        farthest: of drift, the largest distance, that of 90 % and that of half of the groups, at each place.
        tokens: of every micro-batch.
        computed: the same, with padding.
        costs: of every micro-batch.
        worst: the largest distance of drift, and its group.
        drawn: all draws.
    """

    of_group: np.ndarray
    held: np.ndarray
    shown: list[np.ndarray]
    sizes_shown: list[int]
    farthest: list[list[float]]
    tokens: list[np.ndarray]
    computed: list[np.ndarray]
    costs: list[np.ndarray]
    worst: tuple[float, int] = -1.0, 0
    drawn: int = 0


class Walked:
    """A walk over micro-batches first..first+batches-1."""

    def __init__(self, plan: Any, reader: BatchReader, shuffle: Shuffle, first: int, batches: int) -> None:
        self.plan, self.first, self.batches = plan, first, batches
        self._reader, self._shuffle, self._items = reader, shuffle, list[np.ndarray]()
        groups = plan.groups
        self._told_apart = groups.group_count <= _MOST_GROUPS and (bool(groups.starts.size) or _differ(plan))
        self._target = plan.prior_between(first, first + batches) if self._told_apart else np.ones(1)
        self._natural = plan.natural_prior if self._told_apart else np.ones(1)
        self.bands = Bands.of(groups, self._target if self._told_apart else None)
        count = self._target.size
        self.planned, self.shuffled = (
            _Sums(np.zeros(count, np.int64), np.zeros(count, np.int64), [], [], [], [], [], []) for _ in range(2)
        )
        places = min(_SHOWN, batches)
        self.at = np.arange(places) * batches // places  # those shown, counted from the first
        self._times = np.zeros(groups.sample_count, np.int32) if groups.sample_count <= _MOST_COUNTED else None
        self._repeated = 0
        self._labels = None if plan.label_rates is None else LabelsHeld(plan.label_rates)
        self._lengths, self._edges, self._drawn_lengths = self._of_items()

    def go(self) -> None:
        """Walk."""
        ends = [*self.at[1:].tolist(), self.batches]
        parts = zip(self.at.tolist(), ends, strict=True)
        for begin, end in watched(parts, "measuring the plan", self.at.size):
            for number, piece in enumerate(self._reader.pieces(self.first + begin, end - begin)):
                self._see(piece, begins=number == 0)
            self._end_of_part()

    def _see(self, piece: BatchRange, *, begins: bool) -> None:
        """Count a piece; its first micro-batch is shown if it begins a part."""
        shuffled = self._shuffle.micro_batches(len(piece))
        for sums, one in ((self.planned, piece), (self.shuffled, shuffled)):
            groups = self._groups_of(one.samples)
            sums.drawn += one.samples.size
            sums.of_group += np.bincount(groups, minlength=sums.of_group.size)
            if begins:
                rows = self.bands.rows_of(groups[: one.sizes[0]])
                sums.shown.append(np.bincount(rows, minlength=len(self.bands)))
                sums.sizes_shown.append(int(one.sizes[0]))
            if one.tokens is not None and one.computed is not None:
                sums.tokens.append(one.tokens)
                sums.computed.append(one.computed)
            if one.costs is not None:
                sums.costs.append(one.costs)
        self._see_planned(piece)

    def _see_planned(self, piece: BatchRange) -> None:
        self._repeated += _repeats(piece)
        if self._labels is not None:
            self._labels.see(piece.samples.reshape(len(piece), -1))
        if self._told_apart:
            self.planned.held += _holding(piece, self._groups_of(piece.samples), self.planned.held.size)
        if self._times is not None:
            np.add.at(self._times, piece.samples, 1)
        if self.plan.cutter is not None:
            self._items.append(piece.items)
        if self._edges is not None:
            self._drawn_lengths += np.histogram(self._lengths[piece.items], self._edges)[0]

    def _groups_of(self, samples: np.ndarray) -> np.ndarray:
        return np.asarray(self.plan.groups.group_of(samples)) if self._told_apart else np.zeros(samples.size, np.int64)

    def _end_of_part(self) -> None:
        for sums, shares in ((self.planned, self._target), (self.shuffled, self._natural)):
            apart = np.abs(sums.of_group - shares * sums.drawn)
            sums.farthest.append([apart.max(), *np.quantile(apart, [0.9, 0.5])])
            if apart.max() > sums.worst[0]:
                sums.worst = float(apart.max()), int(apart.argmax())

    def _of_items(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """The length of every item, the edges of bins of lengths, and a count for each bin."""
        lengths = self._reader.lengths
        if lengths is None or not lengths.size:
            return np.empty(0), None, np.empty(0, np.int64)
        low, high, middle = float(lengths.min()), float(lengths.max()), float(np.median(lengths))
        if (
            (lengths % 1 == 0).all() and high - low < _BINS and high < 2**53
        ):  # above it float64 has no room for steps of 1
            edges = np.arange(low, high + 2)
        elif low > 0 and high > 20 * middle:
            edges = np.geomspace(low, high, _BINS + 1)
        else:
            edges = np.linspace(low, high, _BINS + 1)
        edges[0], edges[-1] = low, max(high, edges[-1])  # geomspace rounds
        return lengths, edges, np.zeros(edges.size - 1, np.int64)

    def shares(self) -> SharesPicture:
        """See `SharesPicture`."""
        bands, drawn = self.bands, max(1, self.planned.drawn)
        return SharesPicture(
            bands.names,
            bands.group_counts,
            bands.sample_counts,
            bands.summed(self._natural),
            bands.summed(_wanted(self.plan, self._target)),
            bands.summed(self.planned.of_group) / drawn,
        )

    def composition(self) -> CompositionPicture:
        """See `CompositionPicture`."""
        shares = self.bands.summed(self._target)[:, None]
        counts, quotas, shuffled, shuffled_quotas = (
            part
            for sums in (self.planned, self.shuffled)
            for part in (np.stack(sums.shown, axis=1), shares * sums.sizes_shown)
        )
        return CompositionPicture(self.bands.names, self.first + self.at, counts, quotas, shuffled, shuffled_quotas)

    def labels_held(self) -> Labels | None:
        """See `Labels`."""
        return None if self._labels is None else self._labels.found()

    def presence(self) -> PresencePicture | None:
        """See `PresencePicture`."""
        if not self._told_apart:
            return None
        plan, counts = self.plan, np.maximum(self.bands.group_counts, 1)
        sizes = plan.groups.sizes if plan.groups.starts.size else np.ones(self._target.size, np.int64)
        expected = _present(sizes, plan.groups.grouped_count, self.planned.drawn / self.batches)
        return PresencePicture(
            self.bands.names,
            self.bands.summed(self.planned.held / self.batches) / counts,
            self.bands.summed(expected) / counts,
        )

    def passes(self) -> PassesPicture | None:
        """See `PassesPicture`."""
        if self._times is None:
            return None
        bands, count = self.bands, self.plan.groups.grouped_count
        fewest, most, samples = self._times_by_row(self._times)
        shuffled = np.zeros(_TIMES + 1, np.int64)
        whole, rest = divmod(self.planned.drawn, count)
        shuffled[min(whole, _TIMES)] += count - rest
        shuffled[min(whole + 1, _TIMES)] += rest
        expected = bands.summed(self._target) * self.planned.drawn / np.maximum(bands.sample_counts, 1)
        bins = 1 + max(2, *(int(np.flatnonzero(counts).max(initial=0)) for counts in (samples, shuffled)))
        times = np.arange(bins)
        return PassesPicture(
            bands.names, expected, fewest, most, times, samples[:bins], shuffled[:bins], self._repeated
        )

    def _times_by_row(self, times_of: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How often the samples of each row came, at least and at most; and how many samples came 0, 1, 2, ... times."""
        groups, bands = self.plan.groups, self.bands
        fewest, most = np.full(len(bands), np.iinfo(np.int32).max), np.zeros(len(bands), np.int64)
        histogram = np.zeros(_TIMES + 1, np.int64)
        for block in blocks(groups.sample_count):
            samples = np.arange(*block)
            samples = samples[np.asarray(groups.group_of(samples)) < groups.group_count]
            times, rows = times_of[samples], bands.rows_of(self._groups_of(samples))
            np.minimum.at(fewest, rows, times)
            np.maximum.at(most, rows, times)
            histogram += np.bincount(np.minimum(times, _TIMES), minlength=_TIMES + 1)
        return np.where(bands.sample_counts > 0, fewest, 0), most, histogram

    def drift(self, audit: Audit | None) -> DriftPicture | None:
        """See `DriftPicture`."""
        if not self._told_apart:
            return None
        worst, most, median = np.array(self.planned.farthest).T
        after = np.append(self.at[1:], self.batches)
        name = str(self.plan.groups.called[self.planned.worst[1]])
        return DriftPicture(
            after, worst, most, median, np.array(self.shuffled.farthest)[:, 0], name, _bound(self.plan, audit)
        )

    def lengths_found(self) -> LengthsPicture | None:
        """See `LengthsPicture`."""
        if self._edges is None:
            return None
        counts = np.histogram(self._lengths, self._edges)[0]
        return LengthsPicture(self._edges, counts, self._drawn_lengths, float(self._lengths.max()))

    def padding(self) -> PaddingPicture | None:
        """See `PaddingPicture`."""
        if not self.planned.tokens or self._reader.lengths is None:  # shape buckets do not know what is padding
            return None
        parts, overall = [], []
        for sums in (self.planned, self.shuffled):
            tokens, computed = np.concatenate(sums.tokens), np.concatenate(sums.computed)
            part = 1 - np.divide(tokens, computed, out=np.ones(tokens.size), where=computed > 0)
            parts.append(part[self.at])
            overall.append(float(1 - tokens.sum() / computed.sum()) if computed.sum() else 0.0)
        cutter = self.plan.cutter
        batches, at_least = (
            (0, 0) if cutter is None else (self.batches, cutter.batches_at_least(np.concatenate(self._items)))
        )
        return PaddingPicture(self.first + self.at, parts[0], parts[1], overall[0], overall[1], batches, at_least)

    def cost(self, world_size: int, accumulate: int) -> CostPicture | None:
        """See `CostPicture`."""
        if not self.planned.costs:
            return None
        planned, shuffled = (
            np.concatenate(sums.costs).reshape(-1, accumulate, world_size).sum(axis=1)
            for sums in (self.planned, self.shuffled)
        )
        places = min(_SHOWN, len(planned))
        at = np.arange(places) * len(planned) // places
        waiting = [
            float(one.max(axis=1).sum() / one.mean(axis=1).sum()) if one.any() else 1.0 for one in (planned, shuffled)
        ]
        shown = planned[at]
        return CostPicture(
            world_size,
            self.first // (world_size * accumulate) + at,
            shown.min(axis=1),
            shown.mean(axis=1),
            shown.max(axis=1),
            shuffled[at].max(axis=1),
            waiting[0],
            waiting[1],
        )


def _bound(plan: Any, audit: Audit | None) -> float | None:
    """The limit of the drift in samples; an audit has it in tickets. Drift is of the run, so it holds from epoch 0 on."""
    if audit is None or plan.order is None or not hasattr(plan.order, "per_ticket"):
        return None
    limits = [one.bound for one in audit.findings if one.guarantee == "G3 drift" and one.promised]
    return limits[0] * plan.order.per_ticket if limits else None


def _wanted(plan: Any, delivered: np.ndarray) -> np.ndarray:
    """The wanted shares of groups. What is delivered differs from them where open shards lack a group."""
    order, of_groups = plan.order, delivered.size == plan.groups.group_count
    if order is not None and plan.shards_change_rates and order.shares.settles_at == 0 and of_groups:
        delivered = plan.shares(0)
    return delivered


def _differ(plan: Any) -> bool:
    """Whether the samples of a plan without groups have different shares."""
    shares = plan.shares()
    return bool(shares.min() < shares.max())


def _repeats(piece: BatchRange) -> int:
    """Draws that repeat another of their micro-batch."""
    size = int(piece.sizes[0])
    if (piece.sizes == size).all():  # to sort short rows is ten times faster
        rows = np.sort(piece.samples.reshape(len(piece), size), axis=1)
        return int((rows[:, 1:] == rows[:, :-1]).sum())
    distinct, number = np.unique(piece.samples, return_inverse=True)
    return piece.samples.size - np.unique(piece.batch_of * distinct.size + number).size


def _holding(piece: BatchRange, groups: np.ndarray, count: int) -> np.ndarray:
    """How many of the micro-batches hold each group."""
    cells = piece.batch_of * count + groups
    if len(piece) * count <= _MOST_CELLS:
        table = np.zeros(len(piece) * count, bool)
        table[cells] = True
        return np.asarray(table.reshape(len(piece), count).sum(axis=0))
    return np.bincount(np.unique(cells) % count, minlength=count)


def _present(sizes: np.ndarray, count: int, drawn: float) -> np.ndarray:
    """The chance that a plain shuffle puts a sample of a group of each of these sizes into a micro-batch of so many.

    One minus the chance that none of the draws without replacement is of the group (hypergeometric).
    """
    distinct, of = np.unique(sizes, return_inverse=True)
    missing = np.zeros(distinct.size)
    for number in range(max(1, round(drawn))):  # one factor a draw
        left = count - number
        with np.errstate(divide="ignore"):
            missing += np.log1p(-np.minimum(1, distinct / max(1, left)))
    found: np.ndarray = -np.expm1(missing)[of]
    return found
