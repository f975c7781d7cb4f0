"""The kernels that distribute items within limits, against slow, obvious oracles."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels.limited_parts import exact_parts, full_parts, lightest_that_fits, swap_within
from batchwright.lengths.limited_parts import part_rows


def loads_of(sizes, part_of, parts):
    return [np.sum([row for row, part in zip(sizes, part_of, strict=True) if part == number], axis=0) + 0.0
            for number in range(parts)]  # fmt: skip


def one_by_one(sizes, limits, parts, first):
    """Each item into the part that is first by this key among those where it fits; None if one fits nowhere."""
    part_of = []
    for size in sizes:
        loads = loads_of(sizes[: len(part_of)], part_of, parts)
        fits = [part for part in range(parts) if all(loads[part] + size <= limits)]
        if not fits:
            return None
        part_of.append(min(fits, key=lambda part, loads=loads: first(part, part_of, loads[part])))
    return part_of


def any_way(sizes, limits, parts):
    """Whether the items fit into so many parts in any way."""
    if not sizes:
        return True
    loads = [np.zeros(len(limits)) for _ in range(parts)]

    def rest_fits(item):
        if item == len(sizes):
            return True
        for load in loads:
            if all(load + sizes[item] <= limits):
                load += sizes[item]
                if rest_fits(item + 1):
                    return True
                load -= sizes[item]
        return False

    return rest_fits(0)


@st.composite
def problems(draw):
    columns = draw(st.integers(1, 2))
    items = draw(st.lists(st.tuples(*[st.integers(0, 9)] * columns), max_size=8))
    sizes = [np.array(item, float) for item in items]
    limits = np.array(draw(st.tuples(*[st.integers(9, 20)] * columns)), float)
    return sizes, limits, draw(st.integers(1, 4))


def table(sizes, limits):
    return np.array(sizes, float).reshape(len(sizes), len(limits))


@given(problems(), st.data())
def test_placing_matches_the_obvious_search(problem, data):
    sizes, limits, parts = problem
    costs = sorted((float(data.draw(st.integers(0, 9))) for _ in sizes), reverse=True)
    part_of = np.full(len(sizes), -1)
    found = lightest_that_fits(np.array(costs), table(sizes, limits), limits, parts, part_of)
    expected = one_by_one(
        sizes, limits, parts,
        lambda part, so_far, load: (sum(costs[i] for i, p in enumerate(so_far) if p == part), so_far.count(part), part),
    )  # fmt: skip
    assert (part_of.tolist() if found else None) == expected
    found = full_parts(table(sizes, limits), limits, parts, part_of)
    expected = one_by_one(sizes, limits, parts, lambda part, so_far, load: (-(load / limits).max(), part))
    assert (part_of.tolist() if found else None) == expected


@given(problems())
def test_the_exact_search_finds_what_there_is(problem):
    sizes, limits, parts = problem
    part_of = np.full(len(sizes), -1)
    found = exact_parts(table(sizes, limits), limits, parts, 10**7, part_of)
    assert found == any_way(sizes, limits, parts)
    if found:
        assert all((load <= limits).all() for load in loads_of(sizes, part_of.tolist(), parts))
    assert exact_parts(table(sizes, limits), limits, parts, 0, part_of) == (-1 if sizes else 1)


@given(problems(), st.data())
def test_swaps_keep_the_items_and_the_limits_and_make_the_costs_no_less_level(problem, data):
    sizes, limits, parts = problem
    part_of = np.full(len(sizes), -1)
    if not sizes or exact_parts(table(sizes, limits), limits, parts, 10**6, part_of) != 1:
        return
    costs = np.array([float(data.draw(st.integers(0, 30))) for _ in sizes])
    rows, items = part_rows(costs, np.argsort(-costs, kind="stable"), part_of, parts)
    before = rows.sum(1).max()
    swap_within(rows, items, np.vstack([table(sizes, limits), np.zeros((1, len(limits)))]), limits, 0.0, 10**6)
    assert sorted(items[items >= 0].tolist()) == list(range(len(sizes)))
    assert (np.diff(rows, axis=1) <= 0).all()
    assert [[costs[i] if i >= 0 else 0 for i in row] for row in items.tolist()] == rows.tolist()
    level = [next(part for part, row in enumerate(items.tolist()) if item in row) for item in range(len(sizes))]
    assert all((load <= limits).all() for load in loads_of(sizes, level, parts))
    assert rows.sum(1).max() <= before
