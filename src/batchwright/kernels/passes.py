"""Finds the sample of a draw: passes through the group, each a new permutation; no batch repeats a sample where two meet.

Draw k of a group of n samples is entry `k mod n` of pass `k div n`. Every pass is a bijection, so after any number of
draws each sample came floor or ceil of its even share (guarantee G4).

A batch that takes from two passes must not hold a sample twice (G5). Let `wide` be one less than the most draws a batch
takes. The last `wide` entries of a pass are never changed. Of the next pass, those of the first `wide` entries that
repeat one of them are swapped, in order, with the first later entries that do not. With n >= 3 * wide there are always
enough of these, all within the first 2 * wide entries. A smaller group repeats one order: then any n consecutive draws
are distinct.
"""

from __future__ import annotations

import numpy as np

from .compile import allocating, inner, kernel
from .hashing import stream
from .permutation import TABLE_LIMIT, fast_divmod, fill_table, permute, permute_range, radices, unpermute

__all__ = ["draw_run", "draws", "part_from_previous", "small_pass"]

_ONE = np.uint64(1)
_LONG = 32  # points of one pass from which on permuting them together is faster


@inner
def part_from_previous(head, repeats, wide):
    """Swap each entry of the first `wide` that repeats with the next later entry that does not."""
    free = wide
    for i in range(wide):
        if repeats[i]:
            # One is always found: at most `wide` of the first 2 * wide entries were among the last `wide` draws.
            while repeats[free]:
                free += 1
            head[i], head[free] = head[free], head[i]
            free += 1


@inner
def small_pass(table, repeats, n, wide, joined, key):
    """Write a pass over n < 64 samples into `table`; `joined` says that the table holds the pass before it, to part from."""
    tail = np.uint64(0)
    if joined:  # the last samples of the pass before, one bit each
        for i in range(n - wide, n):
            tail |= _ONE << np.uint64(table[i])
    fill_table(table, n, key)
    if joined:
        for i in range(2 * wide):
            repeats[i] = (tail >> np.uint64(table[i])) & _ONE
        part_from_previous(table, repeats, wide)


@allocating
def draw_run(run, first, count, n, wide, left, right, key, head, repeats):
    """Write the places in the group (0..n-1) of its draws first..first+count-1 into `run[:count]`.

    `left, right = radices(n)`; `head` and `repeats` are scratch of at least max(64, 2 * wide) entries.
    """
    done = 0
    # The swaps change the first 2 * wide draws of a pass and must not reach its last `wide`, which the next pass reads.
    parted = wide > 0 and 3 * wide <= n
    size = np.uint64(n)
    while done < count:
        pass_number, start = fast_divmod(first + done, n)
        stop = min(n, start + count - done)
        if wide > 0 and not parted:
            # Too few samples to separate passes: all passes have one order, so a sample comes again after exactly n
            # draws.
            pass_number = 0
        here = stream(key, pass_number)
        joined = parted and pass_number > 0 and start < 2 * wide
        before = stream(key, pass_number - 1) if joined else here
        if n < TABLE_LIMIT:
            if joined:
                fill_table(head, n, before)
            small_pass(head, repeats, n, wide, joined, here)
            for i in range(start, stop):
                run[done] = head[i]
                done += 1
            continue
        if joined:  # as `part_from_previous`, but later entries are looked at only where one is needed
            free = wide
            for i in range(min(wide, stop)):
                head[i] = np.int64(permute(np.uint64(i), size, left, right, here))
                if np.int64(unpermute(np.uint64(head[i]), size, left, right, before)) < n - wide:
                    continue
                repeating = head[i]
                while True:
                    image = permute(np.uint64(free), size, left, right, here)
                    head[free] = np.int64(image)
                    free += 1
                    if np.int64(unpermute(image, size, left, right, before)) < n - wide:
                        break
                head[i], head[free - 1] = head[free - 1], repeating
            while start < min(stop, free):
                run[done] = head[start]
                done += 1
                start += 1
        if stop - start >= _LONG:
            permute_range(start, stop, size, left, right, here, run[done : done + stop - start])
            done += stop - start
            continue
        for i in range(start, stop):
            run[done] = np.int64(permute(np.uint64(i), size, left, right, here))
            done += 1


@kernel("void(int64[::1], int64, int64, int64, uint64)")
def draws(run, first, n, wide, key):
    """The places in a group of n samples of its draws first..first+run.size-1, under the group's `key`."""
    scratch = max(TABLE_LIMIT, 2 * wide if 3 * wide <= n else 0)
    left, right = radices(np.uint64(n))
    draw_run(run, first, run.size, n, wide, left, right, key, np.empty(scratch, np.int64), np.empty(scratch, np.uint8))
