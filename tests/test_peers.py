"""What went wrong elsewhere and does not here: each defect measured in other samplers, as a test."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import batchwright as bw


def counts_of(plan, batches):
    samples = plan.order.batches_at(np.arange(batches))
    groups = plan.groups.group_of(samples.reshape(-1)).reshape(batches, -1)
    return np.stack([np.bincount(row, minlength=plan.groups.group_count) for row in groups])


def test_a_thousand_equal_classes_at_batch_64_are_64_different_classes():
    counts = counts_of(bw.balanced(np.repeat(np.arange(1000), 20), 64), 500)
    assert counts.max() == 1
    assert (counts.sum(axis=1) == 64).all()


def test_ten_equal_classes_at_batch_15_are_1_or_2_of_each():
    counts = counts_of(bw.balanced(np.repeat(np.arange(10), 50), 15), 300)
    assert set(np.unique(counts)) == {1, 2}
    assert (counts.sum(axis=1) == 15).all()


def test_a_rare_class_gets_its_fraction_of_a_sample_a_batch():
    counts = counts_of(bw.balanced([0] * 97 + [1] * 3, 16, target="natural"), 1000)
    assert set(np.unique(counts[:, 1])) == {0, 1}
    assert counts[:, 1].sum() == pytest.approx(480, abs=2)


def test_a_batch_of_32_over_ten_classes_misses_none():
    labels = np.repeat(np.arange(10), [1000, 500, 250, 120, 60, 30, 15, 8, 4, 4])
    assert counts_of(bw.balanced(labels, 32), 500).min() == 3


def test_a_natural_epoch_sees_every_sample():
    labels = np.repeat(np.arange(10), [1000, 500, 250, 120, 60, 30, 15, 8, 4, 3])
    plan = bw.balanced(labels, 32, target="natural")
    seen = {sample for batch in plan.sampler() for sample in batch}
    # floor or ceil: a class that is drawn one short of its size by the epoch's end is one sample short
    assert len(seen) >= len(labels) - 10
    shuffled = {sample for batch in bw.shuffled(len(labels), 32).sampler() for sample in batch}
    assert len(shuffled) == len(labels)


def test_len_is_what_is_yielded_and_all_classes_come():
    plan = bw.balanced(np.repeat(np.arange(1000), 30), 256, per_class=4)
    sampler = plan.sampler()
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert all(len(batch) == 256 for batch in batches)
    assert len(set(plan.groups.group_of(np.concatenate(batches)).tolist())) == 1000


def test_a_class_of_exactly_k_is_drawn_without_replacement():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = bw.balanced([0] * 4 + [1] * 100, 8, per_class=4)
    for t in range(200):
        batch = plan[t]
        assert sorted(batch[batch < 4].tolist()) == [0, 1, 2, 3]


def test_a_class_of_2_asked_for_8_gives_each_4_times():
    with pytest.warns(bw.PoorWarning, match="1 has 2, a batch takes 8"):
        plan = bw.balanced([0] * 100 + [1] * 2, 16)
    for t in range(50):
        assert np.bincount(plan[t], minlength=102)[100:].tolist() == [4, 4]
    with pytest.raises(bw.Infeasible, match="group 1 has 2 samples but a batch takes 8"):
        bw.balanced([0] * 100 + [1] * 2, 16, distinct=True)


def test_the_callers_lists_are_left_alone():
    lists = [[4, 1, 3], [0, 2]]
    kept = copy.deepcopy(lists)
    plan = bw.balanced(bw.Groups.from_indices(lists), 2)
    list(plan.sampler())
    assert lists == kept


def test_every_epoch_is_shuffled_anew():
    sampler = bw.shuffled(100, 10).sampler()
    first, second = list(sampler), list(sampler)
    assert first != second
    assert [sorted(batch) for batch in first] != [sorted(batch) for batch in second]


def test_after_an_early_break_the_next_epoch_starts_at_its_beginning():
    plan = bw.shuffled(100, 10)
    sampler = plan.sampler()
    for number, _ in enumerate(sampler):
        if number == 3:
            break
    assert next(iter(sampler)) == plan.epoch(1)[0].tolist()


def test_two_seeds_are_never_the_same_run_shifted():
    """Elsewhere epoch 1 of seed 1 is epoch 0 of seed 2."""
    epochs = {(seed, epoch): bw.shuffled(50, 50, seed=seed)[epoch].tolist() for seed in range(8) for epoch in range(8)}
    assert len({tuple(order) for order in epochs.values()}) == 64


def test_ranks_whose_generators_differ_still_share_the_plan():
    plan = bw.shuffled(1000, 10)
    seen = []
    for rank in range(4):
        torch.manual_seed(rank)
        seen += [sample for batch in plan.sampler(rank=rank, world_size=4) for sample in batch]
    assert sorted(set(seen)) == list(range(1000))


def test_a_sample_due_half_of_the_draws_gets_half_on_any_number_of_ranks():
    weights = np.ones(100)
    weights[7] = 99
    with pytest.warns(bw.PoorWarning, match="sample 7 comes up to 5 times"):
        plan = bw.weighted(weights, 10)
    drawn = [s for rank in range(4) for b in plan.sampler(rank=rank, world_size=4) for s in b]
    assert drawn.count(7) == len(drawn) // 2


def test_a_zero_share_never_comes_and_never_hangs():
    plan = bw.balanced([0] * 10 + [1] * 10, 4, target={0: 1, 1: 0})
    assert max(sample for batch in plan.sampler() for sample in batch) < 10


def test_all_the_data_is_used_at_900_to_100():
    plan = bw.balanced([0] * 900 + [1] * 100, 20)
    drawn = np.bincount(plan.order.batches_at(np.arange(180)).reshape(-1), minlength=1000)
    assert set(drawn[:900].tolist()) == {2}
    assert set(drawn[900:].tolist()) == {18}


def test_minority_shares_hold_whatever_the_order_of_the_labels():
    labels = np.random.default_rng(0).permutation([0] * 95 + [1] * 5)
    plan = bw.balanced(labels, 10)
    assert all(labels[plan[t]].sum() == 5 for t in range(100))


def test_more_than_2_to_the_24_weighted_samples():
    weights = np.ones(2**24 + 1, np.float32)
    weights[-1] = 2**20
    with pytest.warns(bw.PoorWarning, match="sample 16777216 comes up to 16 times"):
        plan = bw.weighted(weights, 256)
    share = 2**20 / float(weights.sum(dtype=np.float64))
    drawn = sum(int((plan[t] == 2**24).sum()) for t in range(200))
    assert drawn == pytest.approx(share * 256 * 200, abs=3)
    with pytest.warns(bw.PoorWarning, match="sample 16777216 comes up to 16 times"):
        random = bw.weighted(weights, 256, draw="random")
    assert all(random[t].min() >= 0 and random[t].max() <= 2**24 for t in range(50))


def test_where_samples_outnumber_a_rounds_tickets_nothing_walks_over_all_of_them():
    """The heavy groups are the only ones that are ever walked over; here there is none among two million."""
    plan = bw.weighted(np.linspace(1, 2, 2_000_000), 64)
    span = plan.order._spans[0]
    plan[0]
    work_of_one = int(span._scratch[0][0][2])
    plan.order.batches_at(1 + np.arange(99))
    assert work_of_one <= 64
    assert int(span._scratch[0][0][2]) <= 100 * 64


@pytest.mark.long
def test_a_hundred_million_weighted_samples():
    weights = np.random.default_rng(0).random(10**8, np.float32)
    with pytest.warns(bw.PoorWarning, match="too small beside the others"):  # some are a millionth of the mean and less
        plan = bw.weighted(weights, 256)
    drawn = plan.order.batches_at(np.arange(2000)).reshape(-1)
    assert weights[drawn].mean() == pytest.approx(2 / 3, abs=0.002)  # the mean of a weight drawn by weight


def test_it_runs_in_a_loader_with_workers():
    dataset = torch.arange(1000)
    plan = bw.shuffled(1000, 50)
    loader = DataLoader(dataset, batch_sampler=plan.sampler(), num_workers=2)
    for epoch in range(2):
        assert [batch.tolist() for batch in loader] == [batch.tolist() for batch in plan.epoch(epoch)]
