"""Shares of tokens, seconds or pixels instead of samples."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Hashable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..calls import recorded
from ..errors import Infeasible, exactly, shown
from ..inputs import columns
from .capped import counting_draws
from .resolve import resolve
from .target import Number, Target, fraction, to_twelve_digits

if TYPE_CHECKING:
    from ..groups import Groups

__all__ = ["in_measure", "in_units", "lengths_in_units"]

_LOW = (1 << 32) - 1  # the lower half of 64 bits


class Measure:
    """The amount of a unit, such as tokens, in every sample."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def bound_to(self, groups: Groups) -> tuple[Fraction, ...]:
        """The sum over each group."""
        if self.values.size != groups.sample_count:
            raise Infeasible(
                f"there are {self.values.size} lengths for {groups.sample_count} samples",
                "pass one length a sample; for a mixture those of all its sources, one behind the other",
            )
        sums = self._sums(groups)
        for name, size, total in zip(groups.names, groups.sizes.tolist(), sums, strict=True):
            if size and not total > 0:
                raise Infeasible(
                    f"group {shown(name)} has {size} samples of length 0 in all", "give it a length, or leave it out"
                )
            if not total < math.inf:
                raise Infeasible(
                    f"the lengths of group {shown(name)} sum to more than {exactly(sys.float_info.max)}",
                    "pass lengths in a larger unit",
                )
        return tuple(
            fraction(to_twelve_digits(total)) if isinstance(total, float) else Fraction(total) for total in sums
        )

    def _sums(self, groups: Groups) -> list[Any]:
        """The sum over each group; integers are summed exactly, in two halves whose sums fit 64 bits."""
        if self.values.dtype.kind == "f":
            with np.errstate(over="ignore"):
                sums: list[Any] = _summed(self.values.astype(np.float64), groups).tolist()
            return sums
        values = self.values.astype(np.uint64)
        high, low = (_summed(part, groups).tolist() for part in (values >> np.uint64(32), values & np.uint64(_LOW)))
        return [(above << 32) + below for above, below in zip(high, low, strict=True)]


def _summed(values: np.ndarray, groups: Groups) -> np.ndarray:
    if not groups.starts.size:
        return values
    sums = np.zeros(groups.group_count, values.dtype)
    in_order = values if groups.index is None else values[groups.index]
    filled = np.flatnonzero(groups.sizes)
    sums[filled] = np.add.reduceat(in_order[: groups.grouped_count], groups.starts[:-1][filled])
    return sums


@recorded
def in_units(target: Any, lengths: Any) -> Target:
    """A target whose shares are of tokens (seconds, pixels, ...) instead of samples.

    Use it where groups differ in the length of their samples. The inner target gets the amount of the unit in each
    group instead of its number of samples. Every share is then divided by the group's mean length, so that, averaged
    over complete passes, the unit is mixed in the wanted shares.

    Args:
        target: the wanted shares of the unit, anything that `resolve` takes: "natural" is by tokens, "uniform" gives every
            group as many; a function gets the amount of the unit in each group. `capped(2)` makes the groups as equal in
            tokens as two passes over each allow; passes and its budget are in samples.
        lengths: array-like of shape (n_samples,): the amount of the unit in each sample, 0 or more, in the order of the
            dataset; of a mixture, in the order of its concatenated sources.

    Raises:
        Infeasible: a negative length; when the plan is built, a wrong number of lengths, or a group with none of the
            unit.

    Example:
        >>> import batchwright as bw
        >>> tokens = [100] * 10 + [1000] * 10  # both sources give half of the tokens, the first ten times the samples
        >>> plan = bw.mixed({"short": 10, "long": 10}, 11, target=in_units("uniform", tokens), epoch=2)
        >>> (plan.shares() * 11).round(9).tolist()
        [10.0, 1.0]
    """
    values = columns.lengths_of(lengths)
    inner = resolve(target)
    if inner.limits is not None:
        raise Infeasible(
            f"{inner} is set while training runs, in shares of samples", "pass moving(in_units(...)) instead"
        )
    # The lengths change what is drawn, so they must change the fingerprint, which is made of the text of a target.
    digest = hashlib.blake2b(np.ascontiguousarray(values).data, digest_size=8).hexdigest()
    return Target(
        _in_units,
        (counting_draws(inner), Measure(values)),
        f"in_units({inner}, lengths {digest})",
        inner.settles_at,
        every=inner.every,
        changes=inner.changes,
        needs=("lengths",),
    )


def lengths_in_units(target: Target) -> np.ndarray | None:
    """The lengths of a target in units that is not yet bound to groups, or of one inside it; else None."""
    for argument in target.arguments:
        found = argument.values if isinstance(argument, Measure) else None
        if isinstance(argument, Target):
            found = lengths_in_units(argument)
        if found is not None:
            return found
    return None


def in_measure(target: Target) -> Sequence[Fraction] | None:
    """The amount of the unit in each group, for a target in units that is bound to groups; else None."""
    if target.formula is not _in_units or isinstance(target.arguments[1], Measure):
        return None
    sums: Sequence[Fraction] = target.arguments[1]
    return sums


def _in_units(
    counts: Sequence[Number], names: Sequence[Hashable], epoch: int, inner: Target, sums: Sequence[Fraction] | Measure
) -> Sequence[Number]:
    if isinstance(sums, Measure):
        raise Infeasible(
            "a target in units has shares only where it is known which sample is in which group",
            "ask the plan, or bind it: target.bound_to(groups)",
        )
    wanted = inner.exact(sums, epoch, names=names)
    # A share of tokens becomes one of samples: divided by the mean length of a sample of the group, total / count.
    return [
        Fraction(share) * Fraction(count) / total if share else 0
        for share, count, total in zip(wanted, counts, sums, strict=True)
    ]
