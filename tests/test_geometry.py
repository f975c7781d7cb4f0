"""The sizes of a step, and fetches of that size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

SIZES = st.integers(1, 4)


@given(micro_batch=SIZES, accumulate=SIZES, replicas=SIZES, device_iterations=SIZES)
def test_all_fetches_together_are_the_plan(micro_batch, accumulate, replicas, device_iterations):
    geometry = bw.Geometry(
        micro_batch=micro_batch, accumulate=accumulate, replicas=replicas, device_iterations=device_iterations
    )
    plan = bw.shuffled(50, micro_batch)
    samplers = [geometry.sampler(plan, rank=rank) for rank in range(replicas)]
    apart = [list(sampler) for sampler in samplers]
    (together,) = [list(sampler) for sampler in [geometry.sampler(plan)]]
    assert {len(fetch) for fetches in apart for fetch in fetches} == {geometry.fetch_samples}
    assert {len(fetch) for fetch in together} == {geometry.fetch_samples * replicas}
    assert {len(fetch) for fetch in together} == {geometry.step_samples * device_iterations}
    for number, whole in enumerate(together):
        micro_batches = [whole[i : i + micro_batch] for i in range(0, len(whole), micro_batch)]
        for rank in range(replicas):
            mine = [index for samples in micro_batches[rank::replicas] for index in samples]
            assert apart[rank][number] == mine


def test_what_cannot_be_is_refused():
    with pytest.raises(bw.Infeasible, match="replicas is 0"):
        bw.Geometry(micro_batch=4, replicas=0)
    with pytest.raises(bw.Infeasible, match="micro_batch is 4, the plan's micro-batches have 5 samples"):
        bw.Geometry(micro_batch=4).sampler(bw.shuffled(50, 5))
