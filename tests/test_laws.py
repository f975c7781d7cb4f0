"""Every kind of plan against every law."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import laws, laws_of_worlds
from .examples import examples

# the laws hold in any world, also in one that shards are not divided for
pytestmark = pytest.mark.filterwarnings("ignore:the shards are divided among:batchwright.PoorWarning")

every_plan = pytest.mark.parametrize("make", laws.EVERY_PLAN.values(), ids=laws.EVERY_PLAN)
SEEDS = st.integers(0, 2**64 - 1)
few = examples(15)


@every_plan
@few
@given(seed=SEEDS, batches=st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_pure(make, seed, batches):
    laws.pure(make, seed, batches)


@pytest.mark.parametrize("kind", [kind for kind in laws.EVERY_PLAN if kind not in laws.CANNOT_BE_PICKLED])
@few
@given(seed=SEEDS, batch=st.integers(0, 1000))
def test_pickles(kind, seed, batch):
    laws.pickles(laws.EVERY_PLAN[kind], seed, batch)


@every_plan
@few
@given(seed=SEEDS, world=st.integers(1, 16), accumulate=st.integers(1, 4), epochs=st.integers(1, 3))
def test_ranks_share_the_plan(make, seed, world, accumulate, epochs):
    laws.ranks_share_the_plan(make, seed, world, accumulate, epochs)


@every_plan
@few
@given(
    data=st.data(),
    seed=SEEDS,
    world=st.integers(1, 5),
    stops=st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
def test_resumes(make, data, seed, world, stops):
    laws.resumes(make, seed, world, data.draw(st.integers(0, world - 1)), stops)


@every_plan
@few
@given(
    seed=SEEDS,
    worlds=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    cuts=st.lists(st.integers(0, 8), min_size=5, max_size=5),
)
def test_resumes_in_another_world(make, seed, worlds, cuts):
    laws_of_worlds.resumes_in_another_world(make, seed, worlds, cuts)


@every_plan
@examples(5)
@given(seed=SEEDS, step_size=st.integers(1, 24))
def test_sums_up_the_run(make, seed, step_size):
    laws_of_worlds.sums_up_the_run(make, seed, step_size)


@every_plan
@examples(5)
@given(seed=SEEDS, first=st.integers(0, 2000))
def test_keeps_its_guarantees(make, seed, first):
    laws.keeps_its_guarantees(make, seed, first)


@every_plan
@few
@given(seed=SEEDS, after=st.integers(1, 30))
def test_breaks_off_and_begins_anew(make, seed, after):
    laws.breaks_off_and_begins_anew(make, seed, after)


@every_plan
@few
@given(seed=SEEDS)
def test_yields_fresh_lists(make, seed):
    laws.yields_fresh_lists(make, seed)


ENDS = st.none() | st.integers(-40, 40)


@every_plan
@examples(5)
@given(seed=SEEDS, number=st.integers(0, 3), start=ENDS, stop=ENDS, step=st.none() | st.sampled_from([-3, -1, 2, 5]))
def test_slices_are_what_is_asked_for_one_by_one(make, seed, number, start, stop, step):
    laws.slices_are_what_is_asked_for_one_by_one(make, seed, number, slice(start, stop, step))
