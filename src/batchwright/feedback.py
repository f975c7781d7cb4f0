"""Sets the shares of groups from signals of training.

A signal (loss, recall, gradient norm) is observed sample by sample, averaged by group over all ranks, and smoothed. A
rule turns it into shares, these are kept within limits, and the sampler uses them from the next round on.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .distributed import Over, ranks, summed
from .errors import Infeasible, check_number, exactly, shown
from .inputs.columns import as_numbers
from .public import opened
from .readings import as_list, reading
from .run.sampler import BatchSampler
from .run.sampler_of import needed_sampler

__all__ = ["Feedback", "Rule", "bandit", "by_recall", "by_signal"]

Rule = Callable[[np.ndarray, int], np.ndarray]
"""From the smoothed signal, float64 (groups,), and the number of the update, from 1, to shares in proportion."""

_DIGITS = 12  # shares are rounded to so many: the rule's last bits may differ from rank to rank, what is set must not
_ROUNDING = 1e-9
_HALVINGS = 200  # a bisection of floats has ended long before: 64 halvings reach one unit in the last place


def _check_within(signal: np.ndarray, least: float, most: float, fact: str, way_out: str) -> None:
    """Refuse a signal that a rule cannot mean; smoothing may leave it outside by a rounding error."""
    beyond = np.maximum(least - signal, signal - most)
    worst = int(beyond.argmax())
    if beyond[worst] > _ROUNDING:
        raise Infeasible(
            f"the mean signal of group number {worst} (from 0, as in groups.names) is {signal[worst]:g}, and {fact}",
            f"observe {way_out}",
        )


@dataclass(frozen=True)
class by_signal:  # noqa: N801  # reads as the function that it is
    """Shares in proportion to the signal (a loss, a gradient norm), to some power.

    Raises:
        Infeasible: the signal of a group is negative, which is no share.

    Example:
        >>> by_signal()(np.array([1.0, 3.0]), 1).tolist()
        [1.0, 3.0]
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        """Check the power."""
        object.__setattr__(self, "power", float(check_number(self.power, "power")))

    def __call__(self, signal: np.ndarray, update: int) -> np.ndarray:
        """The signal to the power `power`."""
        _check_within(
            signal, 0, math.inf, "by_signal takes 0 or more", "a loss or a norm, or write a rule for your signal"
        )
        wanted: np.ndarray = np.maximum(signal, 0) ** self.power
        return wanted


@dataclass(frozen=True)
class by_recall:  # noqa: N801  # reads as the function that it is
    """Shares in proportion to 1 - recall; the signal is 1 for a sample that was recognised and 0 for one that was not.

    Raises:
        Infeasible: the recall of a group is outside 0 to 1, such as a percentage.

    Example:
        >>> by_recall()(np.array([0.75, 0.25]), 1).tolist()
        [0.25, 0.75]
    """

    def __call__(self, signal: np.ndarray, update: int) -> np.ndarray:
        """1 - recall."""
        _check_within(
            signal, 0, 1, "by_recall takes 0 to 1", "1 for a sample that was recognised and 0 for one that was not"
        )
        wanted: np.ndarray = np.clip(1 - signal, 0, 1)
        return wanted


@dataclass(frozen=True)
class bandit:  # noqa: N801  # reads as the function that it is
    """Multiplicative weights with exploration, as in online data mixing (Albalak et al. 2023, after Exp3).

    share = (1 - K e) softmax(e' * reward) + e, for K groups, with e = min(1 / K, sqrt(ln K / (K t))) at update t, and
    e' that of the update before. In the paper, the reward is the loss of the one domain that was drawn, divided by its
    probability. Here every group is drawn in every round, so the reward is the smoothed signal: the expectation of the
    paper's reward.

    Example:
        >>> bandit()(np.array([1.0, 1.0]), 1).tolist()
        [0.5, 0.5]
    """

    def __call__(self, signal: np.ndarray, update: int) -> np.ndarray:
        """The shares at this update."""
        groups = signal.size
        explored, before = (
            min(1 / groups, math.sqrt(math.log(groups) / (groups * t))) for t in (update, max(1, update - 1))
        )
        raised = np.exp(before * (signal - signal.max()))
        wanted: np.ndarray = (1 - groups * explored) * raised / raised.sum() + explored
        return wanted


class Feedback:
    """Sets the shares of a sampler from signals of training.

    Args:
        sampler: the sampler of a plan with `target=targets.moving(...)`; the floor and ceiling given there always hold.
        rule: `by_signal()`, `by_recall()`, `bandit()`, or any function of (signal, number of the update); see `Rule`.
        smoothing: the weight of the earlier signal at an update, from 0 to below 1.
        most_change: the most that a share may change at an update.

    Raises:
        Infeasible: the plan's shares cannot be set, or a number is outside its range.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["a"] * 50 + ["b"] * 50, 10, target=bw.targets.moving("uniform", floor=0.1, ceiling=0.9))
        >>> feedback = bw.feedback.Feedback(plan.sampler(), bw.feedback.by_signal(), most_change=0.2)
        >>> feedback.observe([1.0, 3.0, 3.0], labels=["a", "b", "b"])
        >>> feedback.update().round(6).tolist()
        [0.3, 0.7]
    """

    def __init__(self, sampler: BatchSampler, rule: Rule, *, smoothing: float = 0.0, most_change: float = 1.0) -> None:
        if not 0 <= smoothing < 1 or not 0 < most_change <= 1:
            raise Infeasible(
                f"smoothing is {exactly(smoothing)} and most_change is {exactly(most_change)}",
                "pass 0 <= smoothing < 1, 0 < most_change <= 1",
            )
        sampler = needed_sampler(sampler)
        if not callable(rule) or isinstance(rule, type):
            raise Infeasible(f"the rule is {shown(rule)}", "pass a rule that is made, such as by_signal()")
        plan = sampler.plan
        order = plan.order_plan.order
        limits = None if order is None else order.shares.limits
        if limits is None:
            raise Infeasible(f"the shares of {plan!r} cannot be set", "build the plan with target=targets.moving(...)")
        self.sampler = sampler
        self.rule = rule
        self.smoothing = smoothing
        self.most_change = most_change
        self.groups = plan.groups
        self._limits = limits
        count = self.groups.group_count
        self.shares: np.ndarray = plan.order_plan.shares()
        self._signal = np.full(count, np.nan)
        self._seen = np.zeros((2, count))  # sums and counts of this rank since the last update
        self._updates = 0

    def observe(self, values: Any, *, labels: Any = None, samples: Any = None) -> None:
        """Take the signal of some samples, given by their labels or by their numbers.

        Args:
            values: the signal of each sample, array-like of shape (n_samples,).
            labels: the label of each sample, array-like of shape (n_samples,).
            samples: in place of labels, the numbers of the samples in the dataset, array-like of shape (n_samples,).

        Raises:
            Infeasible: a value is not finite, there is not one for each sample, or the plan has no such label or
                sample.
        """
        if (labels is None) == (samples is None):
            passed = "neither is" if labels is None else "both are"
            raise Infeasible(
                f"samples are told apart by labels or by numbers, and {passed} passed",
                "pass one of labels= and samples=",
            )
        signal = np.asarray(as_numbers(values, called="values"), np.float64).reshape(-1)
        if samples is not None:
            codes = np.atleast_1d(self.groups.group_of(samples))
        else:
            with reading(labels, "labels", "pass the label of each sample, as a list"):
                known = list(labels.tolist()) if hasattr(labels, "tolist") else as_list(labels, "labels")
            codes = self.groups.numbers_of(known)
        if codes.size != signal.size:
            raise Infeasible(f"there are {signal.size} values for {codes.size} samples", "pass one a sample")
        if not np.isfinite(signal).all():
            bad = int(np.argmin(np.isfinite(signal)))
            raise Infeasible(f"the signal of sample {bad} of {signal.size} is {signal[bad]}", "leave such samples out")
        self._seen[0] += np.bincount(codes, weights=signal, minlength=self.groups.group_count)
        self._seen[1] += np.bincount(codes, minlength=self.groups.group_count)

    def update(self) -> np.ndarray:
        """Set the shares from what all ranks observed since the last update; call it on every rank at the same step.

        A group that was not observed keeps its signal. If it was never observed, it has the mean signal of the others.

        Returns:
            The new shares, float64 in the order of the plan's `groups.names`, the same on every rank.
        """
        # Sums and counts, and not means: ranks may have observed different numbers of samples.
        seen = _over_ranks(self._seen, self.sampler.over)
        self._seen = np.zeros_like(self._seen)
        self._updates += 1
        present = seen[1] > 0
        fresh = np.divide(seen[0], seen[1], out=np.full(seen.shape[1], np.nan), where=present)
        # The first signal of a group is taken as it is: smoothed, it would begin near 0.
        first = present & np.isnan(self._signal)
        self._signal[first] = fresh[first]
        kept = present & ~first
        self._signal[kept] = self.smoothing * self._signal[kept] + (1 - self.smoothing) * fresh[kept]
        if np.isnan(self._signal).all():
            return self.shares
        signal = np.where(np.isnan(self._signal), np.nanmean(self._signal), self._signal)
        given = as_numbers(self.rule(signal, self._updates), called="what the rule gives").ravel()
        if given.size != signal.size:
            raise Infeasible(f"the rule gives {given.size} shares for {signal.size} groups", "give one a group")
        wanted = np.array([float(f"{value:.{_DIGITS}g}") for value in given.tolist()])
        wrong = np.flatnonzero(~np.isfinite(wanted) | (wanted < 0))
        if wrong.size:
            name = shown(self.groups.names[int(wrong[0])])
            raise Infeasible(
                f"the rule gives {exactly(wanted[wrong[0]])} for group {name}", "give finite numbers of 0 or more"
            )
        self.shares = self._limited(wanted)
        self.sampler.retarget(self.shares, in_samples=True)
        return self.shares

    def state_dict(self) -> dict[str, Any]:
        """The state in JSON types; call it on every rank, since the observations of all ranks are summed."""
        return {
            "signal": [None if np.isnan(value) else value for value in self._signal.tolist()],
            "shares": self.shares.tolist(),
            "seen": _over_ranks(self._seen, self.sampler.over).tolist(),
            "updates": self._updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a state, on every rank; their number may have changed. The sampler has a state of its own."""
        if not state:
            return
        with reading(state, "state", "load what state_dict() gave, as it was"):
            signal = np.array([np.nan if value is None else value for value in state["signal"]], np.float64)
            shares = np.array(state["shares"], np.float64)
            # The state has the sum over all ranks: each takes a part.
            seen = np.array(state["seen"], np.float64) / ranks(self.sampler.over)[1]
            updates = int(state["updates"])
        count = self.groups.group_count
        for name, found, shape in (
            ("signal", signal, (count,)),
            ("shares", shares, (count,)),
            ("seen", seen, (2, count)),
        ):
            if found.shape != shape:
                raise Infeasible(
                    f"the state's {name} is of shape {shown(found.shape)}, of {count} groups it is {shape}",
                    "load a state of feedback on the same groups",
                )
        self._signal, self.shares, self._seen, self._updates = signal, shares, seen, updates

    def _limited(self, wanted: np.ndarray) -> np.ndarray:
        """The shares nearest in proportion to `wanted` that keep floor, ceiling and the limit of change, and sum to 1."""
        low = np.maximum(self._limits[0], self.shares - self.most_change)
        high = np.minimum(self._limits[1], self.shares + self.most_change)
        wanted = np.maximum(wanted / wanted.max(), 1e-9) if wanted.max() > 0 else np.ones(wanted.size)
        least, most = 0.0, float((high / wanted).max())
        for _ in range(_HALVINGS):
            middle = (least + most) / 2
            if np.clip(middle * wanted, low, high).sum() < 1:
                least = middle
            else:
                most = middle
        shares = np.round(np.clip(most * wanted, low, high), _DIGITS)
        # What rounding left goes to the share that is farthest from its limits.
        shares[int(np.argmax(np.minimum(shares - low, high - shares)))] += 1 - shares.sum()
        return shares


def _over_ranks(values: np.ndarray, over: Over) -> np.ndarray:
    """The sum over all ranks, with the same bits on each."""
    found: np.ndarray = summed(torch.tensor(values, dtype=torch.float64), over).numpy()
    return found


opened(sys.modules[__name__])
