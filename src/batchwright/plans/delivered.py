"""Corrects the shares of an order for samples that a plan by lengths truncates or skips.

An order does not know that samples will be truncated. If a source of long samples is to give a tenth of all tokens, and
its samples are truncated, it gives less. So the targets of an order are computed again: targets in tokens from what is
left of each sample, targets in samples from the samples that are not skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..errors import Infeasible
from ..groups import Groups
from ..kernels.array_types import BLOCK, Floats, Integers, blocks
from ..lengths.numbers import Numbers
from ..orders import Dealt, Independent, Mixed, Order, SharedOrder, is_shared
from ..orders.inclusion import inclusion_rates_of
from ..orders.shares import Shares, TargetShares
from ..targets import Target
from ..targets.target import Number
from ..targets.units import in_measure
from .fixed import FixedPlan

__all__ = ["Delivery", "SourceLine", "Units", "delivery", "reweighed"]

_ALIKE = 1e-9  # relative difference of two sums of the same lengths: they may have been added in other types
_SHOWN = 12  # sources of a summary


Values = Callable[[int, int], Floats]
"""Reads a number for each of samples first..last-1: nothing here takes memory for every sample of a dataset."""


@dataclass(frozen=True)
class Units:
    """The lengths of samples in some unit, before and after they are truncated or skipped.

    Attributes:
        whole: lengths before, by the samples of the dataset.
        truncated: lengths after samples were truncated; those that are skipped count here.
        all_skipped: the sorted numbers of the samples that are skipped, int64.
        start: the first sample of the dataset that is counted.
        count: how many are.
    """

    whole: Numbers
    truncated: Numbers
    all_skipped: Integers
    start: int
    count: int

    @classmethod
    def of(cls, whole: Numbers, truncated: Numbers, skipped: Integers) -> Units:
        """From lengths before and after samples were truncated, and the sorted numbers of samples that are skipped."""
        return cls(whole, truncated, skipped, 0, whole.size)

    def part(self, first: int, last: int) -> Units:
        """The same for samples first..last-1."""
        return replace(self, start=self.start + first, count=last - first)

    def lengths(self, first: int, last: int) -> Floats:
        """Lengths before, float64 (last - first,)."""
        return self.whole[self.start + first : self.start + last].astype(np.float64)

    def delivered(self, first: int, last: int) -> Floats:
        """Lengths after, float64 (last - first,); 0 for samples that are skipped."""
        found = self.truncated[self.start + first : self.start + last].astype(np.float64)
        found[self._skipped_in(first, last) - self.start - first] = 0
        return found

    def skipped(self, first: int, last: int) -> Floats:
        """1 for samples that are skipped, else 0, float64 (last - first,)."""
        found = np.zeros(last - first)
        found[self._skipped_in(first, last) - self.start - first] = 1
        return found

    def _skipped_in(self, first: int, last: int) -> Integers:
        within = np.searchsorted(self.all_skipped, [self.start + first, self.start + last])
        return self.all_skipped[slice(*within)]

    @property
    def any_skipped(self) -> bool:
        """Whether a sample is skipped."""
        return self._skipped_in(0, self.count).size > 0

    @cached_property
    def changed(self) -> int:
        """How many samples are truncated or skipped."""
        if self.truncated is self.whole and not self.any_skipped:
            return 0
        return sum(int((self.lengths(*block) != self.delivered(*block)).sum()) for block in blocks(self.count))

    @property
    def unchanged(self) -> bool:
        """Whether no sample is truncated or skipped; one that is skipped may have a length of 0."""
        return not (self.any_skipped or self.changed)


@dataclass(frozen=True)
class SourceLine:
    """The part of one source, or group, in what a plan by lengths yields, in expectation over the first epoch.

    Attributes:
        name: the label.
        asked: the share of all units that the target asks for.
        delivered: its share of all units that are delivered.
        lost: the part of the units drawn from it that is truncated or skipped.
    """

    name: Hashable
    asked: float
    delivered: float
    lost: float


class Delivery(NamedTuple):
    """An order whose shares hold for what a plan by lengths delivers of it.

    Attributes:
        order_plan: the plan whose order is divided into micro-batches, with corrected targets if that was necessary.
        lines: one line for each source or group.
        notes: notes for summaries.
        fault: a warning, if some shares cannot be corrected; else None.
    """

    order_plan: FixedPlan
    lines: list[SourceLine]
    notes: list[str]
    fault: str | None


def delivery(order: FixedPlan, lengths: Numbers, truncated: Numbers, skipped: Integers) -> Delivery:
    """Correct the targets of an order for samples that are truncated or skipped.

    Args:
        order: the plan whose order is cut.
        lengths: the lengths of samples before they are truncated.
        truncated: the lengths after; `lengths` itself if none is truncated.
        skipped: the sorted numbers of the samples that are skipped, int64.

    Raises:
        Infeasible: a group has a share in the target, and all of its samples are skipped.
    """
    units = Units.of(lengths, truncated, skipped)
    source = reweighed(order, units)
    notes = (
        []
        if source is order
        else ["the shares of the order were weighed again, so that they hold for what is delivered"]
    )
    fault = None
    if not units.unchanged and _other_units(order.order, units):
        fault = (
            "a target of the order is in units other than the lengths that are truncated here, or is set while training "
            f"runs: its shares hold for whole samples, and {units.changed} samples are truncated or skipped"
        )
    return Delivery(source, source_lines(order, source, units), notes + ([fault] if fault else []), fault)


def reweighed(source: FixedPlan, units: Units) -> FixedPlan:
    """The same plan with targets so that shares hold for what is delivered; itself if they hold already.

    Raises:
        Infeasible: a group has a share in the target, and all of its samples are skipped.
    """
    order = _order(source.order, units)
    if order is source.order:
        return source
    assert is_shared(order)  # nothing else is made again
    return FixedPlan(order, epoch_batches=source.epoch_batches)


def source_lines(asked: FixedPlan, drawn: FixedPlan, units: Units) -> list[SourceLine]:
    """One line for each source or group, the largest first, at most twelve.

    Args:
        asked: the plan whose order was given.
        drawn: the same plan, `reweighed`.
        units: the lengths before and after samples are truncated.
    """
    groups = drawn.groups
    if not groups.starts.size or groups.group_count < 2:
        return []
    before = _means(drawn.order, units.lengths)
    after = before if units.unchanged else _means(drawn.order, units.delivered)
    shares = drawn.shares(0)
    given, held = shares * after, shares * before
    in_units = isinstance(asked.order.shares, TargetShares) and _known_units(asked.order, units)
    # A target in units holds for what is delivered. One in samples asks for units in proportion to the lengths before.
    wanted = given if in_units else asked.shares(0) * _means(asked.order, units.lengths)
    shown = np.argsort(-groups.sizes, kind="stable")[:_SHOWN].tolist()
    return [
        SourceLine(
            groups.called[group],
            float(wanted[group] / wanted.sum()),
            float(given[group] / given.sum()),
            float(1 - given[group] / held[group]) if held[group] else 0.0,
        )
        for group in shown
    ]


def _order(order: Order, units: Units) -> Order:
    """The order with corrected targets; itself if nothing changes."""
    if isinstance(order, Mixed):
        starts = order.groups.starts
        children = {
            number: _order(child, units.part(int(starts[number]), int(starts[number + 1])))
            for number, child in order.children.items()
        }
        own = Mixed(order.dealt, children, distinct_over=order.distinct_over)
        dealt = _order_of_groups(order.dealt, order, own, units)
        same = dealt is order.dealt and all(children[number] is child for number, child in order.children.items())
        return order if same else Mixed(dealt, children, distinct_over=order.distinct_over)
    return _order_of_groups(order, order, order, units) if isinstance(order, Dealt | Independent) else order


def _order_of_groups(order: Any, before: SharedOrder, drawn: SharedOrder, units: Units) -> Any:
    """The order of groups with a corrected target.

    Args:
        order: deals the groups.
        before: the order that draws from the groups, as it was given.
        drawn: the same with corrected sources.
        units: the lengths before and after samples are truncated.
    """
    shares = order.shares
    if not isinstance(shares, TargetShares) or shares.limits is not None:
        return order
    target = _weighed(shares, before, drawn, units)
    if target is None:
        return order
    return order.with_shares(TargetShares(target, order.groups))


def _weighed(shares: TargetShares, before: SharedOrder, drawn: SharedOrder, units: Units) -> Target | None:
    """The target with which the shares hold for what is delivered; None if it is the same."""
    groups, sizes = drawn.groups, drawn.groups.sizes
    if _known_units(before, units):
        delivered = _sums(drawn, units.delivered)
        if _in_these_units(shares.target, delivered):
            return None
        _require_some(shares, groups, delivered > 0)
        # Twelve digits, so that the rounding of sums does not change the plan.
        return _in_units_delivered(shares.target, tuple(Fraction(float(f"{total:.12g}")) for total in delivered))
    if not units.any_skipped:
        return None
    kept = sizes - np.rint(_plain_sums(groups, units.skipped)).astype(np.int64)
    _require_some(shares, groups, kept > 0)
    target = Target(
        _of_kept,
        (shares.target, tuple(kept.tolist())),
        f"{shares.target}, of samples that are not skipped",
        shares.target.settles_at,
        shares.target.notes,
        every=shares.target.every,
        changes=shares.target.changes,
    )
    as_asked, again = shares.target.shares(sizes, names=groups.names), target.shares(sizes, names=groups.names)
    return None if target.settles_at == 0 and np.allclose(as_asked, again, rtol=1e-12, atol=0) else target


def _other_units(order: Order, units: Units) -> bool:
    """Whether a target of an order is in units, but cannot be corrected: others than these, or set during training."""
    if not is_shared(order):
        return False
    shares = order.shares
    if isinstance(shares, TargetShares) and _in_units(shares.target) and shares.limits is not None:
        return True
    if isinstance(shares, TargetShares) and _in_units(shares.target) and not _known_units(order, units):
        return True
    starts = order.groups.starts
    return any(
        _other_units(child, units.part(int(starts[number]), int(starts[number + 1])))
        for number, child in order.children.items()
    )


def _known_units(order: SharedOrder, units: Units) -> bool:
    """Whether the target of an order is in the unit of these lengths."""
    assert isinstance(order.shares, TargetShares)
    target = order.shares.target
    return _in_units(target) and any(
        _in_these_units(target, sums)
        for sums in (_plain_sums(order.groups, units.lengths), _sums(order, units.lengths))
    )


def _in_units(target: Target) -> bool:
    return in_measure(target) is not None or any(
        _in_units(part) for part in target.arguments if isinstance(part, Target)
    )


def _require_some(shares: Shares, groups: Groups, delivers: np.ndarray) -> None:
    lacking = np.flatnonzero(~delivers & (shares.of(0) > 0))
    if lacking.size:
        name, size = groups.names[int(lacking[0])], int(groups.sizes[lacking[0]])
        raise Infeasible(
            f"group {name!r} is to have a share, and all of its {size} samples are too long and would be skipped",
            "raise the limit, give it no share, or pass another too_long",
        )


def _of_kept(
    counts: Sequence[Number], names: Sequence[Hashable], epoch: int, inner: Target, kept: Sequence[int]
) -> Sequence[Number]:
    """From shares of the samples that are not skipped to shares of all draws; a target's function."""
    wanted = inner.exact(kept, epoch, names=names)
    return [
        Fraction(share) * Fraction(count) / left if share else 0
        for share, count, left in zip(wanted, counts, kept, strict=True)
    ]


def _in_these_units(target: Target, sums: np.ndarray) -> bool:
    """Whether a target, or one that it is made of, is in a unit of which the groups have these sums."""
    found = in_measure(target)
    if found is not None:
        return len(found) == sums.size and bool(np.allclose([float(one) for one in found], sums, rtol=_ALIKE, atol=0))
    return any(_in_these_units(part, sums) for part in target.arguments if isinstance(part, Target))


def _in_units_delivered(target: Target, sums: tuple[Fraction, ...]) -> Target:
    """The target with the delivered sums of the groups in place of those before."""
    if in_measure(target) is not None:
        inner, _ = target.arguments
        return replace(target, arguments=(inner, sums))
    parts = tuple(_in_units_delivered(part, sums) if isinstance(part, Target) else part for part in target.arguments)
    return replace(target, arguments=parts)


def _plain_sums(groups: Groups, values: Values) -> Floats:
    sums = np.zeros(groups.group_count + 1)  # the last for samples in no group
    size = max(BLOCK, groups.group_count)  # so that a block is no smaller than what is added up for it
    for first in range(0, groups.sample_count, size):
        last = min(first + size, groups.sample_count)
        codes = np.asarray(groups.group_of(np.arange(first, last)))
        sums += np.bincount(codes, weights=values(first, last), minlength=sums.size)
    return sums[:-1]


def _means(order: Order, values: Values) -> Floats:
    """The mean of `values` over the draws of each group, float64; a source with its own order draws with its own shares."""
    sums, sizes = _sums(order, values), order.groups.sizes
    means: Floats = np.divide(sums, sizes, out=np.zeros(sums.size), where=sizes > 0)
    return means


def _sums(order: Order, values: Values) -> Floats:
    """The sum of `values` over as many draws of each group as it has samples, float64 (groups,)."""
    groups = order.groups
    sums = _plain_sums(groups, values)
    if isinstance(order, Mixed):
        for number, child in order.children.items():
            start, size = int(groups.starts[number]), int(groups.sizes[number])
            drawn, total, every = inclusion_rates_of(child, 0, child.epoch_batches), 0.0, 0.0
            for first, last in blocks(size):
                rates = drawn.rates(np.arange(first, last))
                total += float(rates @ values(start + first, start + last))
                every += float(rates.sum())
            sums[number] = total / every * size
    return sums
