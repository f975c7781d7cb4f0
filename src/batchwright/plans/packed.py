"""The public way to packs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from .. import columns
from ..errors import Infeasible, check_integer, check_mapping, check_number, exactly, one_of, typed
from ..groups import Groups
from ..lengths.admission import Admission, TooLong
from ..lengths.cut import Integers
from ..lengths.layout import Window
from ..lengths.pack_cutter import PackCutter, pack_offsets
from ..lengths.packing import MOST_CAPACITY, Solver
from .budgeted import balance_of, costs_of
from .by_length import LengthPlan
from .delivered import delivery
from .fixed import FixedPlan
from .length_arguments import source_of
from .pieces import CutBy, Pieces

__all__ = ["PackBounds", "PackedPlan", "packed"]

_ONLY = ""  # the name of a capacity that was given without one
_SHOWN = 4  # samples that a refusal names


class PackedPlan(LengthPlan):
    """A plan whose micro-batches are packs, one after the other; made by `packed`."""

    def packs(self, batch: ArrayLike) -> list[np.ndarray]:
        """One micro-batch as the packs it is made of, in order: what the collate layer needs.

        Each pack takes what fits of the sequence, so this depends on the micro-batch alone.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.packed([6, 5, 4, 3, 2], 10, packs=2)
            >>> [pack.tolist() for pack in plan.packs(plan[0])]
            [[0, 2], [1, 3, 4]]
        """
        samples = np.asarray(batch, np.int64)
        return np.split(samples, self.bounds(samples)[1:-1])

    @cached_property
    def bounds(self) -> PackBounds:
        """Where the packs of any micro-batch begin, for processes that need nothing else of the plan."""
        assert isinstance(self.cutter, PackCutter)
        bundles = Admission(np.empty(0, np.int64), bundles=self.admission.bundles)
        return PackBounds(self.cutter.lengths, self.cutter.capacities, self.cutter.max_per_pack, bundles)

    def pieces(self, dataset: Any, *, cut: CutBy | None = None) -> Pieces:
        """The dataset whose item i is what the plan means by i: a stretch of a sample where too long ones are split or cut.

        Args:
            dataset: map-style, of the samples that the plan was made for.
            cut: the names or numbers of the parts of a sample that are cut (the others come whole with every piece), or a
                function (sample, slice) -> sample. Left out, samples are sequences themselves: tensors, arrays, lists,
                strings.

        Raises:
            Infeasible: the dataset is of another size; when a sample is asked for, if it cannot be cut like this.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.packed([3, 5], 4, too_long="split")
            >>> dataset = [{"ids": [1, 2, 3], "page": 7}, {"ids": [4, 5, 6, 7, 8], "page": 9}]
            >>> [piece for piece in plan.pieces(dataset, cut=["ids"])]
            [{'ids': [1, 2, 3], 'page': 7}, {'ids': [4, 5, 6, 7], 'page': 9}, {'ids': [8], 'page': 9}]
        """
        offsets = self.admission.pieces
        samples = self.bounds.sample_count if offsets is None else offsets.size - 1
        if hasattr(dataset, "__len__") and len(dataset) != samples:
            raise Infeasible(
                f"the dataset has {len(dataset)} samples, the plan was made for {samples}",
                "pass the dataset of its lengths",
            )
        length = self.truncate_to if offsets is None else self.bounds.capacity
        return Pieces(dataset, offsets, length, cut)


@dataclass(frozen=True)
class PackBounds:
    """From the samples of a micro-batch to the places at which its packs begin; see `PackedPlan.packs`."""

    lengths: Integers
    capacities: Integers
    max_per_pack: int
    admission: Admission

    @property
    def capacity(self) -> int | None:
        """Of a pack; None where there are several."""
        return int(self.capacities[0]) if self.capacities.size == 1 else None

    @property
    def sample_count(self) -> int:
        """The numbers that a sampler may yield."""
        bundles = self.admission.bundles
        return self.lengths.shape[0] if bundles is None else bundles[1].size

    def __call__(self, samples: Integers) -> Integers:
        """int64 (packs + 1): where each pack begins, and where the last ends."""
        most = self.sample_count
        if samples.size and not 0 <= samples.min() <= samples.max() < most:
            raise Infeasible(
                f"samples from {samples.min()} to {samples.max()} are to be found in a plan over {most}",
                "pass micro-batches of this plan, of the dataset that it was made for",
            )
        items, first = self.admission.taken(samples)
        if not np.array_equal(self.admission.emitted(items), samples):
            raise Infeasible(
                f"a micro-batch of {samples.size} samples holds parts of what `together` keeps in one pack",
                "pass whole micro-batches of this plan, in their order",
            )
        offsets: Integers = first[pack_offsets(self.lengths[items], self.capacities, self.max_per_pack)]
        return offsets


def packed(
    lengths: Any,
    capacity: int | Mapping[str, int],
    *,
    packs: int = 1,
    max_per_pack: int | None = None,
    order: FixedPlan | None = None,
    window: Window = 1024,
    together: Any = None,
    cost: Callable[[np.ndarray], ArrayLike] | None = None,
    balance: Any = None,
    solver: Solver = "fast",
    too_long: TooLong = "refuse",
    seed: int = 0,
) -> PackedPlan:
    """Micro-batches of packs: samples one after the other, no pack longer than its capacity.

    A window of the order is packed, its packs are dealt to micro-batches of like cost, and the steps come in random
    order. Every epoch packs anew, and has the same number of micro-batches.

    Args:
        lengths: a column of whole lengths of 1 or more, or `{name: column}` for several capacities.
        capacity: of a pack, or `{name: capacity}`.
        packs: the most packs in a micro-batch.
        max_per_pack: the most samples in a pack.
        order: the plan whose order is cut, such as `balanced(...)`; a plain shuffle if left out.
        window: micro-batches planned together, or "epoch". A larger one packs tighter and mixes less.
        together: a column of keys: samples of one key stay in one pack (preference pairs). The order is then over the
            keys, in sorted order.
        cost: a function from an array of lengths to an array of costs, such as `lambda n: n + n**2 / 4096`, that the
            micro-batches of a step are to be equal in; tokens if left out, and the sum of the shares of several capacities.
        balance: the same as a column of one number a sample, such as its supervised tokens.
        solver: "fast" or "exact"; see `batchwright.lengths.packing.pack`. The steps of one exact packing are bounded,
            at about five seconds. Each window takes that at most, and the layout of an epoch seven times that, once for
            each world_size * accumulate.
        too_long: what to do with a sample longer than the capacity: "refuse" the plan; "truncate": it counts as long as
            the capacity, and `bw.ragged(truncate_to=plan.truncate_to)` cuts it; "skip" it; "split" it: the plan then
            yields items of `plan.pieces(dataset)`.
        seed: of the plain shuffle and of the order of steps.

    Raises:
        Infeasible: a sample over the capacity (with "refuse"), or arguments that contradict each other.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.packed([6, 5, 4, 3, 2], 10)
        >>> sorted(sorted(batch.tolist()) for batch in plan.epoch(0))
        [[0, 2], [1, 3, 4]]
    """
    too_long = one_of(too_long, "too_long", ("refuse", "truncate", "skip", "split"))
    table, capacities, names = _by_name(lengths, capacity)
    packs = check_integer(packs, "packs", least=1)
    if max_per_pack is not None:
        max_per_pack = check_integer(max_per_pack, "max_per_pack", least=1)
    solver = one_of(solver, "solver", get_args(Solver))
    if solver == "exact" and capacities.size > 1:
        raise Infeasible(f"solver='exact' packs one capacity, there are {capacities.size}", 'pass solver="fast"')
    if too_long in ("truncate", "split") and (capacities.size > 1 or together is not None):
        other = f"there are {capacities.size} capacities" if capacities.size > 1 else "together is given"
        raise Infeasible(
            f"too_long={too_long!r} needs one capacity and no `together`, {other}",
            "pass too_long='skip', or capacities that no sample exceeds and too_long='refuse'",
        )
    if balance is not None and cost is not None:
        raise Infeasible("balance and cost are both given", "pass one of them")
    if balance is not None and too_long == "split":
        raise Infeasible(
            "balance has one number a sample and too_long='split' makes pieces of samples",
            "pass cost instead of balance, or too_long='truncate' or 'skip'",
        )
    carried = None if balance is None else balance_of(balance, table.shape[0])
    bundles = None if together is None else _bundles(together, table.shape[0])
    if bundles is not None:
        carried = carried if carried is None else np.add.reduceat(carried[bundles[1]], bundles[0][:-1])
        table = np.add.reduceat(table[bundles[1]], bundles[0][:-1], axis=0)
    over: np.ndarray = np.any(table > capacities, axis=1)
    if over.any() and too_long == "refuse":
        _refuse(table, over, capacities, names, bundles, may_split=balance is None)
    if over.size and over.all() and too_long == "skip":
        raise Infeasible(
            f"all {over.size} {'samples' if bundles is None else 'keys'} are too long and would be skipped",
            f"pass {_large_enough(table, capacities, names)} to keep them all",
        )
    source, epoch_samples = source_of(order, over.size, seed)
    limit = int(capacities[0])
    skipped = np.flatnonzero(over) if too_long == "skip" else np.empty(0, np.int64)
    pieces, whole_lengths = None, table[:, 0]
    if too_long == "truncate":
        table = np.minimum(table, limit)
    given = None if order is None else delivery(order, whole_lengths, table[:, 0], skipped)
    if too_long == "split" and over.any():
        count = -(-table[:, 0] // limit)
        pieces = np.concatenate([[0], count.cumsum()])
        column = np.full(pieces[-1], limit)
        column[pieces[1:] - 1] = table[:, 0] - (count - 1) * limit
        table = column[:, None]
    costs = carried if carried is not None else _costs(table, capacities, cost)
    cutter = PackCutter(table, capacities, packs, max_per_pack or np.iinfo(np.int64).max, costs, solver)
    admission = Admission(
        skipped,
        pieces=pieces,
        bundles=bundles,
        too_long=too_long,
        too_long_count=int(over.sum()),
        truncate_to=limit if too_long == "truncate" and over.any() else None,
    )
    return PackedPlan(
        source, cutter, window=window, seed=seed, admission=admission, epoch_samples=epoch_samples, delivery=given
    )


def _by_name(lengths: Any, capacity: Any) -> tuple[Integers, Integers, list[str]]:
    """Lengths (samples, capacities), capacities, and their names."""
    if isinstance(capacity, Mapping) != isinstance(lengths, Mapping):
        raise Infeasible(
            f"lengths is {typed(lengths)} and capacity is {typed(capacity)}",
            "pass one column and one number, or both as dictionaries by the same names",
        )
    if not isinstance(lengths, Mapping):
        lengths, capacity = {_ONLY: lengths}, {_ONLY: capacity}
    if set(check_mapping(lengths, "lengths")) != set(check_mapping(capacity, "capacities")):
        raise Infeasible(
            f"lengths are {', '.join(map(repr, lengths))}, capacities are {', '.join(map(repr, capacity))}",
            "pass both by the same names",
        )
    least = 1 if len(lengths) == 1 else 0
    table = []
    for name, values in lengths.items():
        column = columns.whole_numbers(values, called="lengths" if name == _ONLY else f"lengths[{name!r}]", least=least)
        called = "capacity" if name == _ONLY else f"capacity[{name!r}]"
        limit = check_number(capacity[name], called)
        if limit < 1 or int(limit) != limit:
            raise Infeasible(f"{called} is {exactly(limit)}", "pass a whole capacity of 1 or more")
        if limit > MOST_CAPACITY:
            raise Infeasible(
                f"{called} is {exactly(limit)}, the most is {MOST_CAPACITY}", f"pass {called}={MOST_CAPACITY} or less"
            )
        table.append(column)
    if len({column.size for column in table}) > 1:
        raise Infeasible(
            f"columns of different length: {dict(zip(lengths, (column.size for column in table), strict=True))}",
            "pass one value a sample in each",
        )
    return np.column_stack(table), np.array([int(capacity[name]) for name in lengths], np.int64), list(lengths)


def _costs(table: Integers, capacities: Integers, cost: Callable[[np.ndarray], ArrayLike] | None) -> np.ndarray:
    """What micro-batches are to be equal in, one number an item."""
    if cost is None and capacities.size > 1:
        shares: np.ndarray = (table / capacities).sum(axis=1)
        return shares
    lengths = table[:, 0].astype(np.float64)
    return lengths if cost is None else costs_of(cost, lengths)


def _bundles(together: Any, sample_count: int) -> tuple[Integers, Integers]:
    keys = Groups.from_keys(together, called="together")
    if keys.sample_count != sample_count:
        raise Infeasible(f"{keys.sample_count} keys for {sample_count} lengths", "pass one key a sample")
    assert keys.index is not None
    return keys.starts, keys.index.astype(np.int64)


def _refuse(
    table: Integers, over: np.ndarray, capacities: Integers, names: list[str], bundles: Any, *, may_split: bool
) -> None:
    """Refuse capacities that some samples exceed alone."""
    item = int(over.argmax())
    column = int((table[item] > capacities).argmax())
    called = "length" if names[column] == _ONLY else names[column]
    if bundles is None:
        who = f"sample {item} has {called} {table[item, column]}"
    else:
        offsets, members = bundles
        inside = members[offsets[item] : offsets[item + 1]].tolist()
        shown = ", ".join(map(str, inside[:_SHOWN])) + (f" and {len(inside) - _SHOWN} more" if inside[_SHOWN:] else "")
        who = f"samples {shown} stay together and have {called} {table[item, column]}"
    limit = "capacity" if names[column] == _ONLY else f"capacity[{names[column]!r}]"
    others = int(over.sum()) - 1
    policies = ["'truncate'"] if bundles is None and len(names) == 1 else []
    if policies and may_split:
        policies.append("'split'")
    if not over.all():
        policies.append("'skip'")
    raise Infeasible(
        f"{who}, {limit} is {capacities[column]}" + (f" ({others} more are too long)" if others else ""),
        f"pass {_large_enough(table, capacities, names)}"
        + (f", or too_long={' or '.join(filter(None, [', '.join(policies[:-1]), policies[-1]]))}" if policies else ""),
    )


def _large_enough(table: Integers, capacities: Integers, names: list[str]) -> str:
    """The capacities that no sample exceeds, as a message says them."""
    needed = dict(zip(names, np.maximum(table.max(axis=0), capacities).tolist(), strict=True))
    return f"capacity={needed.get(_ONLY, needed)} or more"
