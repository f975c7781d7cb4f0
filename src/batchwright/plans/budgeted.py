"""The public way to micro-batches under a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import columns
from ..errors import (
    Infeasible,
    check_bool,
    check_integer,
    check_mapping,
    check_number,
    exactly,
    noted,
    one_of,
    shown,
    typed,
)
from ..lengths.admission import Admission, TooLong
from ..lengths.budget_cutter import BudgetCutter, Floats, Integers
from ..lengths.layout import Window
from .by_length import LengthPlan
from .delivered import delivery
from .fixed import FixedPlan
from .length_arguments import source_of

__all__ = ["balance_of", "budgeted", "costs_of"]

_ONLY = ""  # the name of a budget that was given without one


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
    """Micro-batches that never cost more than a budget, with samples of like length together.

    A window of the order is sorted by length and cut where the budget is reached. All micro-batches of a step cost about
    the same, steps come in random order, and every epoch has the same number of micro-batches.

    Args:
        lengths: a column of lengths, or `{name: column}` for several budgets.
        max_tokens: the budget of a micro-batch, or `{name: budget}`.
        max_samples: the most samples in a micro-batch.
        order: the plan whose order is cut, such as `balanced(...)`; a plain shuffle if left out.
        window: micro-batches planned together, or "epoch". A larger one pads less and mixes less.
        padded: whether a micro-batch costs its longest sample times its count, or the sum; `{name: bool}` for several.
        cost: a function from an array of lengths to an array of costs, such as `lambda n: n + n**2 / 4096`; the
            budget then is in its unit.
        balance: a column of one number a sample, such as its supervised tokens, that the micro-batches of a step are to be
            equal in; left out, they are to be in what the budget counts, or in the sum of the shares of several budgets.
        round_length: lengths count as the next multiple of this, or the next of a menu of lengths: few shapes.
        round_count: micro-batches of this many samples and more have a multiple of it, but for those split to fit an epoch.
        too_long: what to do with a sample that alone is over the budget: "refuse" the plan; "alone": it is a micro-batch by
            itself, over the budget; "truncate": it counts as long as the budget, and
            `bw.ragged(truncate_to=plan.truncate_to)` cuts it; "skip" it.
        seed: of the plain shuffle and of the order of steps.

    Raises:
        Infeasible: a sample over the budget (with "refuse"), or arguments that contradict each other.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.budgeted([5, 3, 8, 2, 7, 1, 6, 4], max_tokens=16)
        >>> sorted(sorted(batch.tolist()) for batch in plan.epoch(0))
        [[0, 6], [1, 3, 5, 7], [2, 4]]
    """
    too_long = one_of(too_long, "too_long", ("refuse", "alone", "truncate", "skip"))
    named, budgets = _by_name(lengths, max_tokens)
    if too_long == "truncate" and (cost is not None or len(named) > 1):
        other = f"there are {len(named)}" if len(named) > 1 else "cost is given"
        raise Infeasible(f"too_long='truncate' needs one budget in tokens, {other}", "pass too_long='alone'")
    if max_samples is not None:
        max_samples = check_integer(max_samples, "max_samples", least=1)
    round_count = check_integer(round_count, "round_count", least=1)
    pads = _pads(padded, named)
    menu = _menu(round_length)
    first = next(iter(named.values()))
    over = np.zeros(first.size, bool)
    truncate_to: int | None = None
    costs: list[Floats] = []
    for name, values in named.items():
        counted = _counted(values, menu, cost)
        too_many = _too_many(values, counted, menu, budgets[name])
        if too_many.any() and too_long == "truncate":
            truncate_to = _longest_within(menu, budgets[name])
            if truncate_to < 1:
                raise Infeasible(
                    f"no length that round_length gives is within the budget of {exactly(budgets[name])}",
                    f"pass {_as_passed({name: float(menu if isinstance(menu, int) else menu[0])})} or more",
                )
            counted = np.minimum(counted, truncate_to)
        over |= too_many
        costs.append(counted)
    if over.any() and too_long == "refuse":
        _refuse(named, costs, over, budgets, menu, cost)
    if over.all() and too_long == "skip" and over.size:
        raise Infeasible(
            f"all {over.size} samples are too long and would be skipped",
            f"pass {_large_enough(named, budgets, menu, cost)} to keep them all",
        )
    source, epoch_samples = source_of(order, over.size, seed)
    shortened = first if truncate_to is None else np.minimum(first, truncate_to)
    skipped = np.flatnonzero(over) if too_long == "skip" else np.empty(0, np.int64)
    given = None if order is None else delivery(order, first, shortened, skipped)
    table = np.column_stack(costs)
    column = None if balance is None else balance_of(balance, over.size)
    cutter = BudgetCutter(
        table,
        np.array(list(budgets.values())),
        np.array(pads, bool),
        max_samples or over.size,
        round_count,
        round_count > 1 or not (isinstance(menu, int) and menu == 1),
        shortened,
        column,
    )
    return LengthPlan(
        source,
        cutter,
        window=window,
        seed=seed,
        admission=Admission(skipped, too_long=too_long, too_long_count=int(over.sum()), truncate_to=truncate_to),
        epoch_samples=epoch_samples,
        delivery=given,
    )


def balance_of(balance: Any, sample_count: int) -> Floats:
    """A column that ranks are to be equal in, checked."""
    column: Floats = columns.numbers(balance, called="balance").astype(np.float64)
    if column.size != sample_count:
        raise Infeasible(f"balance has {column.size} numbers for {sample_count} lengths", "pass one a sample")
    if column.size and column.min() < 0:
        sample = int(column.argmin())
        raise Infeasible(f"the balance of sample {sample} is {exactly(column[sample])}", "pass numbers of 0 or more")
    return column


def _refuse(
    named: dict[str, Floats],
    costs: list[Floats],
    over: np.ndarray,
    budgets: dict[str, float],
    menu: int | Integers,
    cost: Any,
) -> None:
    """Refuse budgets that some samples exceed alone."""
    for (name, values), counted in zip(named.items(), costs, strict=True):
        too_many = _too_many(values, counted, menu, budgets[name])
        if too_many.any():
            break
    sample = int(too_many.argmax())
    length = float(values[sample])
    rounded = float(_rounded(values[[sample]], menu)[0])
    limit = f"{_called(name)} is {exactly(budgets[name])}"
    if isinstance(menu, np.ndarray) and length > menu[-1]:
        limit = f"the longest of round_length is {menu[-1]}"
    others = int(too_many.sum()) - 1
    policies = ["'alone'"]
    if len(named) == 1 and cost is None and _longest_within(menu, budgets[name]) > 0:
        policies.append("'truncate'")
    if not over.all():
        policies.append("'skip'")
    raise Infeasible(
        f"sample {sample} has {'length' if name == _ONLY else name} {exactly(length)}"
        + (f", rounded up to {exactly(rounded)}" if rounded != length else "")
        + (f", at a cost of {exactly(counted[sample])}" if cost is not None else "")
        + f", {limit}"
        + (f" ({others} more are too long)" if others else ""),
        f"pass {_large_enough(named, budgets, menu, cost)}, or too_long={', '.join(policies[:-1])}"
        + (" or " if policies[:-1] else "")
        + policies[-1],
    )


def _large_enough(named: dict[str, Floats], budgets: dict[str, float], menu: int | Integers, cost: Any) -> str:
    """The arguments with which no sample is too long, as a message says them."""
    wanted = []
    longest = max(values.max() for values in named.values())
    if isinstance(menu, np.ndarray) and longest > menu[-1]:
        menu = np.append(menu, math.ceil(longest))
        wanted.append(f"a round_length that ends with {menu[-1]} or more")
    needed = {name: float(_counted(values, menu, cost).max()) for name, values in named.items()}
    if any(needed[name] > budgets[name] for name in named):
        wanted.append(f"{_as_passed({name: max(needed[name], budgets[name]) for name in named})} or more")
    return " and ".join(wanted)


def _as_passed(budgets: dict[str, float]) -> str:
    """Budgets as the argument is written."""
    if _ONLY in budgets:
        return f"max_tokens={exactly(budgets[_ONLY])}"
    return "max_tokens={" + ", ".join(f"{name!r}: {exactly(budget)}" for name, budget in budgets.items()) + "}"


def _counted(values: Floats, menu: int | Integers, cost: Any) -> Floats:
    """What samples take of a budget."""
    rounded = _rounded(values, menu)
    return rounded if cost is None else costs_of(cost, rounded)


def _too_many(values: Floats, counted: Floats, menu: int | Integers, budget: float) -> np.ndarray:
    """Which samples are too long by themselves."""
    too_many: np.ndarray = counted > budget
    return too_many if isinstance(menu, int) else too_many | (values > menu[-1])


def _called(name: str) -> str:
    return "max_tokens" if name == _ONLY else f"max_tokens[{shown(name)}]"


def _by_name(lengths: Any, max_tokens: Any) -> tuple[dict[str, Floats], dict[str, float]]:
    """Lengths and budgets by name, one each."""
    if isinstance(max_tokens, Mapping) != isinstance(lengths, Mapping):
        raise Infeasible(
            f"lengths is {typed(lengths)} and max_tokens is {typed(max_tokens)}",
            "pass one column and one number, or both as dictionaries by the same names",
        )
    if not isinstance(lengths, Mapping):
        lengths, max_tokens = {_ONLY: lengths}, {_ONLY: max_tokens}
    if set(check_mapping(lengths, "lengths")) != set(check_mapping(max_tokens, "max_tokens")):
        raise Infeasible(
            f"lengths are {', '.join(map(repr, lengths))}, budgets are {', '.join(map(repr, max_tokens))}",
            "pass both by the same names",
        )
    named = {
        name: columns.numbers(values, called=f"lengths[{name!r}]" if name != _ONLY else "lengths").astype(float)
        for name, values in lengths.items()
    }
    sizes = {name: values.size for name, values in named.items()}
    if len(set(sizes.values())) > 1:
        raise Infeasible(f"columns of different length: {sizes}", "pass one value a sample in each")
    for name, values in named.items():
        if values.size and values.min() < 0:
            raise Infeasible(
                f"sample {int(values.argmin())} has {'length' if name == _ONLY else name} {exactly(values.min())}",
                "pass lengths of 0 or more",
            )
    return named, {name: _budget(name, max_tokens[name]) for name in named}


def _budget(name: str, given: Any) -> float:
    """A budget above 0; an infinite one bounds nothing."""
    budget = float(check_number(given, _called(name), or_infinite=True))
    if budget <= 0:
        raise Infeasible(f"{_called(name)} is {exactly(budget)}", "pass a budget above 0")
    return budget


def _pads(padded: Any, names: Collection[str]) -> list[bool]:
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
    if not isinstance(round_length, (list, tuple, range, np.ndarray)):
        return check_integer(round_length, "round_length", least=1)
    if not len(round_length):
        raise Infeasible("round_length is a menu of 0 lengths", "pass one length or more")
    return np.unique([check_integer(length, "a length of round_length", least=1) for length in round_length])


def _rounded(values: Floats, menu: int | Integers) -> Floats:
    """Lengths as they will be padded; those beyond a menu stay as they are."""
    if isinstance(menu, int):
        return np.ceil(values / menu) * menu if menu > 1 else values
    place = np.searchsorted(menu, values)
    return np.where(place < menu.size, menu[np.minimum(place, menu.size - 1)], values)


def _longest_within(menu: int | Integers, budget: float) -> int:
    """The longest that samples may count as, 0 for none."""
    if isinstance(menu, np.ndarray):
        return int(menu[menu <= budget].max(initial=0))
    return int(budget // menu * menu) if math.isfinite(budget) else 0


def costs_of(cost: Callable[[Floats], ArrayLike], lengths: Floats) -> Floats:
    """What samples of these lengths cost, checked."""
    if not callable(cost):
        raise Infeasible(
            f"cost is {shown(cost)}, no function", "pass a function from an array of lengths to as many costs"
        )
    with noted(f"while cost was asked for {lengths.size} lengths"):
        given = cost(lengths.copy())
    costs = columns.as_numbers(given, called="what cost gives").astype(np.float64)
    if costs.shape != lengths.shape:
        raise Infeasible(
            f"cost gave an array of shape {costs.shape} for {lengths.size} lengths",
            "pass a function from an array of lengths to as many costs",
        )
    bad = np.flatnonzero(~(np.isfinite(costs) & (costs >= 0)))
    if bad.size:
        raise Infeasible(
            f"cost gave {exactly(costs[bad[0]])} for length {exactly(lengths[bad[0]])}",
            "pass a function whose values are finite numbers of 0 or more",
        )
    return costs
