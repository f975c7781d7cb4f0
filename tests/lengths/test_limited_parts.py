"""Laws of `partition` with limits: none is broken, as few parts as there can be, what belongs together stays so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.lengths.packing import pack

from ..refusals import cases, told_and_followed


def fewest(items, limits):
    """The least number of parts, by trying every way to divide the items; `items` are rows of what each takes."""
    best = [len(items)]

    def place(rest, loads):
        if len(loads) >= best[0] and rest:
            return
        if not rest:
            best[0] = min(best[0], len(loads))
            return
        for number, load in enumerate(loads):
            if all(load + rest[0] <= limits):
                place(rest[1:], [*loads[:number], load + rest[0], *loads[number + 1 :]])
        place(rest[1:], [*loads, rest[0]])

    place(items, [])
    return best[0]


@given(st.data(), st.integers(1, 4), st.booleans())
def test_the_parts_are_the_fewest_that_break_no_limit(data, multiple, grouped):
    count = data.draw(st.integers(1, 9))
    keys = [data.draw(st.integers(0, count // 2)) for _ in range(count)] if grouped else list(range(count))
    columns = {name: [data.draw(st.integers(0, 12)) for _ in range(count)] for name in ("tokens", "images")}
    together = [np.array([key == kept for key in keys]) for kept in sorted(set(keys))]
    rows = [np.array([np.array(column)[mine].sum() for column in columns.values()]) for mine in together]
    least = np.max(rows, axis=0)
    limits = np.array([int(most) + data.draw(st.integers(0, 15)) + 1 for most in least])
    costs = [data.draw(st.integers(0, 50)) for _ in range(count)]
    given_as = {name: (column, most) for (name, column), most in zip(columns.items(), limits.tolist(), strict=True)}
    split = bw.partition(costs, limits=given_as, together=keys if grouped else None, multiple=multiple)
    assert sorted(np.concatenate(split.parts).tolist()) == list(range(count))
    for column, most in given_as.values():
        assert all(np.array(column)[part].sum() <= most for part in split.parts)
    for mine in together:
        assert sum(mine[part].any() for part in split.parts) == 1
    exact = fewest(rows, limits)
    assert split.at_least <= exact
    assert len(split.parts) == -(-exact // multiple) * multiple
    assert split.costs.tolist() == [sum(costs[item] for item in part) for part in split.parts]


def most_level(costs, sizes, limit, parts):
    """The least that the most expensive part can cost, by trying every way to divide the items; None if there is none."""
    best = [None]

    def place(item, loads):
        if item == len(costs):
            most = max(cost for cost, _ in loads)
            best[0] = most if best[0] is None else min(best[0], most)
            return
        for number in range(parts):
            cost, size = loads[number]
            if size + sizes[item] <= limit:
                place(item + 1, [*loads[:number], (cost + costs[item], size + sizes[item]), *loads[number + 1 :]])
            if not loads[number][1]:
                return  # the other empty parts are the same

    place(0, [(0, 0)] * parts)
    return best[0]


@given(st.data(), st.integers(1, 4), st.sampled_from([lambda n: n, lambda n: n * n, lambda n: n * (n + 5)]))
def test_no_way_to_divide_the_items_is_below_the_bound(data, parts, work):
    sizes = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=8))
    limit = data.draw(st.integers(max(sizes), sum(sizes)))
    costs = [work(size) for size in sizes]
    best = most_level(costs, sizes, limit, parts)
    if best is None:
        with pytest.raises(bw.Infeasible, match=f"no {parts} parts were found"):
            bw.partition(costs, parts, limits={"tokens": (sizes, limit)})
        return
    split = bw.partition(costs, parts, limits={"tokens": (sizes, limit)})
    exact = best * parts / sum(costs)
    assert 1 <= split.max_over_mean_at_least <= exact <= split.max_over_mean * (1 + 1e-12)


def test_the_bound_is_reached_where_long_items_leave_gaps():
    # A part with 8 costs 64, and one more item makes it more than 65; so the others are full of short ones.
    sizes = np.array([8, 8, *[1] * 20])
    split = bw.partition(sizes**2, 4, limits={"tokens": (sizes, 10)})
    assert split.max_over_mean_at_least == pytest.approx(split.max_over_mean)
    assert split.max_over_mean > 1.5


@given(st.integers(0, 2**32), st.sampled_from([1, 3]), st.sampled_from([1.0005, 1.01, 1.1]))
def test_parts_are_as_level_as_asked_for_and_no_more_than_needed(seed, multiple, level):
    tokens = np.clip(np.random.default_rng(seed).lognormal(5, 0.7, 200), 16, 1_000).astype(int)
    given_as = {"tokens": (tokens, 2_000)}
    fewest = bw.partition(tokens**2, limits=given_as, multiple=multiple)
    try:
        split = bw.partition(tokens**2, limits=given_as, multiple=multiple, level=level)
    except bw.Infeasible as refusal:
        reached = float(refusal.way_out.split("=")[1].split()[0])
        assert reached > level
        split, level = bw.partition(tokens**2, limits=given_as, multiple=multiple, level=reached), reached
    assert split.max_over_mean <= level
    assert all(tokens[part].sum() <= 2_000 for part in split.parts)
    assert sorted(np.concatenate(split.parts).tolist()) == list(range(200))
    assert len(split) % multiple == 0
    assert len(split) == len(fewest) if fewest.max_over_mean <= level else len(split) > len(fewest)


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_no_more_parts_than_best_fit_makes_where_no_bound_is_reached(seed, multiple):
    tokens = np.random.default_rng(seed).integers(300, 401, 150)  # at most three in a part of 1,000, mostly two
    split = bw.partition(tokens**2, limits={"tokens": (tokens, 1_000)}, multiple=multiple)
    assert all(tokens[part].sum() <= 1_000 for part in split.parts)
    assert len(split) <= -(-len(pack(tokens, 1_000)) // multiple) * multiple
    assert split.at_least < len(split)


ROLLOUTS = np.clip(np.random.default_rng(0).lognormal(6.5, 1, 16_384), 16, 16_384).astype(int)
WORK = ROLLOUTS * (24_576.0 + ROLLOUTS)


def test_the_figures_of_a_batch_of_rollouts():
    tokens = {"tokens": (ROLLOUTS, 32_768)}
    split = bw.partition(ROLLOUTS, limits=tokens, multiple=4)
    assert len(split) == 548 == -(-split.at_least // 4) * 4
    assert split.max_over_mean <= 1.001
    split = bw.partition(WORK, limits=tokens, multiple=4)
    assert len(split) == 548
    assert max(ROLLOUTS[part].sum() for part in split.parts) <= 32_768
    assert 1.034 < split.max_over_mean_at_least < split.max_over_mean < 1.052  # so few parts cannot be level to 1.001
    split = bw.partition(WORK, limits=tokens, multiple=4, level=1.001)
    assert len(split) == 556
    assert split.max_over_mean <= 1.001
    assert max(ROLLOUTS[part].sum() for part in split.parts) <= 32_768
    pairs = np.arange(16_384) // 2
    split = bw.partition(WORK, limits=tokens, together=pairs, multiple=4)
    assert len(split) == 548
    assert all((np.diff(pairs[part])[::2] == 0).all() for part in split.parts)


@given(st.integers(0, 2**32), st.booleans())
def test_the_same_numbers_give_the_same_parts_whatever_holds_them(seed, grouped):
    lengths = np.random.default_rng(seed).integers(1, 100, 40)
    keys = (lengths // 30).tolist()
    answers = []
    for kind in (np.asarray, torch.from_numpy, np.ndarray.tolist):
        more = {"together": keys} if grouped else {}
        split = bw.partition(kind(lengths * lengths), limits={"tokens": (kind(lengths), 2500)}, **more)
        answers.append([part.tolist() for part in split.parts])
    assert answers[0] == answers[1] == answers[2]


def test_no_items_and_one():
    assert [part.tolist() for part in bw.partition([], limits={"tokens": ([], 5)}, multiple=3).parts] == [[], [], []]
    assert [part.tolist() for part in bw.partition([7], limits={"tokens": ([5], 5)}).parts] == [[0]]
    assert [part.tolist() for part in bw.partition([7, 7, 1], max_cost=8).parts] == [[0, 2], [1]]
    assert bw.partition([0, 0], limits={"tokens": ([0, 0], 5)}).max_over_mean == 1


TOKENS = {"tokens": ([3, 4, 5], 6)}
CASES = cases("refuse message follow", {
    "nothing to go by": (
        lambda: bw.partition([1, 2]), "neither parts nor a limit was passed; pass parts, limits or max_cost",
        lambda: (bw.partition([1, 2], 2), bw.partition([1, 2], limits={"a": ([1, 2], 2)}),
                 bw.partition([1, 2], max_cost=2))),
    "a level below the mean": (
        lambda: bw.partition([1, 2], limits={"a": ([1, 2], 2)}, level=0.9),
        "level is 0.9, and some part costs the mean or more; pass 1 or more",
        lambda: bw.partition([2, 2], limits={"a": ([1, 2], 2)}, level=1)),
    "a level of given parts": (
        lambda: bw.partition([1, 2], 2, limits={"a": ([1, 2], 2)}, level=1.1),
        "level chooses how many parts there are, and parts is given; leave one of them out",
        lambda: (bw.partition([1, 2], 2, limits={"a": ([1, 2], 2)}),
                 bw.partition([1, 2], limits={"a": ([1, 2], 2)}, level=2))),
    "a level that no parts have": (
        lambda: bw.partition([5, 1, 1], limits={"a": ([1, 1, 1], 1)}, level=1.001),
        "no parts were found that are level to 1.001; the most level ones are 3, to 2.1429; pass level=2.1429 or more",
        lambda: bw.partition([5, 1, 1], limits={"a": ([1, 1, 1], 1)}, level=2.1429)),
    "equal sizes without parts": (
        lambda: bw.partition([1, 2], equal_size=True, max_cost=4),
        "equal_size gives every part as many items, and no parts are given; pass parts alone with equal_size, or",
        lambda: (bw.partition([1, 2], 2, equal_size=True), bw.partition([1, 2], max_cost=4))),
    "equal sizes and limits": (
        lambda: bw.partition([1, 2, 3], 3, equal_size=True, limits=TOKENS), "and limits are given",
        lambda: bw.partition([1, 2, 3], 3, limits=TOKENS)),
    "equal sizes and groups": (
        lambda: bw.partition([1, 2], 2, equal_size=True, together=[0, 0]), "and together is given",
        lambda: bw.partition([1, 2], 2, together=[0, 0])),
    "a limit without a column": (
        lambda: bw.partition([1, 2], limits={"tokens": 5}),
        "limits['tokens'] is 5; pass what each item takes and the most, as (lengths, 32768)",
        lambda: bw.partition([1, 2], limits={"tokens": ([1, 2], 5)})),
    "a column of another length": (
        lambda: bw.partition([1, 2], limits=TOKENS), "limits['tokens'] has 3 numbers for 2 costs; pass one an item",
        lambda: bw.partition([1, 2, 3], limits=TOKENS)),
    "a limit of nothing": (
        lambda: bw.partition([1], limits={"tokens": ([1], 0)}), "the most of limits['tokens'] is 0; pass a limit above 0",
        lambda: bw.partition([1], limits={"tokens": ([1], 1)})),
    "a cost of nothing": (
        lambda: bw.partition([1], max_cost=0), "max_cost is 0; pass max_cost above 0",
        lambda: bw.partition([1], max_cost=1)),
    "a size below 0": (
        lambda: bw.partition([1], limits={"tokens": ([-1], 3)}),
        "the size of item 0 in limits['tokens'] is -1; pass finite sizes of 0 or more",
        lambda: bw.partition([1], limits={"tokens": ([1], 3)})),
    "an item above a limit": (
        lambda: bw.partition([1, 2, 3], limits={"tokens": ([3, 9, 8], 6)}),
        "item 1 has 9 of 'tokens', the limit is 6 (1 more exceed a limit); pass a limit of 9 or more for 'tokens', or",
        lambda: bw.partition([1, 2, 3], limits={"tokens": ([3, 9, 8], 9)})),
    "a group above a limit": (
        lambda: bw.partition([1, 2, 3], limits=TOKENS, together=["a", "b", "a"]),
        "items 0, 2 stay together and have 8 of 'tokens', the limit is 6; pass a limit of 8 or more for 'tokens',",
        lambda: bw.partition([1, 2, 3], limits={"tokens": ([3, 4, 5], 8)}, together=["a", "b", "a"])),
    "too few parts": (
        lambda: bw.partition([1, 2, 3], 2, limits=TOKENS),
        "no 2 parts were found that break no limit; at least 3 are needed; pass more parts: 3 are always enough; or leave",
        lambda: (bw.partition([1, 2, 3], 3, limits=TOKENS), bw.partition([1, 2, 3], limits=TOKENS))),
    "keys of another number": (
        lambda: bw.partition([1, 2, 3], 2, together=[1, 2]), "2 keys for 3 costs; pass one key an item",
        lambda: bw.partition([1, 2, 3], 2, together=[1, 2, 2])),
    "a group above the cost": (
        lambda: bw.partition([5, 5, 1], 2, together=[0, 0, 1], max_cost=8),
        "the best partition found has a part that costs 10, max_cost is 8; pass max_cost=10 or more.",
        lambda: bw.partition([5, 5, 1], 2, together=[0, 0, 1], max_cost=10)),
})  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])
