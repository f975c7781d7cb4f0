"""Task schedules: the chairman assignment as a table, and earliest deadline first over a run of turns."""

from __future__ import annotations

import numpy as np

from .compile import inner, kernel
from .hashing import below, stream

__all__ = ["chairman", "earliest_deadline", "reorder"]


@inner
def _sooner(one, other, keys):
    return keys[one] < keys[other] or (keys[one] == keys[other] and one < other)


@inner
def _pushed(heap, size, item, keys):
    """Put an item on a heap ordered by key, then by number; returns the new size."""
    place = size
    while place > 0 and _sooner(item, heap[(place - 1) >> 1], keys):
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = item
    return size + 1


@inner
def _popped(heap, size, keys):
    """Take the first item off a heap; returns the new size."""
    size -= 1
    item, place = heap[size], 0
    while 2 * place + 1 < size:
        below = 2 * place + 1
        if below + 1 < size and _sooner(heap[below + 1], heap[below], keys):
            below += 1
        if not _sooner(heap[below], item, keys):
            break
        heap[place], place = heap[below], below
    heap[place] = item
    return size


@kernel("void(int64[::1], int64[::1], int64[::1])")
def chairman(weights, who, before):
    """Fill one period: turn t is that of task `who[t]`, which had `before[t]` turns since the period began.

    Tijdeman 1980, "The chairman assignment problem": of the tasks that are due (behind by 1 / (2n - 2) of a turn
    or more), the one that reaches the bound 1 - 1 / (2n - 2) first. After every turn each task is within it of its share.

    Args:
        weights: turns of each in a period, all above 0; their sum is the period, below 2^20.
        who, before: out; one entry a turn.
    """
    period, parts = who.size, max(1, 2 * weights.size - 2)
    had, opens, due = np.zeros((3, weights.size), np.int64)
    waiting, ready = np.empty((2, weights.size), np.int64)
    waiting_size = ready_size = 0
    for i in range(weights.size):
        opens[i] = _due_from(0, weights[i], parts, period)
        waiting_size = _pushed(waiting, waiting_size, i, opens)
    for turn in range(1, period + 1):
        while waiting_size > 0 and opens[waiting[0]] <= turn:
            i = waiting[0]
            waiting_size = _popped(waiting, waiting_size, opens)
            due[i] = ((had[i] + 1) * parts - 1) * period // (weights[i] * parts)
            ready_size = _pushed(ready, ready_size, i, due)
        i = ready[0]
        ready_size = _popped(ready, ready_size, due)
        who[turn - 1], before[turn - 1] = i, had[i]
        had[i] += 1
        opens[i] = _due_from(had[i], weights[i], parts, period)
        waiting_size = _pushed(waiting, waiting_size, i, opens)


@inner
def _due_from(had, weight, parts, period):
    """The first turn at which a task that has had `had` turns is 1 / parts of a turn behind its share."""
    return -(-period * (had * parts + 1) // (weight * parts))


@kernel("void(int64[:,::1], int64, int64[::1], int32[::1], int32[::1], int64[::1])")
def earliest_deadline(spacing, end, left, who, before, had):
    """Assign a run of slots to tasks by earliest deadline first; the j-th turn of a task has an interval of turns.

    A row of `spacing` is a sequence of evenly spaced moments: (quotient, remainder, step, step's remainder, divisor) stand
    for (quotient + remainder / divisor) + k * (step + step's remainder / divisor), k = 0, 1, ... A job of a party may be
    done from the turn after one of its moments on and until the turn that the next one falls into; a slot is the turn
    after a moment of the last row. Turns are counted from the beginning of the stretch, 1 the first.

    Args:
        spacing: (parties + 1, 5): a row a party and that of the slots. Changed.
        end: no deadline is later than this turn.
        left: the most jobs of each party. Changed.
        who, before: out; the party of each slot, and how many slots of the stretch it had before.
        had: out; how many slots each party had in all.
    """
    parties = had.size
    opens, due = np.empty(parties, np.int64), np.empty(parties, np.int64)
    waiting, ready = np.empty(parties, np.int64), np.empty(parties, np.int64)
    waiting_size = ready_size = 0
    for i in range(parties):
        had[i], opens[i] = 0, spacing[i, 0] + 1
        if left[i] > 0:
            waiting_size = _pushed(waiting, waiting_size, i, opens)
    for slot in range(who.size):
        turn = spacing[parties, 0] + 1
        _advance(spacing, parties)
        while waiting_size > 0 and opens[waiting[0]] <= turn:
            i = waiting[0]
            waiting_size = _popped(waiting, waiting_size, opens)
            _advance(spacing, i)
            due[i] = min(end, spacing[i, 0] + (spacing[i, 1] > 0))
            ready_size = _pushed(ready, ready_size, i, due)
        i = ready[0]
        ready_size = _popped(ready, ready_size, due)
        who[slot], before[slot] = i, had[i]
        had[i] += 1
        left[i] -= 1
        opens[i] = spacing[i, 0] + 1
        if left[i] > 0:
            waiting_size = _pushed(waiting, waiting_size, i, opens)


@inner
def _advance(spacing, row):
    """Go on to the next moment of a row."""
    spacing[row, 0] += spacing[row, 2]
    spacing[row, 1] += spacing[row, 3]
    if spacing[row, 1] >= spacing[row, 4]:
        spacing[row, 1] -= spacing[row, 4]
        spacing[row, 0] += 1


@kernel("void(int64[::1], int64[::1], int64[::1], int64, int64, uint64)")
def reorder(who, first, last, attempts, farthest, key):
    """Shuffle the turns of a stretch, each within its interval.

    Each place is tried `attempts` times: a random other place in the interval of its turn is drawn. The two turns are
    swapped, or the turn moves there and those between move by one, if all of them stay in their intervals.

    Args:
        who: in and out; the task of each turn.
        first, last: in and out; the first and the last place that the turn may have, within the stretch.
        attempts: how often each place is tried.
        farthest: turns at least so far apart are swapped or left.
        key: of the hash.
    """
    number = np.uint64(0)
    for _ in range(attempts):
        for place in range(who.size):
            number += np.uint64(1)
            room = np.uint64(last[place] - first[place] + 1)
            other = first[place] + np.int64(below(stream(key, number), room))
            if who[other] == who[place]:
                continue
            if first[other] <= place <= last[other]:
                who[place], who[other] = who[other], who[place]
                first[place], first[other] = first[other], first[place]
                last[place], last[other] = last[other], last[place]
                continue
            step = 1 if other > place else -1
            if abs(other - place) >= farthest:
                continue
            fits, between = True, place
            while between != other and fits:
                between += step
                fits = first[between] <= between - step <= last[between]
            if not fits:
                continue
            moved, earliest, latest = who[place], first[place], last[place]
            between = place
            while between != other:
                who[between] = who[between + step]
                first[between], last[between] = first[between + step], last[between + step]
                between += step
            who[other], first[other], last[other] = moved, earliest, latest
