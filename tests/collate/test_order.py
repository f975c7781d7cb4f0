"""Samples are selected by number and outputs restored by it, or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import batchwright as bw


@pytest.mark.parametrize("of", [list, tuple, np.array, torch.tensor])
def test_masks_are_no_numbers_of_samples_and_the_way_out_selects_by_them(of):
    batch = bw.Collate()([{"x": n} for n in range(3)])
    mask = of([True, False, True])
    with pytest.raises(bw.Infeasible, match="no sample's number") as caught:
        batch.select(mask)
    way_out = caught.value.way_out.removeprefix("of a mask, ").removesuffix(" gives the batch")
    assert eval(way_out, {"batch": batch, "mask": mask})["x"].tolist() == [0, 2]  # the message itself is under test
    with pytest.raises(bw.Infeasible, match="no sample's number"):
        _ = batch[mask[0]]


@pytest.mark.parametrize("outputs", [torch.zeros(3), torch.zeros(1, 2), torch.zeros(()), [0.0, 1.0]])
def test_outputs_of_another_number_of_samples_are_not_restored(outputs):
    batch = bw.Collate()([{"x": n} for n in range(2)]).select([1, 0])
    with pytest.raises(bw.Infeasible, match="and the batch has 2 samples"):
        batch.restore(outputs)


def test_any_numbers_select_and_what_holds_none_is_refused():
    batch = bw.Collate()([{"x": n} for n in range(3)])
    for numbers in ([2, 0], range(2, -1, -2), np.array([2, 0]), torch.tensor([-1, 0]), iter([2, 0])):
        assert batch.select(numbers)["x"].tolist() == [2, 0]
    for wrong in (2, torch.tensor(2), None):
        with pytest.raises(bw.Infeasible, match="no list of samples' numbers"):
            batch.select(wrong)
    with pytest.raises(bw.Infeasible, match="0 samples are selected"):
        batch.select([])
