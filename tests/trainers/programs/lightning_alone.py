"""The same without batchwright's adapter."""

from __future__ import annotations

from ..recorder import Life
from . import lightning


def train(rank: int, world_size: int, life: Life) -> None:
    lightning.train(rank, world_size, life, callback=False)
