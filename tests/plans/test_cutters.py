"""Cuts of small windows, against what any cut of them must be: shared buckets, levelled steps."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.kernels.cuts import cut_longest
from batchwright.lengths.bucket_cutter import BucketCutter
from batchwright.lengths.numbers import Numbers
from batchwright.lengths.same_size_cutter import GroupCutter

from ..examples import examples
from ..laws import quietly


def parts_of(cut):
    return [cut.batch(number) for number in range(len(cut))]


def test_buckets_that_share_steps_lose_no_sample_and_mix_in_no_micro_batch():
    met: Counter[str] = Counter()

    @examples(300)
    @given(
        held=st.lists(st.sampled_from([0, 1, 2, 3, 5, 7, 8, 11, 15, 19]), min_size=2, max_size=5).filter(any),
        step_size=st.sampled_from([1, 2, 3, 4, 6, 8]),
        size=st.integers(2, 5),
        spare=st.none() | st.integers(0, 4),
        seed=st.integers(0, 99),
    )
    @example(held=[1, 19], step_size=8, size=3, spare=None, seed=0)  # the largest bucket lends, and has enough left
    @example(held=[1, 11], step_size=8, size=3, spare=None, seed=0)  # it has too few left for a step
    @example(
        held=[7, 7], step_size=4, size=3, spare=0, seed=0
    )  # three steps of two buckets with a step and a half each
    @example(held=[1, 1, 6], step_size=5, size=2, spare=None, seed=0)  # it lends all it has, in as few parts as can be
    @example(held=[1, 1, 1, 2, 8], step_size=4, size=2, spare=None, seed=0)
    @example(held=[1, 1, 1, 3, 8], step_size=4, size=2, spare=None, seed=0)  # enough for a step, too few for two
    @example(held=[8, 0, 16], step_size=4, size=5, spare=0, seed=0)  # as many steps as the buckets have room for
    def law(held, step_size, size, spare, seed):
        steps = 0 if spare is None else max(0, sum(held) // step_size - spare)  # 0 asks for as few as can be
        bucket_of = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(held)), held))
        cutter = BucketCutter(Numbers.of(bucket_of, np.int64), np.arange(1.0, len(held) + 1), size)
        samples = np.random.default_rng(seed + 1).permutation(bucket_of.size)
        small = [count for count in held if 0 < count < step_size]
        large = [count for count in held if count >= step_size]
        alone = sum(count // step_size for count in large)  # steps of one bucket each that there can be
        met["cuts"] += 1
        try:
            cut = cutter.cut(samples, steps * step_size, step_size)
        except bw.Infeasible:  # the last step of any cut would lack a sample for some micro-batch
            met["refused"] += 1
            parts = sum(-(-count // size) for count in held)
            assert -(-parts // step_size) * step_size > sum(held)
            return
        met["of small buckets"] += bool(small)
        met["the largest bucket lends"] += bool(large) and 0 < sum(small) < step_size
        met["all of them shared"] += steps > alone + bool(small)
        batches = parts_of(cut)
        assert sorted(np.concatenate(batches).tolist()) == list(range(samples.size))
        assert len(batches) % step_size == 0
        assert len(batches) >= max(steps * step_size, cutter.batches_at_least(samples))
        assert all(1 <= batch.size <= size for batch in batches)
        assert all(np.unique(bucket_of[samples[batch]]).size == 1 for batch in batches)
        assert cut.costs.tolist() == [cutter.cost(samples[batch]) for batch in batches]
        if not small and steps <= alone:
            met["steps of one bucket"] += 1
            for at in range(0, len(batches), step_size):
                assert np.unique(bucket_of[samples[np.concatenate(batches[at : at + step_size])]]).size == 1

    law()
    assert met["refused"] < met["cuts"] / 2
    for case in ("of small buckets", "the largest bucket lends", "all of them shared", "steps of one bucket"):
        assert met[case] >= 1, met


def least_of(lengths, parts):
    """The least that the most expensive of so many ranges of descending lengths can cost, tried in every way."""

    @cache
    def least(first, parts):
        if parts == 1:
            return lengths[first] * (len(lengths) - first)
        ends = range(first + 1, len(lengths) - parts + 2)
        return min(max(lengths[first] * (end - first), least(end, parts - 1)) for end in ends)

    return least(0, parts)


def test_a_levelled_step_has_its_samples_and_its_most_expensive_micro_batch_is_nearly_as_cheap_as_can_be():
    met: Counter[str] = Counter()

    @examples(200)
    @given(
        lengths=st.lists(st.integers(1, 9), min_size=1, max_size=24),
        step_size=st.integers(1, 6),
        size=st.integers(1, 5),
    )
    @example(lengths=[9, 1, 1], step_size=3, size=1)
    def law(lengths, step_size, size):
        lengths = np.array(lengths, float)
        cutter = GroupCutter(Numbers.of(lengths), size, level=True)
        samples = np.arange(lengths.size)
        batches = -(-cutter.batches_at_least(samples) // step_size) * step_size
        if lengths.size < batches:
            met["refused"] += 1
            return
        cut = cutter.cut(samples, batches, step_size)
        found = parts_of(cut)
        assert sorted(np.concatenate(found).tolist()) == samples.tolist()
        assert len(found) == batches
        assert min(map(len, found)) >= 1
        for at in range(0, batches, step_size):
            step = [lengths[part] for part in found[at : at + step_size]]
            inside = np.concatenate(step)
            assert inside.size <= size * step_size
            assert (np.diff(inside) <= 0).all()
            costs = [float(part.max() * part.size) for part in step]
            assert costs == cut.costs[at : at + step_size].tolist()
            least = least_of(tuple(inside), step_size)
            assert max(costs) <= least * (1 + 1e-3)
            met["steps"] += 1
            met["with fewer ranges than micro-batches"] += (
                cut_longest(inside, float(least), inside.size, 1).size - 1 < step_size
            )

    law()
    assert met["steps"] >= 100, met
    assert met["with fewer ranges than micro-batches"] >= 1, met


BY_LENGTHS = {
    "budgeted": lambda lengths: bw.budgeted(lengths, 40),
    "of many lengths": lambda lengths: bw.budgeted(lengths + np.linspace(0, 0.5, lengths.size), 40),
    "not padded": lambda lengths: bw.budgeted(lengths, 40, padded=False),
    "in multiples": lambda lengths: bw.budgeted(lengths, 40, round_count=2),
    "balanced in a column": lambda lengths: bw.budgeted(lengths, 40, padded=False, balance=lengths**2),
    "of two budgets": lambda lengths: bw.budgeted({"a": lengths, "b": 10 - lengths}, {"a": 40, "b": 50}),
    "grouped": lambda lengths: bw.grouped(lengths, 4),
    "bucketed": lambda lengths: bw.bucketed(lengths[:, None], 4, buckets=2),
    "packed": lambda lengths: bw.packed(lengths, 20),
    "of two capacities": lambda lengths: bw.packed({"a": lengths, "b": 10 - lengths}, {"a": 20, "b": 30}),
}


@examples(60)
@given(
    kind=st.sampled_from(list(BY_LENGTHS)),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    data=st.data(),
)
def test_prefixes_are_cut_as_if_nothing_came_behind_them(kind, lengths, data):
    cutter = quietly(lambda: BY_LENGTHS[kind](np.array(lengths, float))).cutter
    samples = np.array(data.draw(st.permutations(range(len(lengths)))))
    prefixes = cutter.prefixes(samples, 1)
    for count in data.draw(st.lists(st.integers(1, samples.size), max_size=4)):
        first = samples[:count]
        expected = cutter.cut(first, None, 1)
        assert prefixes.batches_needed(count) == cutter.batches_needed(first, 1) == len(expected)
        for wanted in (None, min(len(expected) + 1, count)):
            cut, expected = prefixes.cut(count, wanted), cutter.cut(first, wanted, 1)
            assert [part.tolist() for part in parts_of(cut)] == [part.tolist() for part in parts_of(expected)]
            assert cut.costs.tolist() == expected.costs.tolist()
