"""The group of every draw of the *light* groups: groups that are rare share one order.

The draws of all light groups together are numbered in order of time. There are two such orders.

*Even*: all groups that come less than once per micro-batch have the same share, and they are rare enough. Then they are
shuffled like samples, in complete passes, each a new permutation of the groups (see `passes`): each group comes once
before any comes again.

*Uneven*: otherwise the groups with less than one ticket per round, or at most two per epoch, are light. Their draws
come in cycles as long as an epoch (see `cycle`): in an epoch, every group comes as often as expected, rounded down or
up.

Everything is computed from the number of the draw, in a time that grows with the logarithm of the number of groups.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .apportion import FRACTION_BITS, phase, tickets_before
from .array_types import blocks
from .compile import allocating, inner
from .cycle import (
    APART,
    DRAWS,
    ENTRIES,
    EVEN,
    INVERSE,
    NEW_ORDER,
    PARTS,
    START,
    count_below,
    group_of,
    lay_out_head,
    part_of,
    place_of,
    point_in,
    points_in,
    span,
    turned,
    widest,
    widths,
)
from .hashing import child, stream
from .passes import draw_run
from .permutation import (
    KEYS,
    LEFTS,
    PLACES,
    RIGHTS,
    SIZES,
    TABLE_LIMIT,
    fast_divmod,
    permute,
    permute_each,
    radices,
    unpermute,
)

__all__ = ["APART", "DRAWS", "Light", "arranged", "light_before", "light_drawn", "light_run"]

_MOST_DRAWS = (1 << 31) - 2  # the length of a cycle in 2^-32 ticket, plus an offset, fits 63 bits
_FEW = 2  # the most draws an epoch of a light group: with more, G6 failed in tests across epochs
_SHORTEST = 3  # the most epochs in a round: with more, G6 failed in tests too
_WIDEST = np.iinfo(np.int64).max
_GOLDEN_SECTION = (math.sqrt(5) - 1) / 2
_LEAST_CYCLE = 4  # times the draws that must be distinct, so that there are at least three times as many


class Light(NamedTuple):
    """How the groups of a line are divided into heavy and light ones, and how the draws of the light ones are arranged.

    Attributes:
        heavy: the groups that are not light, ascending, int64.
        layout: the entries named in `cycle`, int64 (10,); all 0 if no light group has a share.
        members: for an even order the light groups with a share, ascending, uint32; empty if these are all groups.
    """

    heavy: np.ndarray
    layout: np.ndarray
    members: np.ndarray

    @property
    def even(self) -> bool:
        """Whether the light groups come in complete passes, or there are none: then nothing depends on the epoch."""
        return bool(self.layout[EVEN]) or not self.layout[DRAWS]

    @property
    def passes(self) -> tuple[int, int]:
        """Of an even order: how many draws must be distinct, less one, and the draws of a cycle; see `plain_engine.Deal`."""
        return int(self.layout[APART]), int(self.layout[NEW_ORDER])

    def even_groups(self) -> np.ndarray:
        """The groups of an even order, int64; none of an uneven one."""
        if not self.layout[EVEN]:
            return np.empty(0, np.int64)
        return self.members.astype(np.int64) if self.members.size else np.arange(self.layout[DRAWS])


def arranged(
    edges: np.ndarray,
    start: int,
    tickets: int,
    *,
    batches: int,
    settling: bool,
    round_batches: int,
    together: int,
    seldom: int,
) -> Light:
    """Divide the groups of a line into heavy and light ones.

    Args:
        edges: of all groups on the line of a round, in 2^-32 ticket.
        start: the phase of the first cycle, below 2^32.
        tickets: in a micro-batch.
        batches: micro-batches in an epoch: a cycle of an uneven order has as many draws as those take, rounded.
        settling: whether the line is dealt for `batches` micro-batches only. Then the order is uneven.
        round_batches: micro-batches in a round.
        together: the number of consecutive micro-batches in which no light group may come twice, as far as that is
            possible.
        seldom: an order is even only if its groups come once in so many micro-batches or less often.
    """
    even = None if settling else _even(edges, tickets, round_batches, together, seldom)
    if even is not None:
        return even
    ticket = 1 << FRACTION_BITS
    limit = ticket
    if not settling and round_batches <= _SHORTEST * batches < _SHORTEST * _FEW * round_batches:
        larger = _FEW * round_batches * ticket // batches + 1
        total = _rare(edges, larger)[-1]
        most = _most_in(total, together, round_batches)
        parts_too_short = 3 * (most - 1) * _FEW * round_batches * ticket > total * batches  # to keep draws apart
        if larger <= round_batches * ticket and not parts_too_short:
            limit = larger
    heavy, total = _of_width(edges, limit), _rare(edges, limit)[-1]
    layout = np.zeros(ENTRIES, np.int64)
    if total:
        most = _most_in(total, together, round_batches)
        draws = (total * batches // round_batches + ticket // 2) >> FRACTION_BITS
        draws = min(max(draws, _LEAST_CYCLE * most), _MOST_DRAWS)
        # an edge is off by less than 1 for its own rounding and as much for each heavy group taken out before it
        error = -(-((heavy.size + 1) * draws << FRACTION_BITS) // total) + 1
        grain = min(error.bit_length() + 1, FRACTION_BITS - 1)
        parts = min(_ceil(widest(edges, heavy, total, draws, grain)), draws)
        stride = max(1, round(parts * _GOLDEN_SECTION))
        while math.gcd(stride, parts) != 1:
            stride += 1
        # a third of a part at most, as of a pass: then there are always other draws to change places with
        layout[DRAWS], layout[APART] = draws, min(most - 1, draws // parts // 3)
        layout[PARTS:] = parts, stride % parts, pow(stride, -1, parts), grain, start, total
    return Light(heavy, layout, np.empty(0, np.uint32))


def _even(edges: np.ndarray, tickets: int, round_batches: int, together: int, seldom: int) -> Light | None:
    """The groups with an even order; None if the shares of the rare ones differ, or they are not rare enough."""
    round_width = round_batches << FRACTION_BITS
    count, least, widest_one, total = _rare(edges, round_width)
    most = _most_in(total, together, round_batches)
    # shares are kept to one unit of the line: widths that differ by no more are equal
    equal = 1 < count <= _MOST_DRAWS and widest_one - least <= 1
    # few groups get a new order only where a pass ends with a micro-batch, so micro-batches must hold nothing else
    many, alone = 3 * (most - 1) <= count, total == int(edges[-1]) and together == 1
    if not (equal and widest_one * seldom <= round_width and (many or alone)):
        return None
    everyone = count == edges.size - 1
    members = np.empty(0, np.uint32) if everyone else _of_width(edges, 1, round_width - 1, np.uint32)
    layout = np.zeros(ENTRIES, np.int64)
    layout[EVEN], layout[DRAWS], layout[APART] = 1, count, most - 1
    layout[NEW_ORDER] = 0 if many else math.lcm(count, tickets)
    return Light(_of_width(edges, round_width), layout, members)


def _rare(edges: np.ndarray, limit: int) -> list[int]:
    """Of the groups with a share and narrower than `limit`: number, least, most and total width."""
    found = np.zeros(4, np.int64)
    widths(edges, limit, found)
    return found.tolist()


def _most_in(total: int, together: int, round_batches: int) -> int:
    """The most draws of groups that are `total` wide together in so many consecutive micro-batches."""
    return together * -(-_ceil(total) // round_batches)


def _of_width(edges: np.ndarray, least: int, most: int = _WIDEST, dtype: type = np.int64) -> np.ndarray:
    """The groups whose part of the line is from `least` to `most` wide, ascending."""
    found: list[np.ndarray] = []
    for first, last in blocks(edges.size - 1):
        drawn = np.diff(edges[first : last + 1])
        found.append((first + np.flatnonzero((drawn >= least) & (drawn <= most))).astype(dtype))
    return np.concatenate(found) if found else np.empty(0, dtype)


def _ceil(fixed: int) -> int:
    return -(-fixed >> FRACTION_BITS)


@inner
def _even_pass(first, layout, order):
    """For an even order: the key of the passes of light draw `first`, and the number of the draw under that key."""
    cycle = layout[NEW_ORDER]
    return (order, first) if cycle == 0 else (child(order, np.uint64(first // cycle)), first % cycle)


@allocating
def _even_run(run, first, count, layout, members, order, head, repeats, points):
    """`light_run` for an even order."""
    size, apart = layout[DRAWS], layout[APART]
    left, right = radices(np.uint64(size))
    key, draw = _even_pass(first, layout, order)
    pass_number, place = fast_divmod(draw, size)
    if (
        size >= TABLE_LIMIT
        and layout[NEW_ORDER] == 0
        and place + count <= size
        and (pass_number == 0 or place >= 2 * apart)
    ):
        here = stream(key, pass_number)  # within a pass, where the draws need not wait for each other
        for i in range(count):
            points[PLACES, i], points[SIZES, i], points[KEYS, i] = place + i, size, here
            points[LEFTS, i], points[RIGHTS, i] = left, right
        permute_each(count, points)
        for i in range(count):
            run[i] = points[PLACES, i]
    else:
        draw_run(run, draw, count, size, apart, left, right, key, head, repeats)
    if members.size > 0:
        for i in range(count):
            run[i] = members[run[i]]


@allocating
def light_run(run, first, count, layout, members, order, turn, edges, heavy, widths_before, head, repeats, points):
    """Write the groups of the light draws first..first+count-1, all of one micro-batch, into `run[:count]`.

    Args:
        run: out.
        first, count: which draws, counted from the first of the line.
        layout, members: from `arranged`.
        order, turn: the keys of the parts' orders and of the cycles' first parts.
        edges, heavy, widths_before: the line, the heavy groups, and the widths of the first 0, 1, 2, ... of them together.
        head, repeats: scratch as of `draw_run`.
        points: scratch of `count` entries.
    """
    if layout[EVEN]:
        _even_run(run, first, count, layout, members, order, head, repeats, points)
        return
    done = 0
    while done < count:
        cycle, part, start = place_of(first + done, layout, turn)
        size, residue = part_of(cycle, part, layout, turn)
        stop = min(size, start + count - done)
        offset, here = phase(layout[START], cycle), stream(order, cycle * layout[PARTS] + part)
        left, right = radices(np.uint64(size))
        laid = 0
        if size < TABLE_LIMIT or start < 2 * layout[APART]:
            laid = lay_out_head(cycle, part, layout, order, turn, edges, heavy, widths_before, head, repeats)
        for i in range(start, stop):
            point = head[i] if i < laid else np.int64(permute(np.uint64(i), np.uint64(size), left, right, here))
            run[done] = group_of(point * layout[PARTS] + residue, offset, layout, edges, heavy, widths_before)
            done += 1


@inner
def light_before(g, draw, layout, turn, edges, heavy, widths_before):
    """How many draws light group g had in the cycles and parts before the part of light draw `draw`."""
    if layout[EVEN]:
        return draw // layout[DRAWS]
    low, high = span(g, layout, edges, heavy, widths_before)
    cycle, part, _ = place_of(draw, layout, turn)
    first, count = points_in(g, cycle, layout, edges, heavy, widths_before)
    before = tickets_before(low, high, cycle, layout[START])
    if count > 0 and part > 0:  # point p is in part (inverse * (p - first point of the first part)) mod parts
        parts, inverse = layout[PARTS], layout[INVERSE]
        rest = inverse * ((first - turned(cycle, layout, turn)) % parts) % parts
        before += count_below(count, parts, inverse, rest, part)
    return before


@allocating
def _even_drawn(draw, totals, layout, members, order, head, repeats):
    """`light_drawn` for an even order."""
    size, apart = layout[DRAWS], layout[APART]
    left, right = radices(np.uint64(size))
    number, done = fast_divmod(draw, size)
    key, begin = _even_pass(number * size, layout, order)
    came = np.empty(size, np.int64)
    draw_run(came, begin, done, size, apart, left, right, key, head, repeats)
    for i in range(size):
        totals[members[i] if members.size > 0 else i] = number
    for i in range(done):
        totals[members[came[i]] if members.size > 0 else came[i]] += 1


@allocating
def light_drawn(draw, totals, layout, members, order, turn, edges, heavy, widths_before, head, repeats):
    """Write how many of the light draws 0..draw-1 every light group had into its place of `totals`."""
    if layout[EVEN]:
        _even_drawn(draw, totals, layout, members, order, head, repeats)
        return
    cycle, part, done = place_of(draw, layout, turn)
    size, residue = part_of(cycle, part, layout, turn)
    offset, here = phase(layout[START], cycle), stream(order, cycle * layout[PARTS] + part)
    left, right = radices(np.uint64(size))
    laid = 0
    if done > 0:
        laid = lay_out_head(cycle, part, layout, order, turn, edges, heavy, widths_before, head, repeats)
    h = 0
    for g in range(totals.size):
        if h < heavy.size and heavy[h] == g:
            h += 1
            continue
        totals[g] = light_before(g, draw, layout, turn, edges, heavy, widths_before)
        point = point_in(g, cycle, residue, layout, edges, heavy, widths_before) if done > laid else -1
        if point >= 0:
            totals[g] += laid <= np.int64(unpermute(np.uint64(point), np.uint64(size), left, right, here)) < done
    # a point that changed places within the head is still in it: those behind are untouched
    for i in range(min(done, laid)):
        totals[group_of(head[i] * layout[PARTS] + residue, offset, layout, edges, heavy, widths_before)] += 1
