"""What the loader asks its `DataLoader` for: batches of samples with the addresses of their random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch.utils.data

from ..position import Position
from ..sampler import BatchSampler
from .samples import Request

__all__ = ["Requests"]


class Requests(torch.utils.data.Sampler[Any]):
    """What the inner `DataLoader` draws from: the rest of the epoch that the loader's iterator has begun.

    Attributes:
        start: where that iterator began.
        broken: samples that are known to raise, from a state.
    """

    def __init__(self, sampler: BatchSampler) -> None:
        self._sampler = sampler
        self.start: Position | None = None
        self.broken: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Request]:
        assert self.start is not None
        return self.of(self.start)

    def of(self, start: Position) -> Iterator[Request]:
        """This rank's batches from a position to the end of its epoch, with the addresses of their random numbers."""
        number, world_size = start.micro_batch + self._sampler.rank, self._sampler.world_size
        for micro_batches in self._sampler.batches_from(start):
            draw_numbers = [start.sequence.draw_number(number + i * world_size) for i in range(len(micro_batches))]
            yield Request(micro_batches, draw_numbers, self.broken)
            number += world_size * len(micro_batches)
