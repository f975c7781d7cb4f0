"""Plans that read few shards at a time and keep shares of groups, or weights of samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples
from ..laws import quietly
from .test_shards import openings


def uneven(count, seed=0):
    """Labels of ten groups, the first much more frequent than the last, in any order."""
    return np.floor(10 * np.random.default_rng(seed).random(count) ** 2).astype(int)


@examples(25)
@given(
    shards=st.integers(4, 30),
    batch_size=st.integers(1, 40),
    per_class=st.sampled_from([1, 1, 2, 3]),
    open_=st.integers(1, 10),
    ranks=st.integers(1, 4),
    target=st.sampled_from(["uniform", "natural", "sqrt", 0.4]),
    seed=st.integers(0, 2**64 - 1),
)
def test_quotas_are_exact_where_open_shards_have_the_groups(shards, batch_size, per_class, open_, ranks, target, seed):
    sizes = [400] * shards
    labels = uneven(sum(sizes), seed % 100)
    batch_size *= per_class
    assume(batch_size // per_class <= 10 or per_class == 1)
    local = bw.Shards(sizes, open_, ranks=ranks)
    plan = quietly(lambda: bw.balanced(labels, batch_size, target=target, per_class=per_class, local=local, seed=seed))
    quotas = plan.shares() * batch_size / per_class
    # With 400 samples of ten groups, of which the rarest has a share of 5 %, every shard has all.
    touched = {}
    for number in range(300):
        batch = plan[number]
        tickets = np.bincount(labels[batch], minlength=10) / per_class
        assert (tickets >= np.floor(np.round(quotas, 9))).all()
        assert (tickets <= np.ceil(np.round(quotas, 9))).all()
        turn, rank = divmod(number, ranks)
        passed = number // plan.epoch_batches
        for shard in np.unique(local.of(batch)).tolist():
            touched.setdefault(rank, {}).setdefault((passed, shard), []).append(turn)
    assert all(openings(of_rank).max() <= open_ for of_rank in touched.values())


@pytest.mark.parametrize("ranks", [1, 2])
def test_samples_of_a_group_come_equally_often_while_their_shards_are_open(ranks):
    labels = uneven(8000)
    plan = bw.balanced(labels, 20, local=bw.Shards([400] * 20, open=4, ranks=ranks), seed=2)
    turns, drawn = plan.order.turns, {}
    for number in range(400):
        turn = turns.of(number)
        drawn.setdefault((turn.rank, turn.first), (turn, []))[1].append(plan[number])
    for turn, batches in drawn.values():
        assert len(batches) == turn.last - turn.first
        pieces = turns.pieces(turn)
        here = np.concatenate([np.arange(n) + first for first, n in zip(pieces.firsts, pieces.sizes, strict=True)])
        counts = np.bincount(np.concatenate(batches), minlength=8000)
        assert counts.sum() == counts[here].sum()
        assert max(np.ptp(counts[here][labels[here] == group]) for group in range(10)) <= 1


def sorted_shards(groups, size):
    """Shards of one group each."""
    return np.repeat(np.arange(groups), size), bw.Shards([size // 2] * 2 * groups, open=3)


def test_what_open_shards_lack_is_reported_and_made_up_by_others():
    labels, local = sorted_shards(8, 500)
    with pytest.warns(bw.PoorWarning, match=r"the open shards have no sample of \d for 67\.71% .* 8 groups are not in"):
        plan = bw.balanced(labels, 24, local=local, seed=1)
    batches = [plan[number] for number in range(10 * plan.epoch_batches)]
    assert all(np.unique(batch).size == 24 for batch in batches)  # others take the places, with samples of their own
    shares = np.bincount(labels[np.concatenate(batches)]) / (24 * len(batches))
    assert np.abs(shares - 1 / 8).max() < 0.001  # and every group gives them back
    found = {finding.guarantee: finding.kept for finding in plan.audit(batches=300).findings}
    assert found == dict.fromkeys(found, True)
    assert "draws are owed to a group at a time" in str(plan.summary())


def test_runs_of_a_group_stay_whole_where_others_are_lacking():
    labels, local = sorted_shards(6, 100)
    plan = quietly(lambda: bw.balanced(labels, 8, per_class=4, local=local))
    for number in range(200):
        counts = np.bincount(labels[plan[number]])
        assert (counts % 4 == 0).all()
        assert np.unique(plan[number]).size == 8


@examples(25)
@given(
    weights=st.lists(st.integers(0, 9), min_size=200, max_size=400),
    batch_size=st.integers(1, 16),
    open_=st.integers(1, 6),
    ranks=st.integers(1, 3),
    seed=st.integers(0, 2**64 - 1),
)
def test_weights_hold_for_samples_of_open_shards(weights, batch_size, open_, ranks, seed):
    weights = np.array(weights)
    assume(weights.any())
    local = bw.Shards(np.diff([0, *range(20, weights.size - 20, 20), weights.size]), open_, ranks=ranks)
    plan = quietly(lambda: bw.weighted(weights, batch_size, local=local, seed=seed))
    turns = plan.order.turns
    drawn = {}
    for number in range(2 * turns.pass_batches + ranks):
        drawn.setdefault(turns.of(number), []).append(plan[number])
    touched, blocks = {}, {}
    for turn, batches in drawn.items():
        for shard in np.unique(local.of(batches)).tolist():
            touched.setdefault(turn.rank, {}).setdefault((turn.passed, shard), []).append(turn.number)
        blocks.setdefault(turn._replace(number=0), []).extend(batches)
    assert all(openings(of_rank).max() <= open_ for of_rank in touched.values())
    for turn, batches in blocks.items():
        if len(batches) < turn.last - turn.first:  # not all of its micro-batches are among these
            continue
        counts = np.bincount(np.concatenate(batches), minlength=weights.size)
        here = np.zeros(weights.size, bool)
        pieces = turns.pieces(turn)
        for first, size in zip(pieces.firsts.tolist(), pieces.sizes.tolist(), strict=True):
            here[first : first + size] = True
        assert not counts[~here].any()
        assert np.abs(counts[here] - counts.sum() * weights[here] / weights[here].sum()).max() < 3


def test_samples_come_as_often_as_their_weights_say():
    weights = 1 + np.arange(6000) * 7 % 5
    plan = bw.weighted(weights, 10, local=bw.Shards([200] * 30, open=4), seed=4)
    counts = np.bincount(np.concatenate([plan[number] for number in range(600)]), minlength=6000)
    expected = 6000 * weights / weights.sum()
    assert np.abs(counts - expected).max() <= 1.1  # floor or ceil, up to the whole micro-batches of a block
    assert plan.audit(batches=700).kept


def test_an_audit_of_balanced_shards_finds_what_is_broken(monkeypatch):
    labels = uneven(8000)

    def found():
        audit = bw.balanced(labels, 20, local=bw.Shards([400] * 20, open=4), seed=2).audit(batches=500)
        return {finding.guarantee for finding in audit.findings if not finding.kept}

    assert found() == set()
    kind = type(bw.balanced(labels, 20, local=bw.Shards([400] * 20)).order)
    whole = kind.batches_at
    monkeypatch.setattr(kind, "batches_at", lambda order, numbers: whole(order, numbers)[:, [0, *range(19)]])
    assert {"G2 quota", "G5 distinct", "G4 coverage"} <= found()
    monkeypatch.setattr(
        kind, "batches_at", lambda order, numbers: (whole(order, numbers) * 3 + numbers[:, None]) % 8000
    )
    assert "G8 open" in found()


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_balanced_local_source_keeps_its_quotas(ranks):
    labels, local = uneven(4000), bw.Shards([200] * 20, open=4, ranks=ranks)
    plan = bw.mixed({"a": bw.balanced(labels, 10, local=local), "b": 500}, 20, target="uniform")
    for number in range(400):
        batch = plan[number]
        assert np.bincount(labels[batch[batch < 4000]]).tolist() == [1] * 10
    assert plan.audit().kept
