"""Targets that are formulas of the sizes of groups: natural, uniform, between these, and capped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..calls import recorded
from ..errors import Infeasible, check_integer, check_number, exactly
from .target import Number, Target, fraction, to_twelve_digits

if TYPE_CHECKING:
    from ..groups import Groups

__all__ = [
    "blend",
    "capped",
    "counting_draws",
    "effective_number",
    "natural",
    "power",
    "repeat_factor",
    "temperature",
    "uniform",
]


@recorded
def natural() -> Target:
    """Shares in proportion to the sizes of groups: every sample comes equally often (instance-balanced).

    Example:
        >>> natural().shares([3, 1]).tolist()
        [0.75, 0.25]
    """
    return Target(_power, (1,), "natural()")


@recorded
def uniform() -> Target:
    """Equal shares for all groups that have samples (class-balanced).

    Example:
        >>> uniform().shares([3, 1]).tolist()
        [0.5, 0.5]
    """
    return Target(_power, (0,), "uniform()")


@recorded
def blend(alpha: Number) -> Target:
    """A mean of natural and uniform: `(1 - alpha) * natural + alpha * uniform`, alpha from 0 to 1.

    Example:
        >>> blend(0.5).shares([3, 1]).tolist()
        [0.625, 0.375]
    """
    alpha = check_number(alpha, "alpha")
    if not 0 <= alpha <= 1:
        raise Infeasible(f"alpha is {alpha}", "pass a number from 0 (natural) to 1 (uniform)")
    return Target(_blend, (fraction(alpha),), f"blend({alpha})")


@recorded
def power(q: Number) -> Target:
    """Shares proportional to `size ** q`: q = 1, 1/2, 0 are instance-, square-root- and class-balanced.

    Kang et al. 2020, "Decoupling representation and classifier for long-tailed recognition", equation 1. With
    q = 1 / T it is the temperature sampling of multilingual models.

    Example:
        >>> power(0.5).shares([9, 1]).tolist()
        [0.75, 0.25]
    """
    q = check_number(q, "q")
    if not 0 <= q <= 1:
        raise Infeasible(f"q is {q}", "pass a number from 0 (class-balanced) to 1 (instance-balanced)")
    return Target(_power, (q,), f"power({q})")


@recorded
def temperature(degree: Number) -> Target:
    """Shares proportional to `size ** (1 / T)`: T = 1 is natural, a larger T is more even.

    The multilingual mixtures of mT5 (Xue et al. 2021, section 3.2); `power(1 / T)` under the name it has there.

    Example:
        >>> temperature(2).shares([9, 1]).tolist()
        [0.75, 0.25]
    """
    degree = check_number(degree, "the temperature")
    if degree < 1:
        raise Infeasible(f"the temperature is {degree}", "pass 1 (natural) or more")
    return Target(_power, (float(1 / fraction(degree)),), f"temperature({degree})")


@recorded
def effective_number(beta: float) -> Target:
    """Samples weighted by the inverse effective number of their group: share ~ n * (1 - beta) / (1 - beta ** n).

    Cui et al. 2019, "Class-balanced loss based on effective number of samples", equation 2. beta = 0 is natural, beta
    towards 1 uniform.

    Example:
        >>> effective_number(0.5).shares([2, 1]).round(4).tolist()
        [0.5714, 0.4286]
    """
    beta = check_number(beta, "beta")
    if not 0 <= beta < 1:
        raise Infeasible(f"beta is {beta}", "pass a number from 0 up to, not including, 1, such as 0.999")
    return Target(_effective_number, (beta,), f"effective_number({beta})")


@recorded
def repeat_factor(threshold: float) -> Target:
    """Groups rarer than `threshold` are repeated: share ~ f * max(1, sqrt(threshold / f)) with f the natural share.

    Gupta, Dollar, Girshick 2019, "LVIS", section 5.2 (category-level repeat factors).

    Example:
        >>> repeat_factor(0.25).shares([15, 1]).round(4).tolist()
        [0.8824, 0.1176]
    """
    threshold = check_number(threshold, "threshold")
    if not 0 <= threshold <= 1:
        raise Infeasible(f"threshold is {threshold}", "pass a natural share, from 0 to 1, such as 0.001")
    return Target(_repeat_factor, (threshold,), f"repeat_factor({threshold})")


@recorded
def capped(max_passes: Number, *, budget: float | None = None) -> Target:
    """As uniform as possible, with at most `max_passes` passes over any group in `budget` samples.

    UniMax of Chung et al. 2023: from the smallest group up, each gets an equal part of the rest of the budget, or its
    cap if that is less. Within `in_units` the parts are equal in the unit; passes and budget count samples there too.

    Args:
        max_passes: the most passes over a group in the budget.
        budget: a number of draws; all samples of the dataset (one natural epoch) if left out.

    Example:
        >>> capped(2).shares([90, 10]).tolist()
        [0.8, 0.2]
    """
    max_passes = check_number(max_passes, "max_passes")
    if max_passes <= 0:
        raise Infeasible(f"max_passes is {max_passes}", "pass a number above 0")
    if isinstance(budget, float) and budget.is_integer():  # people write 1e6
        budget = int(budget)
    budget = budget if budget is None else check_integer(budget, "budget", least=1)
    shown = f"capped({max_passes})" if budget is None else f"capped({max_passes}, budget={budget})"
    return Target(_capped, (fraction(max_passes), budget), shown)


def _power(counts: Sequence[int], names: Any, epoch: int, q: Number) -> Sequence[Number]:
    if q in (0, 1):
        return [count if q else int(count > 0) for count in counts]
    return [to_twelve_digits(count ** float(q)) if count else 0 for count in counts]


def _blend(counts: Sequence[int], names: Any, epoch: int, alpha: Fraction) -> Sequence[Number]:
    total, filled = sum(counts), sum(count > 0 for count in counts)
    # In integers: both are multiplied by what they would be divided by, total and number of groups.
    to_natural, to_uniform = (alpha.denominator - alpha.numerator) * filled, alpha.numerator * total
    return [to_natural * count + to_uniform * (count > 0) for count in counts]


def _effective_number(counts: Sequence[int], names: Any, epoch: int, beta: float) -> Sequence[Number]:
    if beta == 0:
        return counts
    # 1 - beta ** n, without the loss of digits when beta is near 1.
    return [to_twelve_digits(n * (1 - beta) / -math.expm1(n * math.log(beta))) if n else 0 for n in counts]


def _repeat_factor(counts: Sequence[int], names: Any, epoch: int, threshold: float) -> Sequence[Number]:
    total = sum(counts)
    return [to_twelve_digits(n * max(1.0, math.sqrt(threshold * total / n))) if n else 0 for n in counts]


def _capped(
    counts: Sequence[int], names: Any, epoch: int, max_passes: Fraction, budget: int | None
) -> Sequence[Number]:
    left = _draws(counts, max_passes, budget)
    weights: list[Number] = [0] * len(counts)
    # The smallest first: what a capped group leaves goes to all larger ones, so one pass is enough.
    filled = sorted((count, group) for group, count in enumerate(counts) if count)
    for done, (count, group) in enumerate(filled):
        given = min(left / (len(filled) - done), max_passes * count)
        weights[group] = given
        left -= given
    return weights


def _draws(sizes: Sequence[Any], max_passes: Fraction, budget: int | None) -> Fraction:
    """The draws of a budget, of which there must be no more than the passes give."""
    held = sum(sizes)
    left = Fraction(held if budget is None else budget)
    if held and max_passes * held < left:
        least: Number = math.ceil(left / held * 10**6) / 10**6
        if fraction(least) < left / held:  # the float is so large that six decimals are lost
            least = math.ceil(left / held)
        raise Infeasible(
            f"{exactly(max_passes)} passes through {_count(held)} samples give {_count(max_passes * held)}, "
            f"the budget is {_count(left)}",
            f"pass max_passes={exactly(least)} or more, or a smaller budget",
        )
    return left


class _Sizes:
    """Stands for the sizes of the groups until they are known."""

    def bound_to(self, groups: Groups) -> tuple[int, ...]:
        """The samples of each group."""
        return tuple(groups.sizes.tolist())


def counting_draws(target: Target) -> Target:
    """The target with its caps in samples, where the amounts that it is given are of another unit."""
    if target.formula is _capped:
        return replace(target, formula=_capped_in_units, arguments=(*target.arguments, _Sizes()))
    parts = tuple(counting_draws(part) if isinstance(part, Target) else part for part in target.arguments)
    return replace(target, arguments=parts)


def _capped_in_units(
    amounts: Sequence[Number],
    names: Any,
    epoch: int,
    max_passes: Fraction,
    budget: int | None,
    sizes: Sequence[int],
) -> Sequence[Number]:
    """`_capped` where parts are equal in amounts of a unit, while passes and the budget count samples."""
    left = float(_draws(sizes, max_passes, budget))
    weights: list[Number] = [0] * len(sizes)
    # The least amount first, as in `_capped`. `rates` are samples for one of the unit, of the groups that are left.
    filled = sorted(
        (amount, size, group) for group, (amount, size) in enumerate(zip(amounts, sizes, strict=True)) if size
    )
    rates = [size / float(amount) for amount, size, _ in filled]
    rest = list(accumulate(reversed(rates)))[::-1]
    for (amount, _, group), rate, of_rest in zip(filled, rates, rest, strict=True):
        given = min(fraction(to_twelve_digits(left / of_rest)), max_passes * fraction(amount))
        weights[group] = given
        left -= float(given) * rate
    return weights


def _count(number: int | Fraction) -> str:
    """A number of samples as text, exact if it is an integer."""
    return str(number if number.denominator == 1 else float(number))
