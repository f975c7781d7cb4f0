"""Plans that read few shards at a time: every sample once a pass, few shards open, in any world."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.orders.shard_shuffle import least_open

from ..examples import examples
from ..laws import quietly


@st.composite
def shuffles(draw):
    """Shards of any sizes, a batch size, and how many shards must be open for that."""
    sizes = draw(st.lists(st.integers(0, 60), min_size=2, max_size=30).filter(lambda sizes: sum(sizes) >= 12))
    ranks = draw(st.integers(1, min(4, np.count_nonzero(sizes))))
    batch_size = draw(st.integers(1, sum(sizes) // (3 * ranks)))
    _, least = least_open(bw.Shards(sizes, ranks=ranks), batch_size)
    return bw.Shards(sizes, least + draw(st.integers(0, 3)), ranks=ranks), batch_size


def openings(touched):
    """How many shards are open in each turn, if each is open from its first turn to its last; `touched` by opening."""
    last = max(max(turns) for turns in touched.values())
    open_in = np.zeros(last + 2, int)
    for turns in touched.values():
        open_in[min(turns)] += 1
        open_in[max(turns) + 1] -= 1
    return np.cumsum(open_in)


@examples(60)
@given(given_=shuffles(), seed=st.integers(0, 2**64 - 1))
def test_every_sample_comes_once_a_pass_and_few_shards_are_open(given_, seed):
    local, batch_size = given_
    sizes, open_, ranks = local.sizes.tolist(), local.open, local.ranks
    plan = bw.shuffled(sum(sizes), batch_size, local=local, seed=seed)
    count, passes = sum(sizes), 3
    # The samples of a rank, in its sequence: in passes, its part of a pass is an equal part of all samples.
    turns = -(-passes * count // ranks // batch_size)
    shard_of = np.repeat(np.arange(len(sizes)), sizes)
    parts = [[] for _ in range(passes)]
    for rank in range(ranks):
        batches = [plan[turn * ranks + rank] for turn in range(turns)]
        assert all(np.unique(batch).size == batch_size for batch in batches)
        drawn = np.concatenate(batches)
        ends = [(number * count + rank) // ranks for number in range(passes + 1)]
        touched = {}
        for number in range(passes):
            part = drawn[ends[number] : ends[number + 1]]
            parts[number].append(part)
            for place, shard in enumerate(shard_of[part].tolist(), ends[number]):
                touched.setdefault((number, shard), []).append(place // batch_size)
        assert openings(touched).max() <= open_
    for part in parts:
        assert np.array_equal(np.sort(np.concatenate(part)), np.arange(count))


def test_ranks_have_shards_of_their_own():
    plan = bw.shuffled(8000, 20, local=bw.Shards([1000] * 8, open=4, ranks=4))
    read = [{int(shard) for t in range(rank, 400, 4) for shard in plan[t] // 1000} for rank in range(4)]
    assert [len(shards) for shards in read] == [2] * 4
    assert set().union(*read) == set(range(8))


def test_the_order_of_shards_differs_between_passes_and_seeds():
    def order(plan, first):
        seen = dict.fromkeys(shard for t in range(first, first + 400) for shard in (plan[t] // 100).tolist())
        return tuple(seen)

    plans = [bw.shuffled(4000, 10, local=bw.Shards([100] * 40, open=2), seed=seed) for seed in (0, 1)]
    assert len({order(plan, first) for plan in plans for first in (0, 400, 800)}) == 6


@pytest.mark.parametrize("ranks", [1, 4])
def test_batches_of_shuffled_shards_vary_like_those_of_a_full_shuffle(ranks):
    rng = np.random.default_rng(0)
    count, batch_size = 200_000, 64
    rare = rng.random(count) < 0.1  # the shards are shuffled
    local = bw.Shards([2000] * 100, open=4, ranks=ranks)
    spread = [
        np.var([rare[batch].sum() for batch in plan.epoch(0)])
        for plan in (bw.shuffled(count, batch_size, local=local), bw.shuffled(count, batch_size))
    ]
    noise = 4 * np.sqrt(2 / (count / batch_size))  # of a ratio of two variances, four deviations
    assert spread[0] < (1.05 + noise) * spread[1]


def test_any_micro_batch_is_computed_without_those_before_it():
    plan = bw.shuffled(10_000_000, 256, local=bw.Shards([100_000] * 100, open=4))
    again = bw.shuffled(10_000_000, 256, local=bw.Shards([100_000] * 100, open=4))
    far = 10**9
    assert np.array_equal(plan[far], again[far])
    assert np.unique(plan[far] // 100_000).size <= 4
    assert len(json.dumps(plan.sampler(rank=0, world_size=1).state_dict())) < 1000


def test_a_batch_of_ten_million_rows_reads_at_most_four_row_groups():
    plan = bw.shuffled(10_000_000, 256, local=bw.Shards([100_000] * 100, open=4))
    read = [np.unique(plan[t] // 100_000).size for t in range(0, 39_063, 60)]
    assert np.mean(read) <= 4.5
    assert max(read) <= 4


@pytest.mark.filterwarnings("ignore:the shards are divided:batchwright.PoorWarning")
def test_a_run_on_other_ranks_loses_nothing():
    plan = bw.shuffled(6000, 10, local=bw.Shards([500] * 12, open=4, ranks=4))
    got, state, done = [], {}, 0
    for world, batches in ((4, 60), (2, 60), (3, 60), (4, 15)):
        samplers = [plan.sampler(rank=rank, world_size=world) for rank in range(world)]
        for sampler in samplers:
            sampler.load_state_dict(state)
        iterators = [iter(sampler) for sampler in samplers]
        for _ in range(batches):
            got += [next(iterator) for iterator in iterators]
        state, done = samplers[0].state_dict(), done + world * batches
    assert got == [plan[t].tolist() for t in range(done)]
    assert done == 600
    assert sorted(np.concatenate(got).tolist()) == list(range(6000))


@pytest.mark.parametrize(
    ("ranks", "world", "told"),
    [
        (1, 2, "1 ranks and the run has 2: 2 ranks read each shard, and a rank reads from up to 4 at a time"),
        (4, 8, "4 ranks and the run has 8: 2 ranks read each shard, and a rank reads from up to 4 at a time"),
        (4, 3, "4 ranks and the run has 3: 3 ranks read each shard, and a rank reads from up to 16 at a time"),
        (4, 4, None),
        (
            4,
            2,
            r"4 ranks and the run has 2: a rank reads from up to 8 at a time, and a cache must hold as many; .* ranks=2",
        ),
    ],
)
def test_a_run_on_other_ranks_than_the_shards_is_told_so(ranks, world, told):
    local = bw.Shards([500] * 8, open=4, ranks=ranks)
    plan = bw.shuffled(4000, 10, local=local)
    sampler = plan.sampler(rank=0, world_size=world)
    for rank in range(world):  # batches of one pass, each of them with what is open then
        assert max(np.unique(local.of(plan[t])).size for t in range(rank, 400, world)) <= local.at_once(world)
    if told is None:
        assert next(iter(sampler)) == plan[0].tolist()
        return
    with pytest.warns(bw.PoorWarning, match=told):
        assert next(iter(sampler)) == plan[0].tolist()


def test_shards_are_those_of_an_index(tmp_path):
    for part, rows in enumerate((30, 50, 20)):
        (tmp_path / f"{part}.csv").write_text("kind\n" + "cat\n" * rows)
    index = bw.index(tmp_path, path=tmp_path / "made", label="kind")
    assert bw.Shards(index).sizes.tolist() == [30, 50, 20]
    assert bw.shuffled(100, 5, local=bw.Shards(index)).audit(batches=60).kept


def test_an_audit_finds_what_is_broken(monkeypatch):
    def audited():
        return bw.shuffled(4000, 10, local=bw.Shards([100] * 40, open=4)).audit(batches=900)

    assert audited().kept
    kind = type(bw.shuffled(4000, 10, local=bw.Shards([100] * 40)).order)
    whole = kind.batches_at
    monkeypatch.setattr(kind, "batches_at", lambda order, numbers: np.sort(whole(order, numbers) * 7 % 4000, axis=1))
    found = {finding.guarantee: finding.kept for finding in audited().findings}
    assert found["G8 open"] is False
    monkeypatch.setattr(kind, "batches_at", lambda order, numbers: whole(order, numbers) // 2 * 2)
    found = {finding.guarantee: finding.kept for finding in audited().findings}
    assert found["G4 coverage"] is False
    assert found["G5 distinct"] is False


def test_a_local_source_of_a_mixture_keeps_its_shards():
    local = bw.Shards([100] * 20, open=5)
    plan = quietly(
        lambda: bw.mixed(
            {"web": bw.shuffled(2000, 8, local=local), "books": 300}, 12, target={"web": 2 / 3, "books": 1 / 3}
        )
    )
    web = [batch[batch < 2000] for batch in (plan[t] for t in range(250))]
    assert {batch.size for batch in web} == {8}
    assert np.array_equal(np.sort(np.concatenate(web)), np.arange(2000))
    assert max(np.unique(batch // 100).size for batch in web) <= 5


CUT = {
    "budgeted": lambda order, lengths, window: bw.budgeted(lengths, 900, order=order, window=window),
    "packed": lambda order, lengths, window: bw.packed(lengths, 300, order=order, window=window),
    "grouped": lambda order, lengths, window: bw.grouped(lengths, 10, order=order, window=window),
    "bucketed": lambda order, lengths, window: bw.bucketed(
        np.stack([lengths, 100 - lengths], 1), 10, order=order, buckets=2, window=window
    ),
}


@pytest.mark.filterwarnings(
    "ignore:samples repeat within a micro-batch:batchwright.PoorWarning"
)  # weights, and 4 shards
@pytest.mark.parametrize("build", CUT)
@pytest.mark.parametrize("kind", ["shuffled", "balanced", "weighted"])
def test_plans_by_lengths_cut_a_local_order(build, kind):
    lengths, local = 20 + np.arange(4000) * 37 % 61, bw.Shards([100] * 40, open=4)
    order = {
        "shuffled": lambda: bw.shuffled(4000, 10, local=local, seed=1),
        "balanced": lambda: bw.balanced(np.arange(4000) * 7 % 5, 10, local=local, seed=1),
        "weighted": lambda: bw.weighted(1 + np.arange(4000) * 7 % 5, 10, local=local, seed=1),
    }[kind]()
    plan = CUT[build](order, lengths, 20 if build == "bucketed" else 8)
    read = [np.unique(plan[t] // 100).size for t in range(100)]
    assert max(read) <= 8  # those of a window, in which one set of shards may follow another
    assert plan.audit().kept
    assert plan.rates(np.arange(4000), epoch=1).sum() == pytest.approx(1)


@pytest.mark.parametrize("build", ["grouped", "bucketed"])
def test_a_window_of_many_shards_is_told_so_and_a_smaller_one_is_not(build):
    order = bw.shuffled(4000, 10, local=bw.Shards([100] * 40, open=4))
    lengths = 20 + np.arange(4000) * 37 % 61
    with pytest.warns(bw.PoorWarning, match=r"a window of \d+ samples is of 40 shards, .* window=40 avoids it"):
        CUT[build](order, lengths, "epoch")
    plan = CUT[build](order, lengths, 40)
    read = [
        np.unique(np.concatenate([plan[t] for t in range(first, first + 40)]) // 100).size
        for first in range(0, 400, 40)
    ]
    assert max(read) <= 8


@pytest.mark.parametrize(("sizes", "told"), [([3, -1], "shard 1 is -1"), ([3, 1.5], "shard 1 is 1.5")])
def test_sizes_of_shards_are_told_by_shard(sizes, told):
    with pytest.raises(bw.Infeasible, match=f"sizes at {told}; pass whole sizes from 0"):
        bw.Shards(sizes)


@pytest.mark.parametrize(
    "plan",
    [
        lambda local: bw.shuffled(400, 10, local=local),
        lambda local: bw.balanced([number % 3 for number in range(400)], 12, local=local),
        lambda local: bw.weighted([1 + number % 3 for number in range(400)], 10, local=local),
        lambda local: bw.mixed({"a": bw.shuffled(400, 10, local=local), "b": 100}, 20, target="uniform"),
    ],
    ids=["shuffled", "balanced", "weighted", "mixed"],
)
def test_a_recipe_holds_the_shards(plan):
    made = plan(bw.Shards([50] * 8, open=5, ranks=2))
    recipe = json.loads(json.dumps(made.to_recipe()))
    again = bw.from_recipe(recipe)
    assert again.fingerprint == made.fingerprint
    assert all(np.array_equal(again[number], made[number]) for number in (0, 7, 1000))
    assert '"open": 5' in json.dumps(recipe)


def test_many_shards_have_no_recipe():
    with pytest.raises(bw.Infeasible, match="sizes has 5000 values, the most is 4096"):
        bw.shuffled(50_000, 10, local=bw.Shards([10] * 5000)).to_recipe()
