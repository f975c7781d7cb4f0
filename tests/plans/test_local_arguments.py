"""`local=` of mixtures and of plans by lengths: few shards are read, each once a pass, and nothing else is lost."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples
from ..laws import quietly

BUILT = {
    "budgeted": lambda lengths, **more: bw.budgeted(lengths, 400, **more),
    "packed": lambda lengths, **more: bw.packed(lengths, 200, packs=2, **more),
    "split": lambda lengths, **more: bw.packed(lengths, 50, too_long="split", **more),
    "skipped": lambda lengths, **more: bw.packed(lengths, 70, too_long="skip", **more),
    "grouped": lambda lengths, **more: bw.grouped(lengths, 5, **more),
    "bucketed": lambda lengths, **more: bw.bucketed(np.stack([lengths, 100 - lengths], 1), 4, buckets=2, **more),
}


@st.composite
def shards(draw, least=4):
    """Shards of any sizes, empty ones among them, with at least sixty samples."""
    sizes = draw(st.lists(st.integers(0, 60), min_size=1, max_size=40).filter(lambda sizes: sum(sizes) >= 60))
    return bw.Shards(sizes, draw(st.integers(least, least + 6)))


def passes(samples, count):
    """Whether each full pass of these samples has each of `count` once."""
    whole = samples.size // count
    return all(
        np.array_equal(np.sort(samples[number * count : (number + 1) * count]), np.arange(count))
        for number in range(whole)
    )


@examples(60)
@given(
    local=shards(),
    build=st.sampled_from(sorted(BUILT)),
    window=st.sampled_from([1, 2, 5, 8, "epoch"]),
    step_size=st.integers(1, 4),
    seed=st.integers(0, 2**64 - 1),
)
def test_a_plan_by_lengths_reads_few_shards_and_every_sample_once_a_pass(local, build, window, step_size, seed):
    count = int(local.sizes.sum())
    lengths = 20 + np.arange(count) * 37 % 61
    plan = quietly(lambda: BUILT[build](lengths, local=local, window=window, seed=seed)).stepped(step_size)
    windows = plan.windows
    assert plan.audit(step_size=step_size, epochs=2).kept
    samples = [plan.admission.samples_of(plan[t]) for t in range(3 * windows.window_batches)]
    for number in range(3):
        start, end = windows.start(number), windows.start(number + 1)
        read = np.unique(
            local.of(np.concatenate(samples[number * windows.window_batches : (number + 1) * windows.window_batches]))
        )
        blocks = -(-np.count_nonzero(local.sizes) // (local.open // 2))
        smallest = np.sort(local.sizes[local.sizes > 0])[: np.count_nonzero(local.sizes) // blocks].sum()
        if end.place - start.place < smallest:
            assert read.size <= local.open
    if build not in ("split", "skipped"):
        taken = np.concatenate([np.sort(part) for part in samples])
        order = plan.order_plan.order.take(0, taken.size)
        assert np.array_equal(np.sort(taken), np.sort(order))
        assert passes(order, count)


@pytest.mark.parametrize("build", sorted(BUILT))
def test_a_shard_is_read_once_a_pass_by_a_reader_that_keeps_as_many_as_are_open(build):
    local = bw.Shards([100] * 40, open=6)
    plan = BUILT[build](20 + np.arange(4000) * 37 % 61, local=local, window=8, seed=3)
    kept, opened = [], 0
    windows = next(number for number in itertools.count() if plan.windows.start(number).place >= 4000)
    for number in range(8 * windows):
        for shard in np.unique(local.of(plan.admission.samples_of(plan[number]))).tolist():
            opened += shard not in kept
            kept = [*(other for other in kept if other != shard), shard][-local.open :]
    assert 40 <= opened <= 40 + local.open // 2  # the last window goes on in the next pass


def test_a_window_of_more_samples_than_open_shards_have_is_told_so():
    lengths, local = 20 + np.arange(4000) * 37 % 61, bw.Shards([100] * 40, open=4)
    with pytest.warns(
        bw.PoorWarning, match=r"is of 40 shards, .* and 4 shards are open at a time: .* window=26 avoids"
    ):
        BUILT["budgeted"](lengths, local=local)
    plan = BUILT["budgeted"](lengths, local=local, window=26)
    assert (
        max(np.unique(local.of(np.concatenate([plan[t] for t in range(w, w + 26)]))).size for w in range(0, 260, 26))
        <= 4
    )


@examples(30)
@given(
    web=shards(6),
    code=shards(6),
    rest=st.integers(20, 200),
    batch_size=st.integers(2, 24),
    shares=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 2**64 - 1),
)
def test_a_mixture_reads_few_shards_of_a_source(web, code, rest, batch_size, shares, seed):
    sizes = {"web": int(web.sizes.sum()), "rest": rest, "code": int(code.sizes.sum())}
    target = dict(zip(sizes, (part / sum(shares) for part in shares), strict=True))
    refused = ""
    try:
        plan = quietly(lambda: bw.mixed(sizes, batch_size, target=target, local={"web": web, "code": code}, seed=seed))
    except bw.Infeasible as refusal:
        refused = refusal.fact
    if refused:  # too few samples, or too small shards, for so large a quota
        assert "of source" in refused or "a pass has" in refused
        return
    assert plan.audit(batches=150).kept
    for name, local in (("web", web), ("code", code)):
        begin = 0 if name == "web" else sizes["web"] + rest
        read = [
            batch[(batch >= begin) & (batch < begin + sizes[name])] - begin
            for batch in map(plan.__getitem__, range(150))
        ]
        assert max(np.unique(local.of(part)).size for part in read) <= local.open
        order = plan.order.children[0 if name == "web" else 2]
        taken = np.concatenate(read)
        assert np.array_equal(np.sort(taken), np.sort(order.take(0, taken.size)))
        assert passes(order.take(0, 3 * sizes[name]), sizes[name])


def test_ranks_keep_their_shards_in_a_mixture_with_whole_quotas():
    local = bw.Shards([100] * 16, open=4, ranks=4)
    plan = bw.mixed({"web": 1600, "books": 400}, 10, target={"web": 0.8, "books": 0.2}, local={"web": local})
    read = [
        {int(shard) for t in range(rank, 200, 4) for shard in local.of(plan[t][plan[t] < 1600])} for rank in range(4)
    ]
    assert [len(shards) for shards in read] == [4] * 4
    assert set().union(*read) == set(range(16))


def test_sources_of_equal_shards_are_read_in_different_orders():
    local = bw.Shards([50] * 12, open=4)
    plan = bw.mixed({"a": 600, "b": 600}, 20, target="uniform", local={"a": local, "b": local})
    first, second = (np.concatenate([order.take(0, 600)]) for order in plan.order.children.values())
    assert np.mean(first == second) < 0.02
    assert list(dict.fromkeys(local.of(first))) != list(dict.fromkeys(local.of(second)))


def test_a_recipe_holds_the_shards_of_sources():
    local = bw.Shards([50] * 8, open=6)
    made = {
        "mixed": bw.mixed({"a": 400, "b": 100}, 20, target={"a": 0.7, "b": 0.3}, local={"a": local}),
        **{name: build(20 + np.arange(400) % 61, local=local, window=4) for name, build in BUILT.items()},
    }
    for plan in made.values():
        again = bw.from_recipe(json.loads(json.dumps(plan.to_recipe())))
        assert again.fingerprint == plan.fingerprint
        assert all(np.array_equal(again[number], plan[number]) for number in (0, 7, 100))


def test_an_audit_finds_windows_and_micro_batches_of_too_many_shards(monkeypatch):
    local = bw.Shards([100] * 40, open=4)
    packed = bw.packed(np.full(4000, 10), 100, local=local, window=8)
    mixed = bw.mixed({"web": 4000, "books": 400}, 10, target="uniform", local={"web": local})
    for plan in (packed, mixed):
        assert {finding.guarantee: finding.kept for finding in plan.audit().findings}["G8 open"] is True
    kind = type(mixed.order.children[0])
    whole = kind.batches_at
    monkeypatch.setattr(kind, "batches_at", lambda order, numbers: whole(order, numbers) * 7 % 4000)
    monkeypatch.setattr(kind, "take", lambda order, start, stop: np.arange(start, stop) * 7 % 4000)
    rebuilt = quietly(lambda: bw.packed(np.full(4000, 10), 100, local=local, window=8))
    for plan in (rebuilt, mixed):
        assert {finding.guarantee: finding.kept for finding in plan.audit().findings}["G8 open"] is False
