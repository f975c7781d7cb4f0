"""Checks arguments that all plans by lengths have: lengths and limits by name, costs, balance, the order that is cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import Infeasible, check_integer, check_mapping, empty_dataset, exactly, noted, shown, typed
from ..inputs import columns
from ..inputs.tables import by_column
from ..kernels.array_types import Floats
from ..lengths.admission import Admission, TooLong
from ..lengths.layout import Window
from ..lengths.numbers import NumberRows, Numbers
from ..orders import Order, Shards, ShardShuffle, is_order, is_shared
from .balanced import shuffled
from .fixed import FixedPlan
from .local import checked_local, half_open

__all__ = [
    "ONLY", "admission_of", "balance_of", "checked_window", "costs_of", "how_passed", "named", "order_of", "part_called",
    "refuse_too_long", "table_of",
]  # fmt: skip


ONLY = ""  # the name for lengths, and for a limit, that were passed without a name


def named(lengths: Any, limits: Any, called: str, several: str, *, none: str) -> tuple[Mapping[str, Any], ...]:
    """Turn lengths and limits into dictionaries by the same names.

    Args:
        lengths: a column, or columns by name; of a table those that have a limit.
        limits: a number, or numbers by the same names.
        called: the name of the argument with the limits.
        several: what several limits are called in messages.
        none: what the argument is called in the message if it is empty.
    """
    by_name = by_column(lengths) if isinstance(limits, Mapping) else lengths
    if by_name is not lengths:
        lengths = {name: by_name[name] for name in by_name if name in limits}
    if isinstance(limits, Mapping) != isinstance(lengths, Mapping):
        raise Infeasible(
            f"lengths is {typed(lengths)} and {called} is {typed(limits)}",
            "pass one column and one number, or both as dictionaries by the same names",
        )
    if not isinstance(lengths, Mapping):
        return {ONLY: lengths}, {ONLY: limits}
    if set(check_mapping(lengths, "lengths")) != set(check_mapping(limits, none)):
        raise Infeasible(
            f"lengths are {', '.join(map(repr, lengths))}, {several} are {', '.join(map(repr, limits))}",
            "pass both by the same names",
        )
    return lengths, limits


def part_called(argument: str, name: str) -> str:
    """The name in messages for one part of an argument."""
    return argument if name == ONLY else f"{argument}[{shown(name)}]"


def table_of(by_name: dict[str, np.ndarray], dtype: type) -> NumberRows:
    """Columns of equal length as one table, read as numbers of this type."""
    sizes = {name: column.size for name, column in by_name.items()}
    if len(set(sizes.values())) > 1:
        raise Infeasible(f"columns of different length: {sizes}", "pass one value a sample in each")
    return NumberRows(tuple(Numbers.of(column, dtype) for column in by_name.values()))


def refuse_too_long(fact: str, over: np.ndarray, enough: str, policies: list[str]) -> NoReturn:
    """Refuse limits that some samples alone exceed.

    Args:
        fact: the first of these samples, for the message.
        over: which samples exceed a limit, bool (samples,).
        enough: the arguments that would be enough, for the message.
        policies: the values of `too_long` that could be passed.
    """
    others = int(over.sum()) - 1
    choices = " or ".join(filter(None, [", ".join(policies[:-1]), *policies[-1:]]))
    raise Infeasible(
        fact + (f" ({others} more are too long)" if others else ""),
        f"pass {enough}" + (f", or too_long={choices}" if policies else ""),
    )


def admission_of(
    over: NDArray[np.bool_], too_long: TooLong, enough: Callable[[], str], called: str = "samples", **items: Any
) -> Admission:
    """The samples that take part, where some are too long and that is not refused.

    Args:
        over: which samples are too long, bool (samples,).
        too_long: what is done with them.
        enough: gives the arguments that would be enough, for a message.
        called: what may be too long, for a message.
        items: see `Admission`.
    """
    skips = too_long == "skip"
    if skips and over.size and over.all():
        raise Infeasible(
            f"all {over.size} {called} are too long and would be skipped", f"pass {enough()} to keep them all"
        )
    skipped = np.flatnonzero(over) if skips else np.empty(0, np.int64)
    return Admission(skipped, too_long=too_long, too_long_count=int(over.sum()), **items)


def balance_of(balance: Any, sample_count: int) -> Numbers:
    """Check `balance`, in which the micro-batches of a step are to be equal, read as float64 (samples,)."""
    column = Numbers.of(columns.numbers(balance, called="balance"))
    if column.size != sample_count:
        raise Infeasible(f"balance has {column.size} numbers for {sample_count} lengths", "pass one a sample")
    if column.size and column.min() < 0:
        sample = column.argmin()
        raise Infeasible(f"the balance of sample {sample} is {exactly(column[sample])}", "pass numbers of 0 or more")
    return column


def costs_of(cost: Callable[[Floats], ArrayLike], lengths: Numbers) -> Numbers:
    """The costs of samples of these lengths, by a user's function, checked: read as float64 (samples,)."""
    if not callable(cost):
        raise Infeasible(
            f"cost is {shown(cost)}, no function", "pass a function from an array of lengths to as many costs"
        )
    with noted(f"while cost was asked for {lengths.size} lengths"):
        given = cost(lengths.read_as(np.float64)[:])
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
    return Numbers.of(costs)


def order_of(
    order: FixedPlan | None, local: Shards | None, sample_count: int, seed: int
) -> tuple[FixedPlan, int | None]:
    """The plan whose order is divided into micro-batches, and what `epoch_samples` of `LengthPlan` is to be.

    That is None if an order was given, as its epoch is then measured, and the number of samples if not: every epoch has each
    sample once. A shuffle over few shards at a time (`local`) is an order too: a window takes the next range of it. Where
    it goes on to other shards, it takes of both, so a block of the shuffle has half of the shards that may be open.

    Raises:
        Infeasible: the order is over another number of samples, or keeps samples together that cutting would separate.
    """
    if sample_count == 0:
        raise empty_dataset("0 lengths")
    shards = checked_local(local, "exact")
    if shards is not None:
        if order is not None:
            raise Infeasible("order and local were both passed", "pass local where the plan of the order is built")
        if shards.ranks > 1:
            raise Infeasible(
                f"the shards are divided among {shards.ranks} ranks, and all ranks of a plan by lengths read from the same",
                f"pass bw.Shards(sizes, open={shards.open * shards.ranks}), with ranks left out",
            )
        return shuffled(sample_count, 1, local=half_open(shards, 1, "a window"), seed=seed), None
    if order is None:
        # With a batch size of 1, a pass ends exactly where an epoch ends, so every epoch has each sample once.
        return shuffled(sample_count, 1, seed=seed), sample_count
    if not is_order(getattr(order, "order", None)):
        raise Infeasible(f"order is a {type(order).__name__}", "pass a plan of balanced, weighted, shuffled or mixed")
    together = samples_together(order.order)
    if together > 1:
        raise Infeasible(
            f"the order keeps {together} samples of a group together in a micro-batch, and cutting it by lengths tears them "
            "apart",
            "build the order with 1 (per_class, per_source, the last of per), or give that plan to the loader itself, uncut",
        )
    if order.groups.sample_count != sample_count:
        raise Infeasible(
            f"the order is over {order.groups.sample_count} samples, there are {sample_count} lengths",
            "pass one length for every sample of the order",
        )
    return order, None


def how_passed(order: FixedPlan) -> Literal["local", "given"]:
    """How an order was passed, for messages: a shuffle of single samples of few shards as `local`, any other as itself."""
    return "local" if isinstance(order.order, ShardShuffle) and order.batch_size == 1 else "given"


def samples_together(order: Order) -> int:
    """The most samples of a group that an order, or one of its sources, keeps together in a micro-batch; 1 for none."""
    if not is_shared(order):
        return 1
    return max(order.per_ticket, *(samples_together(child) for child in order.children.values()), 1)


def checked_window(window: Window) -> Window:
    """A window as a number of micro-batches, or "epoch"."""
    if isinstance(window, str) and window == "epoch":
        return "epoch"
    try:
        return check_integer(window, "window", least=1)
    except Infeasible:
        raise Infeasible(
            f"window is {shown(window)} micro-batches", 'pass a whole number of 1 or more, or "epoch"'
        ) from None
