"""What a trainer was told of accumulation, and what it therefore does to each loss."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Accumulation"]


class Accumulation(NamedTuple):
    """How many batches a trainer runs for an optimizer step.

    Attributes:
        batches: how many.
        setting: the trainer's setting for it, as its users write it.
        divisor: the number by which the trainer divides each loss now; 1 if it does not.
        multiplied: whether it multiplies each loss by the number of processes.
    """

    batches: int
    setting: str
    divisor: int = 1
    multiplied: bool = False
