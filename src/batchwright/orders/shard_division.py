"""Divides the tickets of groups among blocks of shards of which not all have every group.

A group gets no ticket in a block without a sample of it. Its tickets there go to others, which give them back where it has
samples. Every block has as many tickets as before, and over all blocks every group has as many as it should, if that is
possible.
"""

from __future__ import annotations

import numpy as np

__all__ = ["divide_tickets"]

_SWEEPS = 60  # of proportional fitting; what is left then is moved ticket by ticket, so any number would do


def divide_tickets(wanted: np.ndarray, most: np.ndarray) -> np.ndarray:
    """The tickets of each group in each block: int64 (blocks, groups).

    The sums over groups are those of `wanted`. So are the sums over blocks, if any such division exists; else they miss
    them by as few tickets as possible. Groups that are in all blocks keep their tickets, as long as others can make up for
    each other.

    Args:
        wanted: the tickets that each group should have in each block, int64 (blocks, groups).
        most: the most tickets that a group may have in a block, 0 where it has no samples, int64 (blocks, groups). Their
            sums over groups are at least those of `wanted`.
    """
    asked, totals = wanted.sum(0) > 0, wanted.sum(0)
    scarce = asked & ~(wanted <= most).all(0)
    # Groups that all blocks have help only where they must, and groups without a share where a block has no others.
    for some in (scarce, asked, np.ones(asked.size, bool)):
        among = np.flatnonzero(some)
        if (most[:, among].sum(1) >= wanted[:, among].sum(1)).all():
            break
    tickets = wanted.copy()
    tickets[:, among] = _whole(_fitted(wanted[:, among], most[:, among]), wanted[:, among].sum(1), most[:, among])
    for allowed in (among, np.arange(asked.size)):
        part = tickets[:, allowed]
        _even_out(part, most[:, allowed], totals[allowed])
        tickets[:, allowed] = part
    return tickets


def _fitted(wanted: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Tickets near `wanted` with its sums over blocks, float64; over groups nearly, if there is such a division.

    Iterative proportional fitting (Deming and Stephan 1940), which converges to the division with the least relative
    entropy.
    """
    of_blocks, of_groups = wanted.sum(1), wanted.sum(0)
    found = np.where(most > 0, wanted, 0.0)
    found[(found.sum(1) == 0)[:, None] & (most > 0)] = 1.0
    for _ in range(_SWEEPS):
        sums = found.sum(0)
        if np.abs(sums - of_groups).max(initial=0.0) < 1e-6:
            break
        # A group that has tickets only where others are missing keeps a little, so that no block runs out.
        found *= np.divide(np.maximum(of_groups, 1e-3), sums, out=np.ones(sums.size), where=sums > 0)
        sums = found.sum(1)
        found *= np.divide(of_blocks, sums, out=np.zeros(sums.size), where=sums > 0)[:, None]
    return found


def _whole(fitted: np.ndarray, of_blocks: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Whole tickets, with exact sums over groups: what is rounded off in a block goes to the next blocks."""
    found = np.zeros(fitted.shape, np.int64)
    carried = np.zeros(fitted.shape[1])
    for block, total in enumerate(of_blocks.tolist()):
        exact = np.clip(np.round(fitted[block] + carried, 6), 0.0, most[block])
        row = np.floor(exact).astype(np.int64)
        over = total - int(row.sum())
        ranked = np.argsort(
            row - exact if over > 0 else exact - row, kind="stable"
        )  # the largest, or smallest, fraction
        while over:
            room = (most[block] - row if over > 0 else row)[ranked]
            free = ranked[room > 0]
            each = max(1, abs(over) // free.size)
            change = np.minimum(room[room > 0], each)[: abs(over) // each]
            row[free[: change.size]] += change if over > 0 else -change
            over -= int(change.sum()) if over > 0 else -int(change.sum())
        found[block] = row
        carried += fitted[block] - row
    return found


def _even_out(tickets: np.ndarray, most: np.ndarray, totals: np.ndarray) -> None:
    """Move tickets, in place, from groups that have too many to groups that have too few, until no move is left.

    A move is a chain of exchanges within blocks, found by breadth-first search (Edmonds and Karp 1972). So what is left
    then is the least that is possible.
    """
    lacking = totals - tickets.sum(0)
    while chains := _chains(tickets, most - tickets, lacking):
        for chain in chains:  # each is as long as the others; an earlier one may have used up what it needs
            first, last = chain[0][0], chain[-1][2]
            amount = min(-int(lacking[first]), int(lacking[last]))
            for giver, block, taker in chain:
                amount = min(amount, int(tickets[block, giver]), int(most[block, taker] - tickets[block, taker]))
            if amount <= 0:
                continue
            for giver, block, taker in chain:
                tickets[block, giver] -= amount
                tickets[block, taker] += amount
            lacking[first] += amount
            lacking[last] -= amount


def _chains(tickets: np.ndarray, room: np.ndarray, lacking: np.ndarray) -> list[list[tuple[int, int, int]]]:
    """The shortest chains from groups with too many to groups with too few: (giver, block, taker), each in one block."""
    reached = lacking < 0
    if not reached.any() or not (lacking > 0).any():
        return []
    through = np.full(tickets.shape[0], -1)  # by block, the group that gives there
    into = np.full(tickets.shape[1], -1)  # by group, the block in which it takes
    newest = np.flatnonzero(reached)
    while newest.size:
        gives = tickets[:, newest]
        blocks = np.flatnonzero((through < 0) & (gives > 0).any(1))
        through[blocks] = newest[gives[blocks].argmax(1)]
        if not blocks.size:
            return []
        takes = room[blocks][:, ~reached] > 0
        taking = np.flatnonzero(~reached)[takes.any(0)]
        into[taking] = blocks[takes[:, takes.any(0)].argmax(0)]
        reached[taking] = True
        ends = taking[lacking[taking] > 0]
        if ends.size:
            return [_back(int(group), through, into) for group in ends]
        newest = taking
    return []


def _back(group: int, through: np.ndarray, into: np.ndarray) -> list[tuple[int, int, int]]:
    """The chain that ends with this group."""
    chain: list[tuple[int, int, int]] = []
    while into[group] >= 0:
        block = int(into[group])
        chain.append((int(through[block]), block, group))
        group = int(through[block])
    return chain[::-1]
