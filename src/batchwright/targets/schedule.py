"""Targets that change from one to another, little by little."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from typing import Any, Literal, get_args

from ..calls import recorded
from ..errors import Infeasible, check_integer, check_number, noted, one_of, shown
from .resolve import resolve
from .target import MOST_EPOCHS, Number, Target, fraction, to_twelve_digits

__all__ = ["schedule"]

_PARTS = 100  # changes of a schedule over micro-batches: each is so small that one more would change no batch
_Named = Literal["linear", "cosine"]
Shape = _Named | Callable[[float], float]


@recorded
def schedule(
    start: Any, end: Any, *, epochs: int | None = None, batches: int | None = None, shape: Shape = "linear"
) -> Target:
    """Move from one target to another: `(1 - s) * start + s * end` with s = shape(epoch / epochs).

    From epoch `epochs` on it is `end`. Progressively-balanced sampling (Kang et al. 2020, equation 2) is
    `schedule("natural", "uniform", epochs=...)`. An epoch here has the plan's own number of micro-batches, for any
    world size. For trainings that count steps, pass `batches`: the shares then change within epochs, a hundred times at
    even distances (the last time up to a hundredth later). `stages` changes them at once, at given micro-batches.

    Args:
        start: the target of epoch 0, anything that `resolve` accepts.
        end: the target of epoch `epochs` and all later ones; or from micro-batch `batches` on.
        epochs: the number of epochs the change takes, 131,072 at most. A plan evaluates each: a microsecond for each
            group.
        batches: in place of `epochs`, the number of micro-batches that the change takes: steps * world size * accumulation.
        shape: "linear", "cosine" (slow, fast, slow), or a function from [0, 1] to [0, 1].

    Example:
        >>> schedule("natural", "uniform", epochs=2).shares([3, 1], epoch=1).tolist()
        [0.625, 0.375]
    """
    if (epochs is None) == (batches is None):
        raise Infeasible(
            f"epochs is {shown(epochs)} and batches is {shown(batches)}",
            "pass one of them: how many epochs the change takes, or how many micro-batches",
        )
    every, unit = None, "epochs"
    length = check_integer(epochs, unit, least=1) if epochs is not None else 0
    if epochs is None:
        unit = "batches"
        length = check_integer(batches, unit, least=1)
        every = -(-length // _PARTS)
    elif length > MOST_EPOCHS:
        raise Infeasible(
            f"the schedule takes {epochs} epochs, the most is {MOST_EPOCHS}",
            "pass fewer, and a plan with a longer epoch, or pass batches=",
        )
    if not callable(shape):
        shape = one_of(shape, "shape", get_args(_Named), or_else="a function")
    first, last = resolve(start), resolve(end)
    if first.settles_at is None or last.settles_at is None:
        raise Infeasible(
            "a schedule between functions of the epoch never settles",
            "write one function(counts, epoch) for the whole way",
        )
    for target in (first, last):
        if target.limits is not None:
            raise Infeasible(
                f"{target} is set while training runs and cannot be scheduled",
                "pass what it begins as, or moving(...) alone and set its shares with sampler.retarget",
            )
        if not target.stays and (every or target.every):
            raise Infeasible(
                f"{target.briefly} moves by itself, and it or the change to it is counted in micro-batches",
                "count both in epochs, or pass targets that stay",
            )
    # Either end may itself be a schedule that takes longer.
    settles_at = max(-(-length // (every or 1)), first.settles_at or 0, last.settles_at or 0)
    named = "" if shape == "linear" else f", shape={shape!r}" if isinstance(shape, str) else ", shape=function"
    return Target(
        _schedule,
        (first, last, length, every, shape),
        f"schedule({first}, {last}, {unit}={length}{named})",
        settles_at,
        every=every,
    )


def _schedule(
    counts: Sequence[int],
    names: Sequence[Hashable],
    epoch: int,
    start: Target,
    end: Target,
    length: int,
    every: int | None,
    shape: Shape,
) -> Sequence[Number]:
    way = Fraction(min(epoch * (every or 1), length), length)
    if shape == "cosine":
        way = fraction(to_twelve_digits(0.5 - 0.5 * math.cos(math.pi * way)))
    elif callable(shape):
        place = f"epoch {epoch}" if every is None else f"micro-batch {epoch * every}"
        with noted(f"while the shape of a schedule was asked for {place}"):
            given = shape(float(way))
        way = fraction(to_twelve_digits(check_number(given, f"the shape at {place}")))
        if not 0 <= way <= 1:
            raise Infeasible(f"the shape gives {float(way)} at {place}", "give values from 0 to 1")
    first, last = start.exact_at(counts, epoch, names=names), end.exact_at(counts, epoch, names=names)
    # In integers: both are multiplied by the sum of the other, which is the same factor for every group.
    to_first, to_last = (way.denominator - way.numerator) * sum(last), way.numerator * sum(first)
    return [to_first * a + to_last * b for a, b in zip(first, last, strict=True)]
