"""Grids that cannot be brought to one size are refused by field and sample."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import batchwright as bw

IMAGE = torch.ones(1, 2, 3)


def refused(field: Any, *images: torch.Tensor) -> str:
    with pytest.raises(bw.Infeasible) as caught:
        bw.Collate(x=field)([{"x": image} for image in images])
    return str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_dtypes_that_torch_cannot_smooth_are_refused_and_the_ways_out_work(dtype):
    larger = torch.ones(1, 4, 2)
    message = refused(bw.resized(), IMAGE.to(dtype), larger.to(dtype))
    assert f"field 'x' of sample 0 of the batch holds {dtype}" in message
    assert "convert the image to float32 in the dataset, or pass mode='nearest'" in message
    assert bw.Collate(x=bw.resized())([{"x": IMAGE}, {"x": larger}])["x"].shape == (2, 1, 4, 3)
    nearest = bw.Collate(x=bw.resized(mode="nearest"))
    assert nearest([{"x": IMAGE.to(dtype)}, {"x": larger.to(dtype)}])["x"].dtype is dtype


@pytest.mark.parametrize("how", ["resize", "pad"])
@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([torch.ones(3)], "sample 0 of the batch has shape (3,), and an image has a height and a width"),
        ([torch.ones(3, 0, 4)], "sample 0 of the batch has shape (3, 0, 4), and an image has a height and a width"),
        ([IMAGE, torch.ones(())], "sample 1 of the batch has shape (), and an image has a height and a width"),
        ([torch.eye(3).to_sparse()], "sample 0 of the batch has shape (3, 3) and dtype float32 and layout sparse_coo"),
        ([IMAGE, IMAGE.to("meta")], "sample 1 of the batch has shape (1, 2, 3) and dtype float32 on meta"),
    ],
)
def test_what_is_no_image_is_refused_by_itself(how, images, said):
    assert said in refused(bw.resized(how=how), *images)


def test_a_pad_value_that_the_dtype_lacks_names_the_field():
    message = refused(bw.resized(how="pad", pad=-1), IMAGE.to(torch.uint8), torch.ones(1, 1, 1, dtype=torch.uint8))
    assert "field 'x' of sample 0 of the batch: the pad value -1 does not exist in torch.uint8" in message


@pytest.mark.parametrize("arguments", [{"multiple": 2.5}, {"multiple": "8"}, {"multiple": True}, {"pad": "0"}])
def test_declarations_take_numbers(arguments):
    with pytest.raises(bw.Infeasible, match=r"whole number|pad value"):
        bw.resized(**arguments)


def test_items_of_media_are_declared_as_fields():
    with pytest.raises(bw.Infeasible, match="declare items as"):
        bw.media({"image": bw.stack()})
