"""The cutting kernels against slow, obvious oracles."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels.counting_sort import shuffled_and_sorted
from batchwright.kernels.cuts import (
    count_longest,
    count_summed,
    count_within,
    cut_longest,
    cut_several,
    joined_ranges,
    of_first,
)  # fmt: skip
from batchwright.kernels.length_strata import one_of_each_stratum
from batchwright.kernels.shuffles import keyed_shuffle, rows_shuffled

COSTS = st.lists(st.integers(0, 30), max_size=50)


def sample_by_sample(costs, budgets, padded, most, step_size):
    """Offsets, one sample at a time; `costs` are rows."""
    offsets, at = [0], 0
    while at < len(costs):
        count = 1
        while at + count < len(costs) and count < most:
            taken = list(zip(*costs[at : at + count + 1], strict=True))
            used = [max(c) * len(c) if pads else sum(c) for c, pads in zip(taken, padded, strict=True)]
            if any(u > b for u, b in zip(used, budgets, strict=True)):
                break
            count += 1
        if count > step_size:
            count -= count % step_size
        at += count
        offsets.append(at)
    return offsets


@given(COSTS, st.integers(1, 100), st.integers(1, 8), st.integers(1, 4))
def test_steps_over_the_longest_are_cuts_sample_by_sample(costs, budget, most, step_size):
    descending = sorted(costs, reverse=True)
    expected = sample_by_sample([(c,) for c in descending], [budget], [True], most, step_size)
    assert cut_longest(np.array(descending, float), budget, most, step_size).tolist() == expected


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), max_size=50),
    st.tuples(st.integers(1, 99), st.integers(1, 40)),
    st.tuples(st.booleans(), st.booleans()),
    st.integers(1, 8),
    st.integers(1, 4),
)
def test_several_budgets_are_cuts_sample_by_sample(costs, budgets, padded, most, step_size):
    table = np.array(costs, float).reshape(-1, 2)
    found = cut_several(table, np.array(budgets, float), np.array(padded), most, step_size)
    assert found.tolist() == sample_by_sample(costs, budgets, padded, most, step_size)


def fewest_padded(costs: list[int], budget: int) -> int:
    """Over all ways to cut descending costs into ranges; an exchange shows that no other grouping needs fewer."""
    best = [0]
    for end in range(1, len(costs) + 1):
        best.append(min(best[at] + 1 for at in range(end) if costs[at] * (end - at) <= budget or end - at == 1))
    return best[-1]


@given(st.lists(st.integers(1, 30), max_size=30), st.integers(30, 99))
def test_longest_first_needs_the_fewest(costs, budget):
    descending = sorted(costs, reverse=True)
    assert cut_longest(np.array(descending, float), budget, 99, 1).size - 1 == fewest_padded(descending, budget)


@given(st.integers(0, 200), st.integers(0, 2**64 - 1))
def test_a_keyed_shuffle_is_an_order(count, key):
    assert sorted(keyed_shuffle(count, np.uint64(key))) == list(range(count))


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 2**64 - 1))
def test_each_row_is_shuffled_by_the_next_key(rows, count, key):
    shuffled = rows_shuffled(rows, count, np.uint64(key))
    assert shuffled.shape == (rows, count)
    for row, order in enumerate(shuffled):
        assert order.tolist() == keyed_shuffle(count, np.uint64((key + 1 + row) % 2**64)).tolist()


@given(st.lists(st.floats(0, 9), max_size=60), st.integers(0, 70), st.randoms(use_true_random=False))
def test_the_first_of_a_sorted_sequence_keep_their_order(costs, count, random):
    costs, places = np.array(costs, float), np.array(random.sample(range(len(costs)), len(costs)), np.int64)
    found, found_costs = of_first(places, costs, count)
    assert found.tolist() == places[places < count].tolist()
    assert found_costs.tolist() == costs[places < count].tolist()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_ranges_are_joined_in_the_order_given(sizes, data):
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    values = np.arange(offsets[-1]) * 7 % 31
    numbers = data.draw(st.lists(st.integers(0, len(sizes) - 1), max_size=20))
    slow = [value for number in numbers for value in values[offsets[number] : offsets[number + 1]].tolist()]
    assert joined_ranges(values, offsets, np.array(numbers, np.int64)).tolist() == slow


@given(
    st.lists(st.floats(0, 9), min_size=1, max_size=9),
    st.lists(st.integers(0, 8), max_size=60),
    st.floats(0, 300) | st.just(np.inf),
)
def test_samples_are_counted_up_to_a_sum(sizes, samples, most):
    samples = np.array(samples, np.int64) % len(sizes)
    sums = np.array(sizes)[samples].cumsum()
    assert count_within(np.array(sizes)[samples], most) == np.count_nonzero(sums <= most)


def test_keyed_shuffles_are_even():
    counts = np.zeros((4, 4))
    for key in range(24_000):
        counts[np.arange(4), keyed_shuffle(4, np.uint64(key * 2**40))] += 1
    assert (np.abs(counts / 6000 - 1) < 0.06).all()  # 5 standard deviations


NO_WORDS, NO_INTEGERS = np.empty(0, np.uint32), np.empty(0, np.int64)


def _window(descending, wide, starts, window_count, number, key):
    return one_of_each_stratum(descending, wide, starts, window_count, number, np.uint64(key))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 2**64 - 1))
def test_windows_share_out_every_stratum(lengths, window_count, key):
    lengths = np.array(lengths)
    descending = np.argsort(-lengths, kind="stable")
    starts = np.flatnonzero(np.diff(-lengths[descending], prepend=-99, append=99))
    found = [
        _window(descending.astype(np.uint32), NO_INTEGERS, starts, window_count, number, key)
        for number in range(window_count)
    ]
    wide = [_window(NO_WORDS, descending, starts, window_count, number, key) for number in range(window_count)]
    assert list(map(list, found)) == list(map(list, wide))
    assert sorted(np.concatenate(found)) == list(range(lengths.size))
    for items in found:
        assert (np.diff(lengths[items]) <= 0).all()
        assert (lengths[items] <= lengths[descending[::window_count]][: items.size]).all()
    assert max(map(len, found)) - min(map(len, found)) <= 1


@given(st.data(), st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 2**64 - 1))
def test_items_are_sorted_by_key_in_the_order_of_a_shuffle(data, sort_keys, key):
    sort_keys = np.array(sort_keys, np.uint32)
    items = np.array(sorted(data.draw(st.sets(st.integers(0, sort_keys.size - 1)))), np.uint32)
    mixed = items[keyed_shuffle(items.size, np.uint64(key))]
    descending, starts = shuffled_and_sorted(items.copy(), sort_keys, 6, np.uint64(key))
    assert descending.tolist() == mixed[np.argsort(sort_keys[mixed], kind="stable")].tolist()
    assert starts.tolist() == np.searchsorted(sort_keys[descending], np.arange(7)).tolist()


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=12),
    st.integers(1, 200),
    st.integers(1, 20),
    st.integers(1, 6),
)
def test_batches_are_counted_by_kinds_as_they_are_cut(kinds, budget, most, multiple):
    kinds = sorted(dict(kinds).items(), reverse=True)
    costs, counts = np.array([cost for cost, _ in kinds], float), np.array([count for _, count in kinds], int)
    each, arguments = np.repeat(costs, counts), (float(budget), most, multiple)
    assert count_longest(costs, counts, *arguments) == cut_longest(each, *arguments).size - 1
    summed = cut_several(each[:, None], np.array([float(budget)]), np.array([False]), most, multiple)
    assert count_summed(costs, counts, *arguments) == summed.size - 1
