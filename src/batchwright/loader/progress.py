"""How far a loader has come."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass(frozen=True)
class Progress:
    """How far a loader has come; `print` it.

    Attributes:
        epoch: the epoch that the loop is in; the next one if the last is finished.
        step: batches of that epoch that this rank was given.
        steps: batches of an epoch of this rank.
        epochs: epochs that were given so far, with a fraction.

    Example:
        >>> print(Progress(epoch=3, step=120, steps=1000, epochs=3.12))
        epoch 3: 120 of 1000 batches (12 %)
    """

    epoch: int
    step: int
    steps: int
    epochs: float

    def __str__(self) -> str:
        part = f" ({100 * self.step // self.steps} %)" if self.steps else ""
        return f"epoch {self.epoch}: {self.step} of {self.steps} batches{part}"
