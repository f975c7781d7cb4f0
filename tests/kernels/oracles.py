"""The kernels again, slow and obvious, in Python integers and lists."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
UNIT = 1 << 32
ROUND, STRIDE, FEW = 89, 55, 2
PASS, PHASE, GROUP_ORDER, HAND_OFFSET, LIGHT_ORDER, WITHIN_BATCH, RANDOM_GROUP, RANDOM_SAMPLE, CONSTANT_SHARES = range(
    1, 10
)
LIGHT_PHASE, LIGHT_TURN = 10, 11


def mix(word):
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
    return word ^ (word >> 31)


def child(key, number):
    return mix(mix((key + GOLDEN) & MASK) ^ ((number * GOLDEN + 1) & MASK))


def stream(key, number):
    return mix((key + number * GOLDEN) & MASK)


def below(word, bound):
    return (word >> 32) * bound >> 32


def fisher_yates(items, key):
    items = list(items)
    for i in range(len(items) - 1, 0, -1):
        j = below(stream(key, i), i + 1)
        items[i], items[j] = items[j], items[i]
    return items


def permutation(n, key):
    """The whole permutation of [0, n), as a list."""
    if n < 64:
        return fisher_yates(range(n), key)
    left = int(float(n) ** 0.5) + 1
    right = -(-n // left)

    def once(k):
        high, low = divmod(k, right)
        for i in range(0, 6, 2):
            high = (high + half(low, key + i * GOLDEN, left)) % left
            low = (low + half(high, key + (i + 1) * GOLDEN, right)) % right
        return high * right + low

    def half(value, round_key, bound):
        word = (value + round_key) * 0xD6E8FEB86659FD93 & MASK
        word = (word ^ (word >> 32)) * 0xCA9B0C7EBA1DA115 & MASK
        return below(word, bound)

    images = []
    for k in range(n):
        k = once(k)
        while k >= n:
            k = once(k)
        images.append(k)
    return images


def whole_pass(n, wide, key, number):
    """The order of a group's samples in a pass, the seam to the pass before it mended."""
    if wide and n < 3 * wide:
        return permutation(n, stream(key, 0))
    order = permutation(n, stream(key, number))
    return apart_from(order, permutation(n, stream(key, number - 1)), wide) if wide and number else order


def line(weights, tickets):
    total, running, edges = sum(weights), 0, [0]
    for weight in weights:
        running += weight
        edges.append(int(Fraction(running, total) * tickets * UNIT))
    return edges


def spread(number):
    """The bytes of a round's number, each times 157, read backwards."""
    return int.from_bytes(bytes(byte * 157 % 256 for byte in number.to_bytes(4, "little")), "big")


def tickets_of_round(edges, start, number):
    """The group of every ticket of a round, along the line."""
    u = UNIT - 1 - (start + spread(number)) % UNIT
    points = [i * UNIT + u for i in range(edges[-1] // UNIT)]
    groups, g = [], 0
    for point in points:
        while edges[g + 1] <= point:
            g += 1
        groups.append(g)
    return groups


def ceil(number, divisor):
    return -(-number // divisor)


def apart_from(order, before, wide):
    """An order with its first `wide` entries, where they end the order before too, in places of later ones."""
    tail = set(before[len(before) - wide :])
    repeats = [i for i in range(wide) if order[i] in tail]
    free = [i for i in range(wide, len(order)) if order[i] not in tail]
    order = list(order)
    for i, j in zip(repeats, free, strict=False):
        order[i], order[j] = order[j], order[i]
    return order


def even_draws(members, wide, tickets, order):
    """Groups of equal shares, without end: whole passes; few groups in one order until a pass ends with a micro-batch."""
    number, count = 0, len(members)
    while True:
        if 3 * wide <= count:
            key, trip = order, number
        else:
            key, trip = child(order, number * count // math.lcm(count, tickets)), 0
        for place in whole_pass(count, wide, key, trip):
            yield members[place]
        number += 1


def uneven_draws(widths, heavies, most, epoch, start, order, turn):
    """Groups of any shares, without end: `widths` is their part of the line by group, 0 for those that are not light."""
    total = sum(widths)
    draws = max(4 * most, int(Fraction(total * epoch, ROUND * UNIT) + Fraction(1, 2)))
    error = -(-(heavies + 1) * draws * UNIT // total) + 1
    grain = 1 << min(error.bit_length() + 1, 31)
    edges = [0]
    for edge in itertools.accumulate(widths):
        edges.append((edge * draws * UNIT // total + grain // 2) // grain * grain)
    parts = min(draws, max(-(-(high - low) // UNIT) for low, high in itertools.pairwise(edges)))
    stride = max(1, round(parts * (math.sqrt(5) - 1) / 2))
    while math.gcd(stride, parts) != 1:
        stride += 1
    wide = min(most - 1, draws // parts // 3)
    number, before = 0, None
    while True:
        cycle, part = divmod(number, parts)
        offset = (start + spread(cycle)) % UNIT
        points = range((stride * part + below(stream(turn, cycle), parts)) % parts, draws, parts)
        groups = []
        for x in permutation(len(points), stream(order, number)):
            position = (points[x] + 1) * UNIT - offset
            groups.append(next(g for g in range(len(widths)) if edges[g] < position <= edges[g + 1]))
        if before is not None and wide:
            groups = apart_from(groups, before, wide)
        yield from groups
        number, before = number + 1, groups


class DealtOrder:
    """Deals every round from the first, ticket by ticket."""

    def __init__(self, weights, sizes, tickets, per_ticket, wide, seed, epoch, number=0):
        self.sizes, self.tickets, self.per_ticket, self.wide = sizes, tickets, per_ticket, wide
        self.key = child(child(seed, CONSTANT_SHARES), number)
        self.start = child(self.key, PHASE) >> 32
        self.pass_keys = [stream(child(seed, PASS), g) for g in range(len(sizes))]
        self.firsts = [sum(sizes[:g]) for g in range(len(sizes))]
        self.drawn = [0] * len(sizes)
        self.passes = {}
        self.epoch = epoch
        edges = line(weights, ROUND * tickets)
        self._divide([high - low for low, high in itertools.pairwise(edges)])

    def _divide(self, widths):
        """Which groups are heavy, the line they lie on, and where the other draws come from."""
        order, turn = child(self.key, LIGHT_ORDER), child(self.key, LIGHT_TURN)
        rare = [g for g, width in enumerate(widths) if 0 < width < ROUND * UNIT]
        most = -(-sum(widths[g] for g in rare) // UNIT)
        most = -(-most // ROUND)
        equal = len(rare) > 1 and max(widths[g] for g in rare) - min(widths[g] for g in rare) <= 1
        alone = sum(widths[g] for g in rare) == sum(widths)
        seldom = 1 if self.per_ticket > 1 else 8
        equal = equal and max(widths[g] for g in rare) * seldom <= ROUND * UNIT
        if equal and (3 * (most - 1) <= len(rare) or alone):
            light, self.lights = rare, even_draws(rare, most - 1, self.tickets, order)
        else:
            light = self._few_draws(widths)
            most = -(-sum(widths[g] for g in light) // UNIT)
            shares = [width if g in light else 0 for g, width in enumerate(widths)]
            heavies = sum(width > 0 for width in widths) - len(light)
            phase = child(self.key, LIGHT_PHASE) >> 32
            self.lights = uneven_draws(shares, heavies, -(-most // ROUND), self.epoch, phase, order, turn)
        self.heavy = [g for g, width in enumerate(widths) if width and g not in light]
        self.edges = [sum(widths[g] for g in self.heavy[:h]) for h in range(len(self.heavy) + 1)] + [sum(widths)]

    def _few_draws(self, widths):
        """The light groups of an uneven order: less than one draw a round, or few an epoch where parts are long enough."""
        limit = FEW * ROUND * UNIT // self.epoch + 1
        few = [g for g, width in enumerate(widths) if 0 < width < limit]
        taken = sum(widths[g] for g in few)
        most = ceil(ceil(taken, UNIT), ROUND)
        long_enough = taken * self.epoch >= 3 * (most - 1) * FEW * ROUND * UNIT
        if ROUND <= 3 * self.epoch < 3 * FEW * ROUND and limit <= ROUND * UNIT and long_enough:
            return few
        return [g for g, width in enumerate(widths) if 0 < width < UNIT]

    def batches(self, count):
        found = []
        for batch in range(count):
            number, place = divmod(batch, ROUND)
            if place == 0:
                places = self._row(number)
            mine = [places[y] for y in sorted(places) if y % ROUND == place * STRIDE % ROUND]
            destination = fisher_yates(range(self.tickets), child(child(self.key, WITHIN_BATCH), batch))
            slots = [None] * self.tickets
            groups = [None] * self.tickets
            for ticket, g in enumerate(mine):
                g = next(self.lights) if g is None else g
                samples = [self._sample(g) for _ in range(self.per_ticket)]
                slots[destination[ticket]], groups[destination[ticket]] = samples, g
            found.append(([sample for ticket in slots for sample in ticket], groups))
        return found

    def _row(self, number):
        """From place to group, for a whole round; None where a light group comes."""
        along = tickets_of_round(self.edges, self.start, number)
        row = []
        for h in fisher_yates(range(len(self.heavy)), child(child(self.key, GROUP_ORDER), number)):
            row += [self.heavy[h]] * along.count(h)
        row += [None] * along.count(len(self.heavy))
        first = ROUND - below(child(child(self.key, HAND_OFFSET), number), ROUND)
        return {first + i: g for i, g in enumerate(row)}

    def _sample(self, g):
        trip, place = divmod(self.drawn[g], self.sizes[g])
        self.drawn[g] += 1
        if (g, trip) not in self.passes:
            self.passes[g, trip] = whole_pass(self.sizes[g], self.wide[g], self.pass_keys[g], trip)
        return self.firsts[g] + self.passes[g, trip][place]


def independent(weights, sizes, batch, tickets, per_ticket, seed):
    """A micro-batch of independent draws: every ticket its group, every slot its sample, by the hash of its address."""
    edges = line(weights, 1 << 12)
    firsts = [sum(sizes[:g]) for g in range(len(sizes))]
    samples = []
    for address in range(batch * tickets, (batch + 1) * tickets):
        position = stream(child(seed, RANDOM_GROUP), address) >> 20
        g = next(g for g in range(len(sizes)) if edges[g] <= position < edges[g + 1])
        for slot in range(address * per_ticket, (address + 1) * per_ticket):
            samples.append(firsts[g] + stream(child(seed, RANDOM_SAMPLE), slot) % sizes[g])
    return samples


def stacks(histogram, capacity, most):
    """Best-fit decreasing by gap: (parent, length, copies, gap, samples) of every stack, open gaps tried one by one."""
    rows, open_at = [], {}
    for length in sorted(histogram, reverse=True):
        left = histogram[length]
        while left:
            gap = min((gap for gap in open_at if gap >= length), default=None)
            stack = -1 if gap is None else open_at[gap][-1]
            room, held = (capacity, 0) if gap is None else (gap, rows[stack][4])
            copies = max(left // min(room // length, most - held), 1)
            if gap is not None:
                copies = min(copies, rows[stack][2])
                rows[stack][2] -= copies
                if not rows[stack][2]:
                    open_at[gap].pop()
                    if not open_at[gap]:
                        del open_at[gap]
            left -= copies
            rows.append([stack, length, copies, room - length, held + 1])
            if held + 1 < most and room > length:
                open_at.setdefault(room - length, []).append(len(rows) - 1)
    return rows
