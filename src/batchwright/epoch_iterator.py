"""The iterator of a sampler: batches of samples, and a state for loaders that says whether the epoch has ended."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Mapping
from itertools import chain
from types import FrameType
from typing import Any, Protocol

import torch.utils.data

from .errors import Infeasible, warn
from .interface import BasePlan
from .micro_batches import LAST
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
    fetch: int

    def begin(self, reader: weakref.ref[Any] | None) -> tuple[Position, int, int]: ...
    def follow(self, given: Given) -> None: ...


class Given:
    """How far an iterator has come, for its sampler, which works out its run from it when it is asked.

    Attributes:
        start: where the iterator began; None before its first `next`.
        nothing: before the first `next`: whether nothing of the epoch is left.
        asked: whether the iterator was asked for a batch.
        at_once: micro-batches that all ranks together take for a batch.
        now: how many micro-batches of the epoch all ranks had taken when the list was filled; the list of the batches that
            the iterator gives without asking for more, last first, behind a None; how many entries it had then. One value,
            since a signal handler or another thread may ask for the run between any two stores.
    """

    start: Position | None = None  # what holds before `begin` is of the class, as an `__init__` is one more function
    nothing = False
    asked = False
    at_once: int
    now: tuple[int, list[list[int] | None], int]
    _length: int  # micro-batches of the epoch

    def begin(self, start: Position, at_once: int) -> None:
        """The iterator begins here."""
        self.at_once, self._length = at_once, start.length
        self.now = start.consumed, [], 1
        self.start = start

    def turn(self, plan: BasePlan) -> Position:
        """Go on with a plan in which shares were set: where the iterator is in it."""
        assert self.start is not None
        consumed = self.consumed
        self.now = consumed, [], 1
        self.start = self.start.with_shares_of(plan)
        return self.start.after(consumed)

    def refill(self, batches: list[list[int]]) -> list[list[int] | None]:
        """These batches come next, none are left: the list of them."""
        left = [None, *reversed(batches)]
        self.now = self.consumed, left, len(left)
        return left

    def stop(self) -> None:
        """Let the iterator ask its sampler before it gives another batch."""
        before, left, full = self.now
        self.now = before, left.copy(), full
        left[:] = [None]

    @property
    def consumed(self) -> int:
        """How many micro-batches of the epoch all ranks together have received."""
        while True:
            now = before, left, full = self.now
            consumed = before + (full - (len(left) or 1)) * self.at_once
            if self.now is now:  # else `stop` may have emptied the list in another thread
                return consumed

    @property
    def ended(self) -> bool:
        """Whether the last batch of the epoch was given, or nothing was left of it at the start."""
        return self.nothing if self.start is None else self.consumed >= self._length

    @property
    def run(self) -> RunState:
        """The run after the last batch that was given."""
        consumed = self.consumed
        return RunState(self.start, consumed, True, None, consumed >= self._length)

    def following(self, step_size: int) -> Position | None:
        """The start of the next epoch in steps of this size; None if this epoch has not ended, or if it must be checked."""
        start = self.start
        if start is None or self.consumed < self._length or start.step_size != step_size:
            return None
        return start.in_epoch(start.epoch + 1) if start.origin + 3 * self._length <= LAST else None


class EpochIterator(chain[list[int]]):
    """The batches of a rank in an epoch, or in the rest of one; the first `next` decides which epoch that is.

    torchdata's `StatefulDataLoader` keeps the state of the iterator beside that of the sampler. To resume it makes a
    new iterator. If the epoch had ended, it draws from this iterator, finds nothing, and makes another one for the next
    epoch. So an iterator that resumes at the end of an epoch yields nothing, and does not change the sampler.

    Between two steps of training nothing of this is in the caches of the processor, and what counts is how many functions
    and objects are touched. So most batches are popped from a list by Python itself, and no function of this package runs.
    How many are left in the list says how far the run has come. Whatever moves the sampler in another way empties the list.

    Args:
        sampler: the sampler whose next epoch this is, and whose run moves past each batch before it is returned.
        ended: whether nothing of the epoch is left at the start.
    """

    __slots__ = ("_given",)
    _given: Given

    def __new__(cls, sampler: Running, *, ended: bool = False) -> EpochIterator:
        """Make the iterator of the sampler's next epoch."""
        given = Given()
        if ended:
            given.nothing = True
        made: EpochIterator = cls.from_iterable(_blocks(sampler, given))  # type: ignore[assignment]  # typed as a plain chain
        made._given = given
        return made

    @property
    def ended(self) -> bool:
        """Whether the last batch of the epoch was returned."""
        return self._given.ended

    def state_dict(self) -> dict[str, Any]:
        """Whether the epoch has ended; the position is in the sampler's state."""
        return {"ended": self.ended}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a state, before the first `next`; the sampler loads its own.

        Raises:
            Infeasible: `state` is not the state of an iterator, or this one was asked for a batch before.
        """
        if not isinstance(state, Mapping) or not isinstance(state.get("ended"), bool):
            raise Infeasible(
                "the state of the sampler's iterator does not say whether the epoch has ended",
                "load what the loader's state_dict() gave, as it was; the state of a sampler goes into the sampler",
            )
        if self._given.asked:
            raise Infeasible(
                "an iterator of a sampler was asked for a batch, and cannot go elsewhere",
                "load the sampler's own state with sampler.load_state_dict(state), and call iter(sampler) again",
            )
        self._given.nothing = state["ended"]

    def __reduce__(self) -> Any:
        raise Infeasible(
            "an iterator of a sampler cannot be copied or pickled", "copy the sampler, or keep its state_dict()"
        )


def _blocks(sampler: Running, given: Given) -> Iterator[Iterator[list[int]]]:
    """The batches of an iterator, as iterators over some at a time: it asks for the next when one of these is over."""
    given.asked = True
    if given.nothing:
        return
    plan = sampler.plan
    start, rank, world_size = sampler.begin(_reader_with_workers(sys._getframe(1)))
    given.begin(start, world_size * sampler.fetch)
    blocks, left = start.blocks(rank, world_size, sampler.fetch), list[list[int] | None]()
    while True:
        if sampler.plan is not plan:  # shares were set
            plan, left = sampler.plan, []
            blocks = given.turn(plan).blocks(rank, world_size, sampler.fetch)
        if len(left) < 2:
            block = next(blocks, None)
            if not block:
                return
            left = given.refill(block)
        sampler.follow(given)
        yield iter(left.pop, None)
        left = given.now[1]  # not the same list if the sampler was moved


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

    Raises:
        Infeasible: what draws is a batch sampler of torch.
    """
    if (frame.f_globals.get("__name__"), frame.f_code.co_qualname) == _BATCHES_AGAIN:
        raise Infeasible(
            "a plan's sampler was passed as sampler=, so each of its batches would be one sample of a batch",
            "pass batch_sampler=plan.sampler(), or use plan.loader(dataset)",
        )
    for _ in range(_DEEPEST):
        if frame.f_code.co_qualname == _DRAWS:
            reader = frame.f_locals["self"]
            workers = type(reader).__module__ == torch.utils.data.dataloader.__name__ and reader._num_workers
            return weakref.ref(reader) if workers else None
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None
