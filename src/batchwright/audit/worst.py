"""The worst that was seen of anything."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

__all__ = ["Worst"]


class Worst:
    """The largest value offered so far and where it was."""

    def __init__(self) -> None:
        self.value = 0.0
        self.where = "nowhere above 0"

    def offer(self, value: float, where: str) -> None:
        """Keep this value if it is the worst."""
        if value > self.value:
            self.value, self.where = float(value), where

    def offer_groups(self, values: np.ndarray, batch: int, names: Sequence[Hashable]) -> None:
        """Keep the worst of a value a group."""
        group = int(values.argmax())
        if values[group] > self.value:
            self.offer(values[group], f"micro-batch {batch}, group {names[group]!r}")
