"""Deal the tickets of a round into micro-batches, so that any hand can be found without dealing the others.

A round is HANDS micro-batches of `tickets` tickets. Its tickets lie in a row: first the *heavy* groups (at least one
ticket in every round), in an order freshly shuffled for the round, each group's tickets side by side; then the *light*
ones (one ticket or none), shuffled as tickets. The row is dealt like cards: micro-batch i of the round takes every
HANDS-th ticket from place `STRIDE * i mod HANDS` on. HANDS and STRIDE are neighbouring Fibonacci numbers, which spreads
the extra tickets of every group evenly over every run of consecutive micro-batches.

A group's draws are numbered in the order of time: those of a micro-batch are consecutive and follow those of all earlier
ones, so a micro-batch touches a group's passes at one place only.

Light groups, which may be hundreds of millions (every sample its own group), are only ever looked up; heavy ones are at
most as many as a round has tickets.
"""

from __future__ import annotations

import numpy as np

from .apportion import PERIOD, cell, in_period, phase, points_before, step_of, tickets_before
from .compile import inner, kernel
from .hashing import PURPOSE, below, child, stream
from .passes import draw_run
from .permute import TABLE_LIMIT, fill_table, permute, permute_each, radices, split, unpermute

__all__ = ["HANDS", "STRIDE", "WIDE", "deal", "drawn", "lots_of", "new_board"]

HANDS = 89
STRIDE = 55
_INVERSE = 34  # 55 * 34 = 1 modulo 89
_LEAP = 16  # periods; from here on counting from the beginning is cheaper than adding up the periods between

# columns of the heavy groups, rows of a board, and entries of its header
_TOTAL, _LOW, _HIGH, _GROUP = 0, 1, 2, 3
_ORDER, _ROW, _BEFORE = 0, 1, 2
_ROUND, _OFFSET, _STEPS, _PERIOD = 0, 1, 2, 3
_BEGIN, _SIZE, WIDE, _LEFT, _RIGHT = 0, 1, 2, 3, 4  # columns of `lots_of`

_PASS, _GROUP_ORDER = np.uint64(PURPOSE.PASS), np.uint64(PURPOSE.GROUP_ORDER)
_HAND_OFFSET, _LIGHT_ORDER = np.uint64(PURPOSE.HAND_OFFSET), np.uint64(PURPOSE.LIGHT_ORDER)
_WITHIN_BATCH = np.uint64(PURPOSE.WITHIN_BATCH)


def _prefix_counts() -> np.ndarray:
    """Entry [i, x]: of the places 0..x-1 of a lap, how many went to the micro-batches before the i-th."""
    taken = (np.arange(HANDS) * _INVERSE % HANDS)[None, :] < np.arange(HANDS + 1)[:, None]
    return np.concatenate([np.zeros((HANDS + 1, 1)), np.cumsum(taken, axis=1)], axis=1).astype(np.uint8)


_EARLIER = _prefix_counts()


def lots_of(sizes: np.ndarray, starts: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """What dealing needs to know of each group, side by side in memory: int64 (groups, 5).

    Args:
        sizes, starts: how many samples each has, and where they begin among all.
        wide: one less than the most draws a micro-batch takes of it; see `passes`.
    """
    left = np.sqrt(sizes.astype(np.float64)).astype(np.int64) + 1
    return np.stack([starts, sizes, wide, left, -(-sizes // left)], axis=1).astype(np.int64)


def new_board(heavy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scratch that remembers the last round laid out: a header (round, offset, steps of work, period), a board, and cells.

    A row of the cells is a heavy group: its tickets before the period, its edges there, its number. The only effect is
    speed: `deal` gives the same with new ones.
    """
    cells = np.zeros((heavy.size, 4), np.int64)
    cells[:, _GROUP] = heavy
    return np.array([-1, 0, 0, -1], np.int64), np.zeros((3, heavy.size + 1), np.int64), cells


@inner
def _earlier(place, hand):
    """How many tickets at the places before this one went to the hands before this one."""
    lap = np.uint64(place) // np.uint64(HANDS)  # unsigned division takes a third of the time
    return np.int64(lap) * hand + np.int64(_EARLIER[np.uint64(hand), np.uint64(place) - lap * np.uint64(HANDS)])


@inner
def _enter_period(period, header, cells, low, high, start):
    """Bring the board to a period of rounds: heavy totals before it, and where the edges lie in it."""
    heavy = low.size
    since = header[_PERIOD]
    far = since < 0 or period < since or period - since > _LEAP
    if far:
        since = period - 1
        for h in range(heavy):
            cells[h, _TOTAL] = tickets_before(low[h], high[h], period * PERIOD, start)
    for at in range(since + 1, period + 1):
        for h in range(heavy):
            if not far:
                cells[h, _TOTAL] += cells[h, _HIGH] - cells[h, _LOW]
            cells[h, _LOW], cells[h, _HIGH] = cell(low[h], start, at), cell(high[h], start, at)
    header[_STEPS] += heavy * (period - since)
    header[_PERIOD] = period


@inner
def _lay_out(round_, header, board, cells, low, high, deck, start):
    """Bring the board to a round: the shuffled row, heavy points along the line."""
    heavy = low.size
    if round_ // PERIOD != header[_PERIOD]:
        _enter_period(round_ // PERIOD, header, cells, low, high, start)
    header[_ROUND], header[_OFFSET] = round_, phase(start, round_)
    step = step_of(round_)
    key = child(child(deck, _GROUP_ORDER), np.uint64(round_))
    board[_BEFORE, 0] = 0
    for h in range(heavy):
        count = ((cells[h, _HIGH] + step) >> 8) - ((cells[h, _LOW] + step) >> 8)
        board[_BEFORE, h + 1] = board[_BEFORE, h] + count
        board[_ORDER, h] = h
    for h in range(heavy - 1, 0, -1):
        other = np.int64(below(stream(key, h), np.uint64(h + 1)))
        board[_ORDER, h], board[_ORDER, other] = board[_ORDER, other], board[_ORDER, h]
    # places are counted from a random card of the first lap, so that no hand is favoured over the rounds
    place = HANDS - np.int64(below(child(child(deck, _HAND_OFFSET), np.uint64(round_)), np.uint64(HANDS)))
    for x in range(heavy):
        board[_ROW, x] = place
        h = board[_ORDER, x]
        place += board[_BEFORE, h + 1] - board[_BEFORE, h]
    board[_ROW, heavy] = place
    header[_STEPS] += heavy


@inner
def _drawn_before(h, beat, hand, cells, place, stop):
    """Tickets of a heavy group, whose places in the row are place..stop-1, before a hand of a round of the period."""
    rounds = cells[h, _TOTAL] + in_period(cells[h, _LOW], cells[h, _HIGH], beat)
    return rounds + _earlier(stop, hand) - _earlier(place, hand)


@inner
def _light_point(number, header, board, low):
    """The point on the line of the light ticket with this number, 0 for the leftmost: skip the heavy points."""
    first, last = 0, low.size
    while first < last:
        middle = (first + last) >> 1
        if points_before(low[middle], header[_OFFSET]) - board[_BEFORE, middle] <= number:
            first = middle + 1
        else:
            last = middle
    return number + board[_BEFORE, first]


@inner
def _group_at(position, edges):
    """The group whose stretch of the line, open at its lower edge, holds this position."""
    first, last = 0, edges.size
    while first < last:
        middle = (first + last) >> 1
        if edges[middle] < position:
            first = middle + 1
        else:
            last = middle
    return first - 1


@kernel(
    "void(int64[::1], int64, int64, uint64, uint64, int64, int64[::1], int64[::1], int64[:, ::1], int64[:, ::1],"
    " int64[::1], int64[:, ::1], int64, uint32[::1], int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1])"
)
def deal(
    batches,
    tickets,
    per_ticket,
    root,
    deck,
    start,
    edges,
    header,
    board,
    cells,
    heavy,
    lots,
    scratch,
    index,
    wide_index,
    base,
    samples,
    groups,
    draws,
):
    """Some micro-batches of a deck, one a row of `samples`, `groups` and `draws`.

    Args:
        batches: which, counted from the deck's beginning; in any order, ascending is quickest.
        tickets, per_ticket: tickets in a micro-batch, and draws from one group that a ticket stands for.
        root, deck, start: the key of the samples' passes, the key of this deck's shuffles, its phase (below 2^32).
        edges: from `line`, of HANDS * tickets tickets.
        header, board, cells: from `new_board`, kept from call to call of one deck.
        heavy: the groups with at least one ticket in every round, ascending.
        lots: from `lots_of`, or without rows where every group is one sample.
        scratch: the longest head of a pass that may have to be mended, at least TABLE_LIMIT.
        index, wide_index: the samples group by group, in one of the two; both empty where they lie that way.
        base: tickets each group had before the deck began, or empty for none.
        samples: out; int64 (batches, tickets * per_ticket).
        groups: out; the group of each ticket, int64 (batches, tickets), or no rows where nobody asks.
        draws: out; how many tickets the group had before each ticket, as `groups`.
    """
    low, high = np.empty(heavy.size, np.int64), np.empty(heavy.size, np.int64)
    for h in range(heavy.size):
        low[h], high[h] = edges[heavy[h]], edges[heavy[h] + 1]
    head, repeats = np.empty(scratch, np.int64), np.empty(scratch, np.uint8)
    slots = tickets * per_ticket
    run, drawn, answers = np.empty(slots, np.int64), np.empty(slots, np.int64), np.empty(slots, np.int64)
    points, sizes = np.empty(slots, np.int64), np.empty(slots, np.int64)
    lefts, rights, keys = np.empty(slots, np.uint64), np.empty(slots, np.uint64), np.empty(slots, np.uint64)
    highs, lows = np.empty(slots, np.uint64), np.empty(slots, np.uint64)
    places = np.empty(tickets, np.int64)
    run_group, run_draw = np.empty(tickets, np.int64), np.empty(tickets, np.int64)
    run_tickets = np.empty(tickets, np.int64)
    alone = lots.shape[0] == 0
    asked = groups.shape[0] > 0
    passes = child(root, _PASS)

    for row in range(samples.shape[0]):
        batch = batches[row]
        round_ = batch // HANDS
        hand = batch - round_ * HANDS
        if round_ != header[_ROUND]:
            _lay_out(round_, header, board, cells, low, high, deck, start)
        shuffle = child(child(deck, _WITHIN_BATCH), np.uint64(batch))
        for i in range(tickets):
            places[i] = i
        for i in range(tickets - 1, 0, -1):
            other = np.int64(below(stream(shuffle, i), np.uint64(i + 1)))
            places[i], places[other] = places[other], places[i]

        # first which groups the hand's tickets are of, run by run, and which draw of its group each run begins with
        dealt, runs, x = 0, 0, 0
        end = board[_ROW, heavy.size]
        card = board[_ROW, 0] + (hand * STRIDE + HANDS * HANDS - board[_ROW, 0]) % HANDS
        while card < end:
            while board[_ROW, x + 1] <= card:
                x += 1
            stop = board[_ROW, x + 1]
            h = board[_ORDER, x]
            begun = dealt
            while card < stop:
                dealt += 1
                card += HANDS
            run_group[runs] = cells[h, _GROUP]
            run_draw[runs] = _drawn_before(h, round_ % PERIOD, hand, cells, board[_ROW, x], stop)
            run_tickets[runs] = dealt - begun
            runs += 1
        header[_STEPS] += heavy.size
        if dealt < tickets:
            lights = np.uint64(HANDS * tickets - board[_BEFORE, heavy.size])
            left, right = radices(lights)
            order = child(child(deck, _LIGHT_ORDER), np.uint64(round_))
            small = lights < TABLE_LIMIT
            if small:
                fill_table(head, np.int64(lights), order)
            while dealt < tickets:
                if small:
                    number = head[card - end]
                else:
                    number = np.int64(permute(np.uint64(card - end), lights, left, right, order))
                point = _light_point(number, header, board, low)
                g = _group_at(((point + 1) << 32) - header[_OFFSET], edges)
                run_group[runs] = g
                run_draw[runs] = tickets_before(edges[g], edges[g + 1], round_, start) if asked or not alone else 0
                run_tickets[runs] = 1
                runs += 1
                dealt += 1
                card += HANDS
                header[_STEPS] += 1

        if base.size > 0:
            for number in range(runs):
                run_draw[number] += base[run_group[number]]

        # then the place in its group of every draw: most lie in the middle of a pass and wait to be permuted together
        waiting, done = 0, 0
        for number in range(runs):
            g = run_group[number]
            count = run_tickets[number] * per_ticket
            begin = g
            if alone:
                for i in range(done, done + count):
                    drawn[i] = g
                done += count
                continue
            begin, n, wide = lots[g, _BEGIN], lots[g, _SIZE], lots[g, WIDE]
            left, right = np.uint64(lots[g, _LEFT]), np.uint64(lots[g, _RIGHT])
            draw = run_draw[number] * per_ticket
            key = stream(passes, g)
            trip, place = split(draw, n)
            seamless = wide == 0 or (3 * wide <= n and (trip == 0 or place >= 2 * wide))
            if n >= TABLE_LIMIT and seamless and place + count <= n:
                here = stream(key, trip)
                for i in range(count):
                    points[waiting], sizes[waiting], keys[waiting] = place + i, n, here
                    lefts[waiting], rights[waiting] = left, right
                    answers[waiting] = done + i
                    drawn[done + i] = begin
                    waiting += 1
            else:
                draw_run(run, draw, count, n, wide, left, right, key, head, repeats)
                for i in range(count):
                    drawn[done + i] = begin + run[i]
            done += count
        permute_each(waiting, points, sizes, lefts, rights, keys, highs, lows)
        for i in range(waiting):
            drawn[answers[i]] += points[i]

        # then which samples those are, and where in the micro-batch they go
        if index.size > 0:
            for i in range(slots):
                drawn[i] = index[drawn[i]]
        elif wide_index.size > 0:
            for i in range(slots):
                drawn[i] = wide_index[drawn[i]]
        if asked:
            ticket = 0
            for number in range(runs):
                for i in range(run_tickets[number]):
                    groups[row, places[ticket]] = run_group[number]
                    draws[row, places[ticket]] = run_draw[number] + i
                    ticket += 1
        if per_ticket == 1:
            for i in range(slots):
                samples[row, places[i]] = drawn[i]
        else:
            done = 0
            for i in range(tickets):
                for at in range(places[i] * per_ticket, (places[i] + 1) * per_ticket):
                    samples[row, at] = drawn[done]
                    done += 1


@kernel(
    "void(int64, int64, uint64, int64, int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[::1])"
)
def drawn(batch, tickets, deck, start, edges, header, board, cells, heavy, totals):
    """The tickets each group got in micro-batches 0..batch-1 of a deck, into `totals` (int64, groups)."""
    low, high = np.empty(heavy.size, np.int64), np.empty(heavy.size, np.int64)
    for h in range(heavy.size):
        low[h], high[h] = edges[heavy[h]], edges[heavy[h] + 1]
    round_ = batch // HANDS
    hand = batch - round_ * HANDS
    if round_ != header[_ROUND]:
        _lay_out(round_, header, board, cells, low, high, deck, start)
    for x in range(heavy.size):
        h = board[_ORDER, x]
        totals[heavy[h]] = _drawn_before(h, round_ % PERIOD, hand, cells, board[_ROW, x], board[_ROW, x + 1])
    lights = np.uint64(HANDS * tickets - board[_BEFORE, heavy.size])
    left, right = radices(lights)
    order = child(child(deck, _LIGHT_ORDER), np.uint64(round_))
    table, inverse = np.empty(TABLE_LIMIT, np.int64), np.empty(TABLE_LIMIT, np.int64)
    if lights < TABLE_LIMIT:
        fill_table(table, np.int64(lights), order)
        for i in range(np.int64(lights)):
            inverse[table[i]] = i
    h = 0
    for g in range(totals.size):
        if h < heavy.size and heavy[h] == g:
            h += 1
            continue
        totals[g] = tickets_before(edges[g], edges[g + 1], round_, start)
        point = points_before(edges[g], header[_OFFSET])
        if points_before(edges[g + 1], header[_OFFSET]) > point:
            number = point - board[_BEFORE, h]
            if lights < TABLE_LIMIT:
                card = inverse[number]
            else:
                card = np.int64(unpermute(np.uint64(number), lights, left, right, order))
            totals[g] += (board[_ROW, heavy.size] + card) * _INVERSE % HANDS < hand
