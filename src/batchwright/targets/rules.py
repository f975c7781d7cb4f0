"""The targets by name: natural, uniform and everything between, capped, explicit, on schedule."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..columns import as_numbers, by_label
from ..errors import Infeasible, by_name, exactly, noted, one_of, real, shown, typed, whole
from ..values import plain
from .target import MOST_EPOCHS, Number, Target, fraction, require, rounded

if TYPE_CHECKING:
    from ..groups import Groups

__all__ = [
    "blend",
    "capped",
    "effective_number",
    "explicit",
    "natural",
    "power",
    "repeat_factor",
    "resolve",
    "schedule",
    "temperature",
    "uniform",
]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_SUM_TOLERANCE = 1e-6  # how far shares that somebody typed may be from 1; they are then divided by their sum


def resolve(target: Any) -> Target:
    """A `Target` from what a user may pass: one, a name, a number, a mapping, or a function.

    A name is "natural", "uniform" or "sqrt"; a number from 0 (natural) to 1 (uniform) is `blend`; a mapping from label to
    share (a pandas Series too) is `explicit`; a list or array has the shares in the order of the groups' names; a function
    is called as `function(counts, epoch)`, or `function(counts)` if it takes one argument.

    Example:
        >>> resolve("uniform"), resolve(0.5), resolve({"a": 0.9, "b": 0.1})
        (uniform(), blend(0.5), explicit({'a': 0.9, 'b': 0.1}))
    """
    if isinstance(target, Target):
        return target
    target = by_label(target)
    if isinstance(target, str):
        known: dict[str, Target] = {"natural": natural(), "uniform": uniform(), "sqrt": power(0.5)}
        if target not in known:
            raise Infeasible(f"no target is called {shown(target)}", f"pass one of {', '.join(map(repr, known))}")
        return known[target]
    if isinstance(target, Mapping):
        return explicit(target)
    if isinstance(target, Sequence) or hasattr(target, "to_numpy") or getattr(target, "ndim", 0) == 1:
        shares = as_numbers(target, called="the target")
        require(shares.ndim == 1, f"the target has shape {shares.shape}", "pass one share a group")
        return _listed(shares.tolist())
    target = plain(target)
    if isinstance(target, (int, float, Fraction)):
        return blend(target)
    if callable(target) and str(getattr(target, "__module__", "")).startswith(f"{__package__}."):
        raise Infeasible(f"the target is targets.{target.__name__} itself", "call it, and pass what it gives")
    if callable(target):
        takes = sum(
            parameter.default is parameter.empty and parameter.kind in _POSITIONAL
            for parameter in inspect.signature(target).parameters.values()
        )
        if takes not in (1, 2):
            raise Infeasible(
                f"a target function of {takes} arguments is not understood", "take (counts) or (counts, epoch)"
            )
        written = getattr(target, "__qualname__", type(target).__qualname__)
        return Target(_called, (target, takes), written, settles_at=0 if takes == 1 else None)
    raise Infeasible(
        f"the target is {typed(target)}, which is not understood",
        "pass a name, a number from 0 to 1, a mapping from label to share, the shares in the order of the groups' names, a "
        "function, or one of batchwright.targets",
    )


def natural() -> Target:
    """Every sample alike: shares are the groups' sizes over the sum of sizes (instance-balanced).

    Example:
        >>> natural().shares([3, 1]).tolist()
        [0.75, 0.25]
    """
    return Target(_power, (1,), "natural()")


def uniform() -> Target:
    """Every group that has samples alike (class-balanced).

    Example:
        >>> uniform().shares([3, 1]).tolist()
        [0.5, 0.5]
    """
    return Target(_power, (0,), "uniform()")


def blend(alpha: Number) -> Target:
    """Linear between natural and uniform: `(1 - alpha) * natural + alpha * uniform`, alpha from 0 to 1.

    Example:
        >>> blend(0.5).shares([3, 1]).tolist()
        [0.625, 0.375]
    """
    alpha = real(alpha, "alpha")
    require(0 <= alpha <= 1, f"alpha is {alpha}", "pass a number from 0 (natural) to 1 (uniform)")
    return Target(_blend, (fraction(alpha),), f"blend({alpha})")


def power(q: Number) -> Target:
    """Shares proportional to `size ** q`: q = 1, 1/2, 0 are instance-, square-root- and class-balanced.

    Kang et al. 2020, "Decoupling representation and classifier for long-tailed recognition", equation 1. With
    q = 1 / T it is the temperature sampling of multilingual models.

    Example:
        >>> power(0.5).shares([9, 1]).tolist()
        [0.75, 0.25]
    """
    q = real(q, "q")
    require(0 <= q <= 1, f"q is {q}", "pass a number from 0 (class-balanced) to 1 (instance-balanced)")
    return Target(_power, (q,), f"power({q})")


def temperature(degree: Number) -> Target:
    """Shares proportional to `size ** (1 / T)`: T = 1 is natural, the larger T the more even.

    The multilingual mixtures of mT5 (Xue et al. 2021, section 3.2); `power(1 / T)` under the name it has there.

    Example:
        >>> temperature(2).shares([9, 1]).tolist()
        [0.75, 0.25]
    """
    degree = real(degree, "the temperature")
    require(degree >= 1, f"the temperature is {degree}", "pass 1 (natural) or more")
    return Target(_power, (float(1 / fraction(degree)),), f"temperature({degree})")


def effective_number(beta: float) -> Target:
    """Samples weighted by the inverse effective number of their group: share ~ n * (1 - beta) / (1 - beta ** n).

    Cui et al. 2019, "Class-balanced loss based on effective number of samples", equation 2. beta = 0 is natural, beta
    towards 1 uniform.

    Example:
        >>> effective_number(0.5).shares([2, 1]).round(4).tolist()
        [0.5714, 0.4286]
    """
    beta = real(beta, "beta")
    require(0 <= beta < 1, f"beta is {beta}", "pass a number from 0 up to, not including, 1, such as 0.999")
    return Target(_effective_number, (beta,), f"effective_number({beta})")


def repeat_factor(threshold: float) -> Target:
    """Groups rarer than `threshold` are repeated: share ~ f * max(1, sqrt(threshold / f)) with f the natural share.

    Gupta, Dollar, Girshick 2019, "LVIS", section 5.2 (category-level repeat factors).

    Example:
        >>> repeat_factor(0.25).shares([15, 1]).round(4).tolist()
        [0.8824, 0.1176]
    """
    threshold = real(threshold, "threshold")
    require(0 <= threshold <= 1, f"threshold is {threshold}", "pass a natural share, from 0 to 1, such as 0.001")
    return Target(_repeat_factor, (threshold,), f"repeat_factor({threshold})")


def capped(max_passes: Number, *, budget: float | None = None) -> Target:
    """As uniform as possible while no group is passed through more than `max_passes` times in `budget` samples.

    UniMax of Chung et al. 2023: from the smallest group up, each gets an even part of what is left of the budget, or its
    cap if that is less.

    Args:
        max_passes: passes allowed over the budget.
        budget: samples drawn in the time meant; all samples of the dataset (one natural epoch) if left out.

    Example:
        >>> capped(2).shares([90, 10]).tolist()
        [0.8, 0.2]
    """
    max_passes = real(max_passes, "max_passes")
    require(max_passes > 0, f"max_passes is {max_passes}", "pass a number above 0")
    if isinstance(budget, float) and budget.is_integer():  # 1e6
        budget = int(budget)
    budget = budget if budget is None else whole(budget, "budget", least=1)
    shown = f"capped({max_passes})" if budget is None else f"capped({max_passes}, budget={budget})"
    return Target(_capped, (fraction(max_passes), budget), shown)


def explicit(shares: Mapping[Any, Number]) -> Target:
    """Shares by the user's own labels; every group is named, and they sum to 1.

    Numbers are taken as the decimals they are written as: 0.3 of a batch of 10 is 3, always.

    Raises:
        Infeasible: here if they do not sum to 1; at the plan if a label is unknown or a group is not named.

    Example:
        >>> explicit({"cat": 0.3, "dog": 0.7}).shares([5, 5], names=["cat", "dog"]).tolist()
        [0.3, 0.7]
    """
    given = {
        plain(name): real(share, f"the share of {shown(name)}") for name, share in by_name(shares, "shares").items()
    }
    require(len(given) == len(shares), "two of the shares are of one label", "give each label one share")
    _check_sum(given)
    return Target(_explicit, (ByName(given.items()),), f"explicit({given})")


class ByName(tuple[tuple[Hashable, Number], ...]):
    """Shares by label or by the name of a class, in the order given."""

    def bound_to(self, groups: Groups) -> ByName:
        """The same by the labels of these groups."""
        found = ByName((groups.label(name), share) for name, share in self)
        labels = [label for label, _ in found]
        twice = (
            next((label for label in labels if labels.count(label) > 1), None)
            if len(set(labels)) < len(labels)
            else None
        )
        require(twice is None, f"label {shown(twice)} is given two shares", "give it one, by its label or by its name")
        return found


def _listed(shares: list[Number]) -> Target:
    """Shares in the order of the groups' names."""
    given = {place: real(share, f"the share of group number {place}") for place, share in enumerate(shares)}
    _check_sum(given)
    return Target(_in_order, (tuple(given.values()),), f"{shares}")


def _check_sum(shares: Mapping[Any, Number]) -> None:
    for name, share in shares.items():
        require(share >= 0, f"{shown(name)} has share {share}", "give shares of 0 or more")
    total = float(sum(shares.values()))
    if abs(total - 1) > _SUM_TOLERANCE:
        written = total if total == math.inf else sum(map(fraction, shares.values()))
        raise Infeasible(f"the shares sum to {exactly(written)}, not to 1", _to_one(written))


def _to_one(total: Number) -> str:
    """What to do with shares that sum to this."""
    return "divide each by their sum" if 0 < total < math.inf else "give shares of 0 or more that sum to 1"


def schedule(start: Any, end: Any, *, epochs: int, shape: str | Callable[[float], float] = "linear") -> Target:
    """Move from one target to another: `(1 - s) * start + s * end` with s = shape(epoch / epochs), `end` from `epochs` on.

    Progressively-balanced sampling (Kang et al. 2020, equation 2) is `schedule("natural", "uniform", epochs=...)`. An epoch
    here is the plan's own number of micro-batches, whatever the world size.

    Args:
        start: the target of epoch 0, anything that `resolve` takes.
        end: the target of epoch `epochs` and all after it.
        epochs: how many epochs the way takes, up to 131,072. The plan looks at each: a microsecond a group.
        shape: "linear", "cosine" (slow, fast, slow), or a function from [0, 1] to [0, 1].

    Example:
        >>> schedule("natural", "uniform", epochs=2).shares([3, 1], epoch=1).tolist()
        [0.625, 0.375]
    """
    epochs = whole(epochs, "epochs", least=1)
    require(
        epochs <= MOST_EPOCHS,
        f"the schedule takes {epochs} epochs, the most is {MOST_EPOCHS}",
        "pass fewer, and a plan with a longer epoch",
    )
    if not callable(shape):
        shape = one_of(shape, "shape", ("linear", "cosine"), or_else="a function")
    first, last = resolve(start), resolve(end)
    require(
        first.settles_at is not None and last.settles_at is not None,
        "a schedule between functions of the epoch never settles",
        "write one function(counts, epoch) for the whole way",
    )
    for target in (first, last):
        require(
            target.limits is None,
            f"{target} is set while training runs and cannot be scheduled",
            "pass what it begins as, or moving(...) alone and set its shares with sampler.retarget",
        )
    settles_at = max(epochs, first.settles_at or 0, last.settles_at or 0)
    named = "" if shape == "linear" else f", shape={shape!r}" if isinstance(shape, str) else ", shape=function"
    return Target(
        _schedule,
        (first, last, epochs, shape),
        f"schedule({first}, {last}, epochs={epochs}{named})",
        settles_at,
    )


def _power(counts: Sequence[int], names: Any, epoch: int, q: Number) -> Sequence[Number]:
    if q in (0, 1):
        return [count if q else int(count > 0) for count in counts]
    return [rounded(count ** float(q)) if count else 0 for count in counts]


def _blend(counts: Sequence[int], names: Any, epoch: int, alpha: Fraction) -> Sequence[Number]:
    total, filled = sum(counts), sum(count > 0 for count in counts)
    to_natural, to_uniform = (alpha.denominator - alpha.numerator) * filled, alpha.numerator * total
    return [to_natural * count + to_uniform * (count > 0) for count in counts]


def _effective_number(counts: Sequence[int], names: Any, epoch: int, beta: float) -> Sequence[Number]:
    if beta == 0:
        return counts
    return [rounded(n * (1 - beta) / -math.expm1(n * math.log(beta))) if n else 0 for n in counts]


def _repeat_factor(counts: Sequence[int], names: Any, epoch: int, threshold: float) -> Sequence[Number]:
    total = sum(counts)
    return [rounded(n * max(1.0, math.sqrt(threshold * total / n))) if n else 0 for n in counts]


def _capped(
    counts: Sequence[int], names: Any, epoch: int, max_passes: Fraction, budget: int | None
) -> Sequence[Number]:
    left = Fraction(sum(counts) if budget is None else budget)
    held = sum(counts)
    if held and max_passes * held < left:
        least: Number = math.ceil(left / held * 10**6) / 10**6
        if fraction(least) < left / held:  # so large that float64 is coarser than that
            least = math.ceil(left / held)
        raise Infeasible(
            f"{exactly(max_passes)} passes through {_count(held)} samples give {_count(max_passes * held)}, "
            f"the budget is {_count(left)}",
            f"pass max_passes={exactly(least)} or more, or a smaller budget",
        )
    weights: list[Number] = [0] * len(counts)
    filled = sorted((count, group) for group, count in enumerate(counts) if count)
    for done, (count, group) in enumerate(filled):
        given = min(left / (len(filled) - done), max_passes * count)
        weights[group] = given
        left -= given
    return weights


def _count(number: int | Fraction) -> str:
    """A number of samples exactly, where it is whole."""
    return str(number if number.denominator == 1 else float(number))


def _explicit(
    counts: Sequence[int], names: Sequence[Hashable], epoch: int, shares: tuple[tuple[Hashable, Number], ...]
) -> Sequence[Number]:
    given = dict(shares)
    groups = set(names)
    unknown = [name for name in given if name not in groups]
    if unknown:
        few = ", ".join(map(shown, list(names)[:8])) + (", ..." if len(names) > 8 else "")
        raise Infeasible(
            f"a share is given to {shown(unknown[0])} but the labels are {few}", "use the labels of the data"
        )
    unnamed = [name for name in names if name not in given]
    if unnamed:
        raise Infeasible(
            f"{len(unnamed)} of {len(names)} groups have no share, {shown(unnamed[0])} the first",
            "give every group a share; 0 says that it is never drawn",
        )
    return [given[name] for name in names]


def _in_order(
    counts: Sequence[int], names: Sequence[Hashable], epoch: int, shares: tuple[Number, ...]
) -> Sequence[Number]:
    return shares


def _schedule(
    counts: Sequence[int],
    names: Sequence[Hashable],
    epoch: int,
    start: Target,
    end: Target,
    epochs: int,
    shape: str | Callable[[float], float],
) -> Sequence[Number]:
    way = Fraction(min(epoch, epochs), epochs)
    if shape == "cosine":
        way = fraction(rounded(0.5 - 0.5 * math.cos(math.pi * way)))
    elif callable(shape):
        with noted(f"while the shape of a schedule was asked for epoch {epoch}"):
            given = shape(float(way))
        way = fraction(rounded(real(given, f"the shape at epoch {epoch}")))
        require(0 <= way <= 1, f"the shape gives {float(way)} at epoch {epoch}", "give values from 0 to 1")
    first, last = start.exact(counts, epoch, names=names), end.exact(counts, epoch, names=names)
    # in whole numbers: what both would be divided by is the same for every group
    to_first, to_last = (way.denominator - way.numerator) * sum(last), way.numerator * sum(first)
    return [to_first * a + to_last * b for a, b in zip(first, last, strict=True)]


def _called(
    counts: Sequence[int], names: Any, epoch: int, function: Callable[..., Any], takes: int
) -> Sequence[Number]:
    with noted(f"while the target was asked for the shares of epoch {epoch}"):
        given = function(np.array(counts)) if takes == 1 else function(np.array(counts), epoch)
    given = list(given) if isinstance(given, Iterator) else given
    shares: list[float] = as_numbers(given, called=f"what the target function gives at epoch {epoch}").ravel().tolist()
    require(
        len(shares) == len(counts),
        f"the target function gives {len(shares)} shares for {len(counts)} groups",
        "give one share a group, in the order of the counts",
    )
    total = sum(shares)
    if math.isfinite(total) and abs(total - 1) > _SUM_TOLERANCE:
        written = sum(map(fraction, shares))
        raise Infeasible(
            f"the target function's shares sum to {exactly(written)} at epoch {epoch}, not to 1",
            _to_one(written if min(shares) >= 0 else 0),
        )
    return shares
