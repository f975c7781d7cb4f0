"""An order of rare groups with different shares: an endless sequence of cycles, each a systematic sample of the groups.

The groups lie side by side on a line. A cycle takes points of the line that are one ticket apart (Madow and Madow
1944). Their offset changes from cycle to cycle, see `apportion.phase`. So in a cycle every group comes as often as
expected, rounded down or up. A cycle is drawn in *parts*: a part takes every `parts`-th point, where `parts` is the
smallest number for which no group comes twice in a part. Parts are visited with a stride close to the golden section,
which spreads the points of one group evenly over the cycle. Within a part, points come in the order of a keyed
bijection. Where one part follows another, early draws of a group that came in the last `apart` draws are swapped with
later ones, as in `passes`: draws at most `apart` apart are of different groups.

On the line of a round, the groups of this order lie among the *heavy* ones, which are left out here.
"""

from __future__ import annotations

import numpy as np

from .apportion import phase
from .compile import allocating, inner, kernel
from .hashing import below, stream
from .passes import part_from_previous
from .permutation import TABLE_LIMIT, fill_table, permute, radices, unpermute

__all__ = [
    "APART", "DRAWS", "ENTRIES", "EVEN", "GRAIN", "INVERSE", "NEW_ORDER", "PARTS", "START", "STRIDE", "TOTAL",
    "count_below", "group_of", "lay_out_head", "part_of", "place_of", "point_in", "points_in", "span", "turned",
    "widest", "widths",
]  # fmt: skip

_ONE = np.uint64(1)

# Entries of a layout: one int64 array, as a kernel takes no objects. An even order (see `light`) uses the first four only.
EVEN = 0  # whether the order is even, 1 or 0
DRAWS, APART = 1, 2  # draws in a cycle, and how many consecutive ones are of different groups, less 1
NEW_ORDER = 3  # of an even order, the draws after which a small number of groups gets a new one; 0: every pass is new
PARTS, STRIDE, INVERSE = 4, 5, 6  # parts of a cycle, the stride through them, and its inverse modulo their number
GRAIN, START, TOTAL = 7, 8, 9  # edges are multiples of 2^grain; the first cycle's phase; the length of the line
ENTRIES = 10


@inner
def _put_right(quotient, rest, divisor):
    """Correct an estimated quotient and its remainder, which may be too large or negative."""
    while rest < 0:
        rest += divisor
        quotient -= 1
    while rest >= divisor:
        rest -= divisor
        quotient += 1
    return quotient, rest


@inner
def _scaled(edge, total, draws):
    """floor(edge * draws * 2^32 / total), exactly, for 0 <= edge <= total < 2^62.

    The product has up to 125 bits. So the quotient is estimated in floats, and the remainder is computed modulo 2^64,
    which is exact as it is small. It then corrects the estimate.
    """
    whole = np.int64(np.float64(edge) * np.float64(draws) / np.float64(total))
    rest = np.int64(np.uint64(edge) * np.uint64(draws) - np.uint64(whole) * np.uint64(total))
    whole, rest = _put_right(whole, rest, total)
    part = np.int64(np.float64(rest) * 4294967296.0 / np.float64(total))
    rest = np.int64((np.uint64(rest) << np.uint64(32)) - np.uint64(part) * np.uint64(total))
    part, rest = _put_right(part, rest, total)
    return (whole << 32) + part


@inner
def _cycle_edge(edge, total, draws, grain):
    """An edge of the light groups' line on the line of a cycle, rounded to a multiple of 2^grain.

    Heavy groups that were taken out leave errors of rounding. On a coarser grid, groups of equal width keep equal
    widths.
    """
    return ((_scaled(edge, total, draws) + ((1 << grain) >> 1)) >> grain) << grain


@inner
def _below(value, ascending):
    """How many of the ascending numbers are below `value`, by bisection."""
    first, last = 0, ascending.size
    while first < last:
        middle = (first + last) >> 1
        if ascending[middle] < value:
            first = middle + 1
        else:
            last = middle
    return first


@inner
def span(g, layout, edges, heavy, widths_before):
    """The two edges of a light group on the line of a cycle; `widths_before[h]` is the width of the first h heavy groups."""
    gone = widths_before[_below(g, heavy)]
    total, draws, grain = layout[TOTAL], layout[DRAWS], layout[GRAIN]
    low, high = edges[g] - gone, edges[g + 1] - gone
    return _cycle_edge(low, total, draws, grain), _cycle_edge(high, total, draws, grain)


@kernel("void(int64[::1], int64, int64[::1])", allocates=False)
def widths(edges, limit, found):
    """For the groups with a share and narrower than `limit`, write number, least, most and total width into `found`."""
    found[0], found[1], found[2], found[3] = 0, limit, 0, 0
    for g in range(edges.size - 1):
        width = edges[g + 1] - edges[g]
        if 0 < width < limit:
            found[0] += 1
            found[1], found[2] = min(found[1], width), max(found[2], width)
            found[3] += width


@kernel("int64(int64[::1], int64[::1], int64, int64, int64)", allocates=False)
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
def group_of(point, offset, layout, edges, heavy, widths_before):
    """The light group in which a point of a cycle with this offset lies: the one with `low < position <= high`.

    Edges on the cycle's line are not stored, as there may be a million groups. The point is brought back to the round's
    line in floats; then the place is corrected with exact edges, and the group is found by bisection.
    """
    total, draws, grain = layout[TOTAL], layout[DRAWS], layout[GRAIN]
    position = ((point + 1) << 32) - offset
    # edges are rounded to a multiple of 2^grain: one is below the position where its exact place is below this
    bound = ((position + (1 << grain) - 1) >> grain << grain) - ((1 << grain) >> 1)
    slope = np.float64(total) / (np.float64(draws) * 4294967296.0)
    edge = np.int64(np.float64(bound) * slope)
    edge = min(max(edge, np.int64(0)), total)  # an estimate in floats, off by about a thousand, then by one or two
    edge += np.int64(np.float64(bound - _scaled(edge, total, draws)) * slope)
    edge = min(max(edge, np.int64(0)), total)
    while edge > 0 and _scaled(edge - 1, total, draws) >= bound:
        edge -= 1
    while _scaled(edge, total, draws) < bound:
        edge += 1
    first, last = 0, heavy.size  # heavy groups that begin before this place of the light groups' line
    while first < last:
        middle = (first + last) >> 1
        if edges[heavy[middle]] - widths_before[middle] < edge:
            first = middle + 1
        else:
            last = middle
    return _below(edge + widths_before[first], edges) - 1


@inner
def _floors(count, divisor, factor, rest):
    """The sum of floor((factor * i + rest) / divisor) for i in 0..count-1; all arguments are 0 or more.

    As in Euclid's algorithm, divisor and factor change places in every step: it takes logarithmic time.
    """
    total = np.int64(0)
    while True:
        total += (count - 1) * count // 2 * (factor // divisor) + count * (rest // divisor)
        factor, rest = factor % divisor, rest % divisor
        reach = factor * count + rest
        if reach < divisor:
            return total
        count, divisor, factor, rest = reach // divisor, factor, divisor, reach % divisor


@inner
def count_below(count, divisor, factor, rest, bound):
    """For how many i in 0..count-1 is (factor * i + rest) mod divisor below `bound`, from 0 to divisor."""
    return _floors(count, divisor, factor, rest) - _floors(count, divisor, factor, rest + divisor - bound) + count


@inner
def turned(cycle, layout, turn):
    """The first point of the first part of a cycle."""
    return np.int64(below(stream(turn, cycle), np.uint64(layout[PARTS])))


@inner
def part_of(cycle, part, layout, turn):
    """The number of points of a part, and the first of them: the part takes every `parts`-th point from there on."""
    parts = layout[PARTS]
    first = (layout[STRIDE] * part + turned(cycle, layout, turn)) % parts
    return (layout[DRAWS] - first - 1) // parts + 1, first


@inner
def place_of(draw, layout, turn):
    """The cycle of a draw, its part, and its place in the part."""
    draws, parts = layout[DRAWS], layout[PARTS]
    cycle = draw // draws
    rest = draw - cycle * draws
    longer, size = draws % parts, draws // parts
    part = (
        rest * parts // draws
    )  # an estimate: parts differ by one point at most, and the longer ones are spread evenly
    start = part * size + count_below(part, parts, layout[STRIDE], turned(cycle, layout, turn), longer)
    while start > rest:
        part -= 1
        start -= part_of(cycle, part, layout, turn)[0]
    count = part_of(cycle, part, layout, turn)[0]
    while rest - start >= count:
        start += count
        part += 1
        count = part_of(cycle, part, layout, turn)[0]
    return cycle, part, rest - start


@inner
def points_in(g, cycle, layout, edges, heavy, widths_before):
    """The first point of a cycle that falls on group g, and how many points do."""
    low, high = span(g, layout, edges, heavy, widths_before)
    offset = phase(layout[START], cycle)
    first = (low + offset) >> 32
    return first, ((high + offset) >> 32) - first


@inner
def point_in(g, cycle, residue, layout, edges, heavy, widths_before):
    """The number, within a part whose first point is `residue`, of the point that falls on group g; -1 if there is none."""
    first, count = points_in(g, cycle, layout, edges, heavy, widths_before)
    ahead = (residue - first) % layout[PARTS]
    return (first + ahead) // layout[PARTS] if ahead < count else -1


@allocating
def lay_out_head(cycle, part, layout, order, turn, edges, heavy, widths_before, head, repeats):
    """Write the first points of a part into `head`, so that no group of the last `apart` draws is among the first `apart`.

    Writes all points of the part if these are few, else the first `2 * apart`. Returns how many.
    """
    parts, apart = layout[PARTS], layout[APART]
    number = cycle * parts + part
    size, residue = part_of(cycle, part, layout, turn)
    here = stream(order, number)
    left, right = radices(np.uint64(size))
    # As in `part_from_previous`; the first part of all has none before it.
    mended = 2 * apart if number > 0 else 0
    if size < TABLE_LIMIT:
        fill_table(head, size, here)
    else:
        for i in range(mended):
            head[i] = np.int64(permute(np.uint64(i), np.uint64(size), left, right, here))
    if mended > 0:
        offset = phase(layout[START], cycle)
        earlier, last = (cycle, part - 1) if part > 0 else (cycle - 1, parts - 1)
        count, start = part_of(earlier, last, layout, turn)
        before = stream(order, number - 1)
        left, right = radices(np.uint64(count))
        tail = np.uint64(0)
        if count < TABLE_LIMIT:
            table = np.empty(TABLE_LIMIT, np.int64)
            fill_table(table, count, before)
            for i in range(count - apart, count):
                tail |= _ONE << np.uint64(table[i])
        for i in range(mended):
            g = group_of(head[i] * parts + residue, offset, layout, edges, heavy, widths_before)
            point = point_in(g, earlier, start, layout, edges, heavy, widths_before)
            if point < 0:
                repeats[i] = 0
            elif count < TABLE_LIMIT:
                repeats[i] = (tail >> np.uint64(point)) & _ONE
            else:
                place = np.int64(unpermute(np.uint64(point), np.uint64(count), left, right, before))
                repeats[i] = place >= count - apart
        part_from_previous(head, repeats, apart)
    return size if size < TABLE_LIMIT else mended
