"""Hybrid plans: every sample once an epoch, on ranks enough, in one order on all of them, with equal work."""

from __future__ import annotations

import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.audit import audit_hybrid

from ..refusals import cases, told_and_followed

LONG = np.clip(np.random.default_rng(0).lognormal(7.0, 1.6, 100_000), 16, 131_072).astype(int)
SMALL = {"ranks": 4, "tokens_per_rank": 40, "batch_size": 9, "seed": 3}
LENGTHS = 1 + np.arange(60) * 37 % 150


def work(n):
    return 24_576 * n + n**2


@st.composite
def plans(draw):
    lengths = draw(st.lists(st.integers(1, 200), min_size=1, max_size=60))
    ranks = draw(st.integers(1, min(12, len(lengths))))
    return bw.hybrid(
        lengths,
        ranks=ranks,
        tokens_per_rank=-(-max(lengths) // ranks) + draw(st.integers(0, 50)),
        widen=draw(st.integers(1, 4)),
        cost=draw(st.sampled_from([None, lambda n: n + n**2 / 16, lambda n: 0 * n])),
        batch_size=draw(st.integers(ranks, max(ranks, len(lengths)))) if draw(st.booleans()) else None,
        seed=draw(st.integers(0, 9)),
    )


def built(make):
    try:
        return make()
    except bw.Infeasible:
        assume(False)


@given(st.data())
def test_what_ranks_run_keeps_every_promise(data):
    plan = built(lambda: data.draw(plans()))
    division = plan.division
    for epoch in range(2):
        seen = []
        for step in range(epoch * plan.steps, (epoch + 1) * plan.steps):
            by_rank = [plan.parts(step, rank) for rank in range(plan.ranks)]
            wide = {}
            for rank, parts in enumerate(by_rank):
                assert parts
                sizes = [len(part.group) for part in parts]
                assert sizes == sorted(sizes, reverse=True)
                for part in parts:
                    size = len(part.group)
                    assert part.group[part.part] == rank
                    assert part.group[0] % size == 0
                    assert division.tokens[part.samples].sum() <= size * plan.division.tokens_per_rank
                    wide.setdefault(part.group, {}).setdefault(rank, []).append(part.samples.tolist())
                batch = plan[step * plan.ranks + rank]
                assert batch.tolist() == [sample for part in parts for sample in part.samples.tolist()]
            for group, lists in wide.items():
                assert sorted(lists) == list(group)
                assert all(lists[rank] == lists[group[0]] for rank in group)
                samples = [sample for pack in lists[group[0]] for sample in pack]
                seen += samples
                least, most = division.sizes(np.array(samples), plan.ranks)
                assert all(least <= len(group))
                assert all(len(group) <= most)
            loads = [sum(division.costs[part.samples].sum() / len(part.group) for part in parts) for parts in by_rank]
            np.testing.assert_allclose(plan.schedule(step).loads, loads)
            assert max(loads) >= plan.schedule(step).at_least * (1 - 1e-12)
        assert sorted(seen) == list(range(division.tokens.size))


def test_a_step_is_the_micro_batches_of_all_ranks():
    plan = bw.hybrid(LENGTHS, **SMALL)
    assert plan.step_size == plan.ranks == 4
    assert plan.stepped(6).step_size == 6


@given(st.data())
def test_a_plan_depends_on_its_arguments_alone_and_audits_itself(data):
    plan = built(lambda: data.draw(plans()))
    again = pickle.loads(pickle.dumps(plan))
    again.schedule(3)
    assert [plan[t].tolist() for t in range(2 * plan.ranks)] == [again[t].tolist() for t in range(2 * plan.ranks)]
    assert plan.audit(epochs=2).kept


def broken(plan, at, change):
    """What an audit finds in a plan whose ranks run something else in a step: `change` gets the packs of all ranks."""
    by_rank = [plan.parts(at, rank) for rank in range(plan.ranks)]
    change(by_rank)

    class Broken:
        division, steps, ranks = plan.division, plan.steps, plan.ranks

        def parts(self, step, rank):
            return by_rank[rank] if step == at else plan.parts(step, rank)

    return {finding.guarantee for finding in audit_hybrid(Broken()).findings if not finding.kept}


def test_an_audit_finds_what_is_broken():
    plan = bw.hybrid([90, *LENGTHS // 8 + 1], ranks=4, tokens_per_rank=50, batch_size=20, seed=3)
    step = next(step for step in range(plan.steps) if len(plan.parts(step, 1)[0].group) == 2)
    alone = plan.parts(step, 0)[-1]
    assert len(alone.group) == 1

    def found(change):
        return broken(plan, step, change)

    assert found(lambda by_rank: None) == set()
    assert found(lambda by_rank: by_rank[0].append(alone)) == {"G4 coverage"}
    assert found(lambda by_rank: by_rank[0].pop()) == {"G4 coverage"}
    assert found(lambda by_rank: by_rank[1].append(by_rank[1].pop(0))) == {"G8 groups"}
    assert found(lambda by_rank: by_rank[1].pop(0)) == {"G8 groups"}
    assert found(lambda by_rank: by_rank[1].insert(0, by_rank[1].pop(0)._replace(part=0))) == {"G8 groups"}
    assert found(lambda by_rank: by_rank[3].clear()) >= {"G8 groups"}
    together = alone._replace(samples=np.concatenate([part.samples for part in plan.parts(step, 0)]))
    assert "G1 cap" in found(lambda by_rank: by_rank[0].append(together))


def test_a_sample_has_no_more_ranks_than_widen_allows_or_than_hold_it():
    for widen in (1, 2, 3, 8, 10**9):
        plan = bw.hybrid([41, 81, 1, 1, 1, 1, 1, 1], ranks=8, tokens_per_rank=20, widen=widen)
        least, most = plan.division.sizes(np.arange(8), 8)
        assert least.tolist() == [4, 8] + [1] * 6
        assert most[:3].tolist() == [max(4, min(8, 1 << (3 * min(widen, 8)).bit_length() - 1)), 8,
                                     min(8, 1 << min(widen, 8).bit_length() - 1)]  # fmt: skip


@pytest.mark.parametrize(("ranks", "tokens_per_rank"), [(8, 16_384), (32, 8_192), (64, 8_192)])
def test_the_work_of_ranks_is_level_on_long_sequences(ranks, tokens_per_rank):
    plan = bw.hybrid(LONG, ranks=ranks, tokens_per_rank=tokens_per_rank, cost=work)
    summary = plan.summary()
    assert summary.waiting <= summary.worst_step <= 1.002
    assert summary.waiting_at_least == 1
    assert f"{plan.steps} steps an epoch on {ranks} ranks, {plan.steps} measured" in str(summary)


@pytest.mark.parametrize(
    "ranks", [pytest.param(8, marks=pytest.mark.long), 32, pytest.param(64, marks=pytest.mark.long)]
)
def test_steps_of_too_few_samples_are_as_level_as_their_longest_sample_allows(ranks):
    plan = bw.hybrid(
        LONG[:20_000], ranks=ranks, tokens_per_rank=131_072 // min(16, ranks), cost=work, batch_size=2 * ranks
    )
    summary = plan.summary()
    assert summary.waiting_at_least > 1.1
    assert summary.waiting <= 1.02 * summary.waiting_at_least
    assert plan.audit().kept


def test_steps_are_alike_in_samples_tokens_and_work():
    plan = bw.hybrid(LONG, ranks=64, tokens_per_rank=8_192, cost=work)
    samples = [plan.samples(step) for step in range(plan.steps)]
    assert max(map(len, samples)) - min(map(len, samples)) <= 1
    tokens = [LONG[chosen].sum() for chosen in samples]
    assert max(tokens) / min(tokens) < 1.03


def state_after(plan, ranks, lists, epoch=0):
    sampler = plan.sampler(rank=0, world_size=ranks)
    sampler.set_epoch(epoch)
    drawn = iter(sampler)
    for _ in range(lists):
        next(drawn)
    return json.loads(json.dumps(sampler.state_dict()))


def ran_from(plan, state, ranks, count=None):
    """What all ranks run from a state to the end of the epoch, step by step, each sample once a step."""
    lists = []
    for rank in range(ranks):
        sampler = plan.sampler(rank=rank, world_size=ranks)
        sampler.load_state_dict(state)
        lists.append(list(sampler))
    return [sorted({sample for batch in step for sample in batch}) for step in zip(*lists, strict=True)]


@given(st.integers(0, 7), st.integers(1, 6), st.integers(0, 4))
def test_a_run_resumes_at_the_next_step_on_any_ranks(lists, ranks, epoch):
    plan = bw.hybrid(LENGTHS, ranks=4, tokens_per_rank=150, batch_size=9)
    lists = min(lists, plan.steps)
    state = state_after(plan, 4, lists, epoch)
    whole = [sorted(plan.samples(epoch * plan.steps + step).tolist()) for step in range(2 * plan.steps)]
    left = whole[lists : plan.steps] if lists < plan.steps else whole[plan.steps :]
    if not lists:
        left = whole[: plan.steps] if epoch == 0 else left
    assert ran_from(plan, state, ranks) == left
    other = bw.hybrid(LENGTHS, ranks=2, tokens_per_rank=150, batch_size=9)
    assert ran_from(other, state, ranks) == left  # the ranks that a plan was made for are no part of its fingerprint


def test_a_state_may_be_carried_over_several_worlds():
    plan, state = bw.hybrid(LENGTHS, **SMALL | {"tokens_per_rank": 150}), {}
    seen = []
    for number in range(2 * plan.steps):
        ranks = 1 + number % 4
        samplers = [plan.sampler(rank=rank, world_size=ranks) for rank in range(ranks)]
        for sampler in samplers:
            sampler.load_state_dict(state)
        lists = [next(iter(sampler)) for sampler in samplers]
        seen.append(sorted({sample for batch in lists for sample in batch}))
        states = [sampler.state_dict() for sampler in samplers]
        assert all(other == states[0] for other in states)
        state = states[0]
    assert seen == [sorted(plan.samples(step).tolist()) for step in range(2 * plan.steps)]


def test_a_loader_gives_each_rank_the_samples_of_its_parts():
    plan = bw.hybrid(LENGTHS, **SMALL)
    dataset = [torch.full((length,), number) for number, length in enumerate(LENGTHS.tolist())]
    for rank in range(4):
        loader = plan.loader(dataset, rank=rank, world_size=4, collate=list, num_workers=0)
        assert len(loader) == plan.steps
        for step, samples in enumerate(loader):
            parts = plan.parts(step, rank)
            assert [int(sample[0]) for sample in samples] == np.concatenate([part.samples for part in parts]).tolist()
            for part in parts:
                layout = bw.Layout(LENGTHS[part.samples].tolist())
                held = layout.shard(part.part, len(part.group), block=4).places.numel()
                assert held <= plan.division.tokens_per_rank


@given(
    cap=st.sampled_from([1, 5, 40, 46, 100, 128, 200, 256, 384]),
    ranks=st.sampled_from([2, 3, 4]),
    seed=st.integers(0, 99),
)
def test_a_rank_has_no_more_tokens_than_its_cap_rounded_up_to_blocks(cap, ranks, seed):
    lengths = np.minimum(np.random.default_rng(seed).integers(1, 2 * cap * ranks, 3 * ranks), cap * ranks)
    plan = bw.hybrid(lengths, ranks=ranks, tokens_per_rank=cap)
    divisor = next(block for block in range(min(cap, 64), 0, -1) if cap % block == 0)
    for rank in range(ranks):
        for part in plan.parts(0, rank):
            layout, size = bw.Layout(lengths[part.samples].tolist()), len(part.group)
            assert layout.total <= size * cap
            assert layout.shard(part.part, size).places.numel() <= (-(-cap // 128) * 128 if size > 1 else cap)
            assert layout.shard(part.part, size, block=divisor).places.numel() <= cap


def test_the_ranks_of_a_group_draw_the_same_random_numbers_for_a_sample():
    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return len(LENGTHS)

        def __getitem__(self, number):
            return number, float(torch.rand(()))

    plan, by_sample = bw.hybrid(LENGTHS, **SMALL), {}
    for rank in range(4):
        for samples in plan.loader(Noisy(), rank=rank, world_size=4, collate=list, num_workers=0):
            for number, drawn in samples:
                by_sample.setdefault(number, set()).add(drawn)
    assert all(len(drawn) == 1 for drawn in by_sample.values())
    assert len({drawn.pop() for drawn in by_sample.values()}) == len(LENGTHS)


def test_a_report_is_of_the_ranks_that_it_is_asked_for(tmp_path):
    plan = bw.hybrid(LENGTHS, **SMALL)
    plan.report(tmp_path / "of_eight.html", world_size=8)
    assert "G8 groups" in (tmp_path / "of_eight.html").read_text()


def test_one_sample_one_rank_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = bw.hybrid([7], ranks=1, tokens_per_rank=8)
    assert [part.samples.tolist() for part in plan.parts(10**12, 0)] == [[0]]
    assert list(plan.sampler(rank=0, world_size=1)) == [[0]]


CASES = cases("refuse message follow", {
    "no samples": (lambda: bw.hybrid([], ranks=1, tokens_per_rank=8), "the dataset is empty: 0 lengths",
                   lambda: bw.hybrid([1], ranks=1, tokens_per_rank=8)),
    "a sample too long": (
        lambda: bw.hybrid([9, 40, 3], ranks=3, tokens_per_rank=8),
        "sample 1 has 40 tokens, 3 ranks of 8 can hold 24; pass 5 ranks or more, or tokens_per_rank=14 or more",
        lambda: (bw.hybrid([9, 40, 3, 1, 1], ranks=5, tokens_per_rank=8),
                 bw.hybrid([9, 40, 3], ranks=3, tokens_per_rank=14))),
    "too few samples in a step": (
        lambda: bw.hybrid([1] * 9, ranks=4, tokens_per_rank=8, batch_size=3),
        "a step has 3 samples, so some of 4 ranks would have none; pass batch_size=4 or more, or 3 ranks or fewer",
        lambda: (bw.hybrid([1] * 9, ranks=4, tokens_per_rank=8, batch_size=4),
                 bw.hybrid([1] * 9, ranks=3, tokens_per_rank=8, batch_size=3))),
    "too few samples at all": (
        lambda: bw.hybrid([1] * 3, ranks=4, tokens_per_rank=8),
        "a step has 3 samples, so some of 4 ranks would have none; pass 3 ranks or fewer",
        lambda: bw.hybrid([1] * 3, ranks=3, tokens_per_rank=8)),
    "a world too small": (
        lambda: bw.hybrid(LENGTHS, **SMALL).sampler(rank=0, world_size=2), "2 ranks of 40 can hold 80; pass 4 ranks or more",
        lambda: bw.hybrid(LENGTHS, **SMALL).sampler(rank=0, world_size=4)),
    "a world too small, found later": (
        lambda: bw.hybrid(LENGTHS, **SMALL).stepped(2).parts(0, 0), "2 ranks of 40 can hold 80; pass 4 ranks or more",
        lambda: bw.hybrid(LENGTHS, **SMALL).stepped(4).parts(0, 0)),
    "a rank outside": (
        lambda: bw.hybrid(LENGTHS, **SMALL).parts(0, 4), "rank is 4, the steps are for 4 ranks; pass 0 to 3",
        lambda: bw.hybrid(LENGTHS, **SMALL).parts(0, 3)),
    "accumulation": (
        lambda: bw.hybrid(LENGTHS, **SMALL).sampler(rank=0, world_size=4, accumulate=2),
        "accumulate is 2, and a list of a hybrid plan is all that a rank runs in a step; leave accumulate out, and pass a "
        "larger batch_size",
        lambda: bw.hybrid(LENGTHS, **SMALL | {"batch_size": 18}).sampler(rank=0, world_size=4)),
    "fetch": (
        lambda: bw.hybrid(LENGTHS, **SMALL).sampler(rank=0, world_size=4, fetch=2), "fetch is 2",
        lambda: bw.hybrid(LENGTHS, **SMALL).sampler(rank=0, world_size=4, fetch="step")),
    "a state of another kind": (
        lambda: bw.hybrid(LENGTHS, **SMALL).resumed({"begin": 3}, 0), "the state says {'begin': 3} of a hybrid plan",
        lambda: bw.hybrid(LENGTHS, **SMALL).resumed({"step_size": 4}, 0)),
    "a state of no ranks": (
        lambda: bw.hybrid(LENGTHS, **SMALL).resumed({"step_size": 0}, 0), "the state's step_size is 0, the largest is",
        lambda: bw.hybrid(LENGTHS, **SMALL).resumed({"step_size": 1}, 0)),
})  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])
