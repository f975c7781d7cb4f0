"""Splitting pairs of parts again, against the rule written out in lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels.step_balance import split_pairs_again

ENOUGH = 0.9995


def split_pair(items, costs, sizes, limits, most):
    """Each item to the cheaper of two parts, if it has room; None if it fits nowhere or a part stays empty."""
    parts = [[], []]
    for item in items:
        cheaper = 0 if sum(costs[i] for i in parts[0]) <= sum(costs[i] for i in parts[1]) else 1
        for part in (parts[cheaper], parts[1 - cheaper]):
            inside = np.array([*part, item])
            if len(inside) <= most and (sizes[inside].sum(axis=0) <= limits).all():
                part.append(item)
                break
        else:
            return None
    return parts if all(parts) else None


def by_the_rule(costs, sizes, parts, limits, most):
    parts = [list(part) for part in parts]
    load = [sum(costs[i] for i in part) for part in parts]
    while True:
        heaviest = int(np.argmax(load))
        if load[heaviest] * ENOUGH <= sum(load) / len(load):
            return parts
        for other in sorted(range(len(parts)), key=lambda part: (load[part], part)):
            if other == heaviest:
                continue
            found = split_pair(sorted(parts[heaviest] + parts[other]), costs, sizes, limits, most)
            if found and max(sum(costs[i] for i in part) for part in found) < load[heaviest] * (1 - 1e-5):
                for place, part in zip((heaviest, other), found, strict=True):
                    parts[place], load[place] = part, sum(costs[i] for i in part)
                break
        else:
            return parts


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12), st.integers(0, 9)), min_size=2, max_size=40),
    st.integers(2, 6),
    st.sampled_from([3, 12, 99]),
    st.data(),
)
def test_pairs_are_split_by_the_rule_within_limits(rows, parts, most, data):
    rows = sorted(rows, key=lambda row: -row[0])
    parts = min(parts, len(rows))
    costs = np.array([float(row[0]) for row in rows])
    sizes = np.array([row[1:] for row in rows], float)
    part_of = np.array(
        [
            *range(parts),
            *data.draw(st.lists(st.integers(0, parts - 1), min_size=len(rows) - parts, max_size=len(rows) - parts)),
        ]
    )
    most = max(most, int(np.bincount(part_of).max()))
    limits = np.array([max(sizes[part_of == part, kind].sum() for part in range(parts)) for kind in range(2)])
    before = part_of.copy()
    found = split_pairs_again(costs, sizes, part_of, parts, limits, most, ENOUGH, 10**9)
    expected = by_the_rule(costs, sizes, [np.flatnonzero(part_of == part) for part in range(parts)], limits, most)
    assert [np.flatnonzero(found == part).tolist() for part in range(parts)] == [sorted(part) for part in expected]
    assert np.array_equal(part_of, before)
    load = [np.bincount(which, weights=costs).max() for which in (before, found)]
    assert load[1] <= load[0]
    for part in range(parts):
        assert (sizes[found == part].sum(axis=0) <= limits).all()
        assert 1 <= (found == part).sum() <= most


def test_no_more_items_are_looked_at_than_the_effort_allows():
    draw = np.random.default_rng(0)
    costs = -np.sort(-draw.integers(1, 10**6, 400).astype(float))
    part_of = np.repeat(np.arange(4), 100)
    sizes, limits = np.ones((400, 1)), np.array([400.0])
    given_back = split_pairs_again(costs, sizes, part_of, 4, limits, 400, ENOUGH, 0)
    assert np.array_equal(given_back, part_of)
    once = split_pairs_again(costs, sizes, part_of, 4, limits, 400, ENOUGH, 1)  # the first pair only
    assert set(once[100:300]) == {1, 2}
    assert (once != part_of).any()
