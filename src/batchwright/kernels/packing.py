"""Packs samples by distinct lengths: all packs that hold the same lengths are one row of a table.

A *stack* is a number of packs that hold the same lengths. It has the stack that it was made from, and the length that
was added. Millions of samples make a few thousand stacks, so the time depends on the number of distinct lengths, not of
samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compile import inner, kernel

__all__ = [
    "COPIES",
    "best_fit_decreasing",
    "best_fit_vectors",
    "fill_packs",
    "group_by_length",
    "most_valuable_pack",
    "stack_contents",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Links = NDArray[np.int32]

PARENT, KIND, COPIES, GAP, SAMPLES, BELOW = range(6)  # columns of the table of stacks

_LEVELS = 9  # of the skip list of open gaps: one gap in four of a level is in the next too, enough for 4^9 gaps
_LAST = _LEVELS  # column of the links: of a gap, the stack that was opened last


@inner
def _grown(table: NDArray[Any], rows: int) -> NDArray[Any]:
    """The table, twice as large if it is full."""
    if rows < table.shape[0]:
        return table
    larger = np.empty((2 * table.shape[0], table.shape[1]), table.dtype)
    larger[:rows] = table
    return larger


@inner
def _least_gap(gap: int, table: Integers, links: Links, head: Links, before: Links) -> int:
    """The row with the smallest open gap of at least `gap`, or -1; writes the rows before it, by level, into `before`.

    Open gaps are a skip list (Pugh 1990): each is in the list of level 0, and in some of the levels above. A sorted
    array would take time to insert, one counter for each possible gap would take memory in proportion to the capacity.
    """
    row = -1
    following = -1
    for level in range(_LEVELS - 1, -1, -1):
        following = head[level] if row < 0 else links[row, level]
        while following >= 0 and table[following, GAP] < gap:
            row = following
            following = links[row, level]
        before[level] = row
    return following


@inner
def _open(row: int, links: Links, head: Links, before: Links) -> None:
    """Put a gap into the list, after those of `before`."""
    word = np.uint64(row) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(
        32
    )  # a hash of the row decides its levels: deterministic, and as good as random
    links[row, _LAST] = row
    for level in range(_LEVELS):
        if before[level] < 0:
            links[row, level] = head[level]
            head[level] = row
        else:
            links[row, level] = links[before[level], level]
            links[before[level], level] = row
        if word & np.uint64(3):
            break
        word >>= np.uint64(2)


@inner
def _close(row: int, links: Links, head: Links, before: Links) -> None:
    """Take a gap out of the list."""
    for level in range(_LEVELS):
        if before[level] < 0:
            if head[level] != row:
                break
            head[level] = links[row, level]
        else:
            if links[before[level], level] != row:
                break
            links[before[level], level] = links[row, level]


@kernel("int64[:, :](int64[:], int64[:], int64, int64)")
def best_fit_decreasing(lengths: Integers, counts: Integers, capacity: int, most_samples: int) -> Integers:
    """Pack `counts[kind]` samples of `lengths[kind]`, longest first, each into the smallest gap in which it fits.

    Lengths are distinct, ascending, and at most `capacity`. Returns the table of stacks, one a row: parent row
    (or -1), the kind of length added, packs that ended there, gap left, samples held, and a column that is
    only used here. This is best-fit decreasing (Johnson 1973), all samples of a length at once; Krell et al.
    (2021) pack histograms much like it. At most `most_samples` share a pack.
    """
    table = np.empty((1024, 6), np.int64)
    links = np.empty((1024, _LEVELS + 1), np.int32)
    head = np.full(_LEVELS, -1, np.int32)
    before = np.empty(_LEVELS, np.int32)
    rows = 0
    for kind in range(lengths.size - 1, -1, -1):
        length = lengths[kind]
        left = counts[kind]
        while left > 0:
            tightest = _least_gap(length, table, links, head, before)
            stack = np.int64(links[tightest, _LAST]) if tightest >= 0 else -1
            gap = table[stack, GAP] if stack >= 0 else capacity
            samples = table[stack, SAMPLES] if stack >= 0 else 0
            # Sample by sample, the pack chosen last would stay the one with the smallest gap. So it is filled with this
            # length at once.
            each = min(gap // length, most_samples - samples)
            copies = max(left // each, 1)
            if stack >= 0:
                copies = min(copies, table[stack, COPIES])
                table[stack, COPIES] -= copies
                if table[stack, COPIES] == 0:
                    links[tightest, _LAST] = table[stack, BELOW]
                    if table[stack, BELOW] < 0:
                        _close(tightest, links, head, before)
            samples += 1
            rest = gap - length
            left -= copies
            table = _grown(table, rows)
            links = _grown(links, rows)
            table[rows, PARENT] = stack
            table[rows, KIND] = kind
            table[rows, COPIES] = copies
            table[rows, GAP] = rest
            table[rows, SAMPLES] = samples
            table[rows, BELOW] = -1
            if samples < most_samples and rest > 0:
                same = _least_gap(rest, table, links, head, before)
                if same >= 0 and table[same, GAP] == rest:
                    table[rows, BELOW] = links[same, _LAST]
                    links[same, _LAST] = rows
                else:
                    _open(rows, links, head, before)
            rows += 1
    return table[:rows].copy()


@kernel("Tuple((int64[:], int64[:]))(int64[:], int64)")
def group_by_length(lengths: Integers, longest: int) -> tuple[Integers, Integers]:
    """Places sorted by length, stable, and where each length starts: a counting sort."""
    starts = np.zeros(longest + 2, np.int64)
    for place in range(lengths.size):
        starts[lengths[place] + 1] += 1
    for length in range(longest + 1):
        starts[length + 1] += starts[length]
    free = starts.copy()
    places = np.empty(lengths.size, np.int64)
    for place in range(lengths.size):
        length = lengths[place]
        places[free[length]] = place
        free[length] += 1
    return places, starts


@kernel("Tuple((int64[:], int64[:]))(int64[:, :], int64[:], int64[:])")
def fill_packs(table: Integers, places: Integers, starts: Integers) -> tuple[Integers, Integers]:
    """Put samples into the packs of a table: pack p holds `members[offsets[p]:offsets[p + 1]]`, longest first.

    `places` are the samples sorted by length, `starts` says where each kind of length starts. A pack takes the next
    samples of each kind.
    """
    packs = 0
    total = 0
    for row in range(table.shape[0]):
        packs += table[row, COPIES]
        total += table[row, COPIES] * table[row, SAMPLES]
    members = np.empty(total, np.int64)
    offsets = np.empty(packs + 1, np.int64)
    offsets[0] = 0
    free = starts.copy()
    pack = 0
    at = 0
    for row in range(table.shape[0]):
        copies = table[row, COPIES]
        if copies == 0:
            continue
        samples = table[row, SAMPLES]
        stack = row
        # PARENT leads from the last sample of a stack to its first, so a pack is written from its end.
        for slot in range(samples - 1, -1, -1):
            kind = table[stack, KIND]
            start = free[kind]
            for copy in range(copies):
                members[at + copy * samples + slot] = places[start + copy]
            free[kind] = start + copies
            stack = table[stack, PARENT]
        for _ in range(copies):
            offsets[pack + 1] = offsets[pack] + samples
            pack += 1
        at += copies * samples
    return members, offsets


@kernel("Tuple((int64[:, :], int64[:]))(int64[:, :], int64)")
def stack_contents(table: Integers, kinds: int) -> tuple[Integers, Integers]:
    """For each stack with packs, the number of samples of each kind in a pack, and the number of packs."""
    stacks = 0
    for row in range(table.shape[0]):
        stacks += table[row, COPIES] > 0
    contents = np.zeros((stacks, kinds), np.int64)
    copies = np.empty(stacks, np.int64)
    at = 0
    for row in range(table.shape[0]):
        if table[row, COPIES] == 0:
            continue
        stack = row
        while stack >= 0:
            contents[at, table[stack, KIND]] += 1
            stack = table[stack, PARENT]
        copies[at] = table[row, COPIES]
        at += 1
    return contents, copies


@kernel("Tuple((int64[:], int64[:]))(float64[:, :], float64[:], int64)")
def best_fit_vectors(costs: Floats, capacities: Floats, most_samples: int) -> tuple[Integers, Integers]:
    """Pack samples of several costs, in the order given, each into the fullest pack in which it fits.

    Fullest means the largest sum of used shares of the capacities. Only the last 512 open packs are tried, so that the
    time grows in proportion to the samples; 512 was chosen by trial. Returns the pack of each sample and the number of
    samples of each pack.
    """
    samples, kinds = costs.shape
    open_packs = 512
    used = np.zeros((open_packs, kinds))
    number = np.empty(open_packs, np.int64)
    live = 0
    pack_of = np.empty(samples, np.int64)
    held = np.zeros(samples, np.int64)
    packs = 0
    for sample in range(samples):
        chosen = -1
        fullest = -1.0
        for slot in range(live):
            if held[number[slot]] >= most_samples:
                continue
            share = 0.0
            for kind in range(kinds):
                if used[slot, kind] + costs[sample, kind] > capacities[kind]:
                    share = -1.0
                    break
                share += used[slot, kind] / capacities[kind]
            if share > fullest:
                fullest = share
                chosen = slot
        if chosen < 0:
            if live < open_packs:
                chosen = live
                live += 1
            else:
                chosen = packs % open_packs  # the oldest open pack is closed
            number[chosen] = packs
            used[chosen] = 0.0
            packs += 1
        pack_of[sample] = number[chosen]
        held[number[chosen]] += 1
        used[chosen] += costs[sample]
    return pack_of, held[:packs].copy()


@kernel("Tuple((float64, int64[:]))(int64[:], float64[:], int64[:], int64, int64)")
def most_valuable_pack(
    lengths: NDArray[np.int64],
    values: NDArray[np.float64],
    at_most: NDArray[np.int64],
    capacity: int,
    max_per_pack: int,
) -> tuple[float, NDArray[np.int64]]:
    """The highest total value of one pack and how many samples of each length it takes.

    A bounded knapsack by dynamic programming over (samples used, capacity used); at most `at_most[i]`
    samples of `lengths[i]`, at most `max_per_pack` samples in all (0: any number, and then no such
    dimension).
    """
    counts = max_per_pack + 1 if max_per_pack > 0 else 1
    step = 1 if max_per_pack > 0 else 0
    kinds = lengths.size
    best = np.zeros((counts, capacity + 1))
    taken = np.zeros((kinds, counts, capacity + 1), np.int16)
    for kind in range(kinds):
        length = lengths[kind]
        value = values[kind]
        if value <= 0.0:
            continue
        # Downwards, in one table: the entries that are read below are still without this length.
        for used in range(counts - 1, -1, -1):
            for gap in range(capacity, length - 1, -1):
                most = min(at_most[kind], gap // length)
                if step == 1:
                    most = min(most, used)
                champion = best[used, gap]
                for copies in range(1, most + 1):
                    candidate = best[used - step * copies, gap - copies * length] + copies * value
                    # Above rounding errors: the same values added in another order must not count as a gain.
                    if candidate > champion + 1e-12:
                        champion = candidate
                        taken[kind, used, gap] = copies
                best[used, gap] = champion
    pack = np.zeros(kinds, np.int64)
    used = counts - 1
    gap = capacity
    for kind in range(kinds - 1, -1, -1):
        copies = taken[kind, used, gap]
        pack[kind] = copies
        used -= step * copies
        gap -= copies * lengths[kind]
    return best[counts - 1, capacity], pack
