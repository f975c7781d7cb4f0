"""Turns of tasks that are computed block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..recent import Recent

__all__ = ["Block", "TurnBlocks"]

# Turns whose tasks are kept: 8 bytes each, 8 MB in all. A block also has a count for each task, an integer of Python, which
# takes four times as much. Many blocks are kept because one rank of many needs another block at each of its turns.
_KEPT = 1 << 20


class Block(NamedTuple):
    """A block of turns; of a schedule that has some turns only, these are its slots.

    Attributes:
        tasks: the task of each slot, int32 array.
        before: how many earlier slots of the block are of the same task, int32 array.
        counts: how many turns each task had before the block.
    """

    tasks: np.ndarray
    before: np.ndarray
    counts: list[int]


class TurnBlocks(ABC):
    """Turns of tasks in blocks of `length` turns; those that were computed last are kept."""

    def __init__(self, weights: Sequence[int], length: int) -> None:
        self._weights, self._length = list(weights), length
        self._blocks: Recent[int, Block] = Recent()

    @abstractmethod
    def slots(self, turn: int) -> int:
        """How many turns before `turn` are slots of this schedule."""

    @abstractmethod
    def _made(self, number: int) -> Block:
        """Compute a block."""

    def at(self, turn: int) -> tuple[int, int]:
        """The task of `turn`, which must be a slot, and how many turns this task had before."""
        block, place = self._found(turn)
        task = int(block.tasks[place])
        return task, block.counts[task] + int(block.before[place])

    def counts(self, turn: int) -> list[int]:
        """How many turns before `turn` each task had."""
        block, place = self._found(turn)
        within = np.bincount(block.tasks[:place], minlength=len(self._weights)).tolist()
        return [count + had for count, had in zip(block.counts, within, strict=True)]

    def _found(self, turn: int) -> tuple[Block, int]:
        number = turn // self._length
        block = self._blocks.get(number)
        if block is None:
            most = max(1, _KEPT // (self._length + 4 * len(self._weights)))
            block = self._blocks.keep(number, self._made(number), most)
        return block, self.slots(turn) - self.slots(number * self._length)
