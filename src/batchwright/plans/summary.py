"""The summary of a plan with a fixed batch size."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import check_integer, shown
from ..micro_batches import whole_steps
from ..orders import is_shared
from ..orders.shares import TargetShares
from ..targets.stages import stage_begins
from .printed import Printed, PrintedColumn, columns_of, in_steps, table

if TYPE_CHECKING:
    from ..inputs.label_sets import LabelRates
    from ..kinds import FixedKind

__all__ = ["OF_LABELS", "GroupLine", "LabelLine", "Summary", "label_lines", "moves", "summarise"]

_FEW = 12  # groups that are measured if every sample is a group of its own
_STAGES = 6  # of a target that are listed
_COLUMNS = (
    PrintedColumn("size", "size", ""),
    PrintedColumn("natural", "natural_share", ".4%"),
    PrintedColumn("share", "share", ".4%"),
    PrintedColumn("a batch", "quota", ".3f"),
    PrintedColumn("passes", "passes", ".3f"),
)
OF_LABELS = (
    PrintedColumn("samples", "size", ""),
    PrintedColumn("natural", "natural_rate", ".4%"),
    PrintedColumn("wanted", "wanted_rate", ".4%"),
    PrintedColumn("reached", "reached_rate", ".4%"),
    PrintedColumn("a batch", "per_batch", ".3f"),
)
_DELIVERED = PrintedColumn("delivered", "delivered", ".4%")
_SEEN = 5e-7  # a smaller difference of two shares is none in four digits of a percentage


@dataclass(frozen=True)
class GroupLine:
    """One group of a summary.

    Attributes:
        name: its class, where the dataset names its classes, else its label.
        size: the number of its samples.
        natural_share: its share of all samples.
        share: its wanted share in the first epoch.
        delivered: its share of what the first epoch draws; another than wanted where open shards lack the group.
        quota: samples of it that a micro-batch should have, on average.
        passes: the number of passes through it in an epoch.
    """

    name: Hashable
    size: int
    natural_share: float
    share: float
    delivered: float
    quota: float
    passes: float


@dataclass(frozen=True)
class LabelLine:
    """One label of a summary of `multilabel`, whose samples have several each.

    Attributes:
        name: the label.
        size: how many samples have it.
        natural_rate: the part of all samples that have it.
        wanted_rate: the part of drawn samples that should have it.
        reached_rate: the part of drawn samples that have it, in expectation.
        per_batch: samples with it in a micro-batch, on average.
    """

    name: Hashable
    size: int
    natural_rate: float
    wanted_rate: float
    reached_rate: float
    per_batch: float


@dataclass(frozen=True)
class Summary(Printed):
    """A plan in numbers; `print` it.

    Attributes:
        batch_size: samples in a micro-batch.
        epoch_batches: micro-batches in an epoch.
        target: the target as the user wrote it.
        groups: one line for each group, the largest first; only some if every sample is a group of its own.
        group_count: the number of all groups.
        notes: samples that repeat or are left out, numbers that are approximate, and how a target moves.
        labels: one line for each label of samples that have several each, the most frequent first; else empty.
        step_size: micro-batches in a step; an epoch is a whole number of steps.
    """

    batch_size: int
    epoch_batches: int
    target: str
    groups: list[GroupLine]
    group_count: int
    notes: list[str]
    labels: list[LabelLine] = field(default_factory=list)
    step_size: int = 1

    def columns(self) -> dict[str, list[Any]]:
        """See `Exported`: one line for each of `labels` if there are any, else for each of `groups`."""
        return columns_of(self.labels or self.groups)

    def head(self) -> list[str]:
        """See `Printed`."""
        head = (
            f"{self.epoch_batches} micro-batches of {self.batch_size} an epoch{in_steps(self.step_size)}, {self.target}"
        )
        if self.labels:
            return [head, *table("label", OF_LABELS, self.labels)]
        differs = any(abs(line.delivered - line.share) > _SEEN for line in self.groups)
        columns = [*_COLUMNS[:3], _DELIVERED, *_COLUMNS[3:]] if differs else _COLUMNS
        return [head, *table("group", columns, self.groups, self.group_count)]


def summarise(plan: FixedKind, step_size: int) -> Summary:
    """Make the summary of a plan in a run of steps of this size."""
    length = whole_steps(plan.epoch_batches, check_integer(step_size, "step_size", least=1))
    groups, shares, sizes = plan.groups, _wanted_shares(plan, length), plan.groups.sizes
    wanted = np.argsort(-sizes, kind="stable") if groups.starts.size else np.arange(min(_FEW, groups.group_count))
    drawn, delivered = length * plan.batch_size, shares[wanted]
    if plan.shards_change_rates and groups.starts.size:
        delivered = plan.prior_between(0, length)[wanted]
    elif plan.shards_change_rates:
        delivered = plan.inclusion_rates(0, length / plan.epoch_batches).rates(wanted)
    lines = [
        GroupLine(
            groups.called[group],
            int(sizes[group]),
            float(sizes[group] / groups.grouped_count),
            float(shares[group]),
            float(given),
            float(shares[group] * plan.batch_size),
            float(given * drawn / sizes[group]) if sizes[group] else 0.0,
        )
        for group, given in zip(wanted.tolist(), delivered.tolist(), strict=True)
    ]
    return Summary(
        plan.batch_size,
        length,
        plan.order.shares.shown,
        lines,
        groups.group_count,
        _notes(plan, shares, drawn, step_size),
        [] if plan.label_rates is None else label_lines(plan.label_rates, plan.label_rates.reached, plan.batch_size),
        step_size,
    )


def _wanted_shares(plan: FixedKind, length: int) -> np.ndarray:
    """The wanted shares of the first epoch of a run, of so many micro-batches."""
    if length == plan.epoch_batches or plan.order.shares.settles_at == 0 or plan.share_changes:
        return plan.shares()
    return plan.prior_between(0, length)


def label_lines(rates: LabelRates, reached: np.ndarray, batch_size: float) -> list[LabelLine]:
    """One line for each label, the most frequent first.

    Args:
        rates: the labels of samples that have several each.
        reached: the part of drawn samples that have each label, float64 (labels,).
        batch_size: samples in a micro-batch, on average.
    """
    sizes = np.bincount(rates.numbers, minlength=len(rates.names))
    return [
        LabelLine(
            rates.names[label],
            int(sizes[label]),
            float(rates.natural[label]),
            float(rates.wanted[label]),
            float(reached[label]),
            float(reached[label] * batch_size),
        )
        for label in np.argsort(-sizes, kind="stable").tolist()
    ]


def _notes(plan: FixedKind, shares: np.ndarray, drawn: int, step_size: int) -> list[str]:
    groups, notes = plan.groups, []
    count, last = groups.grouped_count, "micro-batch" if step_size == 1 else "step"
    if drawn != count:
        notes.append(
            f"an epoch draws {drawn} samples of {count}: the last {last} is full, the next epoch goes on behind it"
            if 0 < drawn - count < plan.batch_size * step_size
            else f"an epoch draws {drawn} samples, the dataset has {count}"
        )
    if groups.sample_count != count:
        notes.append(f"{groups.sample_count - count} of {groups.sample_count} samples are in no group and never drawn")
    never = int(groups.sizes[shares == 0].sum())
    if never:
        notes.append(f"{never} samples are in {np.count_nonzero(shares == 0)} groups without a share and never drawn")
    notes += plan.shortcomings
    for number, child in plan.order.children.items():
        if is_shared(child):
            own, sizes = child.shares.of(0), child.groups.sizes
            passes = shares[number] * drawn * own[own > 0] / sizes[own > 0]
            notes.append(
                f"source {groups.names[number]!r} has an order of its own: an epoch makes {passes.min():.3g} to "
                f"{passes.max():.3g} passes through its groups"
            )
    return [*notes, *moves(plan), *plan.order.shares.notes]


def moves(plan: FixedKind) -> list[str]:
    """How the target moves: what the numbers are of, and if it moves within epochs, the shares where it changes."""
    shares, groups = plan.order.shares, plan.groups
    if shares.settles_at == 0:
        return []
    if shares.every is None:
        return ["the target moves; shares and passes are those of epoch 0"]
    assert isinstance(shares, TargetShares)  # as all that move at micro-batches
    assert shares.settles_at is not None
    stages = stage_begins(shares.target)
    begins = stages or (0, shares.settles_at * shares.every)
    largest = np.argsort(-groups.sizes, kind="stable")[:_FEW].tolist()
    more = f" and {groups.group_count - _FEW} more" if groups.group_count > _FEW else ""
    lines = []
    for begin in begins if len(begins) <= _STAGES else (*begins[: _STAGES - 1], begins[-1]):
        of_groups = shares.of(begin // shares.every)
        told = ", ".join(f"{shown(groups.called[group])}: {of_groups[group]:.4%}" for group in largest)
        lines.append(f"at micro-batch {begin} the shares are {told}{more}")
    how = f"in {len(stages)} stages" if stages else "little by little"
    return [f"the target moves within epochs, {how}; shares and passes are means over epoch 0", *lines]
