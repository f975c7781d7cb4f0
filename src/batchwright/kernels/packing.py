"""Packs samples by distinct lengths: all packs that hold the same lengths are one row of a table.

A *stack* is a number of packs that hold the same lengths. It has the stack that it was made from, and the length that
was added. Millions of samples make a few thousand stacks, so the time depends on the number of distinct lengths, not of
samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .array_types import Floats, Integers
from .compile import allocating, inner, kernel
from .open_gaps import LEVELS, MOST_BITS, bitmap, clear_bit, close_gap, least_bit, least_gap, open_gap, set_bit

__all__ = [
    "COPIES",
    "best_fit_decreasing",
    "best_fit_vectors",
    "fill_packs",
    "most_valuable_pack",
    "next_fit",
    "stack_contents",
]


PARENT, LENGTH, COPIES, GAP, SAMPLES, BELOW = range(6)  # columns of the table of stacks


@allocating
def _doubled(table: NDArray[Any]) -> NDArray[Any]:
    """The table with room for twice as many rows."""
    larger = np.empty((2 * table.shape[0], table.shape[1]), table.dtype)
    larger[: table.shape[0]] = table
    return larger


@inner
def _add(
    table: Integers, row: int, below: int, number: int, length: int, left: int, gap: int, most_samples: int
) -> int:
    """Write the stack that samples of one length make, added to the stack `below` or to new packs (-1); its packs.

    `left` samples of this length are left, and `gap` is the room of the packs that they are added to.
    """
    samples = table[below, SAMPLES] if below >= 0 else 0
    # Sample by sample, the pack chosen last would stay the one with the smallest gap. So it is filled with this length
    # at once.
    each = min(gap // length, most_samples - samples)
    copies = max(left // each, 1)
    if below >= 0:
        copies = min(copies, table[below, COPIES])
        table[below, COPIES] -= copies
    table[row, PARENT] = below
    table[row, LENGTH] = number
    table[row, COPIES] = copies
    table[row, GAP] = gap - length
    table[row, SAMPLES] = samples + 1
    table[row, BELOW] = -1
    return copies


def best_fit_decreasing(lengths: Integers, counts: Integers, capacity: int, most_samples: int) -> Integers:
    """Pack `counts[i]` samples of `lengths[i]`, longest first, each into the smallest gap in which it fits.

    Lengths are distinct, ascending, and at most `capacity`. Returns the table of stacks, one a row: parent row
    (or -1), the number of the length that was added, packs that ended there, gap left, samples held, and a column that is
    only used here. This is best-fit decreasing (Johnson 1973), all samples of a length at once; Krell et al.
    (2021) pack histograms much like it. At most `most_samples` share a pack.
    """
    if capacity <= MOST_BITS:
        return _with_bitmap(lengths, counts, capacity, most_samples)
    return _with_list(lengths, counts, capacity, most_samples)


@kernel("int64[:, :](int64[:], int64[:], int64, int64)")
def _with_bitmap(lengths: Integers, counts: Integers, capacity: int, most_samples: int) -> Integers:
    """`best_fit_decreasing`, finding gaps in a bitmap of all possible gaps."""
    table = np.empty((1024, 6), np.int64)
    words, starts = bitmap(capacity + 1)
    newest = np.empty(capacity + 1, np.int32)  # of an open gap, the stack that was opened last
    rows = 0
    for number in range(lengths.size - 1, -1, -1):
        length = lengths[number]
        left = counts[number]
        while left > 0:
            if rows == table.shape[0]:
                table = _doubled(table)
            gap, _ = least_bit(length, words, starts)
            stack = int(newest[gap]) if gap >= 0 else -1
            left -= _add(table, rows, stack, number, length, left, gap if stack >= 0 else capacity, most_samples)
            if stack >= 0 and table[stack, COPIES] == 0:
                newest[gap] = table[stack, BELOW]
                if table[stack, BELOW] < 0:
                    clear_bit(gap, words, starts)
            rest = table[rows, GAP]
            if table[rows, SAMPLES] < most_samples and rest > 0:
                if set_bit(rest, words, starts):
                    table[rows, BELOW] = newest[rest]
                newest[rest] = rows
            rows += 1
    return table[:rows].copy()


@kernel("int64[:, :](int64[:], int64[:], int64, int64)")
def _with_list(lengths: Integers, counts: Integers, capacity: int, most_samples: int) -> Integers:
    """`best_fit_decreasing`, finding gaps in a skip list of those that are open."""
    table = np.empty((1024, 6), np.int64)
    links = np.empty((1024, LEVELS), np.int32)
    newest = np.empty((1024, 1), np.int32)  # of the gap that a row opened, the stack that was opened last
    head = np.full(LEVELS, -1, np.int32)
    before = np.empty(LEVELS, np.int32)
    rows = 0
    for number in range(lengths.size - 1, -1, -1):
        length = lengths[number]
        left = counts[number]
        while left > 0:
            if rows == table.shape[0]:
                table, links, newest = _doubled(table), _doubled(links), _doubled(newest)
            found = least_gap(length, table[:, GAP], links, head, before)
            stack = int(newest[found, 0]) if found >= 0 else -1
            gap = table[stack, GAP] if stack >= 0 else capacity
            left -= _add(table, rows, stack, number, length, left, gap, most_samples)
            if stack >= 0 and table[stack, COPIES] == 0:
                newest[found, 0] = table[stack, BELOW]
                if table[stack, BELOW] < 0:
                    close_gap(found, links, head, before)
            rest = table[rows, GAP]
            if table[rows, SAMPLES] < most_samples and rest > 0:
                same = least_gap(rest, table[:, GAP], links, head, before)
                if same >= 0 and table[same, GAP] == rest:
                    table[rows, BELOW] = newest[same, 0]
                    newest[same, 0] = rows
                else:
                    open_gap(rows, links, head, before)
                    newest[rows, 0] = rows
            rows += 1
    return table[:rows].copy()


@kernel("Tuple((int64[:], int64[:]))(int64[:, :], int64[:], int64[:])")
def fill_packs(table: Integers, places: Integers, starts: Integers) -> tuple[Integers, Integers]:
    """Put samples into the packs of a table: pack p holds `members[offsets[p]:offsets[p + 1]]`, longest first.

    `places` are the samples sorted by length, `starts` says where each length starts. A pack takes the next samples of
    each length.
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
            number = table[stack, LENGTH]
            start = free[number]
            for copy in range(copies):
                members[at + copy * samples + slot] = places[start + copy]
            free[number] = start + copies
            stack = table[stack, PARENT]
        for _ in range(copies):
            offsets[pack + 1] = offsets[pack] + samples
            pack += 1
        at += copies * samples
    return members, offsets


@kernel("Tuple((int64[:, :], int64[:]))(int64[:, :], int64)")
def stack_contents(table: Integers, distinct: int) -> tuple[Integers, Integers]:
    """For each stack with packs, the number of samples of each length in a pack, and the number of packs."""
    stacks = 0
    for row in range(table.shape[0]):
        stacks += table[row, COPIES] > 0
    contents = np.zeros((stacks, distinct), np.int64)
    copies = np.empty(stacks, np.int64)
    at = 0
    for row in range(table.shape[0]):
        if table[row, COPIES] == 0:
            continue
        stack = row
        while stack >= 0:
            contents[at, table[stack, LENGTH]] += 1
            stack = table[stack, PARENT]
        copies[at] = table[row, COPIES]
        at += 1
    return contents, copies


@kernel("Tuple((int64[:], int64[:]))(float64[:, :], float64[:], int64)")
def best_fit_vectors(costs: Floats, capacities: Floats, most_samples: int) -> tuple[Integers, Integers]:
    """Pack samples of several costs, in the order given, each into the fullest pack in which it fits.

    Fullest means the largest sum of used fractions of the capacities. Only the last 512 open packs are tried, so that the
    time grows in proportion to the samples; 512 was chosen by trial. Returns the pack of each sample and the number of
    samples of each pack.
    """
    samples, measures = costs.shape
    open_packs = 512
    used = np.zeros((open_packs, measures))
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
            fraction = 0.0
            for measure in range(measures):
                if used[slot, measure] + costs[sample, measure] > capacities[measure]:
                    fraction = -1.0
                    break
                fraction += used[slot, measure] / capacities[measure]
            if fraction > fullest:
                fullest = fraction
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


@kernel("int64[:](int64[:, :], int64[:], int64)")
def next_fit(lengths: Integers, capacities: Integers, most_samples: int) -> Integers:
    """Where packs start that each take what fits, in the order of the samples, and where the last ends.

    A sample that does not fit alone has a pack of its own.
    """
    samples, measures = lengths.shape
    offsets = np.empty(samples + 1, np.int64)
    offsets[0] = 0
    used = np.zeros(measures, np.int64)
    packs = 0
    for sample in range(samples):
        held = sample - offsets[packs]
        fits = held < most_samples
        for measure in range(measures):
            fits = fits and used[measure] + lengths[sample, measure] <= capacities[measure]
        if held > 0 and not fits:
            packs += 1
            offsets[packs] = sample
            used[:] = 0
        used += lengths[sample]
    if samples > 0:
        packs += 1
    offsets[packs] = samples
    return offsets[: packs + 1].copy()


@kernel("Tuple((float64, int64[:]))(int64[:], float64[:], int64[:], int64, int64)")
def most_valuable_pack(
    lengths: Integers,
    values: Floats,
    at_most: Integers,
    capacity: int,
    max_per_pack: int,
) -> tuple[float, Integers]:
    """The highest total value of one pack and how many samples of each length it takes.

    A bounded knapsack by dynamic programming over (samples used, capacity used); at most `at_most[i]`
    samples of `lengths[i]`, at most `max_per_pack` samples in all (0: any number, and then no such
    dimension).
    """
    counts = max_per_pack + 1 if max_per_pack > 0 else 1
    step = 1 if max_per_pack > 0 else 0
    distinct = lengths.size
    best = np.zeros((counts, capacity + 1))
    taken = np.zeros((distinct, counts, capacity + 1), np.int16)
    for number in range(distinct):
        length = lengths[number]
        value = values[number]
        if value <= 0.0:
            continue
        # Downwards, in one table: the entries that are read below are still without this length.
        for used in range(counts - 1, -1, -1):
            for gap in range(capacity, length - 1, -1):
                most = min(at_most[number], gap // length)
                if step == 1:
                    most = min(most, used)
                champion = best[used, gap]
                for copies in range(1, most + 1):
                    candidate = best[used - step * copies, gap - copies * length] + copies * value
                    # Above rounding errors: the same values added in another order must not count as a gain.
                    if candidate > champion + 1e-12:
                        champion = candidate
                        taken[number, used, gap] = copies
                best[used, gap] = champion
    pack = np.zeros(distinct, np.int64)
    used = counts - 1
    gap = capacity
    for number in range(distinct - 1, -1, -1):
        copies = taken[number, used, gap]
        pack[number] = copies
        used -= step * copies
        gap -= copies * lengths[number]
    return best[counts - 1, capacity], pack
