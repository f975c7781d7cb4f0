"""The buffer of a balanced stream: samples enter the queues of their groups, and the slots of a batch take them out.

A group is a row of `groups`; the fields that each sample needs are adjacent, so that thousands of groups fit into the first
cache of a processor. A sample is stored under the number of a *place*. A queue is a linked list of places in `link`. Places
without a sample are on the stack `free`. Place 0 never has a sample and means "not kept".

A batch is planned first: a group for each slot. If that group has no sample, the slot goes to the group that is
furthest behind its plan, measured in batches. Balances count such slots, as in deficit round robin (Shreedhar and Varghese
1995): they sum to 0, and none is below `-MOST_DEFICIT`. A group with a positive balance gives its next slots to groups with
a deficit as soon as these have samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .array_types import Floats, Integers
from .compile import inner, kernel
from .hashing import below, child
from .heap import raise_up, sink

__all__ = ["COUNTERS", "FIELDS", "arrive", "serve", "trim"]

Short = NDArray[np.int32]

# The fields of a group; the first eight, 64 bytes, are one line of a cache, and each sample needs only these.
HEAD, TAIL, COUNT, ROOM, BALANCE, SEEN, POOL, POOL_ROOM = range(8)
# BYTES in the queue; LARGEST seen; GIVEN_UP: SEEN when waiting ended; slots PAID back in batch PAID_IN; slots HAD
LISTED, IN_DEFICIT, BYTES, LARGEST, GIVEN_UP, PAID_IN, PAID, HAD = range(8, 16)
FIELDS = 16

# FREE places; the LEAST there were; FRESH groups with samples and not in the heap yet; groups in the HEAP; QUEUED for slots
# they lack, from FIRST on; slots WRITTEN_OFF; random words DRAWN; bytes HELD of at most LIMIT (below 0: any); the LAST_LARGE
# group that lost a sample, since these take turns; MOST_DEFICIT
FREE, LEAST, FRESH, HEAP, FIRST, QUEUED, WRITTEN_OFF, DRAWN, HELD, LIMIT, LAST_LARGE, MOST_DEFICIT = range(12)
# of the stream: REMEMBERS or not; of the batch being served: its NUMBER, the slot it is AT, the group PENDING there, whether
# reading for it was TRIED, slots given AWAY and REPEATS; and of the stream: whether it WAITS for who is due
REMEMBERS, NUMBER, AT, PENDING, TRIED, AWAY, REPEATS, WAITS = range(12, 20)
COUNTERS = 20

DONE, SHORT, STARVED, OVER = range(4)  # what `serve` returns
_LOOK = 4  # groups in deficit examined for each slot that could pay one: it limits the work of a slot (chosen by trial)


@inner
def _take(groups: Integers, group: int, link: Short, free: Short, sizes: Integers, counters: Integers) -> int:
    """Remove the oldest sample of a group from its queue; returns its place."""
    place: int = groups[group, HEAD]
    groups[group, HEAD] = link[place]
    groups[group, COUNT] -= 1
    free[counters[FREE]] = place
    counters[FREE] += 1
    if counters[LIMIT] >= 0:
        groups[group, BYTES] -= sizes[place]
        counters[HELD] -= sizes[place]
    return place


@inner
def _is_large(groups: Integers, group: int, count: int, limit: int) -> bool:
    """Whether a group holds more than an equal part of the bytes; if the limit is exceeded, at least one group does."""
    return bool(groups[group, BYTES] * count > limit)


@kernel("void(int64[:, ::1], int64, int32[::1], int32[::1], int64[::1], int64[::1])", allocates=False)
def trim(groups: Integers, count: int, link: Short, free: Short, sizes: Integers, counters: Integers) -> None:
    """Drop the oldest samples of every queue that is longer than ROOM."""
    for group in range(count):
        while groups[group, COUNT] > groups[group, ROOM]:
            _take(groups, group, link, free, sizes, counters)


@inner
def _pool_entry(groups: Integers, group: int, counters: Integers, key: np.uint64) -> np.int64:
    """The entry for a new sample among those that its group remembers, or -1 if it is not remembered (algorithm R)."""
    entry: np.int64 = groups[group, POOL]
    if entry < groups[group, POOL_ROOM]:
        groups[group, POOL] += 1
        return entry
    word = child(key, np.uint64(counters[DRAWN]))
    entry = np.int64(below(word, np.uint64(groups[group, SEEN])))
    counters[DRAWN] += 1
    return entry if entry < groups[group, POOL_ROOM] else np.int64(-1)


@inner
def _append(groups: Integers, group: int, link: Short, free: Short, fresh: Short, counters: Integers) -> int:
    """Put a sample at the end of its group's queue; returns its place."""
    if groups[group, COUNT] == 0 and not groups[group, LISTED]:
        groups[group, LISTED] = 1
        fresh[counters[FRESH]] = group
        counters[FRESH] += 1
    counters[FREE] -= 1
    counters[LEAST] = min(counters[LEAST], counters[FREE])
    place: int = free[counters[FREE]]
    if groups[group, COUNT] == 0:
        groups[group, HEAD] = place
    else:
        link[groups[group, TAIL]] = place
    groups[group, TAIL] = place
    groups[group, COUNT] += 1
    return place


@inner
def _reuse(groups: Integers, group: int, link: Short, sizes: Integers, counters: Integers) -> int:
    """Drop the oldest sample of a full queue, and give its place to a new one at the end; returns the place."""
    place: int = groups[group, HEAD]
    if groups[group, COUNT] > 1:
        groups[group, HEAD] = link[place]
        link[groups[group, TAIL]] = place
        groups[group, TAIL] = place
    if counters[LIMIT] >= 0:
        groups[group, BYTES] -= sizes[place]
        counters[HELD] -= sizes[place]
    return place


@inner
def _large_group(groups: Integers, group: int, count: int, counters: Integers) -> int:
    """The group that loses a sample if there are too many bytes: the one that has just grown, or the next large one."""
    if _is_large(groups, group, count, counters[LIMIT]):
        return group
    large: int = counters[LAST_LARGE]
    while True:
        large = (large + 1) % count
        if _is_large(groups, large, count, counters[LIMIT]):
            counters[LAST_LARGE] = large
            return large


@kernel(
    "void(int64[:, ::1], int64, int32[::1], int32[::1], int64[::1], int32[::1], int64[::1], uint64, int64[::1], "
    "int64[::1], int64[:, ::1])",
    allocates=False,
)
def arrive(
    groups: Integers,
    count: int,
    link: Short,
    free: Short,
    sizes: Integers,
    fresh: Short,
    counters: Integers,
    key: np.uint64,
    numbers: Integers,
    weights: Integers,
    kept: Integers,
) -> None:
    """Put samples at the end of the queues of their groups; a full queue drops its oldest sample.

    What a group remembers is a uniform sample of all that it has seen (algorithm R; Vitter 1985). If bytes are limited and
    the limit is exceeded, the oldest sample is dropped of the group that has just grown, if it holds more than an equal part
    of the bytes; otherwise of the next group, in turn, that does.

    Args:
        groups: a row of fields for each group, int64 (groups, FIELDS).
        count: how many rows are in use.
        link, free, sizes: the place behind each place in its queue, the stack of free places, the bytes of each place.
        fresh: out; groups that got their first sample.
        counters: see `serve`.
        key: of random words.
        numbers: the group of each sample, int64 (samples,).
        weights: the bytes of each sample, int64 (samples,); not read if bytes are not limited.
        kept: out; the place of each sample, and its entry among those that its group remembers or -1, int64 (2, samples).
    """
    for i in range(numbers.size):
        group = numbers[i]
        groups[group, SEEN] += 1
        kept[0, i] = 0
        kept[1, i] = _pool_entry(groups, group, counters, key) if counters[REMEMBERS] else -1
        if groups[group, ROOM] == 0:
            continue
        if groups[group, COUNT] >= groups[group, ROOM]:  # as `_take` and `_append`, without touching the stack
            place = _reuse(groups, group, link, sizes, counters)
        else:
            place = _append(groups, group, link, free, fresh, counters)
        kept[0, i] = place
        if counters[LIMIT] < 0:
            continue
        sizes[place] = weights[i]
        groups[group, BYTES] += weights[i]
        counters[HELD] += weights[i]
        while counters[HELD] > counters[LIMIT]:
            _take(groups, _large_group(groups, group, count, counters), link, free, sizes, counters)


@inner
def _stand_in(
    groups: Integers, fresh: Short, heap: Short, priorities: Floats, batches_per_slot: Floats, counters: Integers
) -> int:
    """The group with samples that is furthest behind its plan, counted in batches; -1 if no group has samples.

    The heap has one entry for each listed group. A priority that has grown is updated only when the entry comes to the top:
    an update at each change would cost more, and an entry with a priority that is too low is found in time at the top.
    """
    for i in range(counters[FRESH]):
        size = counters[HEAP]
        heap[size] = fresh[i]
        priorities[size] = groups[fresh[i], BALANCE] * batches_per_slot[fresh[i]]
        raise_up(heap, priorities, size)
        counters[HEAP] += 1
    counters[FRESH] = 0
    while counters[HEAP] > 0:
        group: int = heap[0]
        if groups[group, COUNT] == 0:
            groups[group, LISTED] = 0
            counters[HEAP] -= 1
            heap[0], priorities[0] = heap[counters[HEAP]], priorities[counters[HEAP]]
        else:
            priority = groups[group, BALANCE] * batches_per_slot[group]
            if priorities[0] >= priority:
                return group
            priorities[0] = priority
        sink(heap, priorities, counters[HEAP])
    return -1


@inner
def _give_away(
    groups: Integers, in_deficit: Short, counters: Integers, short: int, stand_in: int, served: Integers
) -> None:
    """Record that a slot planned for group `short` goes to group `stand_in`."""
    served[2, counters[AWAY]] = short
    counters[AWAY] += 1
    if groups[short, BALANCE] <= -counters[MOST_DEFICIT]:
        counters[WRITTEN_OFF] += 1
        return
    groups[short, BALANCE] -= 1
    groups[stand_in, BALANCE] += 1
    if not groups[short, IN_DEFICIT]:
        groups[short, IN_DEFICIT] = 1
        in_deficit[(counters[FIRST] + counters[QUEUED]) % in_deficit.size] = short
        counters[QUEUED] += 1


@inner
def _payee(groups: Integers, in_deficit: Short, batches_per_slot: Floats, counters: Integers, payer: int) -> int:
    """The group that gets a slot of `payer`, which has had too many: a group in deficit that has samples, or `payer` itself.

    In one batch a group gets back at most as many slots as its plan has in a batch, but at least one.
    """
    for _ in range(min(_LOOK, counters[QUEUED])):
        group: int = in_deficit[counters[FIRST]]
        counters[FIRST] = (counters[FIRST] + 1) % in_deficit.size
        if groups[group, BALANCE] >= 0:  # paid back meanwhile
            groups[group, IN_DEFICIT] = 0
            counters[QUEUED] -= 1
            continue
        in_deficit[(counters[FIRST] + counters[QUEUED] - 1) % in_deficit.size] = group
        if groups[group, COUNT] == 0:
            continue
        paid = groups[group, PAID] if groups[group, PAID_IN] == counters[NUMBER] else 0
        if paid > 0 and (paid + 1) * batches_per_slot[group] > 1:
            continue
        groups[group, PAID_IN] = counters[NUMBER]
        groups[group, PAID] = paid + 1
        groups[payer, BALANCE] -= 1
        groups[group, BALANCE] += 1
        return group
    return payer


@inner
def _begin(counters: Integers) -> None:
    """Begin a batch."""
    counters[NUMBER] += 1
    counters[AT], counters[PENDING], counters[TRIED], counters[AWAY], counters[REPEATS] = 0, -1, 0, 0, 0


@inner
def _due(groups: Integers, in_deficit: Short, batches_per_slot: Floats, counters: Integers, planned: int) -> int:
    """The group that should get a slot: the pending one, the one in the plan, or one in deficit instead of it."""
    if counters[PENDING] >= 0:
        pending: int = counters[PENDING]
        return pending
    if groups[planned, BALANCE] > 0 and counters[QUEUED] > 0:
        return _payee(groups, in_deficit, batches_per_slot, counters, planned)
    return planned


@inner
def _awaited(groups: Integers, group: int) -> bool:
    """Whether the stream still waits for a group without samples: it was seen after waiting for it ended last."""
    return bool(groups[group, GIVEN_UP] != groups[group, SEEN])


@inner
def _may_read_for(groups: Integers, group: int, counters: Integers) -> bool:
    """Whether to read more for a group without samples, if reading is allowed."""
    return bool(not counters[WAITS] or _awaited(groups, group))


@inner
def _replace(
    groups: Integers,
    group: int,
    candidates: tuple[Short, Short, Floats],
    deficits: tuple[Short, Floats],
    counters: Integers,
    served: Integers,
    ended: bool,
) -> int:
    """Give the slot of a group without samples to another group; returns that group, or -1 if no group may have it.

    A stream that waits for a group ends if the source has ended: no other group gets the slot then.
    """
    if counters[WAITS] and ended and _awaited(groups, group):
        return -1
    fresh, heap, priorities = candidates
    in_deficit, batches_per_slot = deficits
    stand_in = _stand_in(groups, fresh, heap, priorities, batches_per_slot, counters)
    if stand_in >= 0 and stand_in != group:
        _give_away(groups, in_deficit, counters, group, stand_in, served)
    return stand_in


@inner
def _repeat(groups: Integers, group: int, key: np.uint64, counters: Integers, served: Integers, at: int) -> None:
    """Fill a slot with a sample that the group remembers, drawn at random."""
    word = child(key, np.uint64(counters[DRAWN]))
    counters[DRAWN] += 1
    served[1, at] = 0
    served[3, counters[REPEATS]] = at
    served[4, counters[REPEATS]] = np.int64(below(word, np.uint64(groups[group, POOL])))
    counters[REPEATS] += 1


@kernel(
    "int64(int64[:, ::1], int32[::1], int32[::1], int64[::1], int32[::1], int32[::1], float64[::1], int32[::1], "
    "float64[::1], int64[::1], uint64, int64[::1], int64[:, ::1], boolean, boolean, boolean)",
    allocates=False,
)
def serve(
    groups: Integers,
    link: Short,
    free: Short,
    sizes: Integers,
    fresh: Short,
    heap: Short,
    priorities: Floats,
    in_deficit: Short,
    batches_per_slot: Floats,
    counters: Integers,
    key: np.uint64,
    planned: Integers,
    served: Integers,
    begins: bool,
    may_read: bool,
    ended: bool,
) -> int:
    """Fill the slots of a batch: of a new batch if it `begins`, otherwise of the same batch from slot AT on.

    Args:
        groups: a row of fields for each group.
        link, free, sizes: see `arrive`; these arrays are no tuples, since numba takes microseconds to recognise each tuple.
        fresh, heap, priorities: groups that can stand in for others: those not in the heap yet, the heap, its priorities.
        in_deficit, batches_per_slot: the ring of the groups in deficit, and how many batches a slot is worth to each group.
        counters: one array with named entries, because a kernel can change an array in place but not a number.
        key: of random words.
        planned: the group that each slot is for, int64 (slots,).
        served: out. `served[:2, i]` becomes the group that has slot i and its sample's place, 0 where it is a repeat.
            `served[2, :AWAY]` are the groups whose slots went to others; `served[3:5, :REPEATS]` the slots with a repeat,
            and which entry of what its group remembers. `served[5, i]` is 1 if the balance of the planned group went down
            for slot i and that of its owner up.
        begins, may_read, ended: whether the batch begins; whether more may be read for it; whether the source has ended.

    Returns:
        DONE; SHORT if group PENDING has no sample and more may be read for it; STARVED if no group has samples; OVER if the
        source has ended and the slot cannot be filled. After SHORT or STARVED, read more and call it again; after
        SHORT, with TRIED set.
    """
    candidates, deficits = (fresh, heap, priorities), (in_deficit, batches_per_slot)
    if begins:
        _begin(counters)
    for at in range(counters[AT], planned.size):
        tried = counters[PENDING] >= 0 and counters[TRIED]
        balance = groups[planned[at], BALANCE]
        group = _due(groups, in_deficit, batches_per_slot, counters, planned[at])
        counters[AT], counters[PENDING], counters[TRIED] = at, group, 0
        repeats = False
        if groups[group, COUNT] == 0:
            if may_read and not tried and _may_read_for(groups, group, counters):
                return SHORT
            repeats = groups[group, POOL] > 0
            if not repeats:
                group = _replace(groups, group, candidates, deficits, counters, served, ended)
            if group < 0:
                counters[TRIED] = 1
                return OVER if ended else STARVED
        if repeats:
            _repeat(groups, group, key, counters, served, at)
        else:
            served[1, at] = _take(groups, group, link, free, sizes, counters)
        served[0, at], served[5, at] = group, balance - groups[planned[at], BALANCE]
        groups[group, HAD] += 1
        counters[PENDING] = -1
    counters[AT] = planned.size
    return DONE
