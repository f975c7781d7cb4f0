"""Problems of plans that read few shards at a time: what open shards lack, and windows that need more of them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..orders import ShardDealt, ShardShuffle, ShardWeights

if TYPE_CHECKING:
    from ..kinds import LengthKind

__all__ = ["in_open_shards", "window_in_shards"]

_MOST_CELLS = 1 << 18  # blocks x groups that are looked at: with many ranks and groups, a pass would take minutes


def in_open_shards(order: ShardDealt | ShardWeights, known: set[Hashable]) -> list[str]:
    """The problems of an order that reads few shards at a time, one text each.

    Args:
        order: the order.
        known: the names of groups that are too small in any case.
    """
    found = []
    few = [row for row in order.undersized() if row.name not in known]
    if few:
        row = max(few, key=lambda row: row.most / max(row.size, 1))
        found.append(
            f"samples repeat within a batch: the open shards have about {row.size} of {row.name!r}, a batch takes {row.most}"
            + (f"; and {len(few) - 1} more groups" if len(few) > 1 else "")
            + "; more open shards avoid it"
        )
    if isinstance(order, ShardDealt):
        found += _lacking(order)
    return found


class _FirstPass(NamedTuple):
    """What the open shards give each group in the first pass, or in the first part of it.

    Attributes:
        wanted: the tickets that it should have, int64 (groups,).
        tickets: those that it gets, int64 (groups,).
        largest_deficit: the most that it lacks at a time, int64 (groups,).
        whole: whether it is all of the pass.
    """

    wanted: np.ndarray
    tickets: np.ndarray
    largest_deficit: np.ndarray
    whole: bool


def _first_pass(order: ShardDealt) -> _FirstPass | None:
    """The first pass of all ranks; None if open shards never lack a group in it."""
    wanted, tickets, owed = np.zeros((3, order.groups.group_count), np.int64)
    lacks, cells = False, 0
    for turn, low, high in order.turns.between(0, order.turns.pass_batches):
        stretch = order.stretch(turn)
        if stretch is None:
            asked = order.wanted_tickets(turn.rank, low, high)
            wanted, tickets = wanted + asked, tickets + asked
        elif turn.block == stretch.first:
            if cells > _MOST_CELLS:
                return _FirstPass(wanted, tickets, owed, whole=False)
            lacks, cells = True, cells + stretch.tickets.size
            wanted, tickets = wanted + stretch.wanted.sum(0), tickets + stretch.tickets.sum(0)
            owed = np.maximum(owed, stretch.largest_deficit)
    return _FirstPass(wanted, tickets, owed, whole=True) if lacks else None


def _lacking(order: ShardDealt) -> list[str]:
    """A text that says which groups the open shards lack, and what they are owed for that."""
    absence, names = order.absence, order.groups.names
    lost, seen = order.shares.of(0) * absence, _first_pass(order)
    if not lost.any() and seen is None:
        return []
    found = ""
    if lost.any():
        worst = int(lost.argmax())
        found = (
            f"the open shards have no sample of {names[worst]!r} for {absence[worst]:.2%} of the micro-batches on average; "
            f"{np.count_nonzero(lost)} groups are not in enough shards, and {lost.sum():.2%} of all draws go to other "
            "groups for that, which give them back later; "
        )
    if seen is not None:
        most, unpaid, total = int(seen.largest_deficit.argmax()), seen.wanted - seen.tickets, int(seen.wanted.sum())
        draws = seen.largest_deficit[most] * order.per_ticket
        found += f"up to {draws} draws are owed to a group at a time, here {names[most]!r}; "
        if unpaid.any():
            least, over = int(unpaid.argmax()), np.maximum(unpaid, 0).sum() / total
            gets, wanted = (float(counts[least]) / total for counts in (seen.tickets, seen.wanted))
            found += (
                f"{over:.2%} of the draws of {'the first pass' if seen.whole else 'a part of the first pass'} cannot be "
                f"given back, {names[least]!r} gets {gets:.2%} of them in place of {wanted:.2%}; "
            )
    return [f"{found}more than {order.shards.open} open shards, or samples shuffled over the shards, avoid it"]


def window_in_shards(plan: LengthKind, items: np.ndarray, batches: int) -> list[str]:
    """A text that says that a window of a plan by lengths takes samples of many more shards than are open.

    Args:
        plan: the plan.
        items: the items of a window.
        batches: how many micro-batches they make.
    """
    order, admission = plan.order_plan.order, plan.admission
    if not isinstance(order, ShardShuffle | ShardDealt | ShardWeights) or admission.bundles is not None:
        return []
    shards, samples = order.shards, admission.samples_of(items)
    read, at_once = np.unique(shards.of(samples)).size, shards.open * shards.ranks
    if read <= 2 * at_once:  # where a window begins in some shards and ends in the next
        return []
    held = int(at_once * shards.sizes.sum() // np.count_nonzero(shards.sizes))  # samples of the open shards
    return [
        f"a window of {samples.size} samples is of {read} shards, its micro-batches come in any order, and "
        f"{2 * at_once} shards are open at a time: most will be read again and again; "
        f"window={max(1, held * batches // samples.size)} avoids it"
    ]
