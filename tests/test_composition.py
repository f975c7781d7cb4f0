"""What is logged is what the global batches are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from . import laws
from .examples import examples

LABELS = np.array(["cat"] * 70 + ["dog"] * 20 + ["fox"] * 3)
WORLD, ACCUMULATE = 2, 2
LENGTHS = np.arange(1, 94)


@pytest.fixture
def plan():
    return bw.balanced(LABELS, 4, target="sqrt", seed=5)


def test_it_is_counted_from_all_ranks_batches(plan):
    logged = []
    ranks = [plan.sampler(rank=rank, world_size=WORLD, accumulate=ACCUMULATE) for rank in range(WORLD)]
    composition = bw.Composition(ranks[0], every=3, lengths=LENGTHS, costs=LENGTHS)
    batches = [[np.array(batch) for batch in rank] for rank in ranks]
    for step in range(1, len(batches[0]) + 1):
        composition.after(step, lambda values, at: logged.append((at, values)), epoch=0)
    assert [at for at, _ in logged] == list(range(3, len(batches[0]) + 1, 3))
    for at, values in logged:
        steps = [[rank[i] for rank in batches] for i in range(at - 3, at)]
        counts = Counter(LABELS[np.concatenate([b for step in steps for b in step])].tolist())
        for name, target in zip(plan.groups.names, plan.shares(), strict=True):
            assert values[f"share/{name}"] == pytest.approx(counts[name] / (3 * WORLD * 4))
            assert values[f"target/{name}"] == target
        assert values["samples"] == 3 * WORLD * 4
        assert values["tokens"] == sum(LENGTHS[b].sum() for step in steps for b in step)
        tokens = Counter()
        for sample in np.concatenate([b for step in steps for b in step]).tolist():
            tokens[LABELS[sample]] += int(LENGTHS[sample])
        for name in plan.groups.names:
            assert values[f"token_share/{name}"] == pytest.approx(tokens[name] / values["tokens"])
        assert values["deviation"] == pytest.approx(
            max(abs(values[f"share/{name}"] - values[f"target/{name}"]) for name in plan.groups.names)
        )
        assert values["repeated"] == pytest.approx(
            np.mean([8 - len(set(np.concatenate(step).tolist())) for step in steps])
        )
        padded = sum(LENGTHS[b].max() * 4 for step in steps for b in step)
        assert values["padding"] == pytest.approx(1 - sum(LENGTHS[b].sum() for step in steps for b in step) / padded)
        costs = [[LENGTHS[b].sum() for b in step] for step in steps]
        assert values["cost_spread"] == pytest.approx(np.mean([max(pair) / np.mean(pair) - 1 for pair in costs]))


def test_it_follows_a_run_into_another_world(plan):
    sampler = plan.sampler(rank=0, world_size=2)
    sampler.load_state_dict(plan.sampler(rank=0, world_size=1).state_at(9, epoch=0))
    begun = sampler.batches_done
    (mine, *_) = list(sampler)
    assert sampler.all_ranks(begun, epoch=0)[0].tolist() == mine == plan[9].tolist()


def test_after_a_restart_only_what_came_since_is_counted(plan):
    """In a world of five the epoch would have begun before the plan does: list 0 of it never was."""
    sampler = plan.sampler(rank=0, world_size=5)
    sampler.load_state_dict(plan.sampler(rank=0, world_size=1).state_at(4, epoch=0))
    composition = bw.Composition(sampler, every=2)
    logged = []
    for step, _ in enumerate(sampler, sampler.batches_done + 1):
        composition.after(step, lambda values, at: logged.append((at, values["share/fox"])), epoch=0)
    first_five = np.concatenate([plan[4 + i] for i in range(5)])
    assert logged[0] == (2, np.mean(LABELS[first_five] == "fox"))
    assert [at for at, _ in logged] == [2, 4]


def test_a_report_every_no_steps_is_refused(plan):
    with pytest.raises(bw.Infeasible, match="every is 0"):
        bw.Composition(plan.sampler(), every=0)


def test_every_kind_of_plan_has_shares_of_samples_to_be_held_against():
    lengths = np.arange(93) % 5 + 1
    plans = {
        "rotating": bw.rotating(LABELS, [["cat", "dog"], ["fox"]], per_class=2),
        "tasks": bw.alternating({"a": bw.shuffled(90, 9), "b": bw.shuffled(30, 3)}, target="uniform"),
        "by lengths": laws.quietly(lambda: bw.budgeted(lengths, 10, order=bw.balanced(LABELS, 6, epoch=50))),
    }
    expected = {"rotating": [1 / 3] * 3, "tasks": [0.75, 0.25], "by lengths": [1 / 3] * 3}
    for kind, plan in plans.items():
        sampler = plan.sampler()
        measured = bw.Composition(sampler).measured(0, len(sampler) // 2 * 2, epoch=0)
        targets = [measured[f"target/{name}"] for name in plan.groups.names]
        assert targets == pytest.approx(expected[kind])
        assert measured["deviation"] < 0.03


def test_of_many_groups_the_largest_and_the_farthest_are_told_and_all_in_quantiles():
    sizes = {f"g{number}": 1 + 10_000 // (number + 1) for number in range(10_000)}
    plan = bw.balanced(bw.Groups.from_sizes(sizes), 64, target="natural")
    composition = bw.Composition(plan.sampler())
    values = composition.measured(0, 50, epoch=0)
    assert len(values) < 80
    samples = np.concatenate([plan[number] for number in range(50)])
    share = np.bincount(plan.groups.group_of(samples), minlength=10_000) / samples.size
    apart = np.abs(share - plan.shares())
    names = list(plan.groups.names)
    told = {name.removeprefix("share/") for name in values if name.startswith("share/")}
    assert len(told) == 32
    assert {names[group] for group in np.argsort(-plan.groups.sizes, kind="stable")[:16]} <= told
    others = [apart[group] for group in range(10_000) if names[group] not in told]
    large = set(np.argsort(-plan.groups.sizes, kind="stable")[:16].tolist())
    assert max(others) <= min(apart[names.index(name)] for name in told if names.index(name) not in large)
    for at in (0.5, 0.9, 0.99):
        assert values[f"deviation/{at}"] == np.quantile(apart, at)
    assert values["deviation"] == apart.max()


def test_other_groupings_of_the_samples_are_held_against_what_the_plan_gives_them(plan):
    languages = np.array(["en", "de"])[np.arange(93) % 2]
    values = bw.Composition(plan.sampler(), by={"language": languages}).measured(0, 20, epoch=0)
    samples = np.concatenate([plan[number] for number in range(20)])
    rates = plan.rates(np.arange(93))
    for name in ("en", "de"):
        assert values[f"share/language/{name}"] == np.mean(languages[samples] == name)
        assert values[f"target/language/{name}"] == pytest.approx(rates[languages == name].sum())
    assert values["deviation/language"] == pytest.approx(
        abs(values["share/language/en"] - values["target/language/en"])
    )


def test_plans_by_lengths_know_padding_and_work_themselves():
    lengths = np.arange(1, 401)
    plan = bw.budgeted(lengths, 900, window=8)
    sampler = plan.sampler(rank=1, world_size=4)
    values = bw.Composition(sampler).measured(0, 5, epoch=0)
    in_steps = plan.stepped(4)
    steps = [[in_steps[step * 4 + rank] for rank in range(4)] for step in range(5)]
    batches = [lengths[batch] for step in steps for batch in step]
    computed = [batch.max() * batch.size for batch in batches]
    assert values["padding"] == pytest.approx(1 - sum(batch.sum() for batch in batches) / sum(computed))
    work = np.array([[in_steps.cost(batch) for batch in step] for step in steps])
    assert values["cost_spread"] == pytest.approx(np.mean(work.max(axis=1) / work.mean(axis=1) - 1))
    assert "tokens" not in values


def test_padding_is_what_the_plan_pads_also_where_lengths_are_given_for_shares_of_tokens():
    lengths = np.arange(93) % 40 + 1
    order = bw.mixed({"web": 60, "code": 33}, 6)
    plans = {
        "packed": bw.packed(lengths, 64, order=order, window=8),
        "packs of several": bw.packed(lengths, 64, packs=3),
        "summed": bw.budgeted(lengths, 90, padded=False),
        "padded": bw.budgeted(lengths, 90, order=order, window=8),
    }
    for kind, plan in plans.items():
        sampler = plan.sampler(rank=0, world_size=2)
        own = bw.Composition(sampler).measured(0, 6, epoch=0)
        told = bw.Composition(sampler, lengths=lengths).measured(0, 6, epoch=0)
        assert told["padding"] == own["padding"]
        assert ("token_share/web" in told) == (plan.groups.names[0] == "web")
        assert (own["padding"] == 0) == (kind == "summed")
        assert own["padding"] == pytest.approx(padding_of(plan.stepped(2), lengths, kind, 12))
    both = bw.alternating({"pairs": plans["packed"], "lone": plans["summed"]}, target="uniform")
    twice = np.concatenate([lengths, lengths])
    found = bw.Composition(both.sampler(), lengths=twice).measured(0, 12, epoch=0)
    parts = [both.children[0].cutter.tokens(both.children[0][number]) for number in range(6)]
    parts += [(lengths[batch].sum(),) * 2 for batch in (both.children[1][number] for number in range(6))]
    used, computed = np.sum(parts, axis=0)
    assert found["padding"] == pytest.approx(1 - used / computed)


def padding_of(plan, lengths, kind, count):
    batches = [lengths[plan[number]] for number in range(count)]
    computed = {
        "packed": lambda batch: 64,
        "packs of several": lambda batch: 64 * 3,
        "summed": lambda batch: batch.sum(),
        "padded": lambda batch: batch.max() * batch.size,
    }[kind]
    return 1 - sum(batch.sum() for batch in batches) / sum(map(computed, batches))


def test_padding_is_left_out_where_it_is_not_known():
    lengths = np.arange(1, 41)
    buckets = bw.bucketed(lengths[:, None], 4, buckets=4)
    assert "padding" not in bw.Composition(buckets.sampler()).measured(0, 4, epoch=0)
    batches = [lengths[buckets[number]] for number in range(4)]
    padded = 1 - sum(map(np.sum, batches)) / sum(batch.max() * batch.size for batch in batches)
    found = bw.Composition(buckets.sampler(), lengths=lengths).measured(0, 4, epoch=0)
    assert found["padding"] == pytest.approx(padded)
    for plan in (bw.evaluation(lengths, capacity=64), bw.evaluation(lengths, max_tokens=64)):
        found = bw.Composition(plan.sampler(), lengths=lengths).measured(0, 4, epoch=0)
        assert ("padding" in found) == (plan.padded_budget is not None)


def test_groupings_of_other_samples_are_refused(plan):
    with pytest.raises(bw.Infeasible, match=r"by\['a'\] has 2 labels, the plan yields 93 numbers"):
        bw.Composition(plan.sampler(), by={"a": [0, 1]})


def test_batches_of_several_epochs_are_measured_with_the_targets_of_each():
    target = bw.targets.schedule("natural", "uniform", epochs=3)
    plan = bw.balanced([0] * 60 + [1] * 20, 8, target=target)
    sampler = plan.sampler(rank=0, world_size=2)
    composition, length = bw.Composition(sampler), len(sampler)
    assert composition.measured(length, 2 * length, epoch=0) == composition.measured(0, length, epoch=1)
    each = [composition.measured(0, length, epoch=epoch) for epoch in range(3)]
    together = composition.measured(0, 3 * length, epoch=0)
    for name in ("share/0", "share/1", "target/0", "target/1"):
        assert together[name] == pytest.approx(np.mean([one[name] for one in each]))
    assert together["samples"] == sum(one["samples"] for one in each)
    with pytest.raises(bw.Infeasible, match="batches from 5 to before 5 are none; pass a `last` above `first`"):
        composition.measured(5, 5, epoch=0)


@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # of steps that are uneven until a window ends
@pytest.mark.parametrize("given", [False, True])
def test_padding_is_known_in_a_run_that_goes_on_within_a_window_in_another_world(given):
    lengths = np.random.default_rng(0).integers(1, 60, 400)
    order = bw.shuffled(400, 1)
    first = bw.budgeted(lengths, 120, order=order, window=12).sampler(rank=0, world_size=1)
    batches = iter(first)
    for _ in range(5):
        next(batches)
    second = bw.budgeted(lengths, 120, order=order, window=12).sampler(rank=0, world_size=2)
    second.load_state_dict(first.state_dict())
    assert hasattr(second.position().sequence, "without_past")
    assert not hasattr(second.position().sequence, "cutter")
    start = second.batches_done
    next(iter(second))
    found = bw.Composition(second, lengths=lengths if given else None).measured(start, start + 1, epoch=0)
    both = [lengths[batch] for batch in second.all_ranks(start, epoch=0)]
    assert found["padding"] == pytest.approx(1 - sum(map(np.sum, both)) / sum(one.max() * one.size for one in both))


@pytest.mark.parametrize("of", ["", "/kind"])
def test_labels_of_one_text_have_names_of_their_own(of):
    labels = [1, "1", "one"] * 4
    plan = bw.balanced(np.array(labels, object), 6) if not of else bw.shuffled(12, 6)
    found = bw.Composition(plan.sampler(), by={"kind": np.array(labels, object)} if of else None).measured(
        0, 1, epoch=0
    )
    shares = {name: value for name, value in found.items() if name.startswith(f"share{of}/")}
    assert set(shares) == {f"share{of}/1", f"share{of}/'1'", f"share{of}/one"}
    assert sum(shares.values()) == pytest.approx(1)


def reported(composition, epochs, length, *, begins=(0, 0), limit=None):
    """The places and the numbers of the reports of a training, and the batches that it had."""
    told, had = [], []
    for epoch in range(begins[0], epochs):
        for step in range(begins[1] if epoch == begins[0] else 0, length if limit is None else limit):
            had.append((epoch, step))
            composition.after(step + 1, lambda values, at: told.append((at, len(had), values)), epoch=epoch)
    return told, had


@examples(40)
@given(every=st.integers(1, 60), world=st.integers(1, 3), limit=st.integers(1, 8) | st.none(), moves=st.booleans())
def test_every_batch_is_in_one_report_through_all_epochs_also_where_they_end_early(every, world, limit, moves):
    target = bw.targets.schedule("natural", "uniform", epochs=4) if moves else "sqrt"
    plan = bw.balanced(LABELS, 4, target=target, seed=5)
    sampler = plan.sampler(rank=0, world_size=world)
    length = len(sampler)
    limit = None if limit is None else min(limit, length)
    composition = bw.Composition(sampler, every=every, lengths=LENGTHS, by={"half": np.arange(93) % 2})
    told, had = reported(composition, 6, length, limit=limit)
    assert len(told) == len(had) // every
    for report, (at, count, values) in enumerate(told, 1):
        assert count == report * every
        places = had[count - every : count]
        assert at == places[-1][0] * length + places[-1][1] + 1
        each = [composition.measured(step, step + 1, epoch=epoch) for epoch, step in places]
        assert values["samples"] == sum(one["samples"] for one in each)
        assert values["tokens"] == sum(one["tokens"] for one in each)
        for name in values:
            if name.startswith(("share/", "target/")):
                assert values[name] == pytest.approx(np.mean([one[name] for one in each]))


@examples(25)
@given(every=st.integers(1, 60), epoch=st.integers(0, 3), step=st.integers(0, 22), before=st.integers(0, 20))
def test_a_resumed_run_reports_where_the_other_does_of_what_came_since(every, epoch, step, before):
    plan = bw.balanced(LABELS, 4, target="sqrt", seed=5)
    whole, _ = reported(bw.Composition(plan.sampler(), every=every), 5, 24)
    sampler = plan.sampler()
    composition = bw.Composition(sampler, every=every)
    if epoch:  # what the process had before it loaded the state
        reported(composition, 1, 24, limit=before)
    sampler.load_state_dict(plan.sampler().state_at(step, epoch=epoch))
    next(iter(sampler))
    told, _ = reported(composition, 5, 24, begins=(epoch, step))
    assert [at for at, _, _ in told] == [at for at, _, _ in whole if at > epoch * 24 + step]
    if told:
        first = max(told[0][0] - every, epoch * 24 + step)
        assert told[0][2] == composition.measured(first - epoch * 24, told[0][0] - epoch * 24, epoch=epoch)
        assert [values for _, _, values in told[1:]] == [values for at, _, values in whole if at > told[0][0]]


def test_a_batch_that_comes_again_is_counted_again_and_steps_may_be_left_out():
    sampler = bw.balanced(LABELS, 4, seed=5).sampler()
    composition = bw.Composition(sampler, every=4)
    told = []
    for step in (2, 3, 3, 1, 9, 11):
        composition.after(step, lambda values, at: told.append((at, values["samples"])), epoch=0)
    assert told == [(3, 4 * 4), (9, 9 * 4)]
