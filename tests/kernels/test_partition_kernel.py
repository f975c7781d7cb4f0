"""The partition kernels against slow, obvious oracles."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels.partition import longest_first, swap_down


def lightest_open_part(costs: list[float], parts: int, most_items: int) -> list[int]:
    load, filled, part_of = [0.0] * parts, [0] * parts, []
    for cost in costs:
        part = min((p for p in range(parts) if filled[p] < most_items), key=lambda p: (load[p], filled[p], p))
        load[part] += cost
        filled[part] += 1
        part_of.append(part)
    return part_of


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=40),
    st.integers(1, 9),
    st.integers(0, 3),
)
def test_longest_first_matches_the_obvious_search(costs, parts, spare):
    costs = sorted(map(float, costs), reverse=True)
    most = -(-len(costs) // parts) + spare
    assert longest_first(np.array(costs), parts, most).tolist() == lightest_open_part(costs, parts, most)


@given(st.integers(2, 6), st.integers(1, 6), st.data())
def test_swaps_keep_the_items_and_leave_no_swap_that_helps(parts, width, data):
    cell = st.lists(st.integers(0, 30), min_size=width, max_size=width)
    rows = data.draw(st.lists(cell, min_size=parts, max_size=parts))
    costs = -np.sort(-np.array(rows, float), axis=1)
    items = np.arange(parts * width).reshape(parts, width)
    cost_of = dict(zip(items.ravel().tolist(), costs.ravel().tolist(), strict=True))
    heaviest_before = costs.sum(1).max()

    swap_down(costs, items, 0.0, 10**9)

    assert sorted(items.ravel()) == list(range(parts * width))
    assert [[cost_of[i] for i in row] for row in items.tolist()] == costs.tolist()
    assert (np.diff(costs, axis=1) <= 0).all()
    heaviest = costs.sum(1).max()
    assert heaviest <= heaviest_before
    top = int(costs.sum(1).argmax())
    for other in range(parts):  # every single swap, tried one by one
        for i in costs[top]:
            for j in costs[other]:
                if other != top:
                    assert max(heaviest - i + j, costs[other].sum() + i - j) >= heaviest


def test_the_effort_is_a_bound_and_not_the_clock():
    costs = -np.sort(-np.random.default_rng(0).integers(1, 1000, (8, 50)).astype(float), axis=1)
    items = np.arange(400).reshape(8, 50)
    assert swap_down(costs.copy(), items.copy(), 0.0, 0) == 0
    assert swap_down(costs.copy(), items.copy(), 0.0, 1) == 1
