"""Plans of groups that lie in some shards only: what a group lacks it gets back, and rates are what is counted."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

import batchwright as bw
from batchwright.orders.shard_division import divide_tickets
from batchwright.orders.shard_hand import BlockDeal

from ..examples import examples
from ..laws import quietly


def most_delivered(wanted, most):
    """The most tickets that groups can have of those that they should have, if every block gives all of its tickets away."""
    blocks, groups = wanted.shape
    source, sink = blocks + groups, blocks + groups + 1
    capacity = np.zeros((sink + 1, sink + 1), np.int32)
    capacity[source, :blocks] = wanted.sum(1)
    capacity[:blocks, blocks:source] = most
    capacity[blocks:source, sink] = wanted.sum(0)
    return maximum_flow(csr_array(capacity), source, sink).flow_value


@st.composite
def divisions(draw):
    """Tickets that groups should have in blocks, and the most that they can have there."""
    blocks, groups = draw(st.integers(1, 7)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    wanted = rng.integers(0, draw(st.sampled_from([2, 9, 400])), (blocks, groups))
    present = rng.random((blocks, groups)) < draw(st.sampled_from([0.3, 0.6, 0.9]))
    present[np.arange(blocks), rng.integers(0, groups, blocks)] = True
    most = np.where(present, wanted + rng.integers(0, 30, (blocks, groups)), 0)
    most[most.sum(1) < wanted.sum(1)] = np.where(present, 10_000, 0)[most.sum(1) < wanted.sum(1)]
    return wanted, most


@examples(60)
@given(given_=divisions())
def test_groups_get_as_much_as_any_division_gives_them(given_):
    wanted, most = given_
    found = divide_tickets(wanted, most)
    assert (found >= 0).all()
    assert (found <= most).all()
    assert np.array_equal(found.sum(1), wanted.sum(1))
    delivered = np.minimum(found.sum(0), wanted.sum(0)).sum()
    assert delivered == most_delivered(wanted, most)


def test_groups_of_all_blocks_keep_their_quotas_where_others_make_up_for_each_other():
    wanted = np.full((6, 5), 20)
    most = np.full((6, 5), 1000)
    most[::2, 3] = most[1::2, 4] = 0  # the last two groups are never in one block
    found = divide_tickets(wanted, most)
    assert (found[:, :3] == 20).all()
    assert found[:, 3].tolist() == [0, 40] * 3


@examples(40)
@given(each=st.integers(1, 12), batches=st.integers(1, 60), groups=st.integers(1, 9), seed=st.integers(0, 2**64 - 1))
def test_a_block_deals_all_of_its_tickets_and_all_micro_batches_alike(each, batches, groups, seed):
    rng = np.random.default_rng(seed)
    tickets = rng.multinomial(each * batches, rng.dirichlet(np.full(groups, 0.5)))
    deal = BlockDeal(tickets, batches, seed)
    numbers = [[] for _ in range(groups)]
    counted = np.zeros(groups, int)
    for batch in range(batches):
        assert np.array_equal(deal.drawn(batch), counted)
        row = np.zeros(groups, int)
        for group, first, count in deal.runs(batch):
            numbers[group] += range(first, first + count)
            row[group] = count
        assert row.sum() == each
        assert (row >= tickets // batches).all()
        assert (row <= -(-tickets // batches)).all()
        counted += row
    assert [sorted(of_group) for of_group in numbers] == [list(range(count)) for count in tickets]


def clustered(count, groups, seed, length):
    """Labels in runs of about this length: a group is in few shards."""
    rng = np.random.default_rng(seed)
    runs = rng.permutation(np.arange(count) // length)
    return np.sort(np.floor(groups * rng.random(count) ** 2).astype(int))[np.argsort(runs, kind="stable")]


@st.composite
def plans(draw):
    """Balanced plans in shards, of which few have all groups; and the labels."""
    shards, size, ranks = draw(st.integers(6, 20)), draw(st.integers(30, 60)), draw(st.integers(1, 3))
    seed, groups = draw(st.integers(0, 2**64 - 1)), draw(st.integers(2, 12))
    labels = clustered(shards * size, groups, seed % 1000, draw(st.sampled_from([5, 25, 60])))
    per_class = draw(st.sampled_from([1, 1, 2]))
    tickets = draw(st.integers(2, 10))
    assume(per_class == 1 or tickets <= np.unique(labels).size)
    local = bw.Shards([size] * shards, draw(st.integers(1, 5)), ranks=ranks)
    target = draw(st.sampled_from(["uniform", "natural", "sqrt", 0.7]))
    epoch = draw(st.sampled_from(["natural", 37]))
    return quietly(
        lambda: bw.balanced(
            labels, per_class * tickets, target=target, per_class=per_class, local=local, epoch=epoch, seed=seed
        )
    ), labels


@examples(40)
@given(given_=plans(), epoch=st.integers(0, 4))
def test_rates_and_priors_are_what_is_counted_in_an_epoch(given_, epoch):
    plan, labels = given_
    every, draws = np.arange(labels.size), plan.epoch_batches * plan.batch_size
    samples = np.concatenate(
        [plan[batch] for batch in range(epoch * plan.epoch_batches, (epoch + 1) * plan.epoch_batches)]
    )
    counts = np.bincount(samples, minlength=labels.size)
    expected = plan.rates(every, epoch=epoch) * draws
    of_groups = np.bincount(plan.groups.codes, weights=counts)
    assert np.abs(np.bincount(plan.groups.codes, weights=expected) - of_groups).max() < 1e-6
    first = epoch * plan.epoch_batches
    assert np.allclose(plan.prior_between(first, first + plan.epoch_batches) * draws, of_groups)
    # Samples of a group in the open shards come equally often; an epoch that ends in a block has any of them.
    if plan.epoch_batches == plan.order.turns.pass_batches:
        assert np.abs(counts - expected).max() < 1 + 1e-6
    # The weighted mean of any value that depends on the group alone is the natural one.
    drawn = np.unique(plan.groups.codes[samples])
    if drawn.size == plan.groups.group_count and (expected > 0).all():
        weights = plan.weights(samples, epoch=epoch)
        of_cells = np.bincount(plan.groups.codes[samples], weights=weights) / draws
        assert of_cells.sum() == pytest.approx(1, abs=0.5)


@examples(12)
@given(given_=plans())
def test_what_is_owed_is_bounded_and_paid_back_with_every_pass(given_):
    plan, _ = given_
    order, passes = plan.order, 4
    groups, ranks = plan.groups.group_count, order.shards.ranks
    got, unpaid, largest = np.zeros((3, ranks, groups))
    for number in range(passes * order.turns.pass_batches):
        turn = order.turns.of(number)
        got[turn.rank] += np.bincount(plan.groups.codes[plan[number]], minlength=groups) / order.per_ticket
        stretch = order.stretch(turn)
        if stretch is None:
            continue
        largest[turn.rank] = np.maximum(largest[turn.rank], stretch.wanted.sum(0))
        owed = order.wanted_tickets(turn.rank, 0, turn.number + 1) - got[turn.rank] - unpaid[turn.rank]
        assert (owed <= largest[turn.rank] + 1e-6).all()
        if turn.number == turn.last - 1 and turn.block == stretch.first + len(stretch.tickets) - 1:
            unpaid[turn.rank] += stretch.final_deficit
            owed = order.wanted_tickets(turn.rank, 0, turn.number + 1) - got[turn.rank]
            assert np.array_equal(owed, unpaid[turn.rank])  # never more than what cannot be paid
    # What `Dealt` deals is within 3 tickets of the shares, for each rank, however many passes there were.
    turns = [-(-(passes * order.turns.pass_batches - rank) // ranks) for rank in range(ranks)]
    for rank in range(ranks):
        off = plan.shares() * order.tickets * turns[rank] - got[rank] - unpaid[rank]
        assert np.abs(off).max() <= 3
    assert plan.audit(batches=2 * order.turns.pass_batches).kept


def test_a_rare_group_gets_all_of_its_draws_in_the_shards_that_have_it():
    labels = np.zeros(8000, int)
    labels[:4000:4] = 1  # in half of the shards
    plan = quietly(lambda: bw.balanced(labels, 20, local=bw.Shards([100] * 80, open=2), seed=2))
    batches = [np.bincount(labels[plan[number]], minlength=2) for number in range(plan.epoch_batches)]
    assert sum(batches).tolist() == [4000, 4000]
    assert [0, 20] not in [batch.tolist() for batch in batches]  # group 0 is everywhere, and never quite left out
    assert any(batch[1] == 0 for batch in batches)


def test_what_cannot_be_paid_back_is_told_and_in_the_rates():
    labels = np.repeat([0, 1], [3600, 400])
    with pytest.warns(
        bw.PoorWarning,
        match=r"40\.00% of the draws of the first pass cannot be given back, 1 gets 10\.00% of them in place of",
    ):
        plan = bw.balanced(labels, 20, local=bw.Shards([400] * 10, open=1))
    assert plan.shares().tolist() == [0.5, 0.5]
    assert plan.prior_between(0, plan.epoch_batches).tolist() == pytest.approx([0.9, 0.1])
    assert plan.sampled_prior.tolist() == pytest.approx([0.9, 0.1])
    adjust = bw.correct.LogitAdjustment.from_plan(plan, deploy="uniform")
    assert float(adjust.offset.diff()) == pytest.approx(np.log(9))
    assert "cannot be given back" in str(plan.summary())


@pytest.mark.parametrize("ranks", [1, 4, 8])
def test_what_is_told_of_a_pass_is_what_all_ranks_deliver_in_it(ranks):
    """Shares of the group that only a few shards have: told, in the tables of the summary and the report, and counted."""
    labels = np.zeros(1600, int)
    labels[:200:2], labels[1::2] = 1, 2  # group 1 is in two shards of sixteen
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        plan = bw.balanced(labels, 8, local=bw.Shards([100] * 16, open=2, ranks=ranks), seed=1)
    counts = np.bincount(labels[np.concatenate(list(plan.epoch(0)))]) / (8 * plan.epoch_batches)
    assert f"1 gets {counts[1]:.2%} of them in place of 33." in str(told[0].message)
    assert 0 < counts[1] < 0.3
    lines = {line.name: line for line in plan.summary().groups}
    assert [lines[group].delivered for group in range(3)] == pytest.approx(counts.tolist())
    assert [lines[group].share for group in range(3)] == pytest.approx([1 / 3] * 3)
    assert lines[1].passes == pytest.approx(counts[1] * 8 * plan.epoch_batches / 100)
    assert "delivered" in str(plan.summary())
    shares = plan.report().shares
    assert shares.target.tolist() == pytest.approx([1 / 3] * 3)
    assert sorted(shares.drawn.tolist()) == pytest.approx(sorted(counts.tolist()))


def test_a_plan_that_delivers_what_is_wanted_has_no_column_for_it():
    plan = bw.balanced([0, 1] * 400, 8, local=bw.Shards([100] * 8, open=2))
    assert "delivered" not in str(plan.summary())
    assert [line.delivered for line in plan.summary().groups] == [0.5, 0.5]
    weights = np.arange(50, 850)
    local = bw.weighted(weights, 8, local=bw.Shards([100] * 8, open=2), epoch=100)
    given = [line.delivered for line in local.summary().groups]
    assert given == pytest.approx(local.rates(np.arange(len(given)), epoch=0).tolist())


def test_a_far_micro_batch_and_one_of_a_copy_are_the_same():
    labels = clustered(4000, 12, 1, 50)
    plan = quietly(lambda: bw.balanced(labels, 20, local=bw.Shards([100] * 40, open=3, ranks=2)))
    other = pickle.loads(pickle.dumps(plan))
    for number in (10**9, 3, 10**6, 5):
        assert np.array_equal(plan[number], other[number])


def test_weights_of_local_plans_are_those_of_an_epoch():
    labels = clustered(2000, 5, 0, 50)
    plans = {
        "balanced": quietly(lambda: bw.balanced(labels, 20, local=bw.Shards([100] * 20, open=3))),
        "weighted": quietly(lambda: bw.weighted(1 + labels, 20, local=bw.Shards([100] * 20, open=3))),
    }
    for plan in plans.values():
        with pytest.raises(bw.Infeasible, match="open shards change, a sample has another weight in another epoch"):
            plan.weights([0, 1])
        one, other = (plan.weights(np.arange(2000), epoch=epoch) for epoch in (0, 1))
        assert not np.array_equal(one, other)
        mixed = quietly(lambda plan=plan: bw.mixed({"a": plan, "b": 100}, 40, target="uniform"))
        lengths = quietly(lambda plan=plan: bw.grouped(1 + labels, 20, order=plan, window=8))
        assert mixed.rates_change
        assert lengths.rates_change
        assert np.array_equal(lengths.rates([5], epoch=1), plan.rates([5], epoch=1))


def test_weights_in_shards_hold_over_an_epoch_as_counted():
    weights = 1 + np.arange(3000) * 7 % 5
    plan = bw.weighted(weights, 10, local=bw.Shards([70] * 42 + [60], open=3, ranks=2), epoch=100, seed=4)
    for epoch in range(3):
        counts = np.bincount(
            np.concatenate(
                [plan[number] for number in range(epoch * plan.epoch_batches, (epoch + 1) * plan.epoch_batches)]
            ),
            minlength=3000,
        )
        shares = plan.rates(np.arange(3000), epoch=epoch)
        assert shares.sum() == pytest.approx(1)
        assert np.abs(counts - 1000 * shares).max() < 3
