"""One micro-batch of a balanced plan in plain Python: the same samples as the kernels give, without NumPy and numba.

A command that looks at one step ends before these libraries are imported. `docs/design.md` explains the engine, the
modules of `kernels` each part of it; the functions here have the names that they have there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["LAST", "Deal", "micro_batch"]

_BITS = (1 << 64) - 1
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xCA9B0C7EBA1DA115
# what a hash is for, as in `kernels.hashing`
_PASS, _PHASE, _GROUP_ORDER, _HAND_OFFSET, _LIGHT_ORDER, _WITHIN_BATCH, _SHARES = 1, 2, 3, 4, 5, 6, 9
_ROUND, _STRIDE, _INVERSE = 89, 55, 34
_FRACTION = 32  # bits behind the point of a place on the line
_UNIT = (1 << _FRACTION) - 1
_FACTOR = 157
_TABLE_LIMIT = 64
LAST = _ROUND * (1 << 32) - 1
"""The number of the last micro-batch."""


class Deal(NamedTuple):
    """What a balanced plan of constant shares is dealt from; JSON values, so that it can be kept in a file.

    Attributes:
        seed: of the plan.
        tickets: in a micro-batch.
        per_ticket: samples in a ticket.
        edges: of the groups on the line of a round's tickets.
        starts: where the samples of each group begin in the index.
        wide: for each group, one less than the most draws that a micro-batch takes of it.
        heavy: the groups that are dealt, ascending.
        light: the groups that share an order of complete passes, ascending.
        apart: of the light groups, the draws that must be distinct, less one.
        cycle: the draws after which a small number of light groups gets a new order; 0 if every pass has one.
    """

    seed: int
    tickets: int
    per_ticket: int
    edges: list[int]
    starts: list[int]
    wide: list[int]
    heavy: list[int]
    light: list[int]
    apart: int
    cycle: int


def micro_batch(number: int, deal: Deal, index: Sequence[int]) -> list[int]:
    """The samples of a micro-batch.

    Args:
        number: of the micro-batch.
        deal: the plan.
        index: the samples group by group.
    """
    key = _child(_child(deal.seed, _SHARES), 0)
    samples: list[list[int]] = []
    for group, first, tickets in _runs(number, deal, key):
        begin, size = deal.starts[group], deal.starts[group + 1] - deal.starts[group]
        places = _draw_run(
            first * deal.per_ticket, tickets * deal.per_ticket, size, deal.wide[group],
            _stream(_child(deal.seed, _PASS), group),
        )  # fmt: skip
        drawn = [index[begin + place] for place in places]
        samples += [drawn[at : at + deal.per_ticket] for at in range(0, len(drawn), deal.per_ticket)]
    slots = _table(deal.tickets, _child(_child(key, _WITHIN_BATCH), number))
    found: list[list[int]] = [[]] * deal.tickets
    for slot, ticket in zip(slots, samples, strict=True):
        found[slot] = ticket
    return [sample for ticket in found for sample in ticket]


def _runs(number: int, deal: Deal, key: int) -> list[tuple[int, int, int]]:
    """The tickets of a micro-batch run by run: the group, the number of the first ticket in its group, the tickets."""
    round_, hand = divmod(number, _ROUND)
    start = _child(key, _PHASE) >> 32
    offset = start + _spread(round_)
    widths_before = [0]
    for group in deal.heavy:
        widths_before.append(widths_before[-1] + deal.edges[group + 1] - deal.edges[group])
    points = [(edge + offset) >> _FRACTION for edge in widths_before]
    wraps = _wraps(round_)
    # places are counted from an offset, at which the first group of the shuffled order begins
    place = _ROUND - _below(_child(_child(key, _HAND_OFFSET), round_), _ROUND)
    runs, dealt, begin = [], 0, place
    for h in _table(len(deal.heavy), _child(_child(key, _GROUP_ORDER), round_)):
        stop = place + points[h + 1] - points[h]
        tickets = _of_hand(stop, hand) - _of_hand(place, hand)
        if tickets:
            rounds = _tickets_before(widths_before[h] + start, widths_before[h + 1] + start, round_, wraps)
            runs.append((deal.heavy[h], rounds + _earlier(stop, hand) - _earlier(place, hand), tickets))
            dealt += tickets
        place = stop
    if dealt < deal.tickets:
        end = begin + _ROUND * deal.tickets
        first = _tickets_before(widths_before[-1] + start, deal.edges[-1] + start, round_, wraps)
        first += _earlier(end, hand) - _earlier(place, hand)
        runs += _light_runs(first, deal.tickets - dealt, deal, _child(key, _LIGHT_ORDER))
    return runs


def _light_runs(first: int, count: int, deal: Deal, key: int) -> list[tuple[int, int, int]]:
    size, draw = len(deal.light), first
    if deal.cycle:
        key, draw = _child(key, first // deal.cycle), first % deal.cycle
    groups = _draw_run(draw, count, size, deal.apart, key)
    return [(deal.light[group], (first + at) // size, 1) for at, group in enumerate(groups)]


def _of_hand(place: int, hand: int) -> int:
    """How many of the places before `place` in the row go to a hand."""
    return (place - hand * _STRIDE % _ROUND + _ROUND - 1) // _ROUND


def _earlier(place: int, hand: int) -> int:
    """How many of the places before `place` in the row go to hands before `hand`."""
    lap, rest = divmod(place, _ROUND)
    return lap * hand + sum(at * _INVERSE % _ROUND < hand for at in range(rest))


def _spread(round_: int) -> int:
    """The offset of a round without the start: its bytes in reverse order, each times `_FACTOR`."""
    return int.from_bytes(bytes(byte * _FACTOR & 255 for byte in round_.to_bytes(4, "little")), "big")


def _wraps(rounds: int) -> list[tuple[int, int, list[int]]]:
    """For `_tickets_before`, for each byte of a number of rounds: the rounds above it, their offset, and its look-up.

    Entry c of a look-up says how many of the steps of the first rounds of a period lift cell c to 256 or above.
    """
    found = []
    while rounds > 0:
        spread = _spread(rounds >> 8)
        steps = [0] * 257
        for round_in_period in range(rounds & 255):
            steps[256 - (round_in_period * _FACTOR & 255)] += 1
        for cell in range(1, 257):
            steps[cell] += steps[cell - 1]
        rounds >>= 8
        found.append((rounds, spread, steps))
    return found


def _tickets_before(low: int, high: int, rounds: int, wraps: list[tuple[int, int, list[int]]]) -> int:
    """How many tickets the group between two edges, each with the start added, gets in rounds 0..rounds-1."""
    total = rounds * ((high >> _FRACTION) - (low >> _FRACTION))
    for part, sign in ((high & _UNIT, 1), (low & _UNIT, -1)):
        for above, spread, steps in wraps:
            part <<= 8
            total += sign * (above * (part >> _FRACTION) + steps[(part + spread) >> _FRACTION])
            part &= _UNIT
    return total


def _draw_run(first: int, count: int, n: int, wide: int, key: int) -> list[int]:
    """The places in a group of n of its draws first..first+count-1; see `kernels.passes`."""
    run: list[int] = []
    parted = wide > 0 and 3 * wide <= n
    while len(run) < count:
        number, start = divmod(first + len(run), n)
        stop = min(n, start + count - len(run))
        if wide > 0 and not parted:
            number = 0
        entry = _Permutation(n, _stream(key, number))
        if parted and number > 0 and start < 2 * wide:
            before = _Permutation(n, _stream(key, number - 1))
            tail = {before.entry(place) for place in range(n - wide, n)}
            head = [entry.entry(place) for place in range(2 * wide)]
            free = wide
            for place in range(wide):
                if head[place] in tail:
                    while head[free] in tail:
                        free += 1
                    head[place], head[free] = head[free], head[place]
                    free += 1
            run += head[start:stop]
            start = max(start, len(head))
        run += [entry.entry(place) for place in range(start, stop)]
    return run


class _Permutation:
    """A keyed permutation of 0..n-1; see `kernels.permutation`."""

    def __init__(self, n: int, key: int) -> None:
        self.n, self.key = n, key
        self.table = _table(n, key) if n < _TABLE_LIMIT else []
        self.left = int(n**0.5) + 1
        self.right = -(-n // self.left)

    def entry(self, place: int) -> int:
        if self.table:
            return self.table[place]
        while True:
            high, low = divmod(place, self.right)
            for number in (0, 2, 4):
                high = (high + self._half(low, number, self.left)) % self.left
                low = (low + self._half(high, number + 1, self.right)) % self.right
            place = high * self.right + low
            if place < self.n:
                return place

    def _half(self, value: int, number: int, bound: int) -> int:
        bits = (value + self.key + number * _GOLDEN) * _FIRST & _BITS
        return _below((bits ^ bits >> 32) * _SECOND & _BITS, bound)


def _mix(bits: int) -> int:
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & _BITS
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & _BITS
    return bits ^ bits >> 31


def _child(key: int, number: int) -> int:
    return _mix(_mix(key + _GOLDEN & _BITS) ^ (number * _GOLDEN + 1 & _BITS))


def _stream(key: int, number: int) -> int:
    return _mix(key + number * _GOLDEN & _BITS)


def _below(bits: int, bound: int) -> int:
    return (bits >> 32) * bound >> 32


def _table(n: int, key: int) -> list[int]:
    """The numbers 0..n-1 by Fisher and Yates."""
    items = list(range(n))
    for i in range(n - 1, 0, -1):
        j = _below(_stream(key, i), i + 1)
        items[i], items[j] = items[j], items[i]
    return items
