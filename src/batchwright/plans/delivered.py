"""Shares that hold for what a plan by lengths delivers, where it cuts samples or skips them.

An order does not know what is cut. A source of long samples that is to give a tenth of all tokens gives less if its samples
are cut. So the targets of an order are computed a second time. Targets in the unit that is cut are weighed by what is
delivered of each sample. Targets in samples are weighed by the samples that are not skipped.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ..groups import Groups
from ..lengths.cut import Integers
from ..orders import Dealt, Independent, Mixed, Order, SharedOrder, is_shared
from ..orders.inclusion import strata_of
from ..orders.shares import Shares, TargetShares
from ..targets import Target
from ..targets.target import Number, require
from ..targets.units import in_measure
from .fixed import FixedPlan

__all__ = ["Delivery", "SourceLine", "Units", "delivery", "reweighed"]

_ALIKE = 1e-9  # sums of the same lengths, whatever type they are of
_SHOWN = 12


@dataclass(frozen=True)
class Units:
    """What samples hold of a unit, and what of it is delivered.

    Attributes:
        lengths: float64 (samples,).
        delivered: float64 (samples,), 0 for samples that are skipped.
        skipped: bool (samples,).
    """

    lengths: np.ndarray
    delivered: np.ndarray
    skipped: np.ndarray

    @classmethod
    def of(cls, lengths: np.ndarray, cut: np.ndarray, skipped: Integers) -> Units:
        """From the lengths before and after samples were cut, and the numbers of those that are skipped."""
        gone = np.zeros(lengths.size, bool)
        gone[skipped] = True
        return cls(lengths.astype(np.float64), np.where(gone, 0.0, cut).astype(np.float64), gone)

    def part(self, first: int, last: int) -> Units:
        """Those of some neighbours."""
        return Units(self.lengths[first:last], self.delivered[first:last], self.skipped[first:last])

    @property
    def whole(self) -> bool:
        """Whether everything is delivered."""
        return not self.skipped.any() and bool((self.lengths == self.delivered).all())


@dataclass(frozen=True)
class SourceLine:
    """What one source, or group, of an order gives to a plan by lengths, in expectation over the first epoch.

    Attributes:
        name: its label.
        asked: the share of all units that its share in the target comes to.
        delivered: its share of all units that are delivered.
        lost: the part of the units in the samples drawn from it that is cut off or skipped.
    """

    name: Hashable
    asked: float
    delivered: float
    lost: float


class Delivery(NamedTuple):
    """What becomes of an order under a plan by lengths.

    Attributes:
        source: the plan whose order is cut, its targets weighed again where they would not hold for what is delivered.
        lines: a line a source or group.
        notes: what summaries say of it.
        fault: what is poor about it, in words; None where nothing is.
    """

    source: FixedPlan
    lines: list[SourceLine]
    notes: list[str]
    fault: str | None


def delivery(order: FixedPlan, lengths: np.ndarray, cut: np.ndarray, skipped: Integers) -> Delivery:
    """What becomes of an order where its samples are cut or skipped.

    Args:
        order: the plan whose order it is.
        lengths: float64 (samples,), what samples hold.
        cut: float64 (samples,), the same after they are cut.
        skipped: numbers of the samples that are left out.

    Raises:
        Infeasible: a group that is to have a share and of which nothing is delivered.
    """
    units = Units.of(lengths, cut, skipped)
    source = reweighed(order, units)
    notes = (
        []
        if source is order
        else ["the shares of the order were weighed again, so that they hold for what is delivered"]
    )
    fault = None
    if not units.whole and _other_units(order.order, units):
        fault = (
            "a target of the order is in units other than the lengths that are cut here, or is set while training runs: its "
            f"shares hold for whole samples, and {int((units.delivered != units.lengths).sum())} samples are cut or skipped"
        )
    return Delivery(source, source_lines(order, source, units), notes + ([fault] if fault else []), fault)


def reweighed(source: FixedPlan, units: Units) -> FixedPlan:
    """The same plan with targets under which shares hold for what is delivered; itself where they do already.

    Raises:
        Infeasible: a group that is to have a share and of which nothing is delivered.
    """
    order = _order(source.order, units)
    if order is source.order:
        return source
    assert is_shared(order)  # nothing else is made again
    return FixedPlan(order, epoch_batches=source.epoch_batches)


def source_lines(asked: FixedPlan, drawn: FixedPlan, units: Units) -> list[SourceLine]:
    """A line a source or group, the largest first, at most a dozen.

    Args:
        asked: the plan whose order was given.
        drawn: the same, `reweighed`.
        units: what is delivered.
    """
    groups = drawn.groups
    if not groups.starts.size or groups.group_count < 2:
        return []
    whole, kept = _means(drawn.order, units.lengths), _means(drawn.order, units.delivered)
    shares = drawn.shares(0)
    given, held = shares * kept, shares * whole
    in_units = isinstance(asked.order.shares, TargetShares) and _known_units(asked.order, units)
    # a target in units was weighed by what is delivered, or by whole lengths where nothing could be weighed again
    wanted = given if in_units else asked.shares(0) * _means(asked.order, units.lengths)
    shown = np.argsort(-groups.sizes, kind="stable")[:_SHOWN].tolist()
    return [
        SourceLine(
            groups.names[group],
            float(wanted[group] / wanted.sum()),
            float(given[group] / given.sum()),
            float(1 - given[group] / held[group]) if held[group] else 0.0,
        )
        for group in shown
    ]


def _order(order: Order, units: Units) -> Order:
    """The order with targets weighed again; itself where nothing changes."""
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
    """The order of groups with its target weighed again, by what the order that draws from them delivers, before and now."""
    shares = order.shares
    if not isinstance(shares, TargetShares) or shares.limits is not None:
        return order
    target = _weighed(shares, before, drawn, units)
    if target is None:
        return order
    return order.with_shares(TargetShares(target, order.groups))


def _weighed(shares: TargetShares, before: SharedOrder, drawn: SharedOrder, units: Units) -> Target | None:
    """The target under which the shares hold for what is delivered; None where it is the same."""
    groups, sizes = drawn.groups, drawn.groups.sizes
    if _known_units(before, units):
        delivered = _sums(drawn, units.delivered)
        if _in_these_units(shares.target, delivered):
            return None
        _require_some(shares, groups, delivered > 0)
        return _in_units_delivered(shares.target, tuple(Fraction(float(f"{total:.12g}")) for total in delivered))
    if not units.skipped.any():
        return None
    kept = sizes - np.rint(_plain_sums(groups, units.skipped.astype(np.float64))).astype(np.int64)
    _require_some(shares, groups, kept > 0)
    target = Target(
        _of_kept,
        (shares.target, tuple(kept.tolist())),
        f"{shares.target}, of samples that are not skipped",
        shares.target.settles_at,
        shares.target.notes,
    )
    as_asked, again = shares.target.shares(sizes, names=groups.names), target.shares(sizes, names=groups.names)
    return None if target.settles_at == 0 and np.allclose(as_asked, again, rtol=1e-12, atol=0) else target


def _other_units(order: Order, units: Units) -> bool:
    """Whether a target of an order cannot be weighed again for what these samples lose."""
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
    """Whether the target of an order is in the unit of these lengths, weighed by them or by what sources draw of them."""
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
        require(
            False,
            f"group {name!r} is to have a share, and all of its {size} samples are too long and would be skipped",
            "raise the limit, give it no share, or pass another too_long",
        )


def _of_kept(
    counts: Sequence[Number], names: Sequence[Hashable], epoch: int, inner: Target, kept: Sequence[int]
) -> Sequence[Number]:
    """Shares of the samples that are kept, as shares of what is drawn."""
    wanted = inner.exact(kept, epoch, names=names)
    return [
        Fraction(share) * Fraction(count) / left if share else 0
        for share, count, left in zip(wanted, counts, kept, strict=True)
    ]


def _in_these_units(target: Target, sums: np.ndarray) -> bool:
    """Whether a target, or one that it is made of, is in a unit of which the groups hold so much."""
    found = in_measure(target)
    if found is not None:
        return len(found) == sums.size and bool(np.allclose([float(one) for one in found], sums, rtol=_ALIKE, atol=0))
    return any(_in_these_units(part, sums) for part in target.arguments if isinstance(part, Target))


def _in_units_delivered(target: Target, sums: tuple[Fraction, ...]) -> Target:
    """The target with what is delivered in place of what the groups hold."""
    if in_measure(target) is not None:
        inner, _ = target.arguments
        return replace(target, arguments=(inner, sums))
    parts = tuple(_in_units_delivered(part, sums) if isinstance(part, Target) else part for part in target.arguments)
    return replace(target, arguments=parts)


def _plain_sums(groups: Groups, values: np.ndarray) -> np.ndarray:
    codes = np.asarray(groups.group_of(np.arange(groups.sample_count)))
    sums: np.ndarray = np.bincount(codes, weights=values, minlength=groups.group_count)[: groups.group_count]
    return sums


def _means(order: Order, values: np.ndarray) -> np.ndarray:
    """The mean of the values over what is drawn of each group: of a source with an order of its own, as that draws."""
    sums, sizes = _sums(order, values), order.groups.sizes
    means: np.ndarray = np.divide(sums, sizes, out=np.zeros(sums.size), where=sizes > 0)
    return means


def _sums(order: Order, values: np.ndarray) -> np.ndarray:
    """What groups hold, in a pass of as many draws as each has samples."""
    groups = order.groups
    sums = _plain_sums(groups, values)
    if isinstance(order, Mixed):
        for number, child in order.children.items():
            first, size = int(groups.starts[number]), int(groups.sizes[number])
            rates = strata_of(child, 0, child.epoch_batches).rates(np.arange(size))
            sums[number] = float(rates @ values[first : first + size]) / float(rates.sum()) * size
    return sums
