"""Shares that change at given micro-batches of a run, within epochs."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright import targets
from batchwright.orders.shares import TargetShares

from ..examples import examples

LABELS = np.repeat(np.arange(4), [300, 200, 60, 40])
SHARES = [[0.4, 0.3, 0.2, 0.1], [0.1, 0.1, 0.3, 0.5], "uniform", [0.05, 0.55, 0.2, 0.2]]
NAMED = [targets.resolve(shares).shares([300, 200, 60, 40]) for shares in SHARES]
STAGES = st.dictionaries(st.integers(1, 40).map(lambda n: 10 * n), st.integers(0, 3), max_size=4).map(
    lambda later: {0: 0, **later}
)


def balanced(given, **options):
    return bw.balanced(LABELS, 20, target=targets.stages({n: SHARES[of] for n, of in given.items()}), **options)


def shares_at(given, number):
    return NAMED[given[max(first for first in given if first <= number)]]


@examples(15)
@given(stages=STAGES, epoch=st.sampled_from([1, 7, 25, 1000]), seed=st.integers(0, 2**64 - 1))
def test_every_micro_batch_has_the_shares_of_its_stage(stages, epoch, seed):
    plan = balanced(stages, epoch=epoch, seed=seed)
    wanted = np.zeros(4)
    for number in range(450):
        quota = 20 * shares_at(stages, number)
        counts = np.bincount(LABELS[plan[number]], minlength=4)
        assert ((counts >= np.floor(quota - 1e-9)) & (counts <= np.ceil(quota + 1e-9))).all()
        wanted += quota
    assert np.abs(plan.order.drawn(450) - wanted).max() <= 6
    assert plan.audit(batches=450).kept
    assert plan.prior_between(0, 450) == pytest.approx(wanted / wanted.sum())


@examples(15)
@given(stages=STAGES, epoch=st.sampled_from([30, 1000]), stop=st.integers(0, 440), worlds=st.permutations([1, 2, 4]))
def test_a_run_resumes_within_any_stage_in_another_world(stages, epoch, stop, worlds):
    plan, seen, state = balanced(stages, epoch=epoch), [], {}
    for world in worlds:
        samplers = [balanced(stages, epoch=epoch).sampler(rank=rank, world_size=world) for rank in range(world)]
        for sampler in samplers:
            sampler.load_state_dict(json.loads(json.dumps(state)))
        for together in zip(*samplers, strict=True):
            seen += together
            if len(seen) > stop:
                break
        state = samplers[0].state_dict()
        assert "plan" not in state  # the changes are arguments of the plan, so a state needs nothing of them
        stop += 150
    if epoch == 1000:  # one epoch, that all three runs shared
        assert seen == [plan[number].tolist() for number in range(len(seen))]


def test_entering_a_late_stage_deals_no_micro_batch_before_it(monkeypatch):
    """The cost of any place is that of the changes before it, and not of the micro-batches."""
    plan, asked = balanced({0: 0, 10**9: 1, 2 * 10**9: 2}), []
    edges = TargetShares.edges
    monkeypatch.setattr(TargetShares, "edges", lambda self, *of: (asked.append(of), edges(self, *of))[1])
    assert np.bincount(LABELS[plan[2 * 10**9 + 17]], minlength=4).tolist() == [5, 5, 5, 5]
    assert len(asked) == 2


@given(batches=st.integers(1, 5000))
def test_a_schedule_over_micro_batches_keeps_near_to_its_line(batches):
    target = targets.schedule("natural", "uniform", batches=batches)
    assert -(-batches // target.every) <= 100
    for number in {0, batches // 3, batches - 1, batches, 2 * batches}:
        begun = min(number // target.every * target.every, batches)
        way = Fraction(begun, batches)
        exact = [(1 - way) * count / 600 + way / 4 for count in (300, 200, 60, 40)]
        found = target.exact([300, 200, 60, 40], min(number // target.every, target.settles_at))
        assert [Fraction(weight, sum(found)) for weight in found] == exact


class Counted:
    """Shares that stay, and how often they were asked for."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, counts):
        self.times += 1
        return counts / counts.sum()


@given(common=st.integers(1, 5), draw=st.sampled_from(["exact", "random"]))
def test_shares_are_asked_for_by_stage_however_many_parts_a_stage_has(common, draw):
    """The parts are of the greatest common divisor: 3 in the one plan, and up to 8,000 in the other."""
    asked = []
    for second in (20_000, 12_345 * common):
        shares = Counted()
        later = {second: "sqrt", 40_000 * (1 + (second != 20_000)): shares}
        plan = bw.balanced(LABELS, 20, target=targets.stages({0: shares, **later}), draw=draw, epoch=1000)
        assert plan.fingerprint
        for number in (0, 19_999, 100_000, 12_345, 0):
            plan[number]
        plan.prior_between(0, 100_000)
        str(plan.summary())
        asked.append(shares.times)
    assert asked[0] == asked[1] < 40


@examples(15)
@given(stages=STAGES, seed=st.integers(0, 2**64 - 1), draw=st.sampled_from(["exact", "random"]))
def test_a_plan_that_looks_at_every_part_gives_the_same_micro_batches(stages, seed, draw):
    target = targets.stages({n: SHARES[of] for n, of in stages.items()})
    plans = [
        bw.balanced(LABELS, 20, target=given, seed=seed, epoch=25, draw=draw)
        for given in (target, replace(target, changes=()))
    ]
    for number in (440, *range(450)):
        assert plans[0][number].tolist() == plans[1][number].tolist()
    assert plans[0].fingerprint == plans[1].fingerprint
    assert plans[0].prior_between(3, 440) == pytest.approx(plans[1].prior_between(3, 440))


@pytest.mark.parametrize("length", [{"epochs": 40}, {"batches": 4000}])
def test_the_ends_of_a_schedule_are_not_computed_again_for_each_of_its_steps(length):
    shares = Counted()
    plan = bw.balanced(LABELS, 20, target=targets.schedule(shares, "uniform", **length), epoch=100)
    plan[4000]
    assert plan.fingerprint
    assert shares.times < 4


def test_what_an_epoch_has_is_the_mean_over_its_stages():
    plan = balanced({0: 0, 150: 1, 700: 2}, epoch=100)
    assert plan.shares(0) == pytest.approx(NAMED[0])
    assert plan.shares(1) == pytest.approx((NAMED[0] + NAMED[1]) / 2)
    assert plan.shares(9) == pytest.approx(NAMED[2])
    ones = [0, 300, 500, 560]
    assert plan.rates(ones, epoch=1) * [300, 200, 60, 40] == pytest.approx(plan.shares(1))
    assert plan.settles_after == 7
    assert plan.sampled_prior == pytest.approx((150 * NAMED[0] + 550 * NAMED[1]) / 700)
    early = balanced({0: 0, 50: 1}, epoch=100)
    assert early.sampled_prior == pytest.approx((NAMED[0] + NAMED[1]) / 2)  # of an epoch at least


@pytest.mark.parametrize("draw", ["exact", "random"])
def test_both_ways_to_draw_change_at_the_same_micro_batch(draw):
    plan = bw.balanced(LABELS, 20, target=targets.stages({0: [1, 0, 0, 0], 130: [0, 0, 0, 1]}), draw=draw, epoch=1000)
    assert set(LABELS[np.concatenate([plan[number] for number in range(130)])]) == {0}
    assert set(LABELS[np.concatenate([plan[number] for number in range(130, 300)])]) == {3}


def test_mixtures_packs_and_units_have_stages():
    lengths = np.random.default_rng(0).integers(20, 900, 3000)
    by_tokens = targets.in_units(targets.stages({0: {"web": 0.9, "code": 0.1}, 400: "uniform"}), lengths)
    order = bw.mixed({"web": 2000, "code": 1000}, 4, target=by_tokens, epoch=750)
    for stretch, share in (range(400), 0.1), (range(500, 900), 0.5):
        samples = np.concatenate([order[number] for number in stretch])
        assert lengths[samples[samples >= 2000]].sum() / lengths[samples].sum() == pytest.approx(share, abs=0.02)
    packs = bw.packed(lengths, 1024, order=order, window=16)
    assert packs.audit().kept
    early, late = (np.concatenate(list(packs.epoch(epoch))) for epoch in (0, 3))
    assert (early >= 2000).mean() < 0.4 < (late >= 2000).mean()


def test_recipes_and_summaries_hold_stages():
    plan = balanced({0: 0, 500: 2})
    assert bw.from_recipe(json.loads(json.dumps(plan.to_recipe()))).fingerprint == plan.fingerprint
    assert "stages({0: [0.4, 0.3, 0.2, 0.1], 500: uniform()})" in str(plan.summary())
    assert plan.fingerprint != balanced({0: 0, 510: 2}).fingerprint


@given(stages=st.lists(st.integers(0, 3), min_size=2, max_size=9), every=st.integers(1, 50))
@examples(20)
def test_a_summary_says_that_its_numbers_are_means_and_lists_the_stages(stages, every):
    given = {number * every: of for number, of in enumerate(stages)}
    plan = balanced(given, epoch=200)
    head, *listed = [note for note in plan.summary().notes if "the target moves" in note or "at micro-batch" in note]
    assert head == f"the target moves within epochs, in {len(given)} stages; shares and passes are means over epoch 0"
    shown = list(given) if len(given) <= 6 else [*list(given)[:5], max(given)]
    assert listed == [
        f"at micro-batch {number} the shares are "
        + ", ".join(f"{group}: {share:.4%}" for group, share in enumerate(NAMED[given[number]]))
        for number in shown
    ]


def test_summaries_of_many_groups_of_units_and_of_orders_list_stages():
    two = targets.stages({0: "natural", 30: "uniform"})
    notes = bw.balanced(np.arange(400) % 20, 20, target=two, epoch=90).summary().notes
    assert any(note.startswith("at micro-batch 30 the shares are 0: 5.0000%, 1: ") for note in notes)
    assert sum(note.endswith("%, 11: 5.0000% and 8 more") for note in notes) == 2
    order = bw.balanced(LABELS, 20, target=targets.in_units(two, np.ones(600)), epoch=90)
    assert any(note.startswith("at micro-batch 30 ") for note in order.summary().notes)
    lengthwise = bw.budgeted(np.ones(600, int), 20, order=order, window=30).summary()
    assert (
        "order: at micro-batch 30 the shares are 0: 25.0000%, 1: 25.0000%, 2: 25.0000%, 3: 25.0000%" in lengthwise.notes
    )
    gradual = balanced({0: 0}).summary().notes
    assert not any("the target moves" in note for note in gradual)
    gradual = bw.balanced(LABELS, 20, target=targets.schedule(0, "uniform", batches=60), epoch=90).summary().notes
    assert "the target moves within epochs, little by little; shares and passes are means over epoch 0" in gradual
    assert "at micro-batch 60 the shares are 0: 25.0000%, 1: 25.0000%, 2: 25.0000%, 3: 25.0000%" in gradual
    epochs = bw.balanced(LABELS, 20, target=targets.schedule(0, "uniform", epochs=6)).summary().notes
    assert "the target moves; shares and passes are those of epoch 0" in epochs


def test_one_stage_alone_is_its_target_also_in_a_stream():
    shares = {0: 0.25, 1: 0.25, 2: 0.3, 3: 0.2}
    one, plain = (bw.balanced(LABELS, 7, target=target) for target in (targets.stages({0: shares}), shares))
    assert one.fingerprint == plain.fingerprint
    assert not any("the target moves" in note for note in one.summary().notes)
    taken = [
        list(
            bw.online.balanced(
                list(range(400)),
                key=lambda n: n % 4,
                batch_size=10,
                target=target,
                when_short="repeat",
            )
        )
        for target in (targets.stages({0: shares}), shares)
    ]
    assert taken[0] == taken[1]


def test_a_group_that_repeats_in_a_late_stage_is_named_with_its_micro_batch():
    with pytest.warns(bw.PoorWarning, match="1 has 5, a batch takes 10 from micro-batch 500 on"):
        bw.balanced([0] * 90 + [1] * 5, 20, target=targets.stages({0: "natural", 500: "uniform"}))


def test_drift_does_not_add_up_over_stages_whose_numbers_have_no_common_divisor():
    """Shares are looked at for every micro-batch, and deficits are paid back in more than one."""
    later = {n + n % 7: SHARES[n // 100 % 4] for n in range(100, 4000, 100)}
    plan = bw.balanced(LABELS, 23, target=targets.stages({0: SHARES[0], **later}), epoch=5000)
    assert plan.order.epoch_batches == 1
    audit = plan.audit(batches=4500)
    assert audit.kept
    assert audit["G3"].worst < 4  # 5.25 if it were paid back only until shares are looked at again
