"""Mixtures: exact at every level, and nothing of a source's own order is lost in them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset, TensorDataset

import batchwright as bw

from .. import laws
from ..examples import examples

SEEDS = st.integers(0, 2**64 - 1)


@st.composite
def sources(draw, depth=2):
    """Up to five sources of any kind, some of them mixtures."""
    found = {}
    kinds = ["size", "labels", "balanced", "weighted", "per class"] + ["mixed"] * (depth > 0)
    for number in range(draw(st.integers(1, 5))):
        size = draw(st.integers(4, 200))
        seed = draw(st.integers(0, 3))
        kind = draw(st.sampled_from(kinds))
        found[f"source {number}"] = {
            "size": lambda size=size: size,
            "labels": lambda size=size: np.arange(size) % 3,
            "balanced": lambda size=size, seed=seed: bw.balanced(np.arange(size) % 4, 8, seed=seed),
            "weighted": lambda size=size, seed=seed: bw.weighted(np.arange(size) + 1, 5, seed=seed),
            "per class": lambda size=size, seed=seed: bw.balanced(np.arange(size) % 2, 4, per_class=2, seed=seed),
            "mixed": lambda: draw(mixtures(depth - 1)),
        }[kind]()
    return found


@st.composite
def mixtures(draw, depth=2):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        return bw.mixed(
            draw(sources(depth)),
            draw(st.integers(1, 40)),
            target=draw(st.sampled_from(["natural", "uniform", "sqrt", 0.4, bw.targets.capped(3)])),
            seed=draw(SEEDS),
        )


@examples(60)
@given(plan=mixtures(), first=st.integers(0, 10**5))
def test_guarantees_at_every_level(plan, first):
    for begin in (0, first):
        audit = plan.audit(batches=60, first=begin)
        assert audit.kept, f"{plan!r}\n{audit}"


@examples(40)
@given(plan=mixtures(depth=1), first=st.integers(0, 10**6), stride=st.integers(1, 9), count=st.integers(1, 30))
def test_any_stride_gives_the_same_micro_batches(plan, first, stride, count):
    together = plan.order.batches_at(first + stride * np.arange(count))
    assert np.array_equal(together, [plan[first + stride * i] for i in range(count)])


@pytest.mark.parametrize("own", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("seed", range(3))
def test_a_source_that_is_taken_in_parts_of_its_micro_batches_comes_evenly_at_every_moment(own, seed):
    """Also where what the mixture takes divides the source's own micro-batch, of which then only a part has come."""
    plan = laws.quietly(lambda: bw.mixed({"own": bw.balanced(np.arange(9) % 4, 8, seed=seed)}, own, target="natural"))
    counts = np.zeros(9, np.int64)
    for batch in range(160 // own):
        counts += np.bincount(plan[batch], minlength=9)
        assert max(np.ptp(counts[np.arange(9) % 4 == group]) for group in range(4)) <= 1


def test_a_source_is_followed_in_its_own_order():
    own = bw.balanced(["cat"] * 90 + ["dog"] * 10, 8, seed=5)
    plan = bw.mixed({"web": 500, "pets": own}, 24, target={"web": 2 / 3, "pets": 1 / 3})
    for batch in (0, 1, 100, 12_345):
        pets = plan[batch][plan[batch] >= 500] - 500
        assert sorted(pets.tolist()) == sorted(own[batch].tolist())  # its quota is its own batch size


ORDERS = {
    "balanced": lambda seed: bw.balanced(np.arange(240) % 6, 12, seed=seed),
    "natural": lambda seed: bw.balanced(np.arange(400) % 3, 9, target="natural", seed=seed),
    "per class": lambda seed: bw.balanced(np.arange(300) % 5, 12, per_class=4, seed=seed),
    "small groups": lambda seed: bw.balanced(np.repeat(np.arange(4), [3, 7, 30, 200]), 8, seed=seed),
    "schedule": lambda seed: bw.balanced(
        np.repeat([0, 1], [300, 60]), 10, target=bw.targets.schedule("natural", "uniform", epochs=3), seed=seed
    ),
    "moving": lambda seed: bw.balanced(
        np.arange(600) % 4, 8, target=bw.targets.moving("uniform", ceiling=0.5), seed=seed
    ),
    "shuffled": lambda seed: bw.shuffled(150, 7, seed=seed),
    "hierarchical": lambda seed: bw.hierarchical([np.arange(720) % 3, np.arange(720) % 12], per=[2, 2, 2], seed=seed),
    "hierarchical by shares": lambda seed: bw.hierarchical(
        [np.repeat([0, 1], [500, 300]), np.arange(800) % 8], per=[1, 3, 2], target="natural", seed=seed
    ),
    "drawn cohorts": lambda seed: bw.rotating(np.arange(210) % 7, 2, per_class=3, seed=seed),
    "mixture": lambda seed: bw.mixed({"a": 300, "b": bw.balanced(np.arange(200) % 2, 6, seed=seed)}, 10, seed=seed),
}


@pytest.mark.parametrize("kind", ORDERS)
@examples(12)
@given(seed=SEEDS, places=st.integers(1, 60), first=st.integers(0, 10**5))
def test_an_order_keeps_samples_apart_over_as_many_places_as_it_is_asked_to_span(kind, seed, places, first):
    plan = ORDERS[kind](seed)
    order = plan.order.distinct_within(places)
    drawn = order.take(first, first + 600)
    named = [
        row.name[1] if isinstance(row.name, tuple) and kind == "mixture" else row.name
        for row in order.undersized(places)
    ]
    lately: dict[int, int] = {}
    for place, sample in enumerate(drawn.tolist()):
        if place - lately.get(sample, -places) < places:
            assert plan.groups.names[int(plan.groups.group_of(sample))] in named
        lately[sample] = place
    assert type(plan)(order, epoch_batches=plan.epoch_batches).audit(batches=60, first=first // order.batch_size).kept


@examples(25)
@given(quota=st.floats(0.5, 11), seed=SEEDS, first=st.integers(0, 10**6))
def test_a_batch_that_takes_from_several_of_a_sources_micro_batches_holds_no_sample_twice(quota, seed, first):
    pets = bw.balanced(["cat"] * 190 + ["dog"] * 40, 6, seed=seed)
    plan = bw.mixed({"web": 900, "pets": pets}, 24, target={"web": 1 - quota / 24, "pets": quota / 24}, distinct=True)
    for batch in plan.order.batches_at(first + np.arange(300)):
        assert np.unique(batch).size == 24


def test_a_source_with_groups_too_small_for_what_a_batch_takes_is_told_or_refused():
    pets = bw.balanced(["cat"] * 190 + ["dog"] * 7, 6)
    target = {"web": 0.75, "pets": 0.25}
    with pytest.warns(bw.PoorWarning, match=r"source 'pets' .* 'dog' has 7 samples, up to 9 draws of it may meet"):
        bw.mixed({"web": 900, "pets": pets}, 32, target=target)
    with pytest.raises(bw.Infeasible, match="distinct samples were asked for; give the source its quota"):
        bw.mixed({"web": 900, "pets": pets}, 32, target=target, distinct=True)
    with pytest.raises(bw.Infeasible, match="'dice' may repeat"):
        bw.mixed({"web": 900, "dice": bw.balanced([0, 1] * 500, 8, draw="random")}, 32, target="uniform", distinct=True)
    eight = bw.balanced(["cat"] * 190 + ["dog"] * 7, 8)  # its quota: a batch takes one of its own
    plan = bw.mixed({"web": 900, "pets": eight}, 32, target=target, distinct=True)
    assert all(np.unique(batch).size == 32 for batch in plan.order.batches_at(np.arange(500)))


def test_locate_names_the_source_and_the_number_within_it():
    first, second = TensorDataset(np_tensor(30)), TensorDataset(np_tensor(12))
    plan = bw.mixed({"first": first, "second": second}, 6)
    both = ConcatDataset([first, second])
    parts = {"first": first, "second": second}
    for index in plan[3].tolist():
        (name,), (number,) = plan.locate(index)
        assert parts[name][number] == both[index]


def np_tensor(count):
    import torch

    return torch.arange(count)


def test_what_is_left_out_of_the_groups_of_a_source_is_never_drawn():
    groups = bw.Groups.from_indices([[1, 3], [5]], sample_count=10)
    plan = bw.mixed({"some": groups, "all": 10}, 4, target="uniform")
    drawn = np.unique(np.concatenate([plan[i] for i in range(40)]))
    assert drawn.tolist() == [1, 3, 5, *range(10, 20)]


def test_weights_make_up_for_every_level():
    inner = bw.balanced(["cat"] * 90 + ["dog"] * 10, 12)
    plan = bw.mixed({"web": 300, "pets": inner}, 16, target={"web": 0.25, "pets": 0.75})
    drawn = np.concatenate([plan[i] for i in range(400)])
    weights = plan.weights(drawn)
    assert weights.mean() == pytest.approx(1, abs=1e-9)
    share_of_dogs = (weights * (drawn >= 390)).mean()
    assert share_of_dogs == pytest.approx(10 / 400, abs=1e-9)


def test_per_source_runs_come_from_one_source():
    plan = bw.mixed({"a": 50, "b": 60, "c": 70}, 12, target="uniform", per_source=4)
    for batch in range(30):
        names, _ = plan.locate(plan[batch])
        assert [len(set(names[i : i + 4])) for i in range(0, 12, 4)] == [1, 1, 1]
        assert len(set(names)) == 3


def test_passes_through_exhausted_sources_are_in_the_summary():
    summary = bw.mixed({"web": 960, "books": 40}, 10, target="uniform").summary()
    assert {line.name: line.passes for line in summary.groups} == {"web": 500 / 960, "books": 12.5}


def test_passes_through_the_groups_of_a_source_are_in_the_summary_too():
    pets = bw.balanced(["cat"] * 90 + ["dog"] * 10, 6)
    summary = bw.mixed({"web": 900, "pets": pets}, 24, target={"web": 0.75, "pets": 0.25}, epoch=100).summary()
    assert any("'pets' has an order of its own: an epoch makes 3.33 to 30 passes" in note for note in summary.notes)


@pytest.mark.parametrize(
    ("sources", "fact"),
    [
        ({}, "sources has 0 entries"),
        ([5, 6], "sources is of type list"),
        ({"web": "a path"}, "'web' is the text 'a path'"),
        ({"web": bw.alternating({"a": bw.shuffled(9, 3)})}, "'web' keeps each micro-batch to one task"),
        ({"web": bw.budgeted([1, 2, 3] * 9, 8)}, "'web' is a plan whose micro-batches differ in size"),
        ({"web": 3.5}, "'web'"),
        ({"web": object()}, "'web'"),
        ({"web": -1}, "'web'"),
    ],
)
def test_what_is_no_source_is_refused_by_name(sources, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        bw.mixed(sources, 4)


def test_a_thousand_sources_are_within_one_sample_in_every_batch_and_do_not_drift():
    sizes = {f"source {n}": 200 + 7 * n for n in range(1000)}
    plan = bw.mixed(sizes, 256, target="sqrt")
    quota = plan.shares() * 256
    for batch in range(10**6, 10**6 + 100):
        counts = np.bincount(plan.groups.group_of(plan[batch]), minlength=1000)
        assert np.abs(counts - quota).max() < 1
    for batch in (10**3, 10**6, 10**9, 10**11):
        assert np.abs(plan.order.drawn(batch) - batch * quota).max() < 6 + max(0, np.log10(batch / 1e6))


@st.composite
def targets_of(draw, names):
    """A target of these groups, most of them on a schedule or moving without end."""
    kind = draw(st.sampled_from(["schedule", "steep", "function", "even", "natural"]))
    epochs, seed = draw(st.integers(1, 12)), draw(st.integers(0, 99))
    if kind == "schedule":
        return bw.targets.schedule("natural", "uniform", epochs=epochs)
    if kind == "steep":
        ends = np.random.default_rng(seed).dirichlet(np.full(len(names), 0.3), 2) + 0.001
        first, last = (dict(zip(names, (end / end.sum()).tolist(), strict=True)) for end in ends)
        return bw.targets.schedule(first, last, epochs=epochs)
    if kind == "function":
        return lambda counts, epoch: np.random.default_rng((seed, epoch)).dirichlet(np.ones(len(counts)))
    return {"even": "uniform", "natural": "natural"}[kind]


@st.composite
def moving_sources(draw, depth):
    """A source of a mixture: a shuffle, an order of its own, or a mixture itself."""
    kind = draw(st.sampled_from(["shuffle", "balanced", "hierarchical", "mixed"] if depth else ["shuffle", "balanced"]))
    size, epoch = draw(st.integers(4, 120)), draw(st.integers(1, 30))
    if kind == "shuffle":
        return size
    if kind == "balanced":
        labels = np.arange(size) % draw(st.integers(1, 4))
        target = draw(targets_of(range(int(labels.max()) + 1)))
        return bw.balanced(labels, draw(st.integers(1, 24)), target=target, epoch=epoch)
    if kind == "hierarchical":
        return bw.hierarchical(
            [np.arange(size) % 3, np.arange(size) // 3 % 2], [draw(st.integers(1, 2)), 1, draw(st.integers(1, 4))]
        )
    return draw(moving_mixtures(depth - 1))


@st.composite
def moving_mixtures(draw, depth=2):
    names = "abc"[: draw(st.integers(1, 3))]
    sources = {name: draw(moving_sources(depth)) for name in names}
    return bw.mixed(sources, draw(st.integers(1, 24)), target=draw(targets_of(names)), epoch=draw(st.integers(1, 30)))


def groups_within(order, start=0):
    """The samples of every group that is plainly shuffled, to any depth."""
    for number, name in enumerate(order.groups.names):
        if number in order.children:
            yield from groups_within(order.children[number], start + int(order.groups.starts[number]))
        else:
            yield order.groups.samples(name) + start


@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
@examples(25)
@given(plan=moving_mixtures(), batches=st.integers(1, 400))
def test_every_sample_of_a_group_comes_before_any_comes_again_to_any_depth(plan, batches):
    """A micro-batch of the mixture may leave a micro-batch of a source anywhere; counts were up to 10 apart."""
    seen = np.bincount(plan.order.take(0, batches * plan.batch_size), minlength=plan.groups.sample_count)
    assert max(np.ptp(seen[samples]) for samples in groups_within(plan.order)) <= 1
    audit = plan.audit(batches=min(batches, 20))
    assert audit.kept, str(audit)


def test_the_audit_sees_a_source_whose_groups_are_passed_through_unevenly():
    small = laws.quietly(lambda: bw.balanced([0] * 5 + [1] * 45, 100))
    plan = laws.quietly(lambda: bw.mixed({"web": 100, "small": small}, 7, target="uniform"))
    assert plan.audit(batches=100).kept
    shuffled_within = plan.order.children[1]
    shuffled_within.batches_at = lambda numbers: shuffled_within.dealing(numbers).samples  # not in sequence
    shuffled_within.batches = lambda first, stride, count: shuffled_within.batches_at(first + stride * np.arange(count))
    audit = plan.audit(batches=100)
    assert not audit["G4 coverage"].kept
    assert "source 'small', group 0" in audit["G4 coverage"].where


def test_a_digest_of_a_source_is_computed_where_it_is_asked_for():
    """Reading every sample of a large index takes as long as the rest of building the mixture, or longer."""
    labels = bw.Groups.from_labels(np.arange(2000) % 4)
    plan = bw.mixed({"own": bw.balanced(labels, 8), "size": 50, "order": bw.balanced(labels, 8).order}, 12)
    assert "digest" not in vars(labels)
    assert plan.fingerprint
    assert "digest" in vars(labels)
