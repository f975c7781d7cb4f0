"""Micro-batches of packs: samples joined into sequences of limited length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..calls import recorded
from ..errors import Infeasible, check_integer, check_number, exactly, one_of
from ..inputs import columns
from ..inputs.columns import sample_numbers
from ..kernels.array_types import Integers
from ..lengths.admission import Admission, TooLong, TooLongForPack
from ..lengths.bundles import Bundles
from ..lengths.layout import Window
from ..lengths.numbers import NumberRows, Numbers
from ..lengths.pack_cutter import PackBorders, PackCutter
from ..lengths.packing import MOST_CAPACITY, Solver
from ..orders import Shards
from ..readings import reading
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
from .pieces import CutBy, Pieces

__all__ = ["PackedPlan", "packed"]

_STEPS = 64  # in a window with costs: ranks wait for less than 1 % then with heavy tails of lengths (chosen by trial)


class PackedPlan(LengthPlan):
    """A plan whose micro-batches are packs, one after the other; made by `packed`."""

    def packs(self, batch: ArrayLike) -> list[np.ndarray]:
        """Split a micro-batch into its packs, in order, for the collate layer.

        Each pack takes the next samples that fit, so the result depends only on the micro-batch.

        Args:
            batch: the sample numbers of a micro-batch, array-like of shape (n_samples_of_the_batch,).

        Example:
            >>> import batchwright as bw
            >>> plan = bw.packed([6, 5, 4, 3, 2], 10, packs=2)
            >>> [pack.tolist() for pack in plan.packs(plan[0])]
            [[0, 2], [1, 3, 4]]
        """
        samples = columns.sample_numbers(batch, called="batch").astype(np.int64)
        return np.split(samples, self.pack_borders(samples)[1:-1])

    @cached_property
    def pack_borders(self) -> PackBorders:
        """Finds where the packs of a micro-batch start; small, for processes that need nothing else of the plan."""
        assert isinstance(self.cutter, PackCutter)
        bundles = Admission(np.empty(0, np.int64), bundles=self.admission.bundles)
        return PackBorders(
            self.cutter.amounts, self.cutter.limits, self.cutter.max_per_pack, bundles, self.cutter.packs
        )

    def pieces(self, dataset: Any, *, cut: CutBy | None = None) -> Pieces:
        """A dataset whose item i is what the plan means by i: with `too_long="split"` or `"truncate"`, a part of a sample.

        Args:
            dataset: a map-style dataset of the samples that the plan was made for.
            cut: the names or numbers of the parts of a sample that are cut (every piece gets all of the other parts),
                or a function (sample, slice) -> sample. If left out, samples must be sequences: tensors, arrays, lists,
                strings.

        Raises:
            Infeasible: the dataset has another size; or, when a sample is read, it cannot be cut in this way.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.packed([3, 5], 4, too_long="split")
            >>> dataset = [{"ids": [1, 2, 3], "page": 7}, {"ids": [4, 5, 6, 7, 8], "page": 9}]
            >>> [piece for piece in plan.pieces(dataset, cut=["ids"])]
            [{'ids': [1, 2, 3], 'page': 7}, {'ids': [4, 5, 6, 7], 'page': 9}, {'ids': [8], 'page': 9}]
        """
        offsets = self.admission.pieces
        samples = self.pack_borders.sample_count if offsets is None else offsets.size - 1
        with reading(dataset, "dataset", "pass the dataset of the plan's lengths"):
            count = len(dataset) if hasattr(dataset, "__len__") else samples
        if count != samples:
            raise Infeasible(
                f"the dataset has {count} samples, the plan was made for {samples}",
                "pass the dataset of its lengths",
            )
        length = self.truncate_to if offsets is None else self.pack_borders.capacity
        return Pieces(dataset, offsets, length, cut)

    @property
    def splits(self) -> bool:
        """Whether the plan yields numbers of pieces, not of rows of the data set: with `too_long="split"`."""
        return self.admission.pieces is not None

    def rows(self, items: Any) -> Integers:
        """The row of the data set that each of these numbers stands for, which may be one of its pieces.

        Use it to find a sample again: with `too_long="split"` the plan and `batch.aside.sample_ids` have those of pieces.

        Args:
            items: numbers that the plan yields, array-like of shape (n_items,).

        Returns:
            int64 of the same shape.

        Raises:
            Infeasible: a number is none that the plan yields.

        Example:
            >>> import batchwright as bw
            >>> bw.packed([3, 5], 4, too_long="split").rows([0, 1, 2]).tolist()
            [0, 1, 1]
        """
        numbers = sample_numbers(items, called="items").astype(np.int64)
        self.groups.group_of(numbers)  # which refuses those that the plan does not have
        return self.admission.samples_of(numbers)


@recorded
def packed(
    lengths: Any,
    capacity: int | Mapping[str, int],
    *,
    packs: int = 1,
    max_per_pack: int | None = None,
    order: FixedPlan | None = None,
    window: Window | None = None,
    together: Any = None,
    cost: Callable[[np.ndarray], ArrayLike] | None = None,
    balance: Any = None,
    solver: Solver = "fast",
    too_long: TooLongForPack = "refuse",
    local: Shards | None = None,
    seed: int = 0,
) -> PackedPlan:
    """Micro-batches of packs: sequences of joined samples, none longer than the capacity.

    Each window is packed, its packs are divided among micro-batches of similar cost, and the steps come in random
    order. Each epoch has packs of its own, and the same number of micro-batches.

    Args:
        lengths: array-like of shape (n_samples,), int, 1 or more; `{name: column}` or a table, 0 or more, for several
            capacities.
        capacity: of a pack, int, 1 or more; `{name: capacity}` for several.
        packs: the most packs in a micro-batch.
        max_per_pack: the most samples in a pack.
        order: the plan whose order is cut, such as `balanced(...)`. If left out, every epoch has each sample once.
        window: micro-batches planned together, or "epoch"; if left out 1,024, and with `cost` or `balance` at least 64
            steps, since more steps can be made more equal. A larger one packs tighter and mixes less.
        together: keys, array-like of shape (n_samples,), int or str: samples with the same key stay in one pack
            (preference pairs). An `order` is then over the keys, in sorted order.
        cost: a function from lengths, float64 of shape (n,), to costs of the same shape, such as
            `lambda n: n + n**2 / 4096`; the micro-batches of a step then have nearly equal costs. If left out, tokens, or
            the sum of the parts that are used of several capacities.
        balance: in place of `cost` one number for each sample, array-like of shape (n_samples,), int or float, 0 or
            more, such as supervised tokens.
        solver: "fast" or "exact"; see `batchwright.lengths.packing.pack`. The work of one exact packing is limited to
            about five seconds. Each window takes at most that long, and the layout of an epoch up to 13 times as long, once
            for each world_size * accumulate.
        too_long: what to do with a sample longer than the capacity: "refuse" the plan; "truncate": it counts as long as
            the capacity, and `bw.ragged(truncate_to=plan.truncate_to)` cuts it; "skip" it; "split" it: the plan then
            yields items of `plan.pieces(dataset)`.
        local: the shards that the samples lie in: all ranks then read from few of them at a time, at most `open` in a
            window, and each shard once a pass. A window takes the next range of a shuffle over these shards, as with
            `order=`.
        seed: of which samples come together without `order=`, of the order of steps, and of the order of the micro-batches
            within each step, so of which rank gets which; int from 0 to 2^64 - 1.

    Raises:
        Infeasible: a sample over the capacity (with "refuse"), or arguments that contradict each other.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.packed([6, 5, 4, 3, 2], 10)
        >>> sorted(sorted(batch.tolist()) for batch in plan.epoch(0))
        [[0, 2], [1, 3, 4]]
    """
    too_long = one_of(too_long, "too_long", get_args(TooLongForPack))
    capacities = Capacities.of(lengths, capacity)
    packs = check_integer(packs, "packs", least=1)
    most = np.iinfo(np.int64).max if max_per_pack is None else check_integer(max_per_pack, "max_per_pack", least=1)
    solver = one_of(solver, "solver", get_args(Solver))
    _check_contradictions(capacities, solver, too_long, together=together, cost=cost, balance=balance, local=local)
    costs = None if balance is None else balance_of(balance, capacities.lengths.shape[0])
    if together is not None:
        capacities = capacities.together(together)
    admission = capacities.admission(too_long, may_split=balance is None)
    source, epoch_samples = order_of(order, local, capacities.lengths.shape[0], seed)
    items = capacities.items(admission)
    asked = capacities.lengths.columns[0]
    given = asked if admission.truncate_to is None else items.columns[0]
    cutter = PackCutter(
        items,
        capacities.limits,
        packs,
        most,
        _costs(items, capacities.limits, cost) if costs is None else capacities.summed(costs),
        solver,
    )
    return PackedPlan(
        source,
        cutter,
        window=1024 if window is None else window,
        least_steps=_STEPS if window is None and (cost is not None or balance is not None) else 1,
        seed=seed,
        admission=admission,
        epoch_samples=epoch_samples,
        delivery=None if order is None else delivery(order, asked, given, admission.skipped),
    )


@dataclass(frozen=True)
class Capacities:
    """The capacities of a pack, and what each sample, or samples that stay together, takes of them; validated."""

    names: list[str]
    lengths: NumberRows  # (samples, capacities)
    limits: Integers  # (capacities,)
    bundles: Bundles | None = None  # samples that stay together

    @classmethod
    def of(cls, lengths: Any, capacity: Any) -> Capacities:
        """Parse the arguments of `packed`."""
        lengths, capacity = named(lengths, capacity, "capacity", "capacities", none="capacities")
        least = 1 if len(lengths) == 1 else 0
        by_name, limits = {}, []
        for name, values in lengths.items():
            called = "lengths" if name == ONLY else f"lengths[{name!r}]"
            by_name[name] = columns.whole(columns.numbers(values, called=called), called=called, least=least)
            limits.append(_limit(capacity[name], part_called("capacity", name)))
        return cls(list(lengths), table_of(by_name, np.int64), np.array(limits, np.int64))

    def together(self, keys: Any) -> Capacities:
        """The same with samples of one key kept together."""
        bundled = replace(self, bundles=Bundles.of(keys, self.lengths.shape[0], "lengths", "a sample"))
        return replace(bundled, lengths=NumberRows(tuple(map(bundled.summed, self.lengths.columns))))

    def summed(self, column: Numbers) -> Numbers:
        """The sums of a column over samples that stay together."""
        if self.bundles is None:
            return column
        return Numbers.of(self.bundles.summed(column), column.dtype)

    def admission(self, too_long: TooLong, *, may_split: bool) -> Admission:
        """The items, if `too_long` is done with samples that exceed a capacity."""
        over = self.lengths.any_row(lambda lengths: lengths > self.limits)
        if over.any() and too_long == "refuse":
            self._refuse(over, may_split=may_split)
        limit, policy = int(self.limits[0]), too_long if over.any() else None
        return admission_of(
            over,
            too_long,
            self._enough,
            "samples" if self.bundles is None else "keys",
            pieces=np.append(0, np.cumsum(-(-self.lengths.columns[0][:] // limit))) if policy == "split" else None,
            bundles=self.bundles,
            truncate_to=limit if policy == "truncate" else None,
        )

    def items(self, admission: Admission) -> NumberRows:
        """The lengths of the items, read as int64: samples, or pieces, all full but the last of a sample."""
        pieces = admission.pieces
        if pieces is None:
            if admission.truncate_to is None:
                return self.lengths
            return NumberRows((self.lengths.columns[0].mapped(partial(np.minimum, admission.truncate_to)),))
        items = np.full(pieces[-1], self.limits[0])
        items[pieces[1:] - 1] = self.lengths.columns[0][:] - (np.diff(pieces) - 1) * self.limits[0]
        return NumberRows((Numbers.of(items, np.int64),))

    def _refuse(self, over: np.ndarray, *, may_split: bool) -> None:
        """Refuse capacities that some samples alone exceed."""
        item = int(over.argmax())
        column = int((self.lengths[item] > self.limits).argmax())
        name, who = self.names[column], f"sample {item} has"
        if self.bundles is not None:
            who = self.bundles.named(item, "samples")
        policies = ["'truncate'"] if self.bundles is None and len(self.names) == 1 else []
        if policies and may_split:
            policies.append("'split'")
        if not over.all():
            policies.append("'skip'")
        has = f"{'length' if name == ONLY else name} {self.lengths[item][column]}"
        fact = f"{who} {has}, {part_called('capacity', name)} is {self.limits[column]}"
        refuse_too_long(fact, over, self._enough(), policies)

    def _enough(self) -> str:
        """For a message, the capacities that no sample would exceed."""
        needed = dict(zip(self.names, np.maximum(self.lengths.max(), self.limits).tolist(), strict=True))
        return f"capacity={needed.get(ONLY, needed)} or more"


def _limit(given: Any, called: str) -> int:
    """Check a capacity, an integer; 8.0 counts as one."""
    limit = check_number(given, called)
    if limit < 1 or int(limit) != limit:
        raise Infeasible(f"{called} is {exactly(limit)}", "pass a whole capacity of 1 or more")
    if limit > MOST_CAPACITY:
        raise Infeasible(
            f"{called} is {exactly(limit)}, the most is {MOST_CAPACITY}", f"pass {called}={MOST_CAPACITY} or less"
        )
    return int(limit)


def _check_contradictions(
    capacities: Capacities, solver: Solver, too_long: TooLong, *, together: Any, cost: Any, balance: Any, local: Any
) -> None:
    """Refuse arguments that contradict each other."""
    count = capacities.limits.size
    if solver == "exact" and count > 1:
        raise Infeasible(f"solver='exact' packs one capacity, there are {count}", 'pass solver="fast"')
    if too_long in ("truncate", "split") and (count > 1 or together is not None):
        other = f"there are {count} capacities" if count > 1 else "together is given"
        raise Infeasible(
            f"too_long={too_long!r} needs one capacity and no `together`, {other}",
            "pass too_long='skip', or capacities that no sample exceeds and too_long='refuse'",
        )
    if local is not None and together is not None:
        raise Infeasible(
            "local has the samples of each shard, and with together= an order is over keys",
            "pass order=bw.shuffled(n_keys, 1, local=bw.Shards(sizes)), with the keys in each shard as sizes",
        )
    if balance is not None and cost is not None:
        raise Infeasible("balance and cost are both given", "pass one of them")
    if balance is not None and too_long == "split":
        raise Infeasible(
            "balance has one number a sample and too_long='split' makes pieces of samples",
            "pass cost instead of balance, or too_long='truncate' or 'skip'",
        )


def _costs(table: NumberRows, capacities: Integers, cost: Callable[[np.ndarray], ArrayLike] | None) -> Numbers:
    """What the micro-batches of a step are to be equal in, read as float64 (items,)."""
    if cost is None and capacities.size > 1:
        return Numbers.of((table[:] / capacities).sum(axis=1))
    lengths = table.columns[0].read_as(np.float64)
    return lengths if cost is None else costs_of(cost, lengths)
