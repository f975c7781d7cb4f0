"""Keeps training and evaluation modes of modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["modes_kept"]


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """A context after which every module of `model` has the mode that it had before.

    Not one flag for the model: some of its modules may be frozen in evaluation mode.
    """
    kept = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in kept.items():
            module.training = training
