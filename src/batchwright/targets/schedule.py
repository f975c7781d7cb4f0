"""Targets that change from one to another, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from typing import Any, Literal, get_args

from ..calls import recorded
from ..errors import Infeasible, check_integer, check_number, noted, one_of
from .resolve import resolve
from .target import MOST_EPOCHS, Number, Target, fraction, to_twelve_digits

__all__ = ["schedule"]

_Named = Literal["linear", "cosine"]
Shape = _Named | Callable[[float], float]


@recorded
def schedule(start: Any, end: Any, *, epochs: int, shape: Shape = "linear") -> Target:
    """Move from one target to another: `(1 - s) * start + s * end` with s = shape(epoch / epochs).

    From epoch `epochs` on it is `end`. Progressively-balanced sampling (Kang et al. 2020, equation 2) is
    `schedule("natural", "uniform", epochs=...)`. An epoch here has the plan's own number of micro-batches, for any
    world size.

    Args:
        start: the target of epoch 0, anything that `resolve` accepts.
        end: the target of epoch `epochs` and all later ones.
        epochs: the number of epochs the change takes, 131,072 at most. A plan evaluates each: a microsecond for each
            group.
        shape: "linear", "cosine" (slow, fast, slow), or a function from [0, 1] to [0, 1].

    Example:
        >>> schedule("natural", "uniform", epochs=2).shares([3, 1], epoch=1).tolist()
        [0.625, 0.375]
    """
    epochs = check_integer(epochs, "epochs", least=1)
    if epochs > MOST_EPOCHS:
        raise Infeasible(
            f"the schedule takes {epochs} epochs, the most is {MOST_EPOCHS}",
            "pass fewer, and a plan with a longer epoch",
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
    # Either end may itself be a schedule that takes longer.
    settles_at = max(epochs, first.settles_at or 0, last.settles_at or 0)
    named = "" if shape == "linear" else f", shape={shape!r}" if isinstance(shape, str) else ", shape=function"
    return Target(
        _schedule,
        (first, last, epochs, shape),
        f"schedule({first}, {last}, epochs={epochs}{named})",
        settles_at,
    )


def _schedule(
    counts: Sequence[int],
    names: Sequence[Hashable],
    epoch: int,
    start: Target,
    end: Target,
    epochs: int,
    shape: Shape,
) -> Sequence[Number]:
    way = Fraction(min(epoch, epochs), epochs)
    if shape == "cosine":
        way = fraction(to_twelve_digits(0.5 - 0.5 * math.cos(math.pi * way)))
    elif callable(shape):
        with noted(f"while the shape of a schedule was asked for epoch {epoch}"):
            given = shape(float(way))
        way = fraction(to_twelve_digits(check_number(given, f"the shape at epoch {epoch}")))
        if not 0 <= way <= 1:
            raise Infeasible(f"the shape gives {float(way)} at epoch {epoch}", "give values from 0 to 1")
    first, last = start.exact(counts, epoch, names=names), end.exact(counts, epoch, names=names)
    # In integers: both are multiplied by the sum of the other, which is the same factor for every group.
    to_first, to_last = (way.denominator - way.numerator) * sum(last), way.numerator * sum(first)
    return [to_first * a + to_last * b for a, b in zip(first, last, strict=True)]
