"""Micro-batches under a budget of tokens or cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..calls import recorded
from ..errors import Infeasible, check_bool, check_integer, check_number, exactly, one_of, warn
from ..inputs import columns
from ..kernels.array_types import Floats, Integers
from ..lengths.admission import Admission, TooLong, TooLongForBudget
from ..lengths.budget_cutter import BudgetCutter
from ..lengths.layout import Window
from ..lengths.numbers import NumberRows, Numbers
from ..orders import Shards
from ..readings import check_count
from .by_length import LengthPlan
from .delivered import delivery
from .fixed import FixedPlan
from .length_arguments import (
    ONLY,
    admission_of,
    balance_of,
    costs_of,
    named,
    order_of,
    part_called,
    refuse_too_long,
    table_of,
)

__all__ = ["budgeted"]


@recorded
def budgeted(
    lengths: Any,
    max_tokens: float | Mapping[str, float],
    *,
    max_samples: int | None = None,
    order: FixedPlan | None = None,
    window: Window = 1024,
    padded: bool | Mapping[str, bool] = True,
    cost: Callable[[Floats], ArrayLike] | None = None,
    balance: Any = None,
    round_length: int | Sequence[int] = 1,
    round_count: int = 1,
    too_long: TooLongForBudget = "refuse",
    local: Shards | None = None,
    seed: int = 0,
) -> LengthPlan:
    """Micro-batches that never cost more than a budget, with samples of similar length together.

    Samples are planned window by window: a window is sorted by length and cut where the budget is reached. Without
    `order`, all samples are sorted by length, and each of n windows takes one of every n neighbours, so all windows are
    similar. With `order`, a window is the next range of that order. Steps come in random order, and every epoch has the same
    number of micro-batches.

    Samples are exchanged so that all micro-batches of a step cost about the same. With a padded budget, a micro-batch that
    costs less exchanges one sample for a longer one from anywhere in the window; else those of a step exchange samples among
    each other. In three cases nothing is exchanged, and micro-batches are only sorted by cost, so that neighbours make a
    step: with `round_length` or `round_count`, which keep the shapes; with `balance` if a budget is padded; and with several
    budgets if one of them is padded.

    Args:
        lengths: array-like of shape (n_samples,), int or float, 0 or more; `{name: column}` or a table for several
            budgets.
        max_tokens: the budget of a micro-batch, above 0; `{name: budget}` for several.
        max_samples: the most samples in a micro-batch.
        order: the plan whose order is cut, such as `balanced(...)`. If left out, every epoch has each sample once.
        window: about how many micro-batches are planned together, in whole steps, at most an epoch; or "epoch". A larger
            one pads less and mixes less: an epoch has fewer windows, so the same samples come together more often. Of a
            million samples with log-normal lengths of 16 to 1,024, with budgets of 4,096 to 65,536 and steps of 1 to 32,
            0.1 to 0.3 % was padding with 1024, and 1.6 to 2.7 % with 64.
        padded: whether a micro-batch costs its longest sample times its count, or the sum; `{name: bool}` for several.
        cost: a function from lengths, float64 of shape (n,), to costs of the same shape, such as
            `lambda n: n + n**2 / 4096`; the budget is then in its unit.
        balance: array-like of shape (n_samples,), int or float, 0 or more, such as supervised tokens: what the
            micro-batches of a step should have equally much of, beside what the budget counts. If a budget is padded, as
            by default, micro-batches are only sorted by it, and neighbours make a step: pass `padded=False` to have
            samples exchanged too. If left out, it is what the budget counts, or the sum of the parts that are used of
            several budgets.
        round_length: lengths are rounded up to a multiple of this, or to the next of a list of lengths, so that there
            are few shapes (number of samples x longest length).
        round_count: micro-batches of this many samples or more have a multiple of it, except those split to fit an
            epoch.
        too_long: what to do with a sample that alone is over the budget: "refuse" the plan; "alone": it is a
            micro-batch by itself, over the budget; "truncate": it counts as
            `plan.truncate_to`, the longest length within the budget, and `bw.ragged(truncate_to=plan.truncate_to)`
            truncates it, if lengths count elements of the field; "skip" it.
        local: the shards that the samples lie in: all ranks then read from few of them at a time, at most `open` in a
            window, and each shard once a pass. A window takes the next range of a shuffle over these shards, as with
            `order=`.
        seed: of which samples come together without `order=`, of the order of steps, and of the order of the micro-batches
            within each step, so of which rank gets which; int from 0 to 2^64 - 1.

    Raises:
        Infeasible: a sample over the budget (with "refuse"), or arguments that contradict each other.

    Warns:
        PoorWarning: samples are truncated, and lengths are in another unit than elements, such as seconds.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.budgeted([5, 3, 8, 2, 7, 1, 6, 4], max_tokens=16)
        >>> sorted(sorted(batch.tolist()) for batch in plan.epoch(0))
        [[0, 6], [1, 3, 5, 7], [2, 4]]
    """
    too_long = one_of(too_long, "too_long", get_args(TooLongForBudget))
    budgets = Budgets.of(lengths, max_tokens, padded, round_length, cost)
    sample_count, count = budgets.lengths.shape
    if too_long == "truncate" and (cost is not None or count > 1):
        other = f"there are {count}" if count > 1 else "cost is given"
        raise Infeasible(f"too_long='truncate' needs one budget in tokens, {other}", "pass too_long='alone'")
    max_samples = sample_count if max_samples is None else check_integer(max_samples, "max_samples", least=1)
    round_count = check_integer(round_count, "round_count", least=1)
    admission = budgets.admission(too_long)
    source, epoch_samples = order_of(order, local, sample_count, seed)
    # What reports call the lengths; targets of an order in tokens count them.
    lengths_of_first = budgets.lengths.columns[0]
    lengths_left, rounded, costs = lengths_of_first, budgets.rounded[0], budgets.costs  # after truncation
    if admission.truncate_to is not None:
        shorter = partial(np.minimum, admission.truncate_to)
        lengths_left, rounded = lengths_left.mapped(shorter), rounded.mapped(shorter)
        costs = NumberRows((rounded,))
    cutter = BudgetCutter(
        costs,
        limits=budgets.limits,
        padded=budgets.padded,
        max_samples=max_samples,
        round_count=round_count,
        keep_shapes=round_count > 1 or budgets.rounds_lengths,
        lengths=lengths_left,
        balance=None if balance is None else balance_of(balance, sample_count),
        costs_are_lengths=cost is None,
        rounded=rounded if budgets.rounds_lengths else None,
    )
    plan = LengthPlan(
        source,
        cutter,
        window=window,
        seed=seed,
        admission=admission,
        epoch_samples=epoch_samples,
        delivery=None if order is None else delivery(order, lengths_of_first, lengths_left, admission.skipped),
    )
    if admission.truncate_to is not None and any((part % 1).any() for _, part in lengths_of_first.blocks()):
        warn(
            f"lengths are no whole numbers, so plan.truncate_to={admission.truncate_to} is in their unit, such as seconds, "
            "and bw.ragged(truncate_to=...) counts elements, such as frames; multiply it by the elements of one, or pass "
            "lengths in elements."
        )
    return plan


@dataclass(frozen=True)
class Budgets:
    """Budgets, and what each sample takes of them; validated."""

    names: list[str]
    lengths: NumberRows  # (samples, budgets)
    limits: Floats  # (budgets,)
    padded: NDArray[np.bool_]  # (budgets,)
    rounding: int | Integers  # lengths are rounded up to the next multiple of this, or to the next of these
    cost: Callable[[Floats], ArrayLike] | None  # from lengths to costs; None if the lengths themselves are counted

    @classmethod
    def of(cls, lengths: Any, max_tokens: Any, padded: Any, round_length: Any, cost: Any) -> Budgets:
        """Parse the arguments of `budgeted`."""
        lengths, max_tokens = named(lengths, max_tokens, "max_tokens", "budgets", none="max_tokens")
        names, table = list(lengths), _lengths(lengths)
        limits = np.array([_limit(max_tokens[name], part_called("max_tokens", name)) for name in names])
        return cls(names, table, limits, np.array(_padded(padded, names), bool), _rounding(round_length), cost)

    @property
    def rounds_lengths(self) -> bool:
        """Whether lengths are rounded up at all."""
        return not isinstance(self.rounding, int) or self.rounding > 1

    @cached_property
    def rounded(self) -> tuple[Numbers, ...]:
        """The lengths that samples are padded to by themselves, one column for each budget."""
        columns_given = self.lengths.columns
        return tuple(column.mapped(self._rounded) for column in columns_given) if self.rounds_lengths else columns_given

    @cached_property
    def costs(self) -> NumberRows:
        """What each sample takes of each budget, read as float64 (samples, budgets)."""
        rounded = self.rounded
        return NumberRows(rounded if self.cost is None else tuple(costs_of(self.cost, column) for column in rounded))

    def _over(self, costs: Floats, lengths: Floats) -> NDArray[np.bool_]:
        """Whether samples alone exceed a budget, bool (samples, budgets)."""
        over: NDArray[np.bool_] = costs > self.limits
        return over if isinstance(self.rounding, int) else over | (lengths > self.rounding[-1])

    @cached_property
    def over(self) -> NDArray[np.bool_]:
        """Whether a sample alone exceeds some budget, bool (samples,)."""
        over = np.empty(self.lengths.shape[0], bool)
        for (first, costs), (_, lengths) in zip(self.costs.blocks(), self.lengths.blocks(), strict=True):
            over[first : first + len(costs)] = self._over(costs, lengths).any(axis=1)
        return over

    def admission(self, too_long: TooLong) -> Admission:
        """The items, which are samples here, if `too_long` is done with those that alone exceed a budget."""
        over = self.over
        if over.any() and too_long == "refuse":
            self._refuse()
        truncate_to = self._longest if too_long == "truncate" and over.any() else None
        if truncate_to == 0:
            raise Infeasible(
                f"no length that round_length gives is within the budget of {exactly(self.limits[0])}",
                f"pass {self._as_passed([float(np.min(self.rounding))])} or more",
            )
        return admission_of(over, too_long, self._enough, truncate_to=truncate_to)

    @property
    def _longest(self) -> int:
        """The longest rounded length within the first budget; 0 if there is none."""
        limit = self.limits[0]
        if isinstance(self.rounding, np.ndarray):
            return int(self.rounding[self.rounding <= limit].max(initial=0))
        return int(limit // self.rounding * self.rounding) if math.isfinite(limit) else 0

    def _rounded(self, values: Floats) -> Floats:
        """Round lengths up as they will be padded; those above the largest of a list do not change."""
        if isinstance(self.rounding, int):
            return np.ceil(values / self.rounding) * self.rounding if self.rounding > 1 else values
        place = np.searchsorted(self.rounding, values)
        return np.where(place < self.rounding.size, self.rounding[np.minimum(place, self.rounding.size - 1)], values)

    def _refuse(self) -> None:
        """Refuse the first budget that some samples alone exceed."""
        table = self._over(self.costs[:], self.lengths[:])
        column = int(table.any(axis=0).argmax())
        name, over = self.names[column], table[:, column]
        sample = int(over.argmax())
        length, rounded = self.lengths[sample][column], self._rounded(self.lengths[sample])[column]
        fact = f"sample {sample} has {_called(name)} {exactly(length)}"
        if rounded != length:
            fact += f", rounded up to {exactly(rounded)}"
        if self.cost is not None:
            fact += f", at a cost of {exactly(self.costs[sample][column])}"
        if isinstance(self.rounding, np.ndarray) and length > self.rounding[-1]:
            fact += f", the longest of round_length is {self.rounding[-1]}"
        else:
            fact += f", {part_called('max_tokens', name)} is {exactly(self.limits[column])}"
        policies = ["'alone'"]
        if len(self.names) == 1 and self.cost is None and self._longest > 0:
            policies.append("'truncate'")
        if not self.over.all():
            policies.append("'skip'")
        refuse_too_long(fact, over, self._enough(), policies)

    def _enough(self) -> str:
        """For a message, the arguments with which no sample would be too long."""
        wanted, larger = [], self
        longest = math.ceil(self.lengths.max().max())
        if isinstance(self.rounding, np.ndarray) and longest > self.rounding[-1]:
            larger = replace(self, rounding=np.append(self.rounding, longest))
            wanted.append(f"a round_length that ends with {longest} or more")
        needed = larger.costs.max()
        if np.any(needed > self.limits):
            wanted.append(f"{self._as_passed(np.maximum(needed, self.limits))} or more")
        return " and ".join(wanted)

    def _as_passed(self, limits: Iterable[float]) -> str:
        """Budgets as a user writes the argument."""
        by_name = {name: exactly(limit) for name, limit in zip(self.names, limits, strict=True)}
        if ONLY in by_name:
            return f"max_tokens={by_name[ONLY]}"
        return "max_tokens={" + ", ".join(f"{name!r}: {limit}" for name, limit in by_name.items()) + "}"


def _lengths(given: Mapping[str, Any]) -> NumberRows:
    """Read columns of lengths of 0 or more, read as float64 (samples, budgets)."""
    called = {name: "lengths" if name == ONLY else f"lengths[{name!r}]" for name in given}
    read = {
        name: columns.lengths_of(values, called=called[name], measure=_called(name)) for name, values in given.items()
    }
    return table_of(read, np.float64)


def _called(name: str) -> str:
    return "length" if name == ONLY else name


def _limit(given: Any, called: str) -> float:
    """Check a budget, above 0; an infinite one means no limit."""
    limit = float(check_number(given, called, or_infinite=True))
    if limit <= 0:
        raise Infeasible(f"{called} is {exactly(limit)}", "pass a budget above 0")
    return limit


def _padded(padded: Any, names: Collection[str]) -> list[bool]:
    """For each budget, whether its micro-batches are padded."""
    if not isinstance(padded, Mapping):
        return [check_bool(padded, "padded")] * len(names)
    if set(padded) != set(names):
        raise Infeasible(
            f"padded is by the names {', '.join(map(repr, padded))}, budgets are {', '.join(map(repr, names))}",
            "pass padded by the names of the budgets, or True or False for all",
        )
    return [check_bool(padded[name], f"padded[{name!r}]") for name in names]


def _rounding(round_length: int | Sequence[int]) -> int | Integers:
    """Check `round_length`: a length of which multiples are taken, or a list of lengths, which is sorted."""
    if not isinstance(round_length, (list, tuple, range, np.ndarray)):
        return check_integer(round_length, "round_length", least=1)
    check_count(round_length, "round_length")
    if not len(round_length):
        raise Infeasible("round_length is a list of 0 lengths", "pass one length or more")
    return np.unique([check_integer(length, "a length of round_length", least=1) for length in round_length])
