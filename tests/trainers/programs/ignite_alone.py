"""The same without batchwright's adapter."""

from __future__ import annotations

from ..recorder import Life
from . import ignite


def train(rank: int, world_size: int, life: Life) -> None:
    ignite.train(rank, world_size, life, progress=False)
