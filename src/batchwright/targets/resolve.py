"""Makes a `Target` of anything that users may pass as one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import Infeasible, did_you_mean, exactly, noted, shown, typed
from ..inputs.columns import as_numbers, by_label
from ..inputs.values import plain
from ..readings import reading
from .counts import blend, natural, power, uniform
from .explicit import SUM_TOLERANCE, explicit, target_in_order, way_out_of_sum
from .target import Number, Target, fraction

__all__ = ["resolve"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def resolve(target: Any) -> Target:
    """Make a `Target` from a target, a name, a number, a mapping, a list or a function.

    A name is "natural", "uniform" or "sqrt"; a number from 0 (natural) to 1 (uniform) is `blend`; a mapping from label
    to share (a pandas Series too) is `explicit`; a list or array has the shares in the order of the groups' names; a
    function is called as `function(counts, epoch)`, or `function(counts)` if it takes one argument.

    Example:
        >>> resolve("uniform"), resolve(0.5), resolve({"a": 0.9, "b": 0.1})
        (uniform(), blend(0.5), explicit({'a': 0.9, 'b': 0.1}))
    """
    if isinstance(target, Target):
        return target
    target = by_label(target)
    if isinstance(target, str):
        named: dict[str, Target] = {"natural": natural(), "uniform": uniform(), "sqrt": power(0.5)}
        if target not in named:
            raise Infeasible(
                f"no target is called {shown(target)}",
                f"pass one of {', '.join(map(repr, named))}{did_you_mean(target, named)}",
            )
        return named[target]
    if isinstance(target, Mapping):
        return explicit(target)
    if isinstance(target, Sequence) or hasattr(target, "to_numpy") or getattr(target, "ndim", 0) == 1:
        shares = as_numbers(target, called="the target")
        if shares.ndim != 1:
            raise Infeasible(f"the target has shape {shares.shape}", "pass one share a group")
        return target_in_order(shares.tolist())
    target = plain(target)
    if isinstance(target, (int, float, Fraction)):
        return blend(target)
    # `target=targets.uniform` without brackets: called with counts, it would raise an error that does not say so.
    if callable(target) and str(getattr(target, "__module__", "")).startswith(f"{__package__}."):
        raise Infeasible(f"the target is targets.{target.__name__} itself", "call it, and pass what it gives")
    if callable(target):
        with reading(target, "the target", "pass a function of (counts) or (counts, epoch)"):
            parameters = inspect.signature(target).parameters.values()
        takes = sum(one.default is one.empty and one.kind in _POSITIONAL for one in parameters)
        if takes not in (1, 2):
            raise Infeasible(
                f"a target function of {takes} arguments is not understood", "take (counts) or (counts, epoch)"
            )
        written = getattr(target, "__qualname__", type(target).__qualname__)
        # A function of the counts alone gives the same shares in every epoch.
        return Target(_called, (target, takes), written, settles_at=0 if takes == 1 else None, needs=("unknown",))
    raise Infeasible(
        f"the target is {typed(target)}, which is not understood",
        "pass a name, a number from 0 to 1, a mapping from label to share, the shares in the order of the groups' names, a "
        "function, or one of batchwright.targets",
    )


def _called(
    counts: Sequence[int], names: Any, epoch: int, function: Callable[..., Any], takes: int
) -> Sequence[Number]:
    with noted(f"while the target was asked for the shares of epoch {epoch}"):
        given = function(np.array(counts)) if takes == 1 else function(np.array(counts), epoch)
    if isinstance(given, Mapping):
        raise Infeasible(
            f"the target function gives a {type(given).__name__} at epoch {epoch}",
            "give a list with one share a group, in the order of the counts, or pass such a mapping as the target, or "
            "targets.schedule from one mapping to another",
        )
    given = list(given) if isinstance(given, Iterator) else given
    shares: list[float] = as_numbers(given, called=f"what the target function gives at epoch {epoch}").ravel().tolist()
    if len(shares) != len(counts):
        raise Infeasible(
            f"the target function gives {len(shares)} shares for {len(counts)} groups",
            "give one share a group, in the order of the counts",
        )
    total = sum(shares)
    if math.isfinite(total) and abs(total - 1) > SUM_TOLERANCE:
        written = sum(map(fraction, shares))
        raise Infeasible(
            f"the target function's shares sum to {exactly(written)} at epoch {epoch}, not to 1",
            way_out_of_sum(written if min(shares) >= 0 else 0),
        )
    return shares
