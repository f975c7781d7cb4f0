"""What `plan.at` tells of a step is what the ranks of a run get."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.micro_batches import LAST

from .. import laws
from ..examples import examples
from . import small


@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
@pytest.mark.parametrize("kind", laws.EVERY_PLAN)
def test_a_step_of_every_plan_is_what_the_ranks_are_given(kind):
    plan = laws.EVERY_PLAN[kind](1)
    samplers = [plan.sampler(rank=rank, world_size=2, accumulate=2) for rank in range(2)]
    steps = len(samplers[0]) // 2
    for step in {0, steps - 1, steps}:
        told = plan.at(step, world_size=2, accumulate=2)
        epoch, within = divmod(step, steps)
        assert (told.epoch, told.step_in_epoch) == (epoch, within)
        wanted = [batch for part in (0, 1) for batch in samplers[0].all_ranks(2 * within + part, epoch=epoch)]
        assert [batch.samples.tolist() for batch in told.micro_batches] == [batch.tolist() for batch in wanted]
        assert [batch.rank for batch in told.micro_batches] == [0, 1, 0, 1]
        own = plan.at(step, rank=1, world_size=2, accumulate=2)
        assert [batch.number for batch in own.micro_batches] == [4 * step + 1, 4 * step + 3]
        frame = told.to_pandas()
        assert frame["sample"].tolist() == told.samples.tolist()
        called = "pieces" if plan.splits else "samples"
        assert str(told).startswith(f"step {step}: step {within} of epoch {epoch}, {told.samples.size} {called}")


@examples(30)
@given(step=st.integers(0, 10**9), rank=st.integers(0, 7), accumulate=st.integers(1, 3))
def test_any_step_is_found_at_once(step, rank, accumulate):
    told = small.animals().at(step, rank=rank, world_size=8, accumulate=accumulate)
    first = step * 8 * accumulate + rank
    assert [batch.number for batch in told.micro_batches] == [first + 8 * part for part in range(accumulate)]
    assert (
        told.samples.tolist()
        == np.concatenate([small.animals()[batch.number] for batch in told.micro_batches]).tolist()
    )


def test_the_table_names_the_group_of_every_sample():
    frame = small.animals().at(3, world_size=2).to_pandas()
    names = np.repeat(list(small.SIZES), list(small.SIZES.values()))
    assert frame["group"].tolist() == names[frame["sample"]].tolist()
    assert isinstance(frame, pd.DataFrame)


def test_the_printed_step_is_short_however_large_it_is():
    told = bw.balanced(np.arange(100_000) % 50_000, 4096).at(0, world_size=64)
    assert len(str(told)) < 8_000
    assert "\n" not in repr(told)
    assert "... 48 more micro-batches" in str(told)


def test_fillers_and_costs_are_named():
    told = bw.evaluation(5, batch_size=4).at(0, world_size=2)
    assert "3 samples, the last 1 of them fillers" in str(told)
    plan = small.corpus()
    assert plan.at(0).micro_batches[0].cost == plan.cost(plan[0])


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ({"step": -1}, "step is -1"),
        ({"step": LAST + 1}, f"step {LAST + 1} is past the last, {LAST}; ask for 0 to {LAST}"),
        ({"step": LAST, "world_size": 2}, "is past the last"),
        ({"step": 0, "rank": 2, "world_size": 2}, "rank is 2"),
        ({"step": 0, "world_size": 0}, "world_size is 0"),
        ({"step": 0, "accumulate": 0}, "accumulate is 0"),
    ],
)
def test_steps_that_are_none_are_refused(arguments, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        small.animals().at(**arguments)
    assert small.animals().at(LAST).samples.size == 16
