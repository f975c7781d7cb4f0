"""What a model's forward raises names the batch that was run through it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import batchwright as bw
from batchwright.correct import recalibrate

from .small import PLAN


class Gone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) == 5:
            raise OSError("the file is gone")
        return self.norm(x)


def test_what_a_forward_raises_names_the_batch() -> None:
    with pytest.raises(OSError, match="the file is gone") as caught:
        recalibrate(Gone(), [torch.randn(size, 3) for size in (4, 3, 5, 2)])
    assert caught.value.__notes__ == ["batch 2 of the loader was run through the model"]


def test_what_a_forward_raises_in_an_evaluation_names_the_batch() -> None:
    batches = [(torch.randn(size, 3), torch.zeros(size, dtype=torch.int64)) for size in (4, 5)]
    with pytest.raises(OSError, match="the file is gone") as caught:
        bw.correct.evaluate(Gone(), batches, plan=PLAN)
    assert caught.value.__notes__ == ["batch 1 of the loader was run through the model"]
