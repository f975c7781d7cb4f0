"""Deal the tickets of a round into micro-batches, so that any hand can be found without dealing the others.

A round is HANDS micro-batches of `tickets` tickets. Its tickets lie in a row: first those of the *heavy* groups, in an
order freshly shuffled for the round, each group's tickets side by side; then those of all *light* groups together, which
come rarely and share an order of their own (see `light`). The row is dealt like cards: micro-batch i
of the round takes every HANDS-th ticket from place `STRIDE * i mod HANDS` on. HANDS and STRIDE are neighbouring Fibonacci
numbers, which spreads the extra tickets of every group evenly over every run of consecutive micro-batches.

A group's draws are numbered in the order of time: those of a micro-batch are consecutive and follow those of all earlier
ones, so a micro-batch touches a group's passes at one place only.

Light groups, which may be hundreds of millions (every sample its own group), are only ever looked up; heavy ones are at
most as many as a round has tickets.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .apportion import PERIOD, cell, in_period, step_of, tickets_before
from .compile import inner, kernel
from .cycle import DRAWS
from .hashing import PURPOSE, below, child, stream
from .light import light_before, light_drawn, light_run
from .passes import draw_run
from .permutation import TABLE_LIMIT, permute_each, split

__all__ = ["HANDS", "STRIDE", "WIDE", "deal_heavy", "deal_with_light", "drawn", "lots_of", "new_board"]

HANDS = 89
STRIDE = 55
_INVERSE = 34  # 55 * 34 = 1 modulo 89
_LEAP = 16  # periods; from here on counting from the beginning is cheaper than adding up the periods between

# columns of the heavy groups, rows of a board, and entries of its header
_TOTAL, _LOW, _HIGH, _GROUP = 0, 1, 2, 3
_ORDER, _ROW, _BEFORE = 0, 1, 2
_ROUND, _LIGHT, _STEPS, _PERIOD = 0, 1, 2, 3
_BEGIN, _SIZE, WIDE, _LEFT, _RIGHT = 0, 1, 2, 3, 4  # columns of `lots_of`

_PASS, _GROUP_ORDER = np.uint64(PURPOSE.PASS), np.uint64(PURPOSE.GROUP_ORDER)
_HAND_OFFSET, _WITHIN_BATCH = np.uint64(PURPOSE.HAND_OFFSET), np.uint64(PURPOSE.WITHIN_BATCH)
_LIGHT_ORDER, _LIGHT_TURN = np.uint64(PURPOSE.LIGHT_ORDER), np.uint64(PURPOSE.LIGHT_TURN)


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
    """Scratch that remembers the last round laid out: a header, a board, and cells.

    The header is: the round, how many light tickets came before it, steps of work so far, the period.

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
def _widths(edges, heavy):
    """The widths of the first 0, 1, 2, ... heavy groups together: int64 (heavy + 1,). They lie first on the line."""
    taken = np.zeros(heavy.size + 1, np.int64)
    for h in range(heavy.size):
        taken[h + 1] = taken[h] + edges[heavy[h] + 1] - edges[heavy[h]]
    return taken


@inner
def _lay_out(round_, header, board, cells, taken, end, span, start):
    """Bring the board to a round: the shuffled row, heavy tickets along the line, light ones behind them to its `end`."""
    heavy = taken.size - 1
    if round_ // PERIOD != header[_PERIOD]:
        _enter_period(round_ // PERIOD, header, cells, taken[:-1], taken[1:], start)
    header[_ROUND], header[_LIGHT] = round_, tickets_before(taken[heavy], end, round_, start)
    step = step_of(round_)
    key = child(child(span, _GROUP_ORDER), np.uint64(round_))
    board[_BEFORE, 0] = 0
    for h in range(heavy):
        count = ((cells[h, _HIGH] + step) >> 8) - ((cells[h, _LOW] + step) >> 8)
        board[_BEFORE, h + 1] = board[_BEFORE, h] + count
        board[_ORDER, h] = h
    for h in range(heavy - 1, 0, -1):
        other = np.int64(below(stream(key, h), np.uint64(h + 1)))
        board[_ORDER, h], board[_ORDER, other] = board[_ORDER, other], board[_ORDER, h]
    # places are counted from a random card of the first lap, so that no hand is favoured over the rounds
    place = HANDS - np.int64(below(child(child(span, _HAND_OFFSET), np.uint64(round_)), np.uint64(HANDS)))
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


_DEAL = (
    "void(int64[::1], int64, int64, uint64, uint64, int64, int64[::1], int64[::1], int64[:, ::1], int64[:, ::1],"
    " int64[::1], int64[::1], uint32[::1], int64[:, ::1], int64, uint32[::1], int64[::1], int64[::1], int64[:, ::1],"
    " int64[:, ::1], int64[:, ::1])"
)


def _dealer(with_light: bool) -> Any:
    def deal(
        batches,
        tickets,
        per_ticket,
        root,
        span,
        start,
        edges,
        header,
        board,
        cells,
        heavy,
        light,
        members,
        lots,
        scratch,
        index,
        wide_index,
        base,
        samples,
        groups,
        draws,
    ):
        """Some micro-batches of a span, one a row of `samples`, `groups` and `draws`.

        Args:
            batches: which, counted from the span's beginning; in any order, ascending is quickest.
            tickets, per_ticket: tickets in a micro-batch, and draws from one group that a ticket stands for.
            root, span, start: the key of the samples' passes, the key of this span's shuffles, its phase (below 2^32).
            edges: from `line`, of HANDS * tickets tickets.
            header, board, cells: from `new_board`, kept from call to call of one span.
            heavy, light, members: from `arranged`: the groups that are dealt out one by one, and how the others are.
            lots: from `lots_of`, or without rows where every group is one sample.
            scratch: the longest head of a pass that may have to be mended, at least TABLE_LIMIT.
            index, wide_index: the samples group by group, in one of the two; both empty where they lie that way.
            base: tickets each group had before the span began, or empty for none.
            samples: out; int64 (batches, tickets * per_ticket).
            groups: out; the group of each ticket, int64 (batches, tickets), or no rows where nobody asks.
            draws: out; how many tickets the group had before each ticket, as `groups`.
        """
        taken, line_end = _widths(edges, heavy), edges[edges.size - 1]
        slots = tickets * per_ticket
        head, repeats = np.empty(scratch, np.int64), np.empty(scratch, np.uint8)
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
        order, turn = child(span, _LIGHT_ORDER), child(span, _LIGHT_TURN)

        for row in range(samples.shape[0]):
            batch = batches[row]
            round_ = batch // HANDS
            hand = batch - round_ * HANDS
            if round_ != header[_ROUND]:
                _lay_out(round_, header, board, cells, taken, line_end, span, start)
            shuffle = child(child(span, _WITHIN_BATCH), np.uint64(batch))
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
            if with_light:  # noqa: SIM102 - a constant by itself, so that what it excludes is not compiled
                if dealt < tickets:
                    draw = (
                        header[_LIGHT]
                        + _earlier(end + HANDS * tickets - board[_BEFORE, heavy.size], hand)
                        - _earlier(end, hand)
                    )
                    light_run(
                        run_group[runs:], draw, tickets - dealt, light, members, order, turn, edges, heavy, taken,
                        head, repeats, points, sizes, lefts, rights, keys, highs, lows,
                    )  # fmt: skip
                    asks = asked or not alone
                    for at in range(tickets - dealt):
                        g = run_group[runs]
                        run_draw[runs] = light_before(g, draw + at, light, turn, edges, heavy, taken) if asks else 0
                        run_tickets[runs] = 1
                        runs += 1
                    header[_STEPS] += tickets - dealt

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

    deal.__name__ = deal.__qualname__ = "deal_with_light" if with_light else "deal_heavy"
    return kernel(_DEAL)(deal)


deal_heavy, deal_with_light = _dealer(False), _dealer(True)
"""The same: `deal_heavy` where no group is light, which is compiled in a third of the time."""


@kernel(
    "void(int64, int64, uint64, int64, int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[::1],"
    " uint32[::1], int64, int64[::1])"
)
def drawn(batch, tickets, span, start, edges, header, board, cells, heavy, light, members, scratch, totals):
    """The tickets each group got in micro-batches 0..batch-1 of a span, into `totals` (int64, groups)."""
    taken = _widths(edges, heavy)
    totals[:] = 0
    round_ = batch // HANDS
    hand = batch - round_ * HANDS
    if round_ != header[_ROUND]:
        _lay_out(round_, header, board, cells, taken, edges[edges.size - 1], span, start)
    for x in range(heavy.size):
        h = board[_ORDER, x]
        totals[heavy[h]] = _drawn_before(h, round_ % PERIOD, hand, cells, board[_ROW, x], board[_ROW, x + 1])
    if light[DRAWS] == 0:
        return
    begin = board[_ROW, heavy.size]
    end = begin + HANDS * tickets - board[_BEFORE, heavy.size]
    order, turn = child(span, _LIGHT_ORDER), child(span, _LIGHT_TURN)
    head, repeats = np.empty(scratch, np.int64), np.empty(scratch, np.uint8)
    draw = header[_LIGHT] + _earlier(end, hand) - _earlier(begin, hand)
    light_drawn(draw, totals, light, members, order, turn, edges, heavy, taken, head, repeats)
