"""The public way to micro-batches under a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import columns
from ..errors import Infeasible, check_bool, check_integer, check_number, exactly, one_of
from ..lengths.admission import Admission, TooLong
from ..lengths.budget_cutter import BudgetCutter, Floats, Integers
from ..lengths.layout import Window
from .by_length import LengthPlan
from .delivered import delivery
from .fixed import FixedPlan
from .length_arguments import ONLY, balance_of, check_same_size, costs_of, named, one_or_other, part_called, source_of

__all__ = ["budgeted"]


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
    too_long: TooLong = "refuse",
    seed: int = 0,
) -> LengthPlan:
    """Micro-batches that never cost more than a budget, with samples of similar length together.

    A window of the order is sorted by length and cut where the budget is reached. All micro-batches of a step cost about
    the same, steps come in random order, and every epoch has the same number of micro-batches.

    Args:
        lengths: array-like of shape (n_samples,), int or float, 0 or more; `{name: column}` for several budgets.
        max_tokens: the budget of a micro-batch, above 0; `{name: budget}` for several.
        max_samples: the most samples in a micro-batch.
        order: the plan whose order is cut, such as `balanced(...)`; a plain shuffle if left out.
        window: micro-batches planned together, or "epoch". A larger one pads less and mixes less.
        padded: whether a micro-batch costs its longest sample times its count, or the sum; `{name: bool}` for several.
        cost: a function from lengths, float64 of shape (n,), to costs of the same shape, such as
            `lambda n: n + n**2 / 4096`; the budget then is in its unit.
        balance: array-like of shape (n_samples,), int or float, 0 or more, such as supervised tokens: what the
            micro-batches of a step are to be equal in. Left out, it is what the budget counts, or the sum of the shares
            of several budgets.
        round_length: lengths count as the next multiple of this, or as the next of a list of lengths: few shapes.
        round_count: micro-batches of this many samples or more have a multiple of it, except those split to fit an epoch.
        too_long: what to do with a sample that alone is over the budget: "refuse" the plan; "alone": it is a micro-batch by
            itself, over the budget; "truncate": it counts as long as the budget, and
            `bw.ragged(truncate_to=plan.truncate_to)` cuts it; "skip" it.
        seed: of the plain shuffle and of the order of steps, int from 0 to 2^64 - 1.

    Raises:
        Infeasible: a sample over the budget (with "refuse"), or arguments that contradict each other.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.budgeted([5, 3, 8, 2, 7, 1, 6, 4], max_tokens=16)
        >>> sorted(sorted(batch.tolist()) for batch in plan.epoch(0))
        [[0, 6], [1, 3, 5, 7], [2, 4]]
    """
    too_long = one_of(too_long, "too_long", ("refuse", "alone", "truncate", "skip"))
    budgets = Budgets.of(lengths, max_tokens, padded, round_length, cost)
    if too_long == "truncate" and (cost is not None or len(budgets.limits) > 1):
        other = f"there are {len(budgets.limits)}" if len(budgets.limits) > 1 else "cost is given"
        raise Infeasible(f"too_long='truncate' needs one budget in tokens, {other}", "pass too_long='alone'")
    if max_samples is not None:
        max_samples = check_integer(max_samples, "max_samples", least=1)
    round_count = check_integer(round_count, "round_count", least=1)
    admission = budgets.admission(too_long)
    source, epoch_samples = source_of(order, budgets.sample_count, seed)
    first = shortened = next(iter(budgets.lengths.values()))
    table = np.column_stack(list(budgets.counted.values()))
    if admission.truncate_to is not None:
        shortened, table = np.minimum(first, admission.truncate_to), np.minimum(table, admission.truncate_to)
    cutter = BudgetCutter(
        table,
        np.array(list(budgets.limits.values())),
        np.array(budgets.padded, bool),
        max_samples or budgets.sample_count,
        round_count,
        round_count > 1 or budgets.rounds,
        shortened,
        None if balance is None else balance_of(balance, budgets.sample_count),
    )
    return LengthPlan(
        source,
        cutter,
        window=window,
        seed=seed,
        admission=admission,
        epoch_samples=epoch_samples,
        delivery=None if order is None else delivery(order, first, shortened, admission.skipped),
    )


@dataclass(frozen=True)
class Budgets:
    """What samples take of each budget, checked.

    Attributes:
        lengths: float64 (samples,), by the name of the budget.
        limits: the budgets, by name.
        padded: for each budget, whether micro-batches are padded.
        menu: lengths count as the next multiple of this, or as the next of these.
        cost: from lengths to costs; None where lengths are counted.
    """

    lengths: dict[str, Floats]
    limits: dict[str, float]
    padded: list[bool]
    menu: int | Integers
    cost: Callable[[Floats], ArrayLike] | None

    @classmethod
    def of(cls, lengths: Any, max_tokens: Any, padded: Any, round_length: Any, cost: Any) -> Budgets:
        """From the arguments of `budgeted`."""
        lengths, max_tokens = named(lengths, max_tokens, "max_tokens", several="budgets", none="max_tokens")
        by_name = _lengths(lengths)
        limits = {name: _limit(max_tokens[name], part_called("max_tokens", name)) for name in by_name}
        return cls(by_name, limits, _padded(padded, limits), _menu(round_length), cost)

    @property
    def sample_count(self) -> int:
        """How many samples there are."""
        return next(iter(self.lengths.values())).size

    @property
    def rounds(self) -> bool:
        """Whether lengths are rounded up."""
        return isinstance(self.menu, np.ndarray) or self.menu > 1

    @cached_property
    def counted(self) -> dict[str, Floats]:
        """What samples take of each budget, float64 (samples,)."""
        counted = {name: self._rounded(values) for name, values in self.lengths.items()}
        return counted if self.cost is None else {name: costs_of(self.cost, values) for name, values in counted.items()}

    @cached_property
    def too_many(self) -> dict[str, np.ndarray]:
        """Which samples are over each budget by themselves, bool (samples,)."""
        over: dict[str, np.ndarray] = {name: counted > self.limits[name] for name, counted in self.counted.items()}
        if isinstance(self.menu, int):
            return over
        return {name: over[name] | (values > self.menu[-1]) for name, values in self.lengths.items()}

    def admission(self, too_long: TooLong) -> Admission:
        """Which samples take part under a policy for those that are over a budget by themselves."""
        over = np.any(list(self.too_many.values()), axis=0)
        if over.any() and too_long == "refuse":
            self._refuse(all_over=bool(over.all()))
        if over.size and over.all() and too_long == "skip":
            raise Infeasible(
                f"all {over.size} samples are too long and would be skipped", f"pass {self._enough()} to keep them all"
            )
        return Admission(
            np.flatnonzero(over) if too_long == "skip" else np.empty(0, np.int64),
            too_long=too_long,
            too_long_count=int(over.sum()),
            truncate_to=self._truncate_to() if too_long == "truncate" and over.any() else None,
        )

    def _truncate_to(self) -> int:
        """The longest that samples may count as under the only budget."""
        ((name, limit),) = self.limits.items()
        longest = self._longest_within(limit)
        if longest < 1:
            raise Infeasible(
                f"no length that round_length gives is within the budget of {exactly(limit)}",
                f"pass {_as_passed({name: float(np.min(self.menu))})} or more",
            )
        return longest

    def _longest_within(self, limit: float) -> int:
        """The longest rounded length within a budget, 0 for none."""
        if isinstance(self.menu, np.ndarray):
            return int(self.menu[self.menu <= limit].max(initial=0))
        return int(limit // self.menu * self.menu) if math.isfinite(limit) else 0

    def _rounded(self, values: Floats) -> Floats:
        """Lengths as they will be padded; those beyond a menu stay as they are."""
        if isinstance(self.menu, int):
            return np.ceil(values / self.menu) * self.menu if self.menu > 1 else values
        place = np.searchsorted(self.menu, values)
        return np.where(place < self.menu.size, self.menu[np.minimum(place, self.menu.size - 1)], values)

    def _refuse(self, *, all_over: bool) -> None:
        """Refuse a budget that some samples exceed alone."""
        name = next(name for name, too_many in self.too_many.items() if too_many.any())
        sample, limit = int(self.too_many[name].argmax()), self.limits[name]
        others = int(self.too_many[name].sum()) - 1
        policies = ["'alone'"]
        if len(self.limits) == 1 and self.cost is None and self._longest_within(limit) > 0:
            policies.append("'truncate'")
        if not all_over:
            policies.append("'skip'")
        raise Infeasible(
            self._described(name, sample) + (f" ({others} more are too long)" if others else ""),
            f"pass {self._enough()}, or too_long={one_or_other(policies)}",
        )

    def _described(self, name: str, sample: int) -> str:
        """What a sample has, and the budget that it exceeds."""
        values = self.lengths[name][[sample]]
        length, rounded = float(values[0]), float(self._rounded(values)[0])
        described = f"sample {sample} has {_length_called(name)} {exactly(length)}"
        if rounded != length:
            described += f", rounded up to {exactly(rounded)}"
        if self.cost is not None:
            described += f", at a cost of {exactly(self.counted[name][sample])}"
        if isinstance(self.menu, np.ndarray) and length > self.menu[-1]:
            return f"{described}, the longest of round_length is {self.menu[-1]}"
        return f"{described}, {part_called('max_tokens', name)} is {exactly(self.limits[name])}"

    def _enough(self) -> str:
        """The arguments with which no sample is too long, as a message says them."""
        wanted, larger = [], self
        longest = max(values.max() for values in self.lengths.values())
        if isinstance(self.menu, np.ndarray) and longest > self.menu[-1]:
            larger = replace(self, menu=np.append(self.menu, math.ceil(longest)))
            wanted.append(f"a round_length that ends with {math.ceil(longest)} or more")
        needed = {name: max(float(counted.max()), self.limits[name]) for name, counted in larger.counted.items()}
        if needed != self.limits:
            wanted.append(f"{_as_passed(needed)} or more")
        return " and ".join(wanted)


def _lengths(given: Mapping[str, Any]) -> dict[str, Floats]:
    """Columns of lengths, all of one size."""
    lengths = {
        name: columns.numbers(values, called=f"lengths[{name!r}]" if name != ONLY else "lengths").astype(float)
        for name, values in given.items()
    }
    check_same_size({name: values.size for name, values in lengths.items()})
    for name, values in lengths.items():
        if values.size and values.min() < 0:
            raise Infeasible(
                f"sample {int(values.argmin())} has {_length_called(name)} {exactly(values.min())}",
                "pass lengths of 0 or more",
            )
    return lengths


def _limit(given: Any, called: str) -> float:
    """A budget above 0; an infinite one bounds nothing."""
    limit = float(check_number(given, called, or_infinite=True))
    if limit <= 0:
        raise Infeasible(f"{called} is {exactly(limit)}", "pass a budget above 0")
    return limit


def _padded(padded: Any, names: Collection[str]) -> list[bool]:
    """For each budget whether its micro-batches are padded."""
    if not isinstance(padded, Mapping):
        return [check_bool(padded, "padded")] * len(names)
    if set(padded) != set(names):
        raise Infeasible(
            f"padded is by the names {', '.join(map(repr, padded))}, budgets are {', '.join(map(repr, names))}",
            "pass padded by the names of the budgets, or True or False for all",
        )
    return [check_bool(padded[name], f"padded[{name!r}]") for name in names]


def _menu(round_length: int | Sequence[int]) -> int | Integers:
    """A length of which multiples are taken, or lengths in rising order."""
    if not isinstance(round_length, (list, tuple, range, np.ndarray)):
        return check_integer(round_length, "round_length", least=1)
    if not len(round_length):
        raise Infeasible("round_length is a menu of 0 lengths", "pass one length or more")
    return np.unique([check_integer(length, "a length of round_length", least=1) for length in round_length])


def _as_passed(budgets: dict[str, float]) -> str:
    """Budgets as the argument is written."""
    if ONLY in budgets:
        return f"max_tokens={exactly(budgets[ONLY])}"
    return "max_tokens={" + ", ".join(f"{name!r}: {exactly(budget)}" for name, budget in budgets.items()) + "}"


def _length_called(name: str) -> str:
    return "length" if name == ONLY else name
