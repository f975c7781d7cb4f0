"""A limit of how often groups repeat, as the shares come near to others that are wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..calls import recorded
from ..errors import Infeasible, check_integer, check_number, exactly
from .resolve import resolve
from .target import Number, Target, fraction, to_twelve_digits

if TYPE_CHECKING:
    from ..groups import Groups

__all__ = ["capped", "counting_draws"]


@recorded
def capped(max_passes: Number, target: Any = "uniform", *, budget: float | None = None) -> Target:
    """As near to a target as possible, with at most `max_passes` passes over any group in `budget` samples.

    UniMax of Chung et al. 2023, for any shares: groups that would pass their cap get it, and the others divide the rest of
    the budget in proportion to their shares. Within `in_units` the shares are of the unit; passes and budget count samples
    there too.

    Args:
        max_passes: the most passes over a group in the budget.
        target: the wanted shares, anything that `resolve` takes, but none that moves.
        budget: a number of draws; all samples of the dataset (one natural epoch) if left out.

    Raises:
        Infeasible: the budget is more than the passes give; the target moves.

    Example:
        >>> capped(2).shares([90, 10]).tolist()
        [0.8, 0.2]
        >>> capped(2, [0.5, 0.3, 0.2]).shares([60, 30, 10]).round(3).tolist()
        [0.5, 0.3, 0.2]
        >>> capped(1.5, [0.5, 0.3, 0.2]).shares([60, 30, 10]).round(5).tolist()
        [0.53125, 0.31875, 0.15]
    """
    max_passes = check_number(max_passes, "max_passes")
    if max_passes <= 0:
        raise Infeasible(f"max_passes is {max_passes}", "pass a number above 0")
    wanted = resolve(target)
    if not wanted.stays:
        raise Infeasible(f"{wanted} moves", "pass shares that stay, and schedule from one capped(...) to another")
    if isinstance(budget, float) and budget.is_integer():  # people write 1e6
        budget = int(budget)
    budget = budget if budget is None else check_integer(budget, "budget", least=1)
    of = "" if wanted.shown == "uniform()" else f", {wanted}"
    shown = f"capped({max_passes}{of})" if budget is None else f"capped({max_passes}{of}, budget={budget})"
    needs = ("proportions",) if budget is None else ("sizes",)
    return Target(_capped, (fraction(max_passes), budget, wanted), shown, needs=needs)


def _capped(
    counts: Sequence[int], names: Any, epoch: int, max_passes: Fraction, budget: int | None, shares: Target
) -> Sequence[Number]:
    wanted = shares.exact(counts, epoch, names=names)
    left = _draws(counts, wanted, max_passes, budget)
    weights: list[Number] = [0] * len(counts)
    # The group that reaches its cap first comes first: what it leaves goes to all after it, so one pass is enough.
    rest = sum(wanted)
    for group in _by_cap(counts, wanted):
        given = min(left * wanted[group] / rest, max_passes * counts[group])
        weights[group] = given
        left, rest = left - given, rest - wanted[group]
    return weights


def _by_cap(amounts: Sequence[Number], wanted: Sequence[int]) -> list[int]:
    """The numbers of the groups that have a share, in the order in which they reach their cap as all shares grow."""
    filled = [group for group, share in enumerate(wanted) if amounts[group] and share]
    return sorted(filled, key=lambda group: Fraction(amounts[group]) / wanted[group])


def _draws(sizes: Sequence[Any], wanted: Sequence[int], max_passes: Fraction, budget: int | None) -> Fraction:
    """The draws of a budget, of which there must be no more than the passes over groups with a share give."""
    held = sum(size for size, share in zip(sizes, wanted, strict=True) if share)
    left = Fraction(sum(sizes) if budget is None else budget)
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
    shares: Target,
    sizes: Sequence[int],
) -> Sequence[Number]:
    """`_capped` where shares are of amounts of a unit, while passes and the budget count samples."""
    wanted = shares.exact(amounts, epoch, names=names)
    left = float(_draws(sizes, wanted, max_passes, budget))
    weights: list[Number] = [0] * len(sizes)
    # In the order of `_capped`. `rates` are samples for one of the unit, of the groups that are left.
    filled = _by_cap(amounts, wanted)
    rates = [sizes[group] / float(amounts[group]) for group in filled]
    draws = [wanted[group] * rate for group, rate in zip(filled, rates, strict=True)]
    rest = list(accumulate(reversed(draws)))[::-1]
    for group, rate, of_rest in zip(filled, rates, rest, strict=True):
        given = min(fraction(to_twelve_digits(left * (wanted[group] / of_rest))), max_passes * fraction(amounts[group]))
        weights[group] = given
        left -= float(given) * rate
    return weights


def _count(number: int | Fraction) -> str:
    """A number of samples as text, exact if it is an integer."""
    return str(number if number.denominator == 1 else float(number))
