"""Who repeats within a micro-batch and who practically never comes: told when a plan is built, and in its summary."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.plans import poor_copies

from .. import laws
from ..examples import examples

UNEVEN = np.repeat(np.arange(4), [300, 200, 60, 40])
FEW = np.repeat([0, 1], [60, 3])
RARE = {"web": 20_000, "books": 100}
LENGTHS = np.random.default_rng(0).integers(10, 100, 63)

REPEATING = {
    "balanced": (lambda: bw.balanced(FEW, 8), "1 has 3, a batch takes 4"),
    "balanced at random": (lambda: bw.balanced(FEW, 8, draw="random"), "1 has 3, a batch takes 4"),
    "balanced in runs": (lambda: bw.balanced(FEW, 8, per_class=4), "1 has 3, a batch takes 4"),
    "shuffled": (lambda: bw.shuffled(3, 4), "'all' has 3, a batch takes 4"),
    "weights of classes": (lambda: bw.weighted([1 / 900, 1 / 100], 16), r"sample 1 comes up to 15 times.*weights\[labels\]"),
    "weights of classes at random": (lambda: bw.weighted([1 / 900, 1 / 100], 16, draw="random"), "sample 1 comes up to 15"),
    "one heavy weight": (lambda: bw.weighted([*[1] * 99, 99], 16), "sample 99 comes up to 8 times"),
    "a function of the epoch": (
        lambda: bw.balanced(
            [0] * 20 + [1] * 2, 8, target=lambda counts, epoch: [0.75, 0.25] if epoch == 0 else [0.25, 0.75]
        ),
        "1 has 2, a batch takes 6 in epoch 1",
    ),
    "a late epoch": (
        lambda: bw.balanced(FEW, 8, target=lambda counts, epoch: [0.9, 0.1] if epoch < 20 else [0.1, 0.9]),
        "1 has 3, a batch takes 8 in epoch 20",
    ),
    "a schedule": (
        lambda: bw.balanced(FEW, 8, target=bw.targets.schedule("natural", "uniform", epochs=3)),
        "1 has 3, a batch takes 4 in epoch 3",
    ),
    "mixed": (lambda: bw.mixed({"a": 100, "b": 3}, 8, target="uniform"), "'b' has 3, a batch takes 4"),
    "mixed of orders": (
        lambda: bw.mixed({"a": 60, "b": laws.quietly(lambda: bw.balanced(FEW, 6))}, 30, target="uniform"),
        "source 'b' may repeat within a micro-batch: its group 1 has 3 samples",
    ),
    "raked": (lambda: bw.raked({"a": FEW}, {"a": "uniform"}, 8), r"has 3, a batch takes 4"),
    "multilabel": (lambda: bw.multilabel([["a"]] * 30 + [["b"]], 16, max_repeats=100), "sample 30 comes up to"),
    "hierarchical": (lambda: bw.hierarchical([FEW % 1, FEW], [1, 2, 4]), r"\(0, 1\) has 3, a batch takes 4"),
    "drawn cohorts": (lambda: bw.rotating(FEW, 2, per_class=4), "1 has 3, a batch takes 4"),
    "given cohorts": (lambda: bw.rotating(FEW, [[0], [1]], per_class=4), "1 has 3, a batch takes 4"),
    "budgeted": (lambda: bw.budgeted(LENGTHS, 400, order=bw.balanced(FEW, 4, epoch=60)), "hold a sample twice or more"),
    "grouped": (lambda: bw.grouped(LENGTHS, 8, order=bw.balanced(FEW, 4, epoch=60)), "hold a sample twice or more"),
    "packed": (lambda: bw.packed(LENGTHS, 400, order=bw.balanced(FEW, 4, epoch=60)), "hold a sample twice or more"),
    "bucketed": (
        lambda: bw.bucketed(LENGTHS[:, None], 8, buckets=2, order=bw.balanced(FEW, 4, epoch=60)),
        "hold a sample twice or more",
    ),
}  # fmt: skip
STARVING = {
    "balanced": (lambda: bw.balanced([0] * 20_000 + [1] * 100, 8, target={0: 0.005, 1: 0.995}), "20000 of 20100"),
    "weighted": (lambda: bw.weighted([*[1e-4] * 500, *[1.0] * 500], 8), "500 of 1000 .* sample 0 .* in 5,000,50. draws"),
    "weighted at random": (lambda: bw.weighted([*[1e-4] * 500, *[1.0] * 500], 8, draw="random"), "500 of 1000"),
    "mixed": (lambda: bw.mixed(RARE, 8, target={"web": 0.005, "books": 0.995}), "20000 of 20100 .* a sample of group 'web'"),
    "mixed of orders": (
        lambda: bw.mixed(
            {"web": bw.shuffled(20_000, 8), "books": bw.balanced(np.arange(100) % 2, 8)}, 16,
            target={"web": 0.005, "books": 0.995},
        ),
        "20000 of 20100 .* a sample of group 'all'",
    ),
    "raked": (
        lambda: bw.raked({"a": [0] * 2000 + [1] * 100}, {"a": {0: 0.005, 1: 0.995}}, 8, min_repeats=0), "2000 of 2100",
    ),
    "multilabel": (
        lambda: bw.multilabel(
            [["a"]] * 2000 + [["b"]] * 100, 8, target={"a": 0.005, "b": 0.995}, min_repeats=0, max_repeats=100
        ),
        "2000 of 2100",
    ),
    "hierarchical": (
        lambda: bw.hierarchical([[0] * 20_000 + [1] * 100], [1, 8], target={0: 0.005, 1: 0.995}), "20000 of 20100",
    ),
    "alternating": (
        lambda: bw.alternating(
            {"a": bw.shuffled(20_000, 4), "b": bw.shuffled(100, 4)}, target={"a": 0.005, "b": 0.995}
        ),
        "20000 of 20100 .* of task 'a'",
    ),
    "alternating in one dataset": (
        lambda: bw.alternating(
            {
                "a": bw.balanced(bw.Groups.from_indices({"all": range(5000)}, sample_count=5100), 4),
                "b": bw.balanced(bw.Groups.from_indices({"few": range(5000, 5100)}, sample_count=5100), 4),
            },
            target={"a": 0.005, "b": 0.995}, same_dataset=True,
        ),
        "5000 of 5100",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "said"), REPEATING.values(), ids=REPEATING)
def test_samples_that_repeat_within_a_micro_batch_are_told(build, said):
    with pytest.warns(bw.PoorWarning, match=said) as caught:
        plan = build()
    assert all(warning.filename == __file__ for warning in caught)  # at the line that asked for it
    assert all(len(str(warning.message)) < 500 for warning in caught)
    notes = "\n".join(plan.summary().notes)
    assert all(str(warning.message) in notes for warning in caught)
    assert "note: " in str(plan.summary())


def test_an_empty_source_is_told_unless_the_target_names_it():
    with pytest.warns(bw.PoorWarning, match="source 'code' has 0 samples and is never drawn"):
        plan = bw.mixed({"web": 20, "code": 0}, 4, target="uniform")
    named = bw.mixed({"web": 20, "code": 0}, 4, target={"web": 1, "code": 0})
    assert {sample for batch in plan.epoch(0) for sample in batch} == {*range(20)}
    assert {sample for batch in named.epoch(0) for sample in batch} == {*range(20)}


@pytest.mark.parametrize(("build", "said"), STARVING.values(), ids=STARVING)
def test_samples_that_practically_never_come_are_told(build, said):
    with pytest.warns(
        bw.PoorWarning, match=f"{said}.*practically never come|practically never come.*{said}|{said}"
    ) as caught:
        plan = build()
    told = [str(warning.message) for warning in caught if "practically never come" in str(warning.message)]
    assert len(told) == 1
    assert told[0] in "\n".join(plan.summary().notes)


@examples(50)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    batch_size=st.integers(1, 24),
    target=st.sampled_from(["uniform", "natural", "sqrt", 0.3]),
    seed=st.integers(0, 2**64 - 1),
)
def test_a_plan_without_a_word_repeats_nothing_within_a_micro_batch_and_leaves_no_sample_out(
    sizes, batch_size, target, seed
):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", bw.PoorWarning)
        plan = bw.balanced(labels, batch_size, target=target, seed=seed)
    drawn = plan.order.batches_at(np.arange(60))
    repeats = any(np.unique(batch).size < batch.size for batch in drawn)
    assert repeats <= any("repeat within a batch" in str(warning.message) for warning in caught)
    named = any("repeat" in note for note in plan.summary().notes)
    assert named == any("repeat" in str(warning.message) for warning in caught)


def test_a_function_that_knows_no_more_epochs_than_a_run_has_is_asked_no_further():
    table = [[0.5, 0.5], [0.6, 0.4]]
    plan = bw.balanced([0] * 50 + [1] * 50, 8, target=lambda counts, epoch: table[epoch])
    assert plan.shares(1).tolist() == [0.6, 0.4]


def test_what_later_shares_may_bring_is_a_note():
    plan = bw.balanced(FEW, 8, target=lambda counts, epoch: [0.9, 0.1] if epoch < 10**6 else [0.1, 0.9])
    assert any("samples of 1, which has 3, repeat within a batch where its share is above 0.375" in note
               for note in plan.summary().notes)  # fmt: skip
    plan = bw.balanced(FEW, 8, target=bw.targets.moving("natural", ceiling=0.99))
    assert any("shares may be set up to 0.99: samples of 1" in note for note in plan.summary().notes)
    kept = bw.balanced(FEW, 8, target=bw.targets.moving({0: 0.7, 1: 0.3}, floor=0.25, ceiling=0.375 * 2))
    assert any("above 0.375" in note for note in kept.summary().notes)
    with pytest.warns(bw.PoorWarning, match="1 has 3, a batch takes 6"):
        kept.sampler().retarget({0: 0.25, 1: 0.75})


def test_runs_of_one_class_that_a_mixture_tears_apart_are_told():
    runs = bw.balanced(np.arange(60) % 6, 8, per_class=4)
    for size, told in {18: True, 20: True, 16: False, 24: False}.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            plan = bw.mixed({"a": 60, "runs": runs}, size, target="uniform")
        assert any("keeps 4 samples of a group together" in str(warning.message) for warning in caught) == (
            told and size // 2 % 4 > 0
        )
        counts = [np.bincount((batch[batch >= 60] - 60) % 6) for batch in plan.order.batches_at(np.arange(40))]
        assert all((count % 4 == 0).all() for count in counts) == (size // 2 % 4 == 0)


def test_runs_that_may_come_again_before_others_came_are_a_note():
    labels = np.arange(60) % 6
    shares = {0: 0.25, **dict.fromkeys(range(1, 6), 0.15)}
    uneven = bw.balanced(labels, 16, per_class=4, target=shares)
    assert any("may come again before every other came" in note for note in uneven.summary().notes)
    for even in (bw.balanced(labels, 16, per_class=4), bw.balanced(labels, 24, per_class=4)):
        assert not any("come again" in note for note in even.summary().notes)
        assert even.shortcomings == []


def test_plans_that_use_everybody_say_nothing():
    for plan in (bw.balanced([0] * 900 + [1] * 90 + [2] * 10, 15), bw.shuffled(10**12, 8), bw.weighted(np.ones(50), 8)):
        assert plan.shortcomings == []


@pytest.mark.parametrize(("few", "window"), [(30, 4), (100, 16)])
def test_copies_within_packs_are_told_where_only_later_windows_have_them(few, window):
    """The first window begins a pass of the small group, so it has hardly any."""
    lengths = np.random.default_rng(0).integers(20, 200, 1000 + few)
    plan = laws.quietly(lambda: bw.packed(lengths, 1024, order=bw.balanced([0] * 1000 + [1] * few, 16), window=window))
    packs = [pack for epoch in range(3) for pack in plan.epoch(epoch)]
    told = re.search(r"of the first (\d+), (\d+) hold a sample twice", str(plan.summary()))
    assert told is not None
    assert int(told[2]) == sum(np.unique(pack).size < pack.size for pack in packs[: int(told[1])]) > 0


@pytest.mark.parametrize("window", [12, 16, 20])
def test_copies_are_warned_of_also_where_the_first_window_has_none(window):
    lengths = np.random.default_rng(0).integers(20, 900, 600)
    order = bw.balanced(UNEVEN, 20, epoch=600)
    with pytest.warns(bw.PoorWarning, match="of the first .* hold a sample twice or more"):
        bw.packed(lengths, 4096, order=order, window=window)


@pytest.mark.parametrize("seed", range(24))
def test_copies_in_a_quarter_of_the_batches_are_warned_of_and_in_a_twentieth_are_not(seed):
    """Counted in many windows, those behind the ones that are looked at too."""
    random = np.random.default_rng(seed)
    count, groups, window = (
        int(random.integers(100, 2000)),
        int(random.integers(2, 6)),
        int(random.choice([2, 8, 16, 64])),
    )
    labels = np.concatenate([np.arange(groups), random.choice(groups, count, p=random.dirichlet(np.ones(groups) * 2))])
    lengths = random.integers(10, 400, labels.size)
    build = (bw.packed, bw.budgeted)[seed % 2]
    order = laws.quietly(lambda: bw.balanced(labels, 16, target=float(random.choice([0, 0.5, 1])), epoch=100))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plan = build(lengths, 2048, order=order, window=window)
    told = any("of the first" in str(warning.message) for warning in caught)
    have = np.mean([np.unique(batch).size < batch.size for batch in (plan[number] for number in range(20 * window))])
    assert told or have < 0.25
    assert not told or have > 0.05


@pytest.mark.parametrize("first", [200, 20_000])
def test_copies_that_only_a_later_stage_causes_are_warned_of_and_told(first):
    lengths = np.random.default_rng(0).integers(20, 900, 600)
    target = bw.targets.stages({0: "natural", first: [0.05, 0.05, 0.05, 0.85]})
    order = laws.quietly(lambda: bw.balanced(UNEVEN, 20, target=target, epoch=first))
    with pytest.warns(bw.PoorWarning, match=rf"looked at from micro-batch {first} of the order on, \d+ hold") as caught:
        plan = bw.packed(lengths, 2048, order=order, window=64)
    told = re.search(r"of (\d+) looked at from .* on, (\d+) hold", str(caught[-1].message))
    begins = int(first * 20 / plan.windows.places_per_batch) + 128  # about there, in windows after the change
    by_hand = np.mean([np.unique(plan[begins + number]).size < plan[begins + number].size for number in range(256)])
    assert int(told[2]) / int(told[1]) == pytest.approx(by_hand, abs=0.1)
    assert f"from micro-batch {first} of the order on" in str(plan.summary())


@pytest.mark.parametrize("later", [1, 200])
def test_looking_for_copies_cuts_a_bounded_number_of_items(later, monkeypatch):
    """However many stages there are, and however long a window."""
    looked_at, copies = [], poor_copies._copies

    def counted(windows):
        windows = list(windows)
        looked_at.extend(items.size for items, _ in windows)
        return copies(windows)

    monkeypatch.setattr(poor_copies, "_copies", counted)
    stages = bw.targets.stages({500 * number: "natural" for number in range(later + 1)})
    order = bw.balanced(np.zeros(50_000, int), 20, target=stages)
    bw.packed(np.full(50_000, 10), 100, order=order, window="epoch")
    assert 0 < sum(looked_at) <= 2 * 65_536


def test_fewer_buckets_avoid_copies_as_the_warning_says():
    shapes = np.arange(1, 201)[:, None]
    with pytest.warns(bw.PoorWarning, match="so a smaller window, fewer buckets or an order that draws it less often"):
        bw.bucketed(shapes, 16, buckets=16, order=bw.shuffled(200, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bw.bucketed(shapes, 16, buckets=1, window=4, order=bw.shuffled(200, 16))
