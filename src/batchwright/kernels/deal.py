"""Divide the draws of a round among its micro-batches, so that any micro-batch is computed without the others.

A round is ROUND micro-batches of `tickets` tickets. Its tickets form a row. First come those of the *heavy* groups: each
group's tickets side by side, the groups in an order shuffled for this round. Then come the tickets of all *light* groups
together: groups that are rare and share an order of their own (see `light`). The row is dealt like cards: micro-batch i of
the round takes every ROUND-th ticket, from place `STRIDE * i mod ROUND` on; these tickets are its *hand*, and i is its
number in the round, called `hand` below. ROUND and STRIDE are neighbouring Fibonacci numbers. So the extra tickets of every
group are spread evenly over every run of consecutive micro-batches.
In the code, g is the number of a group, h its place among the heavy groups, and x its place in the row.

The draws of a group are numbered in the order of time: those of a micro-batch are consecutive and follow those of all
earlier micro-batches. So a micro-batch needs a group's passes at one place only.

There may be hundreds of millions of light groups (every sample its own group), so no loop runs over them; the group of a
light ticket is looked up. There are at most as many heavy groups as a round has tickets.

Numba passes plain tuples to a kernel faster than named ones, and counts references to every array of a tuple whenever it is
taken apart. So `deal` gets plain tuples, takes them apart once, and passes the functions of each micro-batch single arrays:
with tuples, small micro-batches took up to twice as long (measured).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .apportion import PERIOD, cell, cells_added, in_period, tickets_before
from .compile import allocating, inner, kernel
from .cycle import APART, DRAWS
from .deal_arguments import (
    BEFORE,
    BEGIN,
    GROUP,
    HIGH,
    LEFT,
    LIGHT,
    LOW,
    ORDER,
    PERIOD_NUMBER,
    RIGHT,
    ROUND,
    ROUND_NUMBER,
    ROUNDS,
    ROW,
    SAMPLES,
    SHARES,
    SIZE,
    STEPS,
    STRIDE,
    TOTAL,
    WIDE,
    DealShares,
    LastRound,
)
from .hashing import PURPOSE, below, child, stream
from .light import light_before, light_drawn, light_run
from .passes import draw_run, small_pass
from .permutation import (
    KEYS,
    LEFTS,
    PLACES,
    RIGHTS,
    SIZES,
    TABLE_LIMIT,
    fast_divmod,
    fill_table,
    new_points,
    permute_each,
)

__all__ = ["deal_heavy", "deal_with_light", "drawn"]

# Rows of the runs of a micro-batch, int64 (3, tickets): the group of a run, the number of its first ticket, its tickets.
_OF, _FIRST, _TICKETS = 0, 1, 2

# Passes of small groups that a call keeps: a micro-batch takes a few draws of a pass, and the next ones take the rest.
_KEPT = 256
_OWNER, _PASS_KEPT = 0, 1  # columns of `kept`

_INVERSE = 34  # 55 * 34 = 1 modulo 89: from a place of the row to the number of its hand
_LEAP = 16  # periods; over a larger distance, counting from the beginning is cheaper than adding up the periods between

_PASS, _GROUP_ORDER = np.uint64(PURPOSE.PASS), np.uint64(PURPOSE.GROUP_ORDER)
_HAND_OFFSET, _WITHIN_BATCH = np.uint64(PURPOSE.HAND_OFFSET), np.uint64(PURPOSE.WITHIN_BATCH)
_LIGHT_ORDER, _LIGHT_TURN = np.uint64(PURPOSE.LIGHT_ORDER), np.uint64(PURPOSE.LIGHT_TURN)


def _prefix_counts() -> np.ndarray:
    """Entry [i, x]: how many of the places 0..x-1 of ROUND consecutive ones go to the micro-batches before the i-th."""
    taken = (np.arange(ROUND) * _INVERSE % ROUND)[None, :] < np.arange(ROUND + 1)[:, None]
    return np.concatenate([np.zeros((ROUND + 1, 1)), np.cumsum(taken, axis=1)], axis=1).astype(np.uint8)


_EARLIER = _prefix_counts()


@inner
def _earlier(place, hand):
    """How many tickets before `place` in the row go to hands before `hand`."""
    lap = np.uint64(place) // np.uint64(ROUND)  # unsigned division takes a third of the time
    return np.int64(lap) * hand + np.int64(_EARLIER[np.uint64(hand), np.uint64(place) - lap * np.uint64(ROUND)])


@inner
def _enter_period(period, header, cells, low, high, start):
    """Update `cells` to a period of rounds: the heavy groups' tickets before it, and their edges in it."""
    heavy, since = low.size, header[PERIOD_NUMBER]
    far = since < 0 or period < since or period - since > _LEAP
    if far:
        since = period - 1
        for h in range(heavy):
            cells[h, TOTAL] = tickets_before(low[h], high[h], period * PERIOD, start)
    for at in range(since + 1, period + 1):
        for h in range(heavy):
            if not far:
                cells[h, TOTAL] += cells[h, HIGH] - cells[h, LOW]
            cells[h, LOW], cells[h, HIGH] = cell(low[h], start, at), cell(high[h], start, at)
    header[STEPS] += heavy * (period - since)
    header[PERIOD_NUMBER] = period


@allocating
def _widths(edges, heavy):
    """The total width of the first 0, 1, 2, ... heavy groups: int64 (heavy + 1,). They come first on the line."""
    widths_before = np.zeros(heavy.size + 1, np.int64)
    for h in range(heavy.size):
        widths_before[h + 1] = widths_before[h] + edges[heavy[h] + 1] - edges[heavy[h]]
    return widths_before


@inner
def _lay_out(round_, rounds, widths_before, shares):
    """Update `rounds` to a round: the row's heavy groups in shuffled order, then the light tickets."""
    header, table, cells = rounds
    heavy, end, number = widths_before.size - 1, shares.edges[shares.edges.size - 1], np.uint64(round_)
    if round_ // PERIOD != header[PERIOD_NUMBER]:
        _enter_period(round_ // PERIOD, header, cells, widths_before[:-1], widths_before[1:], shares.start)
    header[ROUND_NUMBER], header[LIGHT] = round_, tickets_before(widths_before[heavy], end, round_, shares.start)
    step = cells_added(round_)
    table[BEFORE, 0] = 0
    for h in range(heavy):
        count = ((cells[h, HIGH] + step) >> 8) - ((cells[h, LOW] + step) >> 8)
        table[BEFORE, h + 1] = table[BEFORE, h] + count
    fill_table(table[ORDER], heavy, child(child(shares.key, _GROUP_ORDER), number))
    # places are counted from a random offset, so that over the rounds no micro-batch of a round is favoured
    place = ROUND - np.int64(below(child(child(shares.key, _HAND_OFFSET), number), np.uint64(ROUND)))
    for x in range(heavy):
        table[ROW, x] = place
        h = table[ORDER, x]
        place += table[BEFORE, h + 1] - table[BEFORE, h]
    table[ROW, heavy] = place
    header[STEPS] += heavy


@inner
def _drawn_before(h, round_in_period, hand, cells, place, stop):
    """The tickets of heavy group h before hand `hand` of a round; the group has places place..stop-1 of the row."""
    rounds = cells[h, TOTAL] + in_period(cells[h, LOW], cells[h, HIGH], round_in_period)
    return rounds + _earlier(stop, hand) - _earlier(place, hand)


@inner
def _first_light(hand, tickets, header, table):
    """How many tickets of light groups were dealt before hand `hand` of the round, since these shares began."""
    last = table.shape[1] - 1
    begin = table[ROW, last]
    end = begin + ROUND * tickets - table[BEFORE, last]
    return header[LIGHT] + _earlier(end, hand) - _earlier(begin, hand)


@allocating
def _new_head(longest, layout):
    """Scratch memory for the head of a pass: over the samples of a group, at most `longest`, or over the light groups."""
    size = max(TABLE_LIMIT, longest, 2 * layout[APART])
    return np.empty(size, np.int64), np.empty(size, np.uint8)


@inner
def _heavy_runs(runs, round_in_period, hand, header, table, cells):
    """Write the runs of the heavy groups in a hand; returns the number of runs and of their tickets."""
    heavy = cells.shape[0]
    count, dealt, x = 0, 0, 0
    end = table[ROW, heavy]
    # The first place of this hand in the row; ROUND * ROUND keeps the left side of % from being negative.
    place = table[ROW, 0] + (hand * STRIDE + ROUND * ROUND - table[ROW, 0]) % ROUND
    while place < end:
        while table[ROW, x + 1] <= place:
            x += 1
        stop = table[ROW, x + 1]
        h = table[ORDER, x]
        begun = dealt
        while place < stop:
            dealt += 1
            place += ROUND
        runs[_OF, count] = cells[h, GROUP]
        runs[_FIRST, count] = _drawn_before(h, round_in_period, hand, cells, table[ROW, x], stop)
        runs[_TICKETS, count] = dealt - begun
        count += 1
    header[STEPS] += heavy
    return count, dealt


@inner
def _keep_pass(tables, kept, slot, g, pass_number, n, wide, parted, key, repeats):
    """Write the pass of a group of fewer than 64 samples into row `slot` of `tables`; `kept` says whose pass is there."""
    joined = parted and pass_number > 0
    if joined and (kept[slot, _OWNER] != g or kept[slot, _PASS_KEPT] != pass_number - 1):
        fill_table(tables[slot], n, stream(key, pass_number - 1))
    small_pass(tables[slot], repeats, n, wide, joined, stream(key, pass_number))
    kept[slot, _OWNER], kept[slot, _PASS_KEPT] = g, pass_number


@allocating
def _find_places(places, runs, count, passes, per_ticket, table, head, repeats, run, points, answers, tables, kept):
    """Write the place of every draw of these runs, among all samples, into `places`.

    Most draws lie in the middle of a pass. These are collected and permuted together, because the processor works on several
    points at once; for a single point, each of the six rounds has to wait for the one before.
    """
    waiting, done = 0, 0
    for number in range(count):
        g = runs[_OF, number]
        draws = runs[_TICKETS, number] * per_ticket
        begin, n, wide = table[g, BEGIN], table[g, SIZE], table[g, WIDE]
        left, right = np.uint64(table[g, LEFT]), np.uint64(table[g, RIGHT])
        first = runs[_FIRST, number] * per_ticket
        key = stream(passes, g)
        pass_number, place = fast_divmod(first, n)
        unchanged = wide == 0 or (3 * wide <= n and (pass_number == 0 or place >= 2 * wide))
        if n >= TABLE_LIMIT and unchanged and place + draws <= n:
            here = stream(key, pass_number)
            for i in range(draws):
                points[PLACES, waiting], points[SIZES, waiting], points[KEYS, waiting] = place + i, n, here
                points[LEFTS, waiting], points[RIGHTS, waiting] = left, right
                answers[waiting] = done + i
                places[done + i] = begin
                waiting += 1
        elif n < TABLE_LIMIT:
            parted, slot = 3 * wide <= n, g & (_KEPT - 1)
            pass_number = pass_number if parted else 0
            known = kept[slot, _OWNER] == g and kept[slot, _PASS_KEPT] == pass_number
            for i in range(done, done + draws):
                if place == n:
                    place, pass_number, known = 0, pass_number + parted, not parted
                if not known:
                    _keep_pass(tables, kept, slot, g, pass_number, n, wide, parted and wide > 0, key, repeats)
                    known = True
                places[i] = begin + np.int64(tables[slot, place])
                place += 1
        else:
            draw_run(run, first, draws, n, wide, left, right, key, head, repeats)
            for i in range(draws):
                places[done + i] = begin + run[i]
        done += draws
    permute_each(waiting, points)
    for i in range(waiting):
        places[answers[i]] += np.int64(points[PLACES, i])


@inner
def _repeat_groups(places, runs, count, per_ticket):
    """The same as `_find_places` if every group is one sample."""
    done = 0
    for number in range(count):
        for _ in range(runs[_TICKETS, number] * per_ticket):
            places[done] = runs[_OF, number]
            done += 1


@inner
def _look_up(places, narrow, wide):
    """Replace places among all samples by sample numbers."""
    if narrow.size > 0:
        for i in range(places.size):
            places[i] = narrow[places[i]]
    elif wide.size > 0:
        for i in range(places.size):
            places[i] = wide[places[i]]


@inner
def _write_tickets(groups, draws, row, slots, runs, count):
    """Write the group of each ticket, and the number of the ticket in its group, into the slot of the ticket in a row."""
    ticket = 0
    for number in range(count):
        for i in range(runs[_TICKETS, number]):
            groups[row, slots[ticket]] = runs[_OF, number]
            draws[row, slots[ticket]] = runs[_FIRST, number] + i
            ticket += 1


@inner
def _write_samples(found, row, slots, samples, per_ticket):
    """Write the samples of each ticket into the slot of the ticket in a row."""
    if per_ticket == 1:
        for i in range(slots.size):
            found[row, slots[i]] = samples[i]
        return
    done = 0
    for i in range(slots.size):
        for at in range(slots[i] * per_ticket, (slots[i] + 1) * per_ticket):
            found[row, at] = samples[done]
            done += 1


def _dealer(with_light: bool) -> Any:
    def deal(batches, shares, samples, rounds, found, groups, draws):
        """Compute micro-batches dealt in constant shares, one per row of `found`, `groups` and `draws`.

        Args:
            batches: the numbers of the micro-batches since these shares began, in any order; ascending is fastest.
            shares, samples, rounds: as `DealShares`, `Samples` and `LastRound` say.
            found: out; the samples, int64 (batches, tickets * per_ticket).
            groups: out; the group of each ticket, int64 (batches, tickets), or no rows if not needed.
            draws: out; how many tickets the group had before each ticket, as `groups`.
        """
        shares, rounds = DealShares(*shares), LastRound(*rounds)
        tickets, key, _, edges, base, heavy, layout, members = shares
        root, per_ticket, table, head_size, narrow_index, wide_index = samples
        header, round_table, cells = rounds
        widths_before = _widths(edges, heavy)
        passes, order, turn = child(root, _PASS), child(key, _LIGHT_ORDER), child(key, _LIGHT_TURN)
        singletons, wants_tickets = table.shape[0] == 0, groups.shape[0] > 0
        wants_numbers = wants_tickets or not singletons
        head, repeats = _new_head(head_size, layout)
        runs = np.empty((3, tickets), np.int64)
        slots, places = np.empty(tickets, np.int64), np.empty(tickets * per_ticket, np.int64)
        run, answers, points = np.empty_like(places), np.empty_like(places), new_points(places.size)
        tables, kept = np.empty((_KEPT, TABLE_LIMIT), np.uint8), np.full((_KEPT, 2), -1, np.int64)

        for row in range(batches.size):
            batch = batches[row]
            round_ = batch // ROUND
            hand = batch - round_ * ROUND
            if round_ != header[ROUND_NUMBER]:
                _lay_out(round_, rounds, widths_before, shares)
            # Shuffled, because code that mixes neighbours (mixup by `roll`) would pair samples of one group.
            fill_table(slots, tickets, child(child(key, _WITHIN_BATCH), np.uint64(batch)))
            count, dealt = _heavy_runs(runs, round_ % PERIOD, hand, header, round_table, cells)
            if with_light:  # noqa: SIM102 - a constant by itself, so that what it excludes is not compiled
                if dealt < tickets:
                    missing, first = tickets - dealt, _first_light(hand, tickets, header, round_table)
                    light_run(
                        runs[_OF, count:], first, missing, layout, members, order, turn, edges, heavy, widths_before,
                        head, repeats, points,
                    )  # fmt: skip
                    for at in range(missing):
                        group, draw = runs[_OF, count + at], first + at
                        # this costs much time, so it is computed only for callers that need it
                        before = (
                            light_before(group, draw, layout, turn, edges, heavy, widths_before) if wants_numbers else 0
                        )
                        runs[_FIRST, count + at], runs[_TICKETS, count + at] = before, 1
                    count += missing
                    header[STEPS] += missing
            if base.size > 0:
                for number in range(count):
                    runs[_FIRST, number] += base[runs[_OF, number]]
            if singletons:
                _repeat_groups(places, runs, count, per_ticket)
            else:
                _find_places(
                    places, runs, count, passes, per_ticket, table, head, repeats, run, points, answers, tables, kept
                )
            _look_up(places, narrow_index, wide_index)
            _write_samples(found, row, slots, places, per_ticket)
            if wants_tickets:
                _write_tickets(groups, draws, row, slots, runs, count)

    deal.__name__ = deal.__qualname__ = "deal_with_light" if with_light else "deal_heavy"
    outputs = "int64[:, ::1], int64[:, ::1], int64[:, ::1]"
    return kernel(f"void(int64[::1], {SHARES}, {SAMPLES}, {ROUNDS}, {outputs})")(deal)


deal_heavy, deal_with_light = _dealer(False), _dealer(True)
"""Two versions of `deal`: `deal_heavy`, for orders without light groups, compiles in a third of the time."""


@kernel(f"void(int64, {SHARES}, {ROUNDS}, int64[::1])")
def drawn(batch, shares, rounds, totals):
    """Write the tickets of each group in micro-batches 0..batch-1 since these shares began into `totals`, int64."""
    shares, rounds = DealShares(*shares), LastRound(*rounds)
    header, table, cells = rounds
    edges, heavy, layout = shares.edges, shares.heavy, shares.layout
    widths_before = _widths(edges, heavy)
    totals[:] = 0
    round_ = batch // ROUND
    hand = batch - round_ * ROUND
    if round_ != header[ROUND_NUMBER]:
        _lay_out(round_, rounds, widths_before, shares)
    for x in range(heavy.size):
        h = table[ORDER, x]
        totals[heavy[h]] = _drawn_before(h, round_ % PERIOD, hand, cells, table[ROW, x], table[ROW, x + 1])
    if layout[DRAWS] == 0:
        return
    order, turn = child(shares.key, _LIGHT_ORDER), child(shares.key, _LIGHT_TURN)
    head, repeats = _new_head(0, layout)
    first = _first_light(hand, shares.tickets, header, table)
    light_drawn(first, totals, layout, shares.members, order, turn, edges, heavy, widths_before, head, repeats)
