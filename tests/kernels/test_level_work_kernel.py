"""Levelling over steps, against the rule written out in lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels.level_work import level_work

from ..examples import examples

ENOUGH = 0.9995


class Oracle:
    """The rule in plain lists: a part is a list of items, and a full search finds the cheapest and the most expensive."""

    def __init__(self, costs, sizes, part_of, parts, step, limits, least):
        self.costs, self.sizes, self.limits, self.step, self.least = costs, sizes, limits, step, least
        self.parts = [[item for item in range(len(costs)) if part_of[item] == part] for part in range(parts)]
        self.load = [self.cost(part) for part in self.parts]
        self.finished, self.current = set(), set()

    def cost(self, items):
        return sum((self.costs[item] for item in items), 0.0)

    def filled(self, part):
        return sum(self.sizes[item][0] for item in self.parts[part])

    def later(self):
        return [part for part in range(len(self.parts)) if part not in self.finished | self.current]

    def divide(self, one, two, wanted):
        items, parts = sorted(self.parts[one] + self.parts[two]), ([], [])
        for place, item in enumerate(items):
            fits = [np.all(self.sizes[[*part, item]].sum(axis=0) <= self.limits) for part in parts]
            room = self.limits - self.sizes[parts[1]].sum(axis=0)
            rest, forced = items[place + 1 :], 0.0
            for kind in range(len(self.limits)):
                kept = np.searchsorted(self.sizes[rest, kind].cumsum(), room[kind], side="right")
                forced = max(forced, self.cost(rest[kept:]))
            if fits[0] and self.cost(parts[0]) + self.costs[item] + forced <= wanted:
                parts[0].append(item)
            elif fits[1]:
                parts[1].append(item)
            elif fits[0]:
                parts[0].append(item)
            else:
                return None
        return parts if all(parts) else None

    def keep(self, one, two, parts):
        for part, items in zip((one, two), parts, strict=True):
            self.parts[part], self.load[part] = items, self.cost(items)

    def lower(self, part, mean):
        others = [p for p in range(len(self.parts)) if p not in self.finished and p != part]
        for other in sorted(others, key=lambda p: (self.load[p], p))[:4]:
            both = self.load[part] + self.load[other]
            for wanted in (max(self.load[other], mean if both >= 2 * mean else both - mean), both / 2):
                parts = self.divide(other, part, wanted)
                gain = self.load[part] - max(map(self.cost, parts)) if parts else -1
                if gain > max(1e-4 * (self.load[part] - mean), 1e-7 * mean):
                    self.keep(other, part, parts)
                    return True
        return False

    def fits_with(self, longest, item, wanted):
        rest = self.limits - self.sizes[longest] - self.sizes[item]
        forced = max(
            [0.0, *(rest[k] * self.costs[-1] / self.sizes[-1][k] for k in range(len(rest)) if self.sizes[-1][k])]
        )
        return bool((rest >= 0).all()) and self.costs[longest] + self.costs[item] + forced <= wanted

    def raise_to(self, part, wanted, spare):
        item = 0
        for attempt in range(12):
            if self.load[part] >= ENOUGH * wanted:
                return
            low, high = min(item, len(self.costs)), len(self.costs)
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if self.fits_with(self.parts[part][0], middle, wanted) else (middle + 1, high)
            item, held = low, {i: p for p in self.later() for i in self.parts[p]}
            while item < len(self.costs) and item not in held:
                item += 1
            if item == len(self.costs):
                return
            other = held[item]
            parts = self.divide(part, other, wanted)
            if parts:
                one, two = map(self.cost, parts)
                lost = self.filled(part) - sum(self.sizes[i][0] for i in parts[0])
                gains = one - self.load[part] > 1e-4 * (wanted - self.load[part]) and two < self.load[other]
                kept = lost >= 0 or self.filled(other) + lost >= 0.98 * self.least / self.step
                if one <= wanted and gains and lost <= spare and kept:
                    self.keep(part, other, parts)
                    spare -= lost
            item += 4 << attempt

    def run(self):
        for begin in range(0, len(self.parts), self.step):
            later = self.later()
            mean = sum(self.load[part] for part in later) / (len(self.parts) - begin)
            if max(self.load[part] for part in later) * ENOUGH <= mean:
                break
            chosen = sorted(later, key=lambda p: (-self.costs[self.parts[p][0]], p))[: self.step]
            self.current = set(chosen)
            while True:
                heaviest = max(chosen, key=lambda p: self.load[p])
                if self.load[heaviest] * ENOUGH <= mean or not self.lower(heaviest, mean):
                    break
            wanted = max(mean, self.load[heaviest])
            self.finished |= self.current
            spare = sum(map(self.filled, chosen)) - self.least
            for part in chosen:
                before = self.filled(part)
                self.raise_to(part, wanted, max(0.0, spare))
                spare += self.filled(part) - before
        return self.parts


@st.composite
def windows(draw):
    """Items in parts; whole numbers, so that sums do not depend on their order."""
    step, steps, kinds = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 2))
    parts = step * steps
    count = draw(st.integers(parts, 6 * parts))
    seed = draw(st.integers(0, 10**6))
    random = np.random.default_rng(seed)
    sizes = random.integers(1, draw(st.sampled_from([5, 60])), (count, kinds))
    costs = sizes[:, 0] ** 2 + 10 * sizes[:, 0] if draw(st.booleans()) else random.integers(0, 50, count)
    descending = np.argsort(-costs, kind="stable")
    part_of = random.permutation(np.arange(count) % parts)
    costs, sizes = costs[descending].astype(float), sizes[descending].astype(float)
    tight = np.array([np.bincount(part_of, weights=sizes[:, kind]).max() for kind in range(kinds)])
    return costs, sizes, part_of, parts, step, tight + draw(st.integers(0, 3)), float(draw(st.integers(0, 200)))


@examples(150)
@given(windows())
def test_parts_exchange_items_by_the_rule_within_limits(window):
    costs, sizes, part_of, parts, step, limits, least = window
    given_parts = part_of.copy()
    found = level_work(costs, sizes, part_of, parts, step, limits, least, ENOUGH, 10**9)
    expected = Oracle(costs, sizes, part_of, parts, step, limits, least).run()
    assert [np.flatnonzero(found == part).tolist() for part in range(parts)] == [sorted(part) for part in expected]
    assert np.array_equal(part_of, given_parts)
    for part in range(parts):
        assert (sizes[found == part].sum(axis=0) <= limits).all()
        assert (found == part).any()


def test_no_more_items_are_looked_at_than_the_effort_allows():
    random = np.random.default_rng(0)
    costs = -np.sort(-random.integers(1, 10**6, 400).astype(float))
    part_of, sizes, limits = np.repeat(np.arange(4), 100), np.ones((400, 1)), np.array([400.0])
    assert np.array_equal(level_work(costs, sizes, part_of, 4, 2, limits, 0.0, ENOUGH, 0), part_of)
    assert (level_work(costs, sizes, part_of, 4, 2, limits, 0.0, ENOUGH, 1) != part_of).any()
