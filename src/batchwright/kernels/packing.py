"""Packing by distinct lengths: all packs that hold the same lengths are one row.

A *stack* is a number of packs that hold the same lengths; it knows the stack it was made from and the
length that was added. Millions of samples make a few thousand stacks, so a whole corpus packs in the time
of its distinct lengths, however long they are.
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

_LEVELS = 9  # of the list of open gaps: one gap in four of a level is in the next, so that it serves 4^9 gaps
_LAST = _LEVELS  # column of the links: of a gap, the stack that was opened last


@inner
def _grown(table: NDArray[Any], rows: int) -> NDArray[Any]:
    """The table, grown if it has no place for another row."""
    if rows < table.shape[0]:
        return table
    larger = np.empty((2 * table.shape[0], table.shape[1]), table.dtype)
    larger[:rows] = table
    return larger


@inner
def _least_gap(gap: int, table: Integers, links: Links, head: Links, before: Links) -> int:
    """The row that stands for the least open gap of `gap` or more, -1 for none; `before` becomes those ahead of it.

    Open gaps are a skip list (Pugh 1990): each is in the list of level 0, and in some of the levels above.
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
    """Put a gap into the list, behind those of `before`."""
    word = np.uint64(row) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)  # its levels: as good as random
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
    """Pack `counts[kind]` samples of `lengths[kind]`, longest first, each into the smallest gap that holds it.

    Lengths are distinct, ascending, and at most `capacity`. Returns the table of stacks, one a row: parent row
    (or -1), the kind of length added, copies that ended there, gap left, samples held, and a column of no
    further use. This is best-fit decreasing (Johnson 1973), all samples of a length at once; Krell et al.
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
            room = table[stack, GAP] if stack >= 0 else capacity
            samples = table[stack, SAMPLES] if stack >= 0 else 0
            # One sample at a time, a pack once chosen stays the tightest: it is filled with this length.
            each = min(room // length, most_samples - samples)
            copies = max(left // each, 1)
            if stack >= 0:
                copies = min(copies, table[stack, COPIES])
                table[stack, COPIES] -= copies
                if table[stack, COPIES] == 0:
                    links[tightest, _LAST] = table[stack, BELOW]
                    if table[stack, BELOW] < 0:
                        _close(tightest, links, head, before)
            samples += 1
            rest = room - length
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
    """Places sorted by length, stable, and where each length begins: a counting sort."""
    begin = np.zeros(longest + 2, np.int64)
    for place in range(lengths.size):
        begin[lengths[place] + 1] += 1
    for length in range(longest + 1):
        begin[length + 1] += begin[length]
    free = begin.copy()
    places = np.empty(lengths.size, np.int64)
    for place in range(lengths.size):
        length = lengths[place]
        places[free[length]] = place
        free[length] += 1
    return places, begin


@kernel("Tuple((int64[:], int64[:]))(int64[:, :], int64[:], int64[:])")
def fill_packs(table: Integers, places: Integers, begin: Integers) -> tuple[Integers, Integers]:
    """Name the samples of the packs: pack p holds `members[offsets[p]:offsets[p + 1]]`, longest first.

    `places` holds the samples sorted by length and `begin` where each kind of length begins: a pack takes the
    next of each.
    """
    packs = 0
    total = 0
    for row in range(table.shape[0]):
        packs += table[row, COPIES]
        total += table[row, COPIES] * table[row, SAMPLES]
    members = np.empty(total, np.int64)
    offsets = np.empty(packs + 1, np.int64)
    offsets[0] = 0
    free = begin.copy()
    pack = 0
    at = 0
    for row in range(table.shape[0]):
        copies = table[row, COPIES]
        if copies == 0:
            continue
        samples = table[row, SAMPLES]
        stack = row
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
    """What a pack of each stack that has any holds, as counts by kind of length, and the number of such packs."""
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
    """Pack samples of several costs, in the order given, each into the fullest pack that holds it.

    Fullest means the largest sum of used shares. Only the last 512 open packs are looked at, so that the
    time stays linear. Returns the pack of each sample and the number of samples of each pack.
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
    layers = max_per_pack + 1 if max_per_pack > 0 else 1
    step = 1 if max_per_pack > 0 else 0
    kinds = lengths.size
    best = np.zeros((layers, capacity + 1))
    taken = np.zeros((kinds, layers, capacity + 1), np.int16)
    for kind in range(kinds):
        length = lengths[kind]
        value = values[kind]
        if value <= 0.0:
            continue
        for layer in range(layers - 1, -1, -1):
            for room in range(capacity, length - 1, -1):
                most = min(at_most[kind], room // length)
                if step == 1:
                    most = min(most, layer)
                champion = best[layer, room]
                for copies in range(1, most + 1):
                    candidate = best[layer - step * copies, room - copies * length] + copies * value
                    if candidate > champion + 1e-12:
                        champion = candidate
                        taken[kind, layer, room] = copies
                best[layer, room] = champion
    pack = np.zeros(kinds, np.int64)
    layer = layers - 1
    room = capacity
    for kind in range(kinds - 1, -1, -1):
        copies = taken[kind, layer, room]
        pack[kind] = copies
        layer -= step * copies
        room -= copies * lengths[kind]
    return best[layers - 1, capacity], pack
