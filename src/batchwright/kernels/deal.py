"""Divide the draws of a round among its micro-batches, so that any micro-batch is computed without the others.

A round is HANDS micro-batches of `tickets` tickets. Its tickets form a row. First come those of the *heavy* groups: each
group's tickets side by side, the groups in an order shuffled for this round. Then come the tickets of all *light* groups
together: groups that are rare and share an order of their own (see `light`). The row is dealt like cards: micro-batch i of
the round takes every HANDS-th ticket, from place `STRIDE * i mod HANDS` on. HANDS and STRIDE are neighbouring Fibonacci
numbers. That spreads the extra tickets of every group evenly over every run of consecutive micro-batches.

The draws of a group are numbered in the order of time: those of a micro-batch are consecutive and follow those of all
earlier micro-batches. So a micro-batch needs a group's passes at one place only.

There may be hundreds of millions of light groups (every sample its own group); they are only looked up. There are at most as
many heavy groups as a round has tickets.

How `deal` is organised. For every micro-batch it goes through five steps, each with a comment: shuffle the slots; find which
groups have the micro-batch's tickets, and the number of each group's first draw; find the place of every draw in its group
(most lie in the middle of a pass and are permuted together, because six rounds over many points run in parallel in the
processor and over one point do not); look up the samples; write them to their slots. The steps are not functions of their
own: they share fourteen buffers, so each would have as many arguments as `deal`.

A kernel takes only arrays and numbers, so its arguments come one by one, in bundles: what to compute (`batches`, `tickets`,
`per_ticket`), keys (`root`, `shares_key`, `start`), the division of the line (`edges`), scratch that remembers a round
(`header`, `round_table`, `cells`), heavy and light groups (`heavy`, `light`, `members`), samples of groups (`group_table`,
`head_size`, `index`, `wide_index`, `base`), and outputs.
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

__all__ = ["HANDS", "STRIDE", "WIDE", "deal_heavy", "deal_with_light", "drawn", "group_table_of", "new_scratch"]

HANDS = 89  # a Fibonacci number
STRIDE = 55  # the Fibonacci number before it
_INVERSE = 34  # 55 * 34 = 1 modulo 89
_LEAP = 16  # periods; from this distance on, counting from the beginning is cheaper than adding up the periods between

# columns of `cells`, rows of `round_table`, entries of `header`
_TOTAL, _LOW, _HIGH, _GROUP = 0, 1, 2, 3
_ORDER, _ROW, _BEFORE = 0, 1, 2
_ROUND, _LIGHT, _STEPS, _PERIOD = 0, 1, 2, 3
_BEGIN, _SIZE, WIDE, _LEFT, _RIGHT = 0, 1, 2, 3, 4  # columns of `group_table_of`

_PASS, _GROUP_ORDER = np.uint64(PURPOSE.PASS), np.uint64(PURPOSE.GROUP_ORDER)
_HAND_OFFSET, _WITHIN_BATCH = np.uint64(PURPOSE.HAND_OFFSET), np.uint64(PURPOSE.WITHIN_BATCH)
_LIGHT_ORDER, _LIGHT_TURN = np.uint64(PURPOSE.LIGHT_ORDER), np.uint64(PURPOSE.LIGHT_TURN)


def _prefix_counts() -> np.ndarray:
    """Entry [i, x]: how many of the places 0..x-1 of HANDS consecutive ones go to the micro-batches before the i-th."""
    taken = (np.arange(HANDS) * _INVERSE % HANDS)[None, :] < np.arange(HANDS + 1)[:, None]
    return np.concatenate([np.zeros((HANDS + 1, 1)), np.cumsum(taken, axis=1)], axis=1).astype(np.uint8)


_EARLIER = _prefix_counts()


def group_table_of(sizes: np.ndarray, starts: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """What `deal` needs to know of each group, adjacent in memory: int64 (groups, 5).

    Args:
        sizes, starts: the number of samples of each group, and where they begin among all, int64 (groups,).
        wide: one less than the most draws a micro-batch takes of each group, int64 (groups,); see `passes`.
    """
    left = np.sqrt(sizes.astype(np.float64)).astype(np.int64) + 1
    return np.stack([starts, sizes, wide, left, -(-sizes // left)], axis=1).astype(np.int64)


def new_scratch(heavy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scratch that remembers the round computed last: `header`, `round_table` and `cells`. It affects only speed.

    `header` holds the round, the light tickets before it, the steps of work so far, and the period of the round.
    `round_table` holds the heavy groups in the round's order, the place of each in the row, and the tickets before each.
    A row of `cells` is a heavy group: its tickets before the period, its two edges there, its number.
    """
    cells = np.zeros((heavy.size, 4), np.int64)
    cells[:, _GROUP] = heavy
    return np.array([-1, 0, 0, -1], np.int64), np.zeros((3, heavy.size + 1), np.int64), cells


@inner
def _earlier(place, hand):
    """How many tickets at the places before this one go to the micro-batches before this one of the round."""
    lap = np.uint64(place) // np.uint64(HANDS)  # unsigned division takes a third of the time
    return np.int64(lap) * hand + np.int64(_EARLIER[np.uint64(hand), np.uint64(place) - lap * np.uint64(HANDS)])


@inner
def _enter_period(period, header, cells, low, high, start):
    """Update `cells` to a period of rounds: the heavy groups' tickets before it, and their edges in it."""
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
    """The total width of the first 0, 1, 2, ... heavy groups: int64 (heavy + 1,). They come first on the line."""
    taken = np.zeros(heavy.size + 1, np.int64)
    for h in range(heavy.size):
        taken[h + 1] = taken[h] + edges[heavy[h] + 1] - edges[heavy[h]]
    return taken


@inner
def _lay_out(round_, header, round_table, cells, taken, end, shares_key, start):
    """Update `header` and `round_table` to a round: the row's heavy groups in shuffled order, then the light tickets."""
    heavy = taken.size - 1
    if round_ // PERIOD != header[_PERIOD]:
        _enter_period(round_ // PERIOD, header, cells, taken[:-1], taken[1:], start)
    header[_ROUND], header[_LIGHT] = round_, tickets_before(taken[heavy], end, round_, start)
    step = step_of(round_)
    key = child(child(shares_key, _GROUP_ORDER), np.uint64(round_))
    round_table[_BEFORE, 0] = 0
    for h in range(heavy):
        count = ((cells[h, _HIGH] + step) >> 8) - ((cells[h, _LOW] + step) >> 8)
        round_table[_BEFORE, h + 1] = round_table[_BEFORE, h] + count
        round_table[_ORDER, h] = h
    for h in range(heavy - 1, 0, -1):
        other = np.int64(below(stream(key, h), np.uint64(h + 1)))
        round_table[_ORDER, h], round_table[_ORDER, other] = round_table[_ORDER, other], round_table[_ORDER, h]
    # places are counted from a random offset, so that over the rounds no micro-batch of a round is favoured
    place = HANDS - np.int64(below(child(child(shares_key, _HAND_OFFSET), np.uint64(round_)), np.uint64(HANDS)))
    for x in range(heavy):
        round_table[_ROW, x] = place
        h = round_table[_ORDER, x]
        place += round_table[_BEFORE, h + 1] - round_table[_BEFORE, h]
    round_table[_ROW, heavy] = place
    header[_STEPS] += heavy


@inner
def _drawn_before(h, beat, hand, cells, place, stop):
    """Tickets of a heavy group before a micro-batch of a round; in the row of the round it has places place..stop-1."""
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
        shares_key,
        start,
        edges,
        header,
        round_table,
        cells,
        heavy,
        light,
        members,
        group_table,
        head_size,
        index,
        wide_index,
        base,
        samples,
        groups,
        draws,
    ):
        """Compute micro-batches dealt in constant shares, one per row of `samples`, `groups` and `draws`.

        Args:
            batches: the numbers of the micro-batches since these shares began, in any order; ascending is fastest.
            tickets, per_ticket: tickets in a micro-batch, and draws from one group that a ticket stands for.
            root, shares_key, start: the key of the samples' passes, the key of these shares' shuffles, the first round's
                offset (below 2^32).
            edges: from `line`, for HANDS * tickets tickets.
            header, round_table, cells: from `new_scratch`; calls with the same shares keep them.
            heavy, light, members: from `arranged`: the heavy groups, and how the light ones are ordered.
            group_table: from `group_table_of`, or without rows if every group is one sample.
            head_size: the longest head of a pass that may have to be changed, at least TABLE_LIMIT.
            index, wide_index: the samples group by group, in one of the two; both empty if sample i is entry i.
            base: the tickets of each group before these shares began, or empty for none.
            samples: out; int64 (batches, tickets * per_ticket).
            groups: out; the group of each ticket, int64 (batches, tickets), or no rows if not needed.
            draws: out; how many tickets the group had before each ticket, as `groups`.
        """
        taken, line_end = _widths(edges, heavy), edges[edges.size - 1]
        slots = tickets * per_ticket
        head, repeats = np.empty(head_size, np.int64), np.empty(head_size, np.uint8)
        run, drawn, answers = np.empty(slots, np.int64), np.empty(slots, np.int64), np.empty(slots, np.int64)
        points, sizes = np.empty(slots, np.int64), np.empty(slots, np.int64)
        lefts, rights, keys = np.empty(slots, np.uint64), np.empty(slots, np.uint64), np.empty(slots, np.uint64)
        highs, lows = np.empty(slots, np.uint64), np.empty(slots, np.uint64)
        places = np.empty(tickets, np.int64)
        run_group, run_draw = np.empty(tickets, np.int64), np.empty(tickets, np.int64)
        run_tickets = np.empty(tickets, np.int64)
        alone = group_table.shape[0] == 0
        asked = groups.shape[0] > 0
        passes = child(root, _PASS)
        order, turn = child(shares_key, _LIGHT_ORDER), child(shares_key, _LIGHT_TURN)

        for row in range(samples.shape[0]):
            batch = batches[row]
            round_ = batch // HANDS
            hand = batch - round_ * HANDS
            if round_ != header[_ROUND]:
                _lay_out(round_, header, round_table, cells, taken, line_end, shares_key, start)
            # the slot of every ticket
            shuffle = child(child(shares_key, _WITHIN_BATCH), np.uint64(batch))
            for i in range(tickets):
                places[i] = i
            for i in range(tickets - 1, 0, -1):
                other = np.int64(below(stream(shuffle, i), np.uint64(i + 1)))
                places[i], places[other] = places[other], places[i]

            # the groups of the tickets, run by run, and the number of the draw that each run begins with
            dealt, runs, x = 0, 0, 0
            end = round_table[_ROW, heavy.size]
            place = round_table[_ROW, 0] + (hand * STRIDE + HANDS * HANDS - round_table[_ROW, 0]) % HANDS
            while place < end:
                while round_table[_ROW, x + 1] <= place:
                    x += 1
                stop = round_table[_ROW, x + 1]
                h = round_table[_ORDER, x]
                begun = dealt
                while place < stop:
                    dealt += 1
                    place += HANDS
                run_group[runs] = cells[h, _GROUP]
                run_draw[runs] = _drawn_before(h, round_ % PERIOD, hand, cells, round_table[_ROW, x], stop)
                run_tickets[runs] = dealt - begun
                runs += 1
            header[_STEPS] += heavy.size
            if with_light:  # noqa: SIM102 - a constant by itself, so that what it excludes is not compiled
                if dealt < tickets:
                    draw = (
                        header[_LIGHT]
                        + _earlier(end + HANDS * tickets - round_table[_BEFORE, heavy.size], hand)
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

            # the place of every draw in its group: most lie in the middle of a pass and are permuted together at the end
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
                begin, n, wide = group_table[g, _BEGIN], group_table[g, _SIZE], group_table[g, WIDE]
                left, right = np.uint64(group_table[g, _LEFT]), np.uint64(group_table[g, _RIGHT])
                draw = run_draw[number] * per_ticket
                key = stream(passes, g)
                pass_number, place = split(draw, n)
                unchanged = wide == 0 or (3 * wide <= n and (pass_number == 0 or place >= 2 * wide))
                if n >= TABLE_LIMIT and unchanged and place + count <= n:
                    here = stream(key, pass_number)
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

            # the samples at these places
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
            # the slots of these samples
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
"""Two versions of `deal`: `deal_heavy`, for orders without light groups, compiles in a third of the time."""


@kernel(
    "void(int64, int64, uint64, int64, int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[::1],"
    " uint32[::1], int64, int64[::1])"
)
def drawn(
    batch, tickets, shares_key, start, edges, header, round_table, cells, heavy, light, members, head_size, totals
):
    """Write the tickets of each group in micro-batches 0..batch-1 since these shares began into `totals`, int64."""
    taken = _widths(edges, heavy)
    totals[:] = 0
    round_ = batch // HANDS
    hand = batch - round_ * HANDS
    if round_ != header[_ROUND]:
        _lay_out(round_, header, round_table, cells, taken, edges[edges.size - 1], shares_key, start)
    for x in range(heavy.size):
        h = round_table[_ORDER, x]
        totals[heavy[h]] = _drawn_before(
            h, round_ % PERIOD, hand, cells, round_table[_ROW, x], round_table[_ROW, x + 1]
        )
    if light[DRAWS] == 0:
        return
    begin = round_table[_ROW, heavy.size]
    end = begin + HANDS * tickets - round_table[_BEFORE, heavy.size]
    order, turn = child(shares_key, _LIGHT_ORDER), child(shares_key, _LIGHT_TURN)
    head, repeats = np.empty(head_size, np.int64), np.empty(head_size, np.uint8)
    draw = header[_LIGHT] + _earlier(end, hand) - _earlier(begin, hand)
    light_drawn(draw, totals, light, members, order, turn, edges, heavy, taken, head, repeats)
