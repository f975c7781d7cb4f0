"""The same without batchwright's adapter."""

from __future__ import annotations

from ..recorder import Life
from . import transformers


def train(rank: int, world_size: int, life: Life) -> None:
    transformers.train(rank, world_size, life, adapter=False)
