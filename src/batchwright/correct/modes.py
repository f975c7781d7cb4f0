"""Training and evaluation mode of every module, given back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["modes_kept"]


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Whatever the context sets, every module of `model` leaves it in the mode in which it came."""
    kept = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in kept.items():
            module.training = training
