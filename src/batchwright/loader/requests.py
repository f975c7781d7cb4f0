"""What the loader asks its `DataLoader` for: batches of samples with the addresses of their random numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from copy import copy
from itertools import chain, islice
from typing import Any

import torch.utils.data

from ..base_plan import NumberColumn
from ..position import Position
from ..run.sampler import BatchSampler

__all__ = ["Requests"]

# Batches whose samples are compared with the lengths of the plan: the first of an epoch, and later one in so many.
_ALL, _ONE_IN = 64, 16


class Requests(torch.utils.data.Sampler[Any]):
    """What the inner `DataLoader` draws from: the rest of the epoch that the loader's iterator has begun.

    Attributes:
        start: where that iterator began.
        read: the micro-batch behind the last one that was asked for.
        broken: samples that are known to raise, from a state.
        lengths: of all samples, with which those that are read are compared; None for no comparison.
    """

    def __init__(self, sampler: BatchSampler, lengths: NumberColumn | None) -> None:
        self._sampler = sampler
        self.start: Position | None = None
        self.read = 0
        self._plan = sampler.plan
        self._old_until = 0  # before this micro-batch, other shares than those of `_plan` may have been asked for
        self.broken: frozenset[int] = frozenset()
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The fields of a `Request` for each batch: a plain tuple is sent to a worker in half the time of a named one."""
        assert self.start is not None
        sampler, start, draw_number = self._sampler, self.start, self.start.sequence.draw_number
        number, rank, world_size = start.micro_batch, sampler.rank, sampler.world_size
        self._plan, self._old_until, self.read = sampler.plan, number, number
        lists = start.lists(rank, world_size)
        for count in itertools.count(1):
            if sampler.plan is not self._plan:  # shares were set: from here on only the new plan is used
                self._plan, self._old_until, start = sampler.plan, number, start.with_shares_of(sampler.plan)
                lists = start.after(number - start.origin).lists(rank, world_size)
            micro_batches = list(islice(lists, sampler.fetch))
            if not micro_batches:
                return
            first, number = number + rank, number + world_size * sampler.fetch
            draw_numbers = [draw_number(first + i * world_size) for i in range(len(micro_batches))]
            told = None
            if self.lengths is not None and (count <= _ALL or count % _ONE_IN == 0):
                told = self.lengths[list(chain.from_iterable(micro_batches))].tolist()
            self.read = number
            yield micro_batches, draw_numbers, self.broken, told

    def outdated(self, number: int) -> bool:
        """Whether micro-batch `number` was asked for before the shares were set last."""
        return number < (self._old_until if self._sampler.plan is self._plan else self.read)

    def first(self, start: Position) -> tuple[Any, ...]:
        """The request of this rank's first batch from a position on; nothing is noted of it."""
        alone = copy(self)
        alone.start = start
        return next(iter(alone))
