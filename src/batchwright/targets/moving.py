"""Targets whose shares are set during training."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

from ..calls import recorded
from ..errors import Infeasible, check_number, exactly, shown
from .resolve import resolve
from .target import Number, Target

__all__ = ["moving"]

_CLOSE = 1e-9  # a share this near to a limit is within it


@recorded
def moving(start: Any, *, floor: float = 0.0, ceiling: float = 1.0) -> Target:
    """Shares that begin as `start` and can be set with `sampler.retarget`, within these limits.

    If `start` is in units, as in `moving(in_units(...))`, so are the shares that are set; the limits are of samples.

    A low ceiling is useful: two passes of a group are joined so that a batch with the largest possible quota has no
    repeats (G5). Groups smaller than three times that quota have one order in all passes.

    Args:
        start: the first target, anything that `resolve` accepts, but not one that moves.
        floor: the smallest share that a group may get.
        ceiling: the largest share that a group may get.

    Raises:
        Infeasible: the limits contradict each other, `start` moves, or (when a plan is built) it is outside the limits.

    Example:
        >>> moving("uniform", ceiling=0.5)
        moving(uniform(), floor=0.0, ceiling=0.5)
    """
    first = resolve(start)
    floor, ceiling = check_number(floor, "floor"), check_number(ceiling, "ceiling")
    if not 0 <= floor <= ceiling <= 1:
        raise Infeasible(f"floor is {floor} and ceiling {ceiling}", "pass 0 <= floor <= ceiling <= 1")
    if not first.stays:
        raise Infeasible(f"{first} moves by itself", "pass a target that stays")
    shown = f"moving({first}, floor={floor}, ceiling={ceiling})"
    limits = float(floor), float(ceiling)
    return Target(_start, (first, limits), shown, limits=limits)


def moved(target: Target, weights: Sequence[int]) -> Target:
    """A copy of a moving target, set to these weights."""
    start = next(part for part in target.arguments if isinstance(part, Target))  # it says in which unit shares are set
    return replace(target, formula=_set, arguments=(tuple(weights), start))


def _start(
    counts: Sequence[Number], names: Sequence[Hashable], epoch: int, first: Target, limits: tuple[float, float]
) -> Sequence[Number]:
    weights = first.exact(counts, epoch, names=names)
    total = sum(weights)
    for name, weight in zip(names, weights, strict=True):
        if not limits[0] - _CLOSE <= weight / total <= limits[1] + _CLOSE:
            raise Infeasible(
                f"{first.briefly} gives group {shown(name)} the share {exactly(weight / total)} to begin with, the limits "
                f"are {exactly(limits[0])} to {exactly(limits[1])}",
                "begin within the limits, or widen them",
            )
    return weights


def _set(
    counts: Sequence[Number], names: Sequence[Hashable], epoch: int, weights: tuple[int, ...], start: Target
) -> Sequence[Number]:
    return weights
