"""torchtitan's own trainer, with a model over two processes each (tensor parallelism)."""

from __future__ import annotations

from ..recorder import Life
from . import torchtitan


def train(rank: int, world_size: int, life: Life) -> None:
    torchtitan.train(rank, world_size, life, parts=2)
