"""Targets: a formula with its arguments, exact if the formula is rational."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence, Sized
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Infeasible, exactly, shown
from ..inputs.arrays import as_array
from ..readings import as_list
from ..recent import Recent

if TYPE_CHECKING:
    from ..groups import Groups

__all__ = ["MOST_EPOCHS", "Number", "Target", "fraction", "integer_weights", "needs_of", "to_twelve_digits"]

MOST_EPOCHS = 1 << 17
"""The last epoch of a target that changes. Computing up to it takes 0.1 ms for each epoch and 1 us for each group in it.

Shares of an epoch depend on the deficits of the epoch before (see `orders.walk`), so any epoch needs all earlier ones:
13 seconds for this many, with few groups.
"""

# Bits of the common denominator of exact shares. With thousands of different denominators it would grow with each. Above so
# many, shares are rounded to 4096 bits, over a thousand digits: far below anything that a plan can show.
_MOST_SAMPLES = 1 << 62  # of a group
_MOST_BITS = 4096

Number = int | float | Fraction
Formula = Callable[..., Sequence[Number]]


@dataclass(frozen=True)
class Target:
    """A formula for shares, with its arguments; made by the functions of `batchwright.targets`, or by `resolve`.

    Args:
        formula: a module-level function `(counts, names, epoch, *arguments)` that returns a relative weight for each
            group.
        arguments: its further arguments.
        settles_at: the epoch from which on the shares no longer change; 0 if they are constant, None if they may always
            change.
        shown: the target as text for summaries.
        notes: notes for summaries.
        limits: the smallest and the largest share that a group may get later; None if shares cannot be set.
        every: the micro-batches after which shares are evaluated again; None for those of an epoch. What the formula gets as
            `epoch` is then the number of such a part of the plan.
        changes: the epochs (or parts) at which the shares may change, ascending from 0; empty if at each one until
            they settle.
        needs: what shares depend on that a stream may not know of its groups, besides what the targets among the arguments
            need: their "order", their "sizes" in samples, the "lengths" of the samples; "proportions", where that shows
            only at some sizes; "unknown", for a function of the user.
    """

    formula: Formula
    arguments: tuple[Any, ...]
    shown: str
    settles_at: int | None = 0
    notes: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    every: int | None = None
    changes: tuple[int, ...] = ()
    needs: tuple[str, ...] = ()
    _kept: Recent[None, tuple[Any, Any, list[int]]] = field(
        init=False, repr=False, compare=False, default_factory=Recent
    )

    @property
    def firsts(self) -> Sequence[int] | None:
        """The epochs at which the shares may change, ascending from 0; None if they may change at each without end."""
        if self.settles_at is None:
            return None
        return self.changes or range(self.settles_at + 1)

    def shares(self, counts: Any, epoch: int = 0, *, names: Sequence[Hashable] | None = None) -> np.ndarray:
        """The wanted shares, float64 (groups,), summing to 1.

        Args:
            counts: the number of samples of each group, array-like of shape (n_groups,).
            epoch: the epoch, for targets that move.
            names: the groups' labels, for messages and for targets given by label; numbers if left out.

        Raises:
            Infeasible: the target cannot be met by these groups.

        Example:
            >>> from batchwright.targets import power
            >>> power(0.5).shares([4, 1]).round(3).tolist()
            [0.667, 0.333]
        """
        weights = self.exact(counts, epoch, names=names)
        total = sum(weights)
        return np.array([weight / total for weight in weights])

    def exact(self, counts: Any, epoch: int = 0, *, names: Sequence[Hashable] | None = None) -> list[int]:
        """The wanted shares as integers in exact proportion, one for each group."""
        counts = _whole(as_array(counts, called="counts"))
        if names is not None:
            names = list(names) if isinstance(names, Sized) else as_list(names, "names")
        else:
            names = range(len(counts))
        if len(names) != len(counts):
            raise Infeasible(f"there are {len(names)} names for {len(counts)} counts", "pass a name for each group")
        weights = self.formula(counts, names, epoch, *self.arguments)
        if len(weights) != len(counts):
            raise Infeasible(
                f"{self.briefly} gave {len(weights)} shares for {len(counts)} groups", "give one share a group"
            )
        for name, count, weight in zip(names, counts, weights, strict=True):
            if not 0 <= weight < math.inf:
                raise Infeasible(
                    f"{self.briefly} gives group {shown(name)} the share {shown(weight)}",
                    "give finite shares of 0 or more",
                )
            if weight > 0 and count == 0:
                raise Infeasible(
                    f"{self.briefly} gives group {shown(name)} the share {exactly(weight)} but it has 0 samples",
                    "give empty groups no share, or leave them out",
                )
        if not any(weights):
            raise Infeasible(f"{self.briefly} gives all {len(counts)} groups no share", "give one of them a share")
        return integer_weights(weights)

    def exact_at(self, counts: Any, epoch: int, *, names: Sequence[Hashable]) -> list[int]:
        """The same as `exact`, for a target that moves between targets: of one that stays, what it gave last is kept."""
        if not self.stays:
            return self.exact(counts, epoch, names=names)
        kept = self._kept.get(None)
        if kept is None or kept[:2] != (counts, names):
            kept = self._kept.keep(None, (counts, names, self.exact(counts, epoch, names=names)), most=1)
        return kept[2]

    def bound_to(self, groups: Groups) -> Target:
        """A copy in which all that depends on the groups is computed.

        An argument that depends on them, such as a column with one value for each sample, has a method of this name too.
        """
        bound = tuple(
            argument.bound_to(groups) if hasattr(argument, "bound_to") else argument for argument in self.arguments
        )
        return replace(self, arguments=bound)

    @property
    def briefly(self) -> str:
        """The target as text, in bounded length."""
        return shown(self)

    @property
    def stays(self) -> bool:
        """Whether its shares are the same in every epoch and cannot be set."""
        return self.settles_at == 0 and self.limits is None

    def __repr__(self) -> str:
        return self.shown


def needs_of(target: Target) -> set[str]:
    """What a target needs, and what the targets that it is made of need."""
    parts = (needs_of(part) for part in target.arguments if isinstance(part, Target))
    return set(target.needs).union(*parts)


def fraction(value: Number) -> Fraction:
    """The decimal as which a finite number was written: 0.3 is 3/10, not the nearest binary fraction."""
    if isinstance(value, (float, np.floating)):
        return Fraction(repr(float(value)))
    return Fraction(value)


def integer_weights(weights: Sequence[Number]) -> list[int]:
    """Integers in exactly the proportion of the weights; rounded if they would have more than a thousand digits."""
    # Integers or floats alone are the common cases, with a hundred million weights: they are not turned into fractions.
    integers = [weight for weight in weights if isinstance(weight, int)]
    if len(integers) == len(weights):
        return integers
    if all(type(weight) is float for weight in weights):
        return _integers_in_proportion([repr(weight) for weight in weights])
    fractions = [weight if type(weight) is Fraction else fraction(weight) for weight in weights]
    common = 1
    for part in fractions:
        common = math.lcm(common, part.denominator)
        if common.bit_length() > _MOST_BITS:  # time and memory would grow with the square of the number of groups
            largest = max(fractions)
            return [round((part / largest) * (1 << _MOST_BITS)) for part in fractions]
    return [part.numerator * (common // part.denominator) for part in fractions]


def _integers_in_proportion(texts: Sequence[str]) -> list[int]:
    """Integers in exactly the proportion of finite decimals; `fraction` of each would be ten times slower."""
    parts = [text.partition("e") for text in texts]
    digits = [part.partition(".") for part, _, _ in parts]
    places = [len(after) - int(power or 0) for (_, _, after), (_, _, power) in zip(digits, parts, strict=True)]
    most = max(places)
    return [
        int(before + after) * 10 ** (most - place) for (before, _, after), place in zip(digits, places, strict=True)
    ]


def to_twelve_digits(value: float) -> float:
    """Round to twelve significant digits: roots and powers may differ in the last digits between platforms."""
    return float(f"{value:.12g}")


def _whole(counts: np.ndarray) -> list[Any]:
    """Counts as integers, or as fractions where they are."""
    found: list[Any] = counts.ravel().tolist()
    masked = isinstance(counts, np.ma.MaskedArray)  # what is masked is None in the list
    if counts.dtype.kind in "iu" and not masked and counts.size and counts.min() >= 0:
        return found
    for place, count in enumerate(found):
        # NaN compares as false. Fractions have no limit: they are sizes in units, which may have many digits.
        if not isinstance(count, (int, float, Fraction)) or not 0 <= count <= (
            count if isinstance(count, Fraction) else _MOST_SAMPLES
        ):
            raise Infeasible(f"counts at group {place} is {shown(count)}", "pass the number of samples of each group")
    return [count if isinstance(count, Fraction) else int(count) for count in found]
