"""Raising cheap micro-batches against slow obvious lines, and the laws of it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels.step_balance import balance_in_all, fill_up_to_most_expensive

from ..examples import examples


@st.composite
def cuts(draw):
    step_size = draw(st.integers(1, 4))
    sizes = draw(st.lists(st.integers(1, 6), min_size=step_size, max_size=24))
    sizes = sizes[: len(sizes) // step_size * step_size]
    costs = draw(st.lists(st.integers(0, 30), min_size=sum(sizes), max_size=sum(sizes)))
    return step_size, np.concatenate([[0], np.cumsum(sizes)]), np.array(costs, float)


def oracle(costs, offsets, step_size, budget, enough):
    """The members of every micro-batch; lists, and a look at every sample."""
    spans = [range(a, b) for a, b in pairwise(offsets.tolist())]
    at, cost = list(range(len(costs))), dict(enumerate(costs))
    heads = [max(span, key=lambda place: (costs[place], -place)) for span in spans]
    taken = set(heads)
    total = [costs[head] * len(span) for head, span in zip(heads, spans, strict=True)]
    descending = sorted(range(len(costs)), key=lambda place: (-costs[place], place))
    for batch, span in enumerate(spans):
        step = batch // step_size * step_size
        limit = min(max(total[step : step + step_size]), budget)
        if total[batch] >= enough * limit:
            continue
        fits = [p for p in descending if total[batch] < costs[p] * len(span) <= limit]
        for place in fits:
            if place not in taken and place not in span:
                own = heads[batch]
                at[own], at[place] = at[place], at[own]
                taken.add(place)
                total[batch] = cost[place] * len(span)
                break
    return at, total


@examples(200)
@given(cuts(), st.integers(20, 200), st.sampled_from([0.9, 0.9995, 1.0]))
def test_matches_the_oracle(cut, budget, enough):
    step_size, offsets, costs = cut
    members, moved = np.arange(costs.size), costs.copy()
    descending = np.lexsort((np.arange(costs.size), -costs))
    total = fill_up_to_most_expensive(moved, members, offsets, descending, step_size, float(budget), enough)
    at, expected = oracle(costs.tolist(), offsets, step_size, budget, enough)
    assert members.tolist() == at
    assert total.tolist() == expected
    assert np.array_equal(moved, costs[members])
    assert np.array_equal(np.maximum.reduceat(moved, offsets[:-1]) * np.diff(offsets), total)
    before = np.maximum.reduceat(costs, offsets[:-1]) * np.diff(offsets)
    assert (total >= before).all()
    assert (total <= np.repeat(before.reshape(-1, step_size).max(axis=1), step_size)).all()


def smallest_of_largest(costs, parts, most_items):
    """Each item to the first part, of those with room, whose largest share of a kind's mean is the smallest with it."""
    kinds = [kind for kind in range(costs.shape[1]) if costs[:, kind].sum() > 0]
    weight = {kind: parts / costs[:, kind].sum() for kind in kinds}
    load, held, part_of = np.zeros((parts, costs.shape[1])), [0] * parts, []
    for item in costs:
        part = min(
            (p for p in range(parts) if held[p] < most_items),
            key=lambda p: max([(load[p, kind] + item[kind]) * weight[kind] for kind in kinds], default=0.0),
        )
        load[part] += item
        held[part] += 1
        part_of.append(part)
    return part_of


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9), st.just(0)), min_size=1, max_size=40),
    st.integers(1, 6),
    st.integers(0, 3),
)
def test_parts_are_level_in_all_kinds_as_the_obvious_search_has_them(rows, parts, spare):
    costs = np.array(rows, float)
    most = -(-len(rows) // parts) + spare
    assert balance_in_all(costs, parts, most).tolist() == smallest_of_largest(costs, parts, most)
