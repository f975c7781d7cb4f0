"""Task schedules: the chairman assignment as a table, and earliest deadline first over consecutive turns."""

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
def chairman(weights, task_at, before):
    """Fill one period: turn t is that of task `task_at[t]`, which had `before[t]` turns since the period began.

    Tijdeman 1980, "The chairman assignment problem": of the tasks that are due (behind by 1 / (2n - 2) of a turn
    or more), the one that reaches the bound 1 - 1 / (2n - 2) first. After every turn each task is within it of its
    share.

    Args:
        weights: turns of each in a period, all above 0; their sum is the period, below 2^20.
        task_at, before: out; one entry for each turn.
    """
    period, parts = task_at.size, max(1, 2 * weights.size - 2)
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
            # After this turn its share would be more than 1 - 1 / parts of a turn ahead of it. All products stay below
            # 2^63.
            due[i] = ((had[i] + 1) * parts - 1) * period // (weights[i] * parts)
            ready_size = _pushed(ready, ready_size, i, due)
        i = ready[0]
        ready_size = _popped(ready, ready_size, due)
        task_at[turn - 1], before[turn - 1] = i, had[i]
        had[i] += 1
        opens[i] = _due_from(had[i], weights[i], parts, period)
        waiting_size = _pushed(waiting, waiting_size, i, opens)


@inner
def _due_from(had, weight, parts, period):
    """The first turn at which a task that has had `had` turns is 1 / parts of a turn behind its share."""
    return -(-period * (had * parts + 1) // (weight * parts))


@kernel("void(int64[:,::1], int64, int64[::1], int32[::1], int32[::1], int64[::1])")
def earliest_deadline(spacing, end, left, task_at, before, had):
    """Assign consecutive slots to tasks by earliest deadline first; the j-th turn of a task has an interval of turns.

    A row of `spacing` is a sequence of evenly spaced moments: (quotient, remainder, step, step's remainder, divisor)
    stand for (quotient + remainder / divisor) + k * (step + step's remainder / divisor), k = 0, 1, ... A task
    may have its turn from the turn after one of its moments until the turn that contains its next moment; a slot is the
    turn after a moment of the last row. Turns are counted from the first of this call, which is 1.

    Args:
        spacing: int64 (tasks + 1, 5): a row for each task and one of the slots. Changed.
        end: no deadline is later than this turn.
        left: int64 (tasks,): the most turns of each task. Changed.
        task_at, before: out; the task of each slot, and how many of these slots it had before.
        had: out; how many slots each task had in all.
    """
    tasks = had.size
    opens, due = np.empty(tasks, np.int64), np.empty(tasks, np.int64)
    waiting, ready = np.empty(tasks, np.int64), np.empty(tasks, np.int64)
    waiting_size = ready_size = 0
    for i in range(tasks):
        had[i], opens[i] = 0, spacing[i, 0] + 1
        if left[i] > 0:
            waiting_size = _pushed(waiting, waiting_size, i, opens)
    for slot in range(task_at.size):
        turn = spacing[tasks, 0] + 1
        _advance(spacing, tasks)
        while waiting_size > 0 and opens[waiting[0]] <= turn:
            i = waiting[0]
            waiting_size = _popped(waiting, waiting_size, opens)
            _advance(spacing, i)
            due[i] = min(end, spacing[i, 0] + (spacing[i, 1] > 0))
            ready_size = _pushed(ready, ready_size, i, due)
        i = ready[0]
        ready_size = _popped(ready, ready_size, due)
        task_at[slot], before[slot] = i, had[i]
        had[i] += 1
        left[i] -= 1
        opens[i] = spacing[i, 0] + 1
        if left[i] > 0:
            waiting_size = _pushed(waiting, waiting_size, i, opens)


@inner
def _advance(spacing, row):
    """Go on to the next moment of a row."""
    # A fraction as quotient and remainder: exact, where a float would drift over many turns.
    spacing[row, 0] += spacing[row, 2]
    spacing[row, 1] += spacing[row, 3]
    if spacing[row, 1] >= spacing[row, 4]:
        spacing[row, 1] -= spacing[row, 4]
        spacing[row, 0] += 1


@kernel("void(int64[::1], int64[::1], int64[::1], int64, int64, uint64)", allocates=False)
def reorder(task_at, first, last, attempts, farthest, key):
    """Shuffle consecutive turns, each within its interval.

    Each place is tried `attempts` times: a random other place in the interval of its turn is drawn. The two turns are
    swapped, or the turn moves there and those between move by one, if all of them stay in their intervals.

    Args:
        task_at: in and out; the task of each turn.
        first, last: in and out; the first and the last place that the turn may have, among these turns.
        attempts: how often each place is tried.
        farthest: turns at least so far apart are swapped or left.
        key: of the hash.
    """
    number = np.uint64(0)
    for _ in range(attempts):
        for place in range(task_at.size):
            number += np.uint64(1)
            choices = np.uint64(last[place] - first[place] + 1)
            other = first[place] + np.int64(below(stream(key, number), choices))
            if task_at[other] == task_at[place]:
                continue
            if first[other] <= place <= last[other]:
                task_at[place], task_at[other] = task_at[other], task_at[place]
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
            moved, earliest, latest = task_at[place], first[place], last[place]
            between = place
            while between != other:
                task_at[between] = task_at[between + step]
                first[between], last[between] = first[between + step], last[between + step]
                between += step
            task_at[other], first[other], last[other] = moved, earliest, latest
