"""The same without batchwright's adapter."""

from __future__ import annotations

from ..recorder import Life
from . import accelerate


def train(rank: int, world_size: int, life: Life) -> None:
    accelerate.train(rank, world_size, life, adapter=False)
