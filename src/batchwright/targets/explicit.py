"""Targets with a given share for each group, by label or in the order of the groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..calls import recorded
from ..errors import Infeasible, check_mapping, check_number, did_you_mean, exactly, shown
from ..inputs.values import plain
from .target import Number, Target, fraction, integer_weights

if TYPE_CHECKING:
    from ..groups import Groups

__all__ = ["SUM_TOLERANCE", "exact_in_order", "explicit", "target_in_order", "way_out_of_sum"]

_FEW = 8  # labels that a message names
SUM_TOLERANCE = 1e-6
"""How far the sum of given shares may be from 1; they are then divided by their sum."""


@recorded
def explicit(shares: Mapping[Any, Number]) -> Target:
    """Shares by label: every group has one, and they sum to 1.

    Numbers are read as the decimals that were written: 0.3 of a batch of 10 is exactly 3.

    Raises:
        Infeasible: the shares do not sum to 1; when a plan is built, if a label is unknown or a group has no share.

    Example:
        >>> explicit({"cat": 0.3, "dog": 0.7}).shares([5, 5], names=["cat", "dog"]).tolist()
        [0.3, 0.7]
    """
    given = {
        # A text for every name would take most of the time of a million shares.
        plain(name): share
        if type(share) is float and math.isfinite(share)
        else check_number(share, f"the share of {shown(name)}")
        for name, share in check_mapping(shares, "shares").items()
    }
    if len(given) != len(shares):
        raise Infeasible("two of the shares are of one label", "give each label one share")
    _check_sum(given)
    return Target(_explicit, (ByName(given.items()),), f"explicit({given})")


class ByName(tuple[tuple[Hashable, Number], ...]):
    """Shares by label, or by the name of a class, in the order in which they were given."""

    def bound_to(self, groups: Groups) -> ByName:
        """The same shares by the labels of these groups."""
        found = ByName((groups.label(name), share) for name, share in self)
        if groups.aliases:  # the message of `_explicit` would name labels only, and the shares may be by class
            for (name, _), (label, _) in zip(self, found, strict=True):
                if label not in groups.number_of:
                    raise _unknown(name, groups.names, groups.aliases)
        twice, times = Counter(label for label, _ in found).most_common(1)[0]
        if times > 1:
            raise Infeasible(f"label {shown(twice)} is given two shares", "give it one, by its label or by its name")
        return found


def target_in_order(shares: list[Number]) -> Target:
    """A target with shares in the order of the groups."""
    given = {place: check_number(share, f"the share of group number {place}") for place, share in enumerate(shares)}
    _check_sum(given)
    return Target(_in_order, (tuple(given.values()),), f"{shares}", needs=("order",))


def exact_in_order(shares: Sequence[Fraction], written: str) -> Target:
    """A target with shares in the order of the groups that the library has computed, so that none needs a check."""
    return Target(_in_order, (tuple(integer_weights(shares)),), written, needs=("order",))


def _check_sum(shares: Mapping[Any, Number]) -> None:
    for name, share in shares.items():
        if share < 0:
            raise Infeasible(f"{shown(name)} has share {share}", "give shares of 0 or more")
    total = float(sum(shares.values()))
    if abs(total - 1) > SUM_TOLERANCE:
        written = total if total == math.inf else sum(map(fraction, shares.values()))
        others = "give the groups that are left out a share too; if there are none, " if 0 < total < 1 else ""
        raise Infeasible(f"the shares sum to {exactly(written)}, not to 1", others + way_out_of_sum(written))


def way_out_of_sum(total: Number) -> str:
    """The way out for shares with this sum."""
    return "divide each by their sum" if 0 < total < math.inf else "give shares of 0 or more that sum to 1"


def _explicit(
    counts: Sequence[int], names: Sequence[Hashable], epoch: int, shares: tuple[tuple[Hashable, Number], ...]
) -> Sequence[Number]:
    given = dict(shares)
    groups = set(names)
    unknown = [name for name in given if name not in groups]
    if unknown:
        raise _unknown(unknown[0], names, {})
    unnamed = [name for name in names if name not in given]
    if unnamed:
        raise Infeasible(
            f"{len(unnamed)} of {len(names)} groups have no share, {shown(unnamed[0])} the first",
            "give every group a share; 0 says that it is never drawn",
        )
    return [given[name] for name in names]


def _unknown(name: Hashable, labels: Sequence[Hashable], classes: Mapping[Hashable, Hashable]) -> Infeasible:
    """The refusal of a share for what is neither a label nor the name of a class with samples."""
    known = set(labels)
    held = [one for one, label in classes.items() if label in known]
    also = f", of the classes {_few(held)}" if held else ""
    return Infeasible(
        f"a share is given to {shown(name)} but the labels are {_few(labels)}{also}",
        f"use the labels of the data{did_you_mean(name, [*held, *labels[:_FEW]])}",
    )


def _few(names: Sequence[Hashable]) -> str:
    return ", ".join(map(shown, list(names)[:_FEW])) + (", ..." if len(names) > _FEW else "")


def _in_order(
    counts: Sequence[int], names: Sequence[Hashable], epoch: int, shares: tuple[Number, ...]
) -> Sequence[Number]:
    return shares
