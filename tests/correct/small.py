"""The small plans, images and model that the cases of refusals are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import batchwright as bw

LABELS = [0] * 30 + [1] * 10
IMAGES = TensorDataset(torch.randn(40, 3))
PLAN = bw.balanced(LABELS, batch_size=8)
MANY = bw.balanced(bw.Groups.from_sizes({f"class {number}": 2 for number in range(200)}), batch_size=8)


def norm(**options: Any) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(3, **options))


def loader(plan: Any = PLAN) -> Any:
    return DataLoader(IMAGES, batch_sampler=plan.sampler())
