"""The summary of a plan by lengths, measured on its first epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..errors import Infeasible, check_integer
from ..exported import Table
from ..notebook import watched
from .delivered import SourceLine
from .printed import MOST_MEASURED, Printed, PrintedColumn, columns_of, table
from .summary import OF_LABELS, LabelLine, label_lines, moves

if TYPE_CHECKING:
    from ..kinds import LengthKind

_COLUMNS = (
    PrintedColumn("asked", "asked", ".4%"),
    PrintedColumn("delivered", "delivered", ".4%"),
    PrintedColumn("lost", "lost", ".4%"),
)

__all__ = ["LengthSummary", "summarise"]


@dataclass(frozen=True)
class LengthSummary(Printed):
    """A plan in numbers; those after `measured` are from that many windows of epoch 0. `print` it.

    Attributes:
        step_size: micro-batches in a step.
        epoch_batches: micro-batches in every epoch.
        windows: windows in every epoch.
        measured: windows that were measured: all, or as many as have a quarter of a million samples.
        batch_sizes: the smallest and the largest micro-batch, in samples.
        padding: the fraction of all computed tokens that is padding; None of buckets, which do not know it.
        at_least: a proven lower bound: no plan with the same limits needs fewer micro-batches for these samples.
        batches: the number of micro-batches.
        step_balance: the cost of the most expensive micro-batch of a step over the step's mean, averaged over all
            steps; 1 is perfect.
        worst_step: the same for the worst step.
        accumulate: micro-batches that a rank goes through in a step, one after the other; `step_size / accumulate` ranks
            go through theirs at the same time.
        waiting: the cost of the most expensive rank, summed over these, over the mean cost of all ranks; 1 is perfect.
        waiting_at_least: a proven lower bound of `waiting`, for every way of making micro-batches of these samples: one
            rank has the most expensive of them, and no pack has two samples longer than half of it.
        composition: the largest distance of the count of a group in a micro-batch from its share of the window, in
            samples.
        too_long: what is done with samples over the limit.
        too_long_count: the number of samples over the limit.
        sources: with `order=`, what each source or group delivers, the largest first; at most twelve.
        notes: samples that repeat or are practically never drawn, shares that were corrected, and how a target moves.
        labels: over an order of `multilabel`, one line for each label, the most frequent first; else empty.
    """

    step_size: int
    epoch_batches: int
    windows: int
    measured: int
    batch_sizes: tuple[int, int]
    padding: float | None
    at_least: int
    batches: int
    step_balance: float
    worst_step: float
    accumulate: int
    waiting: float
    waiting_at_least: float
    composition: float
    too_long: str
    too_long_count: int
    sources: list[SourceLine]
    notes: list[str]
    labels: list[LabelLine] = field(default_factory=list)

    @property
    def delivered(self) -> Table:
        """What each of `sources` delivers, as a table."""
        return Table(columns_of(self.sources), "Shares of all units")

    @property
    def gap(self) -> float:
        """Micro-batches above the proven lower bound, as a fraction of it."""
        return self.batches / self.at_least - 1 if self.at_least else 0.0

    def head(self) -> list[str]:
        """See `Printed`."""
        padding = "padding is not known" if self.padding is None else f"{self.padding:.3%} padding"
        lines = [
            f"{self.epoch_batches} micro-batches an epoch in {self.windows} windows, "
            + (f"steps of {self.step_size}" if self.step_size > 1 else "without ranks: summary(8) has those of 8"),
            f"{self.measured} windows: {self.batches} micro-batches of {self.batch_sizes[0]} to {self.batch_sizes[1]} "
            f"samples, {padding}, {self.gap:.2%} above the bound of {self.at_least}",
        ]
        if self.step_size > 1:
            lines.append(
                f"steps: the most expensive micro-batch costs {self.step_balance:.5f} of the mean, {self.worst_step:.5f} at "
                "worst"
            )
        if self.step_size > self.accumulate:
            lines.append(
                f"{self.step_size // self.accumulate} ranks: the most expensive one costs {self.waiting:.5f} of the mean, "
                f"micro-batch by micro-batch; at least {self.waiting_at_least:.5f}"
            )
        if self.composition:
            lines.append(f"groups: within {self.composition:.1f} samples of their share of the window")
        if self.too_long_count:
            lines.append(f"too long: {self.too_long_count} samples, policy {self.too_long!r}")
        lines += table("units of", _COLUMNS, self.sources) if self.sources else []
        return lines + (table("label", OF_LABELS, self.labels) if self.labels else [])


def summarise(plan: LengthKind, step_size: int, accumulate: int = 1) -> LengthSummary:
    """Make the summary of a plan."""
    if check_integer(accumulate, "accumulate", least=1) > step_size or step_size % accumulate:
        raise Infeasible(
            f"steps of {step_size} micro-batches do not divide into {accumulate} of every rank",
            f"pass a multiple of {accumulate} as step_size, or accumulate=1",
        )
    plan, cutter = plan.stepped(step_size), plan.cutter
    windows = plan.windows.window_and_place(plan.epoch_batches - 1)[0] + 1
    measured, sizes, costs = [], [], []
    tokens, composition = np.zeros(2), 0.0
    for number in watched(range(windows), "measuring windows", windows):
        items, cut = plan.planned(number)
        measured.append(items)
        sizes.append(np.diff(cut.offsets))
        costs.append(cut.costs)
        tokens += np.sum([cutter.tokens(items[cut.batch(batch)]) for batch in range(len(cut))], axis=0)
        if plan.admission.pieces is None and plan.admission.bundles is None:
            composition = max(composition, _farthest(plan.groups.group_of(items[cut.places]), sizes[-1]))
        if sum(map(len, measured)) >= MOST_MEASURED:
            break
    batch_sizes = np.concatenate(sizes)
    steps = np.concatenate(costs).reshape(-1, step_size)
    busy = steps[steps.mean(axis=1) > 0]
    together = np.concatenate(costs).reshape(-1, step_size // accumulate)
    mean = float(together.mean(axis=1).sum())
    balance = busy.max(axis=1) / busy.mean(axis=1) if len(busy) else np.ones(1)
    return LengthSummary(
        step_size,
        plan.epoch_batches,
        windows,
        len(measured),
        (int(batch_sizes.min()), int(batch_sizes.max())),
        _padding(tokens) if cutter.knows_padding else None,
        cutter.batches_at_least(np.concatenate(measured)),
        batch_sizes.size,
        float(balance.mean()),
        float(balance.max()),
        accumulate,
        float(together.max(axis=1).sum()) / mean if mean else 1.0,
        max(1.0, cutter.slowest_ranks_at_least(np.concatenate(measured), step_size // accumulate) / mean)
        if mean
        else 1.0,
        composition,
        plan.admission.too_long,
        plan.admission.too_long_count,
        [] if plan.delivery is None else plan.delivery.lines,
        [*plan.shortcomings, *(f"order: {text}" for text in moves(plan.order_plan))],
        _labels(plan, float(batch_sizes.mean())),
    )


def _labels(plan: LengthKind, batch_size: float) -> list[LabelLine]:
    """One line for each label of the order, with the rates that are left where samples are skipped or split."""
    rates, count = plan.order_plan.label_rates, plan.order_plan.groups.sample_count
    if rates is None:
        return []
    drawn = plan.rates(np.arange(plan.groups.sample_count))
    shares = np.bincount(plan.admission.numbers_in_order(count), weights=drawn, minlength=count)
    return label_lines(rates, rates.rates_of(shares), batch_size)


def _padding(tokens: np.ndarray) -> float:
    """The part of padding in tokens with padding, given those without it and with it."""
    return float(1 - tokens[0] / tokens[1]) if tokens[1] else 0.0


def _farthest(groups: np.ndarray, sizes: np.ndarray) -> float:
    """The largest distance of the count of a group in a micro-batch from its share of the window, in samples.

    `groups` are those of the samples, micro-batch by micro-batch. A table of micro-batches x groups would not fit into
    memory with a million groups. So only pairs that occur are counted; pairs that do not occur are farthest where the
    group is most common.
    """
    batch_of = np.repeat(np.arange(sizes.size), sizes)
    distinct, group = np.unique(groups, return_inverse=True)
    share = np.bincount(group) / groups.size
    cells, held = np.unique(batch_of * distinct.size + group, return_counts=True)
    batch, of = np.divmod(cells, distinct.size)
    farthest = float(np.abs(held - share[of] * sizes[batch]).max())
    complete = np.arange(sizes.size)  # micro-batches that have all of the most common groups so far
    for common in np.argsort(-share, kind="stable"):
        holds = np.isin(complete * distinct.size + common, cells)
        farthest = max(farthest, float((share[common] * sizes[complete[~holds]]).max(initial=0)))
        complete = complete[holds]
        if not complete.size:
            break
    return farthest
