"""Measures plans that read few shards at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..orders import Mixed, ShardDealt, ShardShuffle, ShardWeights
from .drawn import Drawn
from .guarantee import Guarantee

if TYPE_CHECKING:
    from ..orders.shard_turns import ShardTurn

__all__ = ["SourceShards", "shard_guarantees"]


class Open(Guarantee[Drawn]):
    """G8: how many more shards than `open` a rank reads at a time.

    A shard counts from the first of its samples in a pass to the last.
    """

    def __init__(self, order: ShardShuffle | ShardDealt | ShardWeights) -> None:
        super().__init__("G8 open")
        self._order = order
        self._opened: dict[tuple[int, int, int], list[int]] = {}  # rank, pass, shard: the first and the last turn

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        turn, rank = divmod(seen.number, self._order.shards.ranks)
        shards = self._order.shards.around(seen.samples)
        for passed, some in _by_pass(self._order, seen, shards):
            for shard in np.unique(some).tolist():
                self._opened.setdefault((rank, passed, shard), [turn, turn])[1] = turn

    def end(self) -> None:
        """See `Guarantee`."""
        changes: dict[tuple[int, int], int] = {}
        for (rank, _, _), (first, last) in self._opened.items():
            changes[rank, first] = changes.get((rank, first), 0) + 1
            changes[rank, last + 1] = changes.get((rank, last + 1), 0) - 1
        count, of = 0, -1
        for (rank, turn), change in sorted(changes.items()):
            count = change if rank != of else count + change
            of = rank
            self.offer(count - self._order.shards.open, f"micro-batch {turn * self._order.shards.ranks + rank}")


class Once(Guarantee[Drawn]):
    """G4: how many samples of a pass came twice in it, or, where the audit saw all of it, not at all."""

    def __init__(self, order: ShardShuffle) -> None:
        super().__init__("G4 coverage")
        self._order = order
        self._counts: dict[int, np.ndarray] = {}  # by pass, how often each sample came

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        for passed, samples in _by_pass(self._order, seen, seen.samples):
            if passed not in self._counts:
                self._counts[passed] = np.zeros(self._order.groups.sample_count, np.uint8)
                for finished in [number for number in self._counts if number < passed - 1]:
                    self._look(finished)
            np.add.at(self._counts[passed], samples, 1)

    def end(self) -> None:
        """See `Guarantee`."""
        for passed in list(self._counts):
            self._look(passed)

    def _look(self, passed: int) -> None:
        counts = self._counts.pop(passed)
        repeated, missing = int((counts > 1).sum()), int((counts == 0).sum())
        whole = int(counts.sum()) == counts.size
        self.offer(repeated + missing if whole else repeated, f"pass {passed}")


class Repeats(Guarantee[Drawn]):
    """G5: repeats within a micro-batch."""

    def __init__(self) -> None:
        super().__init__("G5 distinct")

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        self.offer(seen.samples.size - np.unique(seen.samples).size, f"micro-batch {seen.number}")


class Here(Guarantee[Drawn]):
    """G2, G4 and G5 of groups in exact shares: measured with the samples that lie in the open shards.

    - quota: how many tickets of a group are outside floor..ceil of its quota in the block.
    - coverage: how far the counts of two samples of a group differ after all micro-batches of a block.
    - distinct: repeats of samples of groups that have enough of them in the open shards.
    """

    def __init__(self, name: str, order: ShardDealt) -> None:
        super().__init__(name)
        self._order, self._what = order, name.split()[1]
        self._here: dict[int, tuple[ShardTurn, np.ndarray, np.ndarray, np.ndarray]] = {}  # by rank

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        order, turn = self._order, self._order.turns.of(seen.number)
        held = self._here.get(turn.rank)
        if held is None or held[0].first != turn.first:
            held = self._here[turn.rank] = self._opened(turn, seen.number)
        _, samples, groups, counts = held
        quotas = np.round(order.quotas(turn), 9)
        counted = np.bincount(np.asarray(order.groups.group_of(seen.samples)), minlength=quotas.size)
        tickets, where = counted / order.per_ticket, f"micro-batch {seen.number}"
        sizes = np.bincount(groups, minlength=quotas.size)
        if self._what == "quota":
            self.offer(max((np.floor(quotas) - tickets).max(), (tickets - np.ceil(quotas)).max()), where)
        elif self._what == "distinct":
            values, often = np.unique(seen.samples, return_counts=True)
            enough = (sizes >= np.ceil(quotas) * order.per_ticket)[np.asarray(order.groups.group_of(values))]
            self.offer(int((often - 1)[enough].sum()), where)
        else:
            place = np.searchsorted(samples, seen.samples)
            place[place == samples.size] = 0
            np.add.at(counts, place[samples[place] == seen.samples], 1)
            whole = turn.number == turn.last - 1 and int(counts.sum()) == (turn.last - turn.first) * order.batch_size
            if whole:
                drawn = np.bincount(groups, weights=counts, minlength=quotas.size)
                even = np.divide(drawn, sizes, out=np.zeros(sizes.size), where=sizes > 0)[groups]
                self.offer(np.abs(counts - np.clip(counts, np.floor(even), np.ceil(even))).max(), where)

    def _opened(self, turn: ShardTurn, number: int) -> tuple[ShardTurn, np.ndarray, np.ndarray, np.ndarray]:
        pieces, groups = self._order.turns.pieces(turn), self._order.groups
        parts = zip(pieces.firsts.tolist(), pieces.sizes.tolist(), strict=True)
        samples = np.sort(np.concatenate([np.arange(first, first + size) for first, size in parts]))
        of = np.asarray(groups.group_of(samples))
        kept = of < groups.group_count
        return turn, samples[kept], of[kept], np.zeros(int(kept.sum()), np.int64)


class Owed(Guarantee[Drawn]):
    """G2: how many tickets of a group are owed at most, because the open shards did not have it.

    They are paid back by the end of a stretch. So the bound is what a group should have in a stretch, and is exceeded too
    if more is owed at the end than must be.
    """

    def __init__(self, order: ShardDealt) -> None:
        super().__init__("G2 owed")
        self._order = order
        self._counts: dict[
            int, tuple[int, np.ndarray]
        ] = {}  # by rank: the first turn of the stretch, tickets since then

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        order, turn = self._order, self._order.turns.of(seen.number)
        stretch = order.stretch(turn)
        if stretch is None:
            return
        turns = order.turns.rank_pass(turn.passed, turn.rank).turns
        first, end = turns[stretch.first], turns[stretch.first + len(stretch.tickets)]
        begun, counts = self._counts.get(turn.rank, (-1, np.empty(0)))
        if begun != first:
            if turn.number != first:
                return  # the audit began inside the stretch
            counts = np.zeros(order.groups.group_count)
            self._counts[turn.rank] = first, counts
        counts += np.bincount(order.groups.group_of(seen.samples), minlength=counts.size)[: counts.size]
        deficit = order.wanted_tickets(turn.rank, first, turn.number + 1) - counts / order.per_ticket
        self.bound = max(self.bound, float(stretch.wanted.sum(0).max()))
        self.offer_groups(deficit, seen.number, order.groups.names)
        if turn.number == end - 1 and (deficit > np.maximum(stretch.final_deficit, 0)).any():
            self.offer(np.inf, f"micro-batch {seen.number}, the end of a stretch")


class SourceShards(Guarantee[Drawn]):
    """G8 in a mixture: how many more shards of a source a micro-batch reads than may be open.

    A source that gives every micro-batch one of its own may have `open`. Elsewhere a micro-batch may be read from the shards
    that end in it and from those that begin in it, so twice as many.
    """

    def __init__(self, order: Mixed) -> None:
        super().__init__("G8 open")
        whole, most = order.dealt.integer_quotas(), order.dealt.most_drawn()
        self._starts, self._names = order.groups.starts, order.groups.called
        self.sources = {
            number: (child.shards, child.shards.open * (1 if whole[number] and child.batch_size == most[number] else 2))
            for number, child in order.children.items()
            if isinstance(child, ShardShuffle | ShardDealt | ShardWeights)
        }

    def see(self, seen: Drawn) -> None:
        """See `Guarantee`."""
        for number, (shards, may_be_open) in self.sources.items():
            begin, end = self._starts[number], self._starts[number + 1]
            samples = seen.samples[(seen.samples >= begin) & (seen.samples < end)]
            read = np.unique(shards.around(samples - begin)).size
            self.offer(read - may_be_open, f"micro-batch {seen.number}, source {self._names[number]!r}")


def shard_guarantees(order: ShardShuffle | ShardDealt | ShardWeights) -> list[Guarantee[Drawn]]:
    """What is measured of an order that reads few shards at a time, beside the size of micro-batches."""
    if isinstance(order, ShardShuffle):
        return [Once(order), Repeats(), Open(order)]
    if isinstance(order, ShardDealt):
        return [Here(f"{name}", order) for name in ("G2 quota", "G4 coverage", "G5 distinct")] + [
            Owed(order),
            Open(order),
        ]
    return [Open(order)]


def _by_pass(
    order: ShardShuffle | ShardDealt | ShardWeights, seen: Drawn, values: np.ndarray
) -> list[tuple[int, np.ndarray]]:
    """The values of the samples of a micro-batch, by the pass that the samples are of."""
    passed = order.passes_at(seen.number)[: values.size]
    return [(number, values[passed == number]) for number in np.unique(passed).tolist()]
