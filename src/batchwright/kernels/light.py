"""Which group the draws of the *light* groups are of: groups that come rarely share one order.

The draws of all light groups together are numbered in order of time. There are two such orders.

*Even*: the groups that come less than once a micro-batch all have the same share. Then they are shuffled like samples: in
whole passes, each a fresh permutation of the groups (see `passes`), so each comes once before any comes again.

*Uneven*: otherwise the groups with less than one ticket a round, or at most two an epoch, are light. They lie side by
side on a line of their own, and their draws come in *cycles*, each as long as an epoch. A cycle is a systematic sample of
that line (Madow and Madow 1944): points one ticket apart, from an offset on that changes from cycle to cycle as
`apportion.phase` says. So in an epoch every group comes floor or ceil of its expectation. A cycle is drawn in *parts*. A
part takes every `parts`-th point of the line, where `parts` is the least number for which no group comes twice in a part.
Parts are visited with a stride next to the golden section, which spreads the points of one group evenly over the cycle.
Within a part, points come in the order of a keyed bijection. Where one part follows another, the first draws of a group
that came in the last `apart` draws change places with later ones, as in `passes`: draws at most `apart` apart are of
different groups.

Everything is computed from the number of the draw, in a time that grows with the logarithm of the groups.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .apportion import FRACTION_BITS, phase, tickets_before
from .compile import inner, kernel
from .hashing import below, child, stream
from .passes import draw_run, part_from_previous
from .permute import TABLE_LIMIT, fill_table, permute, radices, split, unpermute

__all__ = ["APART", "Light", "arranged", "light_before", "light_drawn", "light_run"]

_MOST_DRAWS = (1 << 31) - 2  # a cycle in units of 2^-32 ticket, and an offset, fit 64 bits
_FEW = 2  # draws of a group in an epoch: of more, runs of micro-batches that cross epochs strayed from their quota by 3 (G6)
_SHORTEST = 3  # epochs in a round: of more, a run that crosses them all strayed by 3 too
_GOLDEN_SECTION = (math.sqrt(5) - 1) / 2
_ONE = np.uint64(1)

# entries of a layout
_EVEN, _DRAWS, APART, _CYCLE = (
    0,
    1,
    2,
    3,
)  # 1 or 0; draws in a cycle (of an even order: in a pass); of an even order only
_PARTS, _STRIDE, _INVERSE, _GRAIN, _START, _TOTAL = 4, 5, 6, 7, 8, 9  # of an uneven order only


class Light(NamedTuple):
    """How the groups of a line are divided, and how the draws of the light ones are arranged.

    Attributes:
        heavy: the groups that are not light, ascending, int64.
        layout: the entries named above, int64 (10,); all 0 where no light group has a share.
        members: where the order is even, the light groups with a share, ascending, uint32; empty where that is all groups.
    """

    heavy: np.ndarray
    layout: np.ndarray
    members: np.ndarray

    @property
    def even(self) -> bool:
        """Whether the light groups come in whole passes, or there are none: then nothing depends on the epoch."""
        return bool(self.layout[_EVEN]) or not self.layout[_DRAWS]

    def even_groups(self) -> np.ndarray:
        """The groups of an even order, int64; none of an uneven one."""
        if not self.layout[_EVEN]:
            return np.empty(0, np.int64)
        return self.members.astype(np.int64) if self.members.size else np.arange(self.layout[_DRAWS])


def arranged(
    edges: np.ndarray, start: int, tickets: int, *, batches: int, settling: bool, hands: int, together: int
) -> Light:
    """Divide the groups of a line into heavy and light ones.

    Args:
        edges: of all groups on the line of a round, in 2^-32 ticket.
        start: the phase of the first cycle, below 2^32.
        tickets: in a micro-batch.
        batches: micro-batches in an epoch: a cycle of an uneven order has as many draws as those take, rounded.
        settling: whether the line is dealt for so many micro-batches only. Then the order is uneven.
        hands: micro-batches in a round.
        together: the number of consecutive micro-batches in which no light group may come twice, as far as that is possible.
    """
    ticket = 1 << FRACTION_BITS
    rare = np.zeros(4, np.int64)
    widths(edges, hands * ticket, rare)
    count, most = int(rare[0]), together * -(-_ceil(int(rare[3])) // hands)
    # shares are kept to one unit of the line: widths that differ by no more are equal
    equal = 1 < count <= _MOST_DRAWS and rare[2] - rare[1] <= 1 and not settling
    # few groups are shuffled anew only where a pass ends with a micro-batch, which needs micro-batches of nothing else
    many, alone = 3 * (most - 1) <= count, int(rare[3]) == int(edges[-1]) and together == 1
    layout = np.zeros(10, np.int64)
    if equal and (many or alone):
        drawn = np.diff(edges)
        members = np.flatnonzero((drawn > 0) & (drawn < hands * ticket)) if count < drawn.size else np.empty(0, int)
        layout[: _CYCLE + 1] = 1, count, most - 1, 0 if many else math.lcm(count, tickets)
        return Light(np.flatnonzero(drawn >= hands * ticket), layout, members.astype(np.uint32))
    limit = ticket
    if not settling and hands <= _SHORTEST * batches < _SHORTEST * _FEW * hands:
        limit = _FEW * hands * ticket // batches + 1
        widths(edges, limit, rare)
        most = together * -(-_ceil(int(rare[3])) // hands)
        if limit > hands * ticket or 3 * (most - 1) * _FEW * hands * ticket > int(rare[3]) * batches:
            limit = ticket  # parts would be too short to keep the draws of a micro-batch apart
    heavy = np.flatnonzero(np.diff(edges) >= limit)
    widths(edges, limit, rare)
    total = int(rare[3])
    if total:
        most = together * -(-_ceil(total) // hands)
        draws = (total * batches // hands + ticket // 2) >> FRACTION_BITS
        draws = min(max(draws, 4 * most), _MOST_DRAWS)
        # an edge is off by less than 1 for its own rounding and as much for each heavy group taken out before it
        error = -(-((heavy.size + 1) * draws << FRACTION_BITS) // total) + 1
        grain = min(error.bit_length() + 1, FRACTION_BITS - 1)
        parts = min(_ceil(widest(edges, heavy, total, draws, grain)), draws)
        stride = max(1, round(parts * _GOLDEN_SECTION))
        while math.gcd(stride, parts) != 1:
            stride += 1
        layout[1:3] = draws, min(most - 1, draws // parts // 3)
        layout[_PARTS:] = parts, stride % parts, pow(stride, -1, parts), grain, start, total
    return Light(heavy, layout, np.empty(0, np.uint32))


def _ceil(fixed: int) -> int:
    return -(-fixed >> FRACTION_BITS)


@inner
def _scaled(edge, total, draws):
    """floor(edge * draws * 2^32 / total), exactly, for 0 <= edge <= total < 2^62: an estimate, put right modulo 2^64."""
    whole = np.int64(np.float64(edge) * np.float64(draws) / np.float64(total))
    rest = np.int64(np.uint64(edge) * np.uint64(draws) - np.uint64(whole) * np.uint64(total))
    while rest < 0:
        rest += total
        whole -= 1
    while rest >= total:
        rest -= total
        whole += 1
    part = np.int64(np.float64(rest) * 4294967296.0 / np.float64(total))
    rest = np.int64((np.uint64(rest) << np.uint64(32)) - np.uint64(part) * np.uint64(total))
    while rest < 0:
        rest += total
        part -= 1
    while rest >= total:
        rest -= total
        part += 1
    return (whole << 32) + part


@inner
def _cycle_edge(edge, total, draws, grain):
    """An edge of the light groups' line on the line of a cycle, to the nearest multiple of 2^grain."""
    return ((_scaled(edge, total, draws) + ((1 << grain) >> 1)) >> grain) << grain


@inner
def _below(g, heavy):
    """How many heavy groups come before group g."""
    first, last = 0, heavy.size
    while first < last:
        middle = (first + last) >> 1
        if heavy[middle] < g:
            first = middle + 1
        else:
            last = middle
    return first


@inner
def _stretch(g, layout, edges, heavy, taken):
    """The two edges of a light group on the line of a cycle; `taken[h]` is the width of the first h heavy groups."""
    gone = taken[_below(g, heavy)]
    total, draws, grain = layout[_TOTAL], layout[_DRAWS], layout[_GRAIN]
    low, high = edges[g] - gone, edges[g + 1] - gone
    return _cycle_edge(low, total, draws, grain), _cycle_edge(high, total, draws, grain)


@kernel("void(int64[::1], int64, int64[::1])")
def widths(edges, limit, found):
    """Into `found`: of the groups with a share and narrower than `limit`: number, and least, most and total width."""
    found[0], found[1], found[2], found[3] = 0, limit, 0, 0
    for g in range(edges.size - 1):
        width = edges[g + 1] - edges[g]
        if 0 < width < limit:
            found[0] += 1
            found[1], found[2] = min(found[1], width), max(found[2], width)
            found[3] += width


@kernel("int64(int64[::1], int64[::1], int64, int64, int64)")
def widest(edges, heavy, total, draws, grain):
    """The width of the widest light group on the line of a cycle."""
    h, gone, before, most = 0, np.int64(0), np.int64(0), np.int64(0)
    for g in range(edges.size - 1):
        width = edges[g + 1] - edges[g]
        if h < heavy.size and heavy[h] == g:
            h += 1
            gone += width
        elif width > 0:
            after = _cycle_edge(edges[g + 1] - gone, total, draws, grain)
            most = max(most, after - before)
            before = after
    return most


@inner
def _group_of(point, offset, layout, edges, heavy, taken):
    """The light group that holds a point of a cycle with this offset: the one with `low < position <= high`."""
    total, draws, grain = layout[_TOTAL], layout[_DRAWS], layout[_GRAIN]
    position = ((point + 1) << 32) - offset
    # edges are rounded to a multiple of 2^grain: one is below the position where its exact place is below this
    bound = ((position + (1 << grain) - 1) >> grain << grain) - ((1 << grain) >> 1)
    slope = np.float64(total) / (np.float64(draws) * 4294967296.0)
    edge = np.int64(np.float64(bound) * slope)
    edge = min(max(edge, np.int64(0)), total)  # an estimate, off by a thousand or so, then by one or two
    edge += np.int64(np.float64(bound - _scaled(edge, total, draws)) * slope)
    edge = min(max(edge, np.int64(0)), total)
    while edge > 0 and _scaled(edge - 1, total, draws) >= bound:
        edge -= 1
    while _scaled(edge, total, draws) < bound:
        edge += 1
    first, last = 0, heavy.size  # heavy groups that begin before this place of the light groups' line
    while first < last:
        middle = (first + last) >> 1
        if edges[heavy[middle]] - taken[middle] < edge:
            first = middle + 1
        else:
            last = middle
    edge += taken[first]
    first, last = 0, edges.size
    while first < last:
        middle = (first + last) >> 1
        if edges[middle] < edge:
            first = middle + 1
        else:
            last = middle
    return first - 1


@inner
def _floors(count, divisor, factor, rest):
    """The sum of floor((factor * i + rest) / divisor) for i in 0..count-1, as in Euclid's algorithm; nothing negative."""
    total = np.int64(0)
    while True:
        total += (count - 1) * count // 2 * (factor // divisor) + count * (rest // divisor)
        factor, rest = factor % divisor, rest % divisor
        reach = factor * count + rest
        if reach < divisor:
            return total
        count, divisor, factor, rest = reach // divisor, factor, divisor, reach % divisor


@inner
def _count_below(count, divisor, factor, rest, bound):
    """For how many i in 0..count-1 (factor * i + rest) mod divisor is below a bound of 0 to divisor."""
    return _floors(count, divisor, factor, rest) - _floors(count, divisor, factor, rest + divisor - bound) + count


@inner
def _turned(cycle, layout, turn):
    """The first point of the first part of a cycle."""
    return np.int64(below(stream(turn, cycle), np.uint64(layout[_PARTS])))


@inner
def _part(cycle, part, layout, turn):
    """How many points a part takes, and the first of them: from there on every `parts`-th."""
    parts = layout[_PARTS]
    first = (layout[_STRIDE] * part + _turned(cycle, layout, turn)) % parts
    return (layout[_DRAWS] - first - 1) // parts + 1, first


@inner
def _place_of(draw, layout, turn):
    """The cycle of a draw, its part, and its place in the part."""
    draws, parts = layout[_DRAWS], layout[_PARTS]
    cycle = draw // draws
    rest = draw - cycle * draws
    turned, longer, size = _turned(cycle, layout, turn), draws % parts, draws // parts
    part = rest * parts // draws  # an estimate: parts differ by one point, and longer ones are spread evenly
    begin = part * size + _count_below(part, parts, layout[_STRIDE], turned, longer)
    while begin > rest:
        part -= 1
        begin -= _part(cycle, part, layout, turn)[0]
    count = _part(cycle, part, layout, turn)[0]
    while rest - begin >= count:
        begin += count
        part += 1
        count = _part(cycle, part, layout, turn)[0]
    return cycle, part, rest - begin


@inner
def _points_in(g, cycle, layout, edges, heavy, taken):
    """The first point of a cycle that falls on group g, and how many do."""
    low, high = _stretch(g, layout, edges, heavy, taken)
    offset = phase(layout[_START], cycle)
    first = (low + offset) >> 32
    return first, ((high + offset) >> 32) - first


@inner
def _point_in(g, cycle, residue, layout, edges, heavy, taken):
    """The number among the points of a part (whose first is `residue`) of the one that falls on group g, or -1."""
    first, count = _points_in(g, cycle, layout, edges, heavy, taken)
    ahead = (residue - first) % layout[_PARTS]
    return (first + ahead) // layout[_PARTS] if ahead < count else -1


@inner
def _lay_out_head(cycle, part, layout, order, turn, edges, heavy, taken, head, repeats):
    """Into `head`: the first points of a part, with no group among the first `apart` that came in the last `apart` before.

    All the part's points where these are few, else the first `2 * apart`. Returns how many.
    """
    parts, apart = layout[_PARTS], layout[APART]
    number = cycle * parts + part
    size, residue = _part(cycle, part, layout, turn)
    here = stream(order, number)
    left, right = radices(np.uint64(size))
    mended = 2 * apart if number > 0 else 0
    if size < TABLE_LIMIT:
        fill_table(head, size, here)
    else:
        for i in range(mended):
            head[i] = np.int64(permute(np.uint64(i), np.uint64(size), left, right, here))
    if mended > 0:
        offset = phase(layout[_START], cycle)
        earlier, last = (cycle, part - 1) if part > 0 else (cycle - 1, parts - 1)
        count, begin = _part(earlier, last, layout, turn)
        before = stream(order, number - 1)
        left, right = radices(np.uint64(count))
        tail = np.uint64(0)
        if count < TABLE_LIMIT:
            table = np.empty(TABLE_LIMIT, np.int64)
            fill_table(table, count, before)
            for i in range(count - apart, count):
                tail |= _ONE << np.uint64(table[i])
        for i in range(mended):
            g = _group_of(head[i] * parts + residue, offset, layout, edges, heavy, taken)
            point = _point_in(g, earlier, begin, layout, edges, heavy, taken)
            if point < 0:
                repeats[i] = 0
            elif count < TABLE_LIMIT:
                repeats[i] = (tail >> np.uint64(point)) & _ONE
            else:
                place = np.int64(unpermute(np.uint64(point), np.uint64(count), left, right, before))
                repeats[i] = place >= count - apart
        part_from_previous(head, repeats, apart)
    return size if size < TABLE_LIMIT else mended


@inner
def _even_pass(first, layout, order):
    """For an even order: the key of the passes that light draw `first` is in, and its number among their draws."""
    cycle = layout[_CYCLE]
    return (order, first) if cycle == 0 else (child(order, np.uint64(first // cycle)), first % cycle)


@inner
def _even_run(run, first, count, layout, members, order, head, behind, repeats, highs, lows):
    """`light_run` for an even order."""
    size, apart = layout[_DRAWS], layout[APART]
    left, right = radices(np.uint64(size))
    key, draw = _even_pass(first, layout, order)
    draw_run(run, draw, count, size, apart, left, right, key, head, behind, repeats, highs, lows)
    if members.size > 0:
        for i in range(count):
            run[i] = members[run[i]]


@inner
def light_run(
    run, first, count, layout, members, order, turn, edges, heavy, taken, head, behind, repeats, highs, lows
):  # fmt: skip
    """Write the groups of the light draws first..first+count-1, all of one micro-batch, into `run[:count]`.

    Args:
        run: out.
        first, count: which draws, counted from the first of the line.
        layout, members: from `arranged`.
        order, turn: the keys of the parts' orders and of the cycles' first parts.
        edges, heavy, taken: the line, the heavy groups, and the widths of the first 0, 1, 2, ... of them together.
        head, behind, repeats, highs, lows: scratch as of `draw_run`.
    """
    if layout[_EVEN]:
        _even_run(run, first, count, layout, members, order, head, behind, repeats, highs, lows)
        return
    done = 0
    while done < count:
        cycle, part, start = _place_of(first + done, layout, turn)
        size, residue = _part(cycle, part, layout, turn)
        stop = min(size, start + count - done)
        offset, here = phase(layout[_START], cycle), stream(order, cycle * layout[_PARTS] + part)
        left, right = radices(np.uint64(size))
        laid = 0
        if size < TABLE_LIMIT or start < 2 * layout[APART]:
            laid = _lay_out_head(cycle, part, layout, order, turn, edges, heavy, taken, head, repeats)
        for i in range(start, stop):
            point = head[i] if i < laid else np.int64(permute(np.uint64(i), np.uint64(size), left, right, here))
            run[done] = _group_of(point * layout[_PARTS] + residue, offset, layout, edges, heavy, taken)
            done += 1


@inner
def light_before(g, draw, layout, turn, edges, heavy, taken):
    """How many draws light group g had in the cycles and parts before the part of light draw `draw`."""
    if layout[_EVEN]:
        return draw // layout[_DRAWS]
    low, high = _stretch(g, layout, edges, heavy, taken)
    cycle, part, _ = _place_of(draw, layout, turn)
    first, count = _points_in(g, cycle, layout, edges, heavy, taken)
    before = tickets_before(low, high, cycle, layout[_START])
    if count > 0 and part > 0:  # point p is in part (inverse * (p - first point of the first part)) mod parts
        parts, inverse = layout[_PARTS], layout[_INVERSE]
        rest = inverse * ((first - _turned(cycle, layout, turn)) % parts) % parts
        before += _count_below(count, parts, inverse, rest, part)
    return before


@inner
def _even_drawn(draw, totals, layout, members, order, head, behind, repeats, highs, lows):
    """`light_drawn` for an even order."""
    size, apart = layout[_DRAWS], layout[APART]
    left, right = radices(np.uint64(size))
    number, done = split(draw, size)
    key, begin = _even_pass(number * size, layout, order)
    came = np.empty(size, np.int64)
    draw_run(came, begin, done, size, apart, left, right, key, head, behind, repeats, highs, lows)
    for i in range(size):
        totals[members[i] if members.size > 0 else i] = number
    for i in range(done):
        totals[members[came[i]] if members.size > 0 else came[i]] += 1


@inner
def light_drawn(
    draw, totals, layout, members, order, turn, edges, heavy, taken, head, behind, repeats, highs, lows
):  # fmt: skip
    """Write how many of the light draws 0..draw-1 every light group had into its place of `totals`."""
    if layout[_EVEN]:
        _even_drawn(draw, totals, layout, members, order, head, behind, repeats, highs, lows)
        return
    cycle, part, done = _place_of(draw, layout, turn)
    size, residue = _part(cycle, part, layout, turn)
    offset, here = phase(layout[_START], cycle), stream(order, cycle * layout[_PARTS] + part)
    left, right = radices(np.uint64(size))
    laid = 0
    if done > 0:
        laid = _lay_out_head(cycle, part, layout, order, turn, edges, heavy, taken, head, repeats)
    h = 0
    for g in range(totals.size):
        if h < heavy.size and heavy[h] == g:
            h += 1
            continue
        totals[g] = light_before(g, draw, layout, turn, edges, heavy, taken)
        point = _point_in(g, cycle, residue, layout, edges, heavy, taken) if done > laid else -1
        if point >= 0:
            totals[g] += laid <= np.int64(unpermute(np.uint64(point), np.uint64(size), left, right, here)) < done
    # a point that changed places within the head is still in it: those behind are untouched
    for i in range(min(done, laid)):
        totals[_group_of(head[i] * layout[_PARTS] + residue, offset, layout, edges, heavy, taken)] += 1
