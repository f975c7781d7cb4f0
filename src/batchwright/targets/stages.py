"""Targets that change at given micro-batches: a curriculum in steps."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..calls import recorded
from ..errors import Infeasible, check_integer, check_mapping, refused_of, shown, typed
from ..micro_batches import LAST
from .resolve import resolve
from .target import MOST_EPOCHS, Number, Target

__all__ = ["stage_begins", "stages"]


@recorded
def stages(targets: Mapping[int, Any]) -> Target:
    """Change from one target to the next at given micro-batches of the run.

    For trainings that count steps, where an epoch may be long or the only one. A change stands in the plan, so all ranks
    know it, a run resumes before or after it at the same cost, and it comes after as many samples in any world. A step has
    `world_size * accumulate` micro-batches: for a change at step 5,000 of 8 ranks pass 40,000. In a plan by lengths with
    `order=`, and in a source of a mixture, the micro-batches are those of the order or of the source.

    Args:
        targets: from the micro-batch at which a target begins, int, to the target, anything that `resolve` accepts, but none
            that moves. One of them begins at 0. A plan counts in multiples of the greatest common divisor of these numbers,
            131,072 at most, but looks at the shares only where a target begins.

    Raises:
        Infeasible: no target begins at 0, one moves, or the numbers have so small a divisor that there are too many.

    Example:
        >>> import batchwright as bw
        >>> target = bw.targets.stages({0: "natural", 300: {"web": 0.2, "code": 0.8}})
        >>> plan = bw.mixed({"web": 3000, "code": 1000}, 20, target=target, epoch=1000)
        >>> [int((plan[number] >= 3000).sum()) for number in (0, 299, 300, 999)]
        [5, 5, 16, 16]
    """
    if not isinstance(targets, Mapping):
        raise Infeasible(
            f"the stages are {typed(targets)}",
            'pass each target under the micro-batch at which it begins: stages({0: "natural", 5000: "uniform"})',
        )
    resolved = {}
    for number, target in check_mapping(targets, "targets").items():
        number, target = _checked(number), resolve(target)
        if not target.stays:
            raise Infeasible(
                f"the target of micro-batch {number} moves by itself: {target.briefly}", "pass targets that stay"
            )
        resolved[number] = target
    if 0 not in resolved:
        raise Infeasible(
            "no target begins at micro-batch 0", "say what the run begins with: stages({0: ..., 5000: ...})"
        )
    firsts = sorted(resolved)
    if len(firsts) == 1:  # it never changes
        return replace(resolved[0], shown=f"stages({{0: {resolved[0]}}})")
    every = math.gcd(*firsts)
    if firsts[-1] // every > MOST_EPOCHS:
        raise Infeasible(
            f"the stages begin at multiples of {every}, and the last one at {firsts[-1]}, which is more than {MOST_EPOCHS} "
            "of them",
            "pass rounder numbers, such as multiples of 1000",
        )
    begins = tuple(first // every for first in firsts)
    written = ", ".join(f"{first}: {resolved[first]}" for first in firsts)
    return Target(
        _stages,
        (begins, every, *(resolved[first] for first in firsts)),
        f"stages({{{written}}})",
        begins[-1],
        every=every,
        changes=begins,
    )


def stage_begins(target: Target) -> tuple[int, ...]:
    """The micro-batches at which the shares of a target change at once, 0 the first; empty unless it has `stages`."""
    if target.formula is _stages:
        return tuple(begin * (target.every or 1) for begin in target.arguments[0])
    return next(filter(None, (stage_begins(part) for part in target.arguments if isinstance(part, Target))), ())


def _checked(number: Any) -> int:
    """The micro-batch at which a stage begins."""
    begin: int = check_integer(number, "the micro-batch at which a stage begins", most=None)
    if not 0 <= begin <= LAST:
        raise Infeasible(
            f"a stage begins at micro-batch {shown(begin)}", f"let it begin at one from 0 to {LAST}, the last"
        )
    return begin


def _stages(
    counts: Sequence[Number],
    names: Sequence[Hashable],
    number: int,
    begins: tuple[int, ...],
    every: int,
    *targets: Target,
) -> Sequence[Number]:
    stage = bisect_right(begins, number) - 1
    with refused_of(f"from micro-batch {begins[stage] * every} on"):
        return targets[stage].exact(counts, names=names)
