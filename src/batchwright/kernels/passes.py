"""Which sample of its group a draw is: whole passes, each a fresh permutation, with a seam no batch can feel.

Draw k of a group of n samples is entry `k mod n` of pass `k div n`. Every pass is a bijection, so after any number of
draws each sample came floor or ceil of its even share (guarantee G4).

A batch that straddles two passes must not hold a sample twice (G5). Let `wide` be one less than the most draws a batch
takes. The last `wide` entries of a pass are never touched; of the pass after it, the first `wide` entries that repeat one
of them change places, in order, with the first entries behind them that do not. With n >= 3 * wide there are always
enough, all within the first 2 * wide entries. A smaller group has one order that it repeats: then any n consecutive
draws are distinct anyway.
"""

from __future__ import annotations

import numpy as np

from .compile import inner, kernel
from .hashing import stream
from .permute import TABLE_LIMIT, fill_table, permute_run, radices, split, unpermute_run

__all__ = ["draw_run", "draws", "part_from_previous"]

_ONE = np.uint64(1)


@inner
def part_from_previous(head, repeats, wide):
    """Swap each repeating entry of the first `wide` with the next entry behind them that does not repeat."""
    free = wide
    for i in range(wide):
        if repeats[i]:
            while repeats[free]:
                free += 1
            head[i], head[free] = head[free], head[i]
            free += 1


@inner
def _lay_out(first, count, n, wide, left, right, before, here, head, behind, repeats, highs, lows):
    """Entries first..first+count-1 of a pass into `head`, and which of them are among the last `wide` of the pass before.

    Returns how many entries are laid out, and how many of these `count` repeat.
    """
    size = np.uint64(n)
    permute_run(head[first:], first, count, size, left, right, here, highs, lows)
    unpermute_run(head[first:], behind, count, size, left, right, before, highs, lows)
    repeating = 0
    for i in range(count):
        repeats[first + i] = behind[i] >= n - wide
        repeating += repeats[first + i]
    return first + count, repeating


@inner
def draw_run(run, first, count, n, wide, left, right, key, head, behind, repeats, highs, lows):
    """Write the places in the group (0..n-1) of its draws first..first+count-1 into `run[:count]`.

    `left, right = radices(n)`; `head`, `behind`, `repeats`, `highs` and `lows` are scratch of at least max(64, 2 * wide)
    entries, the last two also of at least `count`.
    """
    done = 0
    parted = wide > 0 and 3 * wide <= n
    size = np.uint64(n)
    while done < count:
        trip, start = split(first + done, n)
        stop = min(n, start + count - done)
        if wide > 0 and not parted:
            trip = 0
        here = stream(key, trip)
        seam = parted and trip > 0 and start < 2 * wide
        before = stream(key, trip - 1) if seam else here
        if n < TABLE_LIMIT:
            if seam:
                fill_table(head, n, before)
                tail = np.uint64(0)
                for i in range(n - wide, n):
                    tail |= _ONE << np.uint64(head[i])
                fill_table(head, n, here)
                for i in range(2 * wide):
                    repeats[i] = (tail >> np.uint64(head[i])) & _ONE
                part_from_previous(head, repeats, wide)
            else:
                fill_table(head, n, here)
            for i in range(start, stop):
                run[done] = head[i]
                done += 1
            continue
        if seam:
            # the first `wide`, then as many again that do not repeat, and no more: few repeat, and each entry costs
            laid, repeating, more = 0, 0, wide
            while more > 0:
                first_ones = laid == 0
                laid, again = _lay_out(
                    laid, more, n, wide, left, right, before, here, head, behind, repeats, highs, lows
                )
                repeating = again if first_ones else repeating - (more - again)
                more = min(repeating + repeating // 4 + 8, 2 * wide - laid) if repeating > 0 else 0
            part_from_previous(head, repeats, wide)
            while start < min(stop, laid):
                run[done] = head[start]
                done += 1
                start += 1
        permute_run(run[done:], start, stop - start, size, left, right, here, highs, lows)
        done += stop - start


@kernel("void(int64[::1], int64, int64, int64, uint64)")
def draws(run, first, n, wide, key):
    """The places in a group of n samples of its draws first..first+run.size-1, under the group's `key`."""
    scratch = max(TABLE_LIMIT, 2 * wide if 3 * wide <= n else 0)
    left, right = radices(np.uint64(n))
    head, behind, repeats = np.empty(scratch, np.int64), np.empty(scratch, np.int64), np.empty(scratch, np.uint8)
    scratch = max(scratch, run.size)
    highs, lows = np.empty(scratch, np.uint64), np.empty(scratch, np.uint64)
    draw_run(run, first, run.size, n, wide, left, right, key, head, behind, repeats, highs, lows)
