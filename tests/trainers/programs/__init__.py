"""One training program a trainer, each as its user would write it; they import their trainer where they run."""

from __future__ import annotations

import importlib

from ..recorder import Life


def train(rank: int, world_size: int, trainer: str, life: Life) -> None:
    """A rank of a life of a trainer."""
    importlib.import_module(f".{trainer}", __package__).train(rank, world_size, life)
