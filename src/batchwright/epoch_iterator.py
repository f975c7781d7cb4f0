"""The iterator of a sampler: batches of samples, and a state for loaders that says whether the epoch has ended."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from types import FrameType
from typing import Any, Protocol

import torch.utils.data

from .errors import Infeasible, warn
from .interface import BasePlan
from .position import Position
from .run_state import RunState

__all__ = ["EpochIterator", "for_a_node", "warn_if_read_ahead"]

_DRAWS = "_BaseDataLoaderIter._next_index"  # the function of torch that draws from a sampler
_DEEPEST = 8  # frames between that function and the sampler; accelerate puts up to four there
_BATCHES_AGAIN = ("torch.utils.data.sampler", "BatchSampler.__iter__")
_NODE = ("torchdata.nodes.adapters", "SamplerWrapper.reset")


class Running(Protocol):
    """What an iterator needs of its sampler; the attributes are those of `BatchSampler`."""

    plan: BasePlan
    run: RunState

    fetch: int

    def begin(self, reader: weakref.ref[Any] | None) -> tuple[Position, int, int]: ...
    def advance(self, start: Position, before: int, after: int, *, ended: bool) -> None: ...


class EpochIterator(Iterator[list[int]]):
    """The batches of a rank in an epoch, or in the rest of one; the first `next` decides which epoch that is.

    torchdata's `StatefulDataLoader` keeps the state of the iterator beside that of the sampler. To resume it makes a
    new iterator. If the epoch had ended, it draws from this iterator, finds nothing, and makes another one for the next
    epoch. So an iterator that resumes at the end of an epoch yields nothing, and does not change the sampler.

    Between two steps of training nothing of this is in the caches of the processor, and what counts is how many functions
    and objects are touched. So a batch takes one function, with what it needs in slots.

    Attributes:
        ended: whether the last batch of the epoch was returned.

    Args:
        sampler: the sampler whose next epoch this is, and whose run moves past each batch before it is returned.
        ended: whether nothing of the epoch is left at the start.
    """

    __slots__ = (
        "_at_once", "_consumed", "_length", "_micro_batches", "_more", "_plan", "_ranks", "_run",
        "_sampler", "_start", "ended",
    )  # fmt: skip
    _at_once: int  # micro-batches that all ranks together take for a batch
    _consumed: int  # micro-batches of the epoch that they have taken
    _length: int  # micro-batches of the epoch
    _micro_batches: Iterator[list[int]]  # those of this rank that are left
    _more: int  # micro-batches of this rank in a batch, after the first
    _ranks: tuple[int, int]

    def __init__(self, sampler: Running, *, ended: bool = False) -> None:
        self._sampler, self.ended = sampler, ended
        self._start: Position | None = None  # None before the first `next`
        self._plan: BasePlan | None = None  # whose micro-batches these are
        self._run: RunState | None = None  # that of the sampler after the last batch

    def __next__(self) -> list[int]:
        sampler = self._sampler
        if sampler.plan is not self._plan:
            self._turn_to(sampler.plan)
        micro_batch = next(self._micro_batches, None)
        if micro_batch is None:
            raise StopIteration
        if self._more:
            micro_batch = [*micro_batch, *chain.from_iterable(islice(self._micro_batches, self._more))]
        before = self._consumed
        self._consumed = consumed = before + self._at_once
        self.ended = ended = consumed >= self._length
        if sampler.run is self._run:  # what `advance` does then, in a quarter of its time
            sampler.run = self._run = tuple.__new__(RunState, (self._start, consumed, True, None, ended))
        else:
            self._advance(before, consumed)
        return micro_batch

    def _advance(self, before: int, after: int) -> None:
        assert self._start is not None
        try:
            self._sampler.advance(self._start, before, after, ended=self.ended)
        except BaseException:  # it is over, as a generator would be
            self._consumed, self._micro_batches = self._length, iter(())
            raise
        self._run = self._sampler.run

    def _turn_to(self, plan: BasePlan) -> None:
        """Read from the plan that the sampler has now: at the first `next`, or after shares were set."""
        if self._start is not None:
            self._start = self._start.with_shares_of(plan)
            self._micro_batches = self._start.after(self._consumed).lists(*self._ranks)
        elif self.ended:
            self._micro_batches = iter(())
        else:
            self._begin(sys._getframe(2))
        self._plan = plan

    def _begin(self, caller: FrameType) -> None:
        if (caller.f_globals.get("__name__"), caller.f_code.co_qualname) == _BATCHES_AGAIN:
            raise Infeasible(
                "a plan's sampler was passed as sampler=, so each of its batches would be one sample of a batch",
                "pass batch_sampler=plan.sampler(), or use plan.loader(dataset)",
            )
        start, rank, world_size = self._sampler.begin(_reader_with_workers(caller))
        self._ranks, self._more = (rank, world_size), self._sampler.fetch - 1
        self._consumed, self._length, self._at_once = start.consumed, start.length, world_size * self._sampler.fetch
        self._micro_batches = start.lists(rank, world_size)
        self._start = start

    def state_dict(self) -> dict[str, Any]:
        """Whether the epoch has ended; the position is in the sampler's state."""
        return {"ended": self.ended}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a state, before the first `next`; the sampler loads its own.

        Raises:
            Infeasible: `state` is not the state of an iterator.
        """
        if not isinstance(state, Mapping) or not isinstance(state.get("ended"), bool):
            raise Infeasible(
                "the state of the sampler's iterator does not say whether the epoch has ended",
                "load what the loader's state_dict() gave, as it was",
            )
        self.ended = state["ended"]
        self._start = self._plan = None


def warn_if_read_ahead(reader: Any, so: str) -> None:
    """Give a `PoorWarning` if the workers of a plain `DataLoader` have read batches that its loop has not seen.

    Args:
        reader: its iterator; None if that is gone.
        so: what follows from it, and a way out.
    """
    # None: the loop is over
    ahead = 0 if reader is None else int(reader._send_idx - reader._rcvd_idx)
    if ahead:
        warn(f"the loader's workers have read {ahead} batches that the loop has not seen, and {so}.")


def for_a_node() -> bool:
    """Whether torchdata's `SamplerWrapper` is the caller of `iter`.

    With the state of an ended epoch, it expects an empty iterator, and then calls `set_epoch` for the next epoch. A
    plain loop expects the next epoch. Both make exactly the same calls, so only the caller's name shows which of the
    two it is.
    """
    if _NODE[0] not in sys.modules:
        return False
    caller = sys._getframe(2)
    return (caller.f_globals.get("__name__"), caller.f_code.co_qualname) == _NODE


def _reader_with_workers(frame: FrameType) -> weakref.ref[Any] | None:
    """The iterator of the plain `DataLoader` with workers that draws now, also through a trainer's wrappers; else None.

    `StatefulDataLoader` counts itself what its workers have read. Its iterator is of another module, and left out.
    """
    for _ in range(_DEEPEST):
        if frame.f_code.co_qualname == _DRAWS:
            reader = frame.f_locals["self"]
            workers = type(reader).__module__ == torch.utils.data.dataloader.__name__ and reader._num_workers
            return weakref.ref(reader) if workers else None
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None
