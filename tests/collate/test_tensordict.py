"""A batch as a TensorDict, in which each entry is what the batch shows."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.collate.entries import equal

from .test_mutable_batch import STEPS, changed
from .test_pytrees import made

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensordict import NonTensorData, NonTensorStack, TensorDict

COLLATE = bw.Collate(ids=bw.ragged(pad=0, also={"mask": "mask"}), jagged=bw.ragged(form="jagged"), name=bw.opaque())
SAMPLES = [
    {"ids": torch.arange(n + 1), "jagged": torch.ones(n + 2), "name": str(n), "nested": {"y": float(n)}}
    for n in range(3)
]


def held(value: Any) -> Any:
    if isinstance(value, TensorDict):
        return {name: held(value[name]) for name in value.keys()}  # noqa: SIM118  # a TensorDict iterates over its rows
    if isinstance(value, NonTensorStack):
        return value.tolist()
    return value.data if isinstance(value, NonTensorData) else value


def test_it_has_the_batchs_samples():
    batch = COLLATE(SAMPLES) | {"use_cache": False, "run": None, "step": 7}
    tensors = batch.to_tensordict()
    assert type(tensors) is TensorDict
    assert tensors.batch_size == (3,)
    assert equal(held(tensors), dict(batch))
    one = tensors[1]
    assert one["ids"].equal(batch["ids"][1])
    assert one["jagged"].tolist() == [1.0] * 3
    assert (held(one["name"]), held(one["use_cache"]), one["nested", "y"].item()) == ("1", False, 1.0)
    assert tensors["ids"] is batch["ids"]


def test_entries_without_a_row_a_sample_leave_it_without_samples():
    batch = made()
    tensors = batch.to_tensordict()
    assert tensors.batch_size == ()
    assert tensors["packed"] is batch["packed"]


@given(st.lists(STEPS, max_size=5))
def test_it_holds_what_the_batch_shows(steps):
    batch = COLLATE(SAMPLES)
    for step in steps:
        changed(batch, step)
    assert equal(held(batch.to_tensordict()), dict(batch))


@pytest.mark.parametrize("shown", [{}, {"x": torch.tensor(1.0)}])
def test_a_batch_without_samples_has_one_too(shown):
    assert equal(held(bw.Batch(shown).to_tensordict()), shown)
