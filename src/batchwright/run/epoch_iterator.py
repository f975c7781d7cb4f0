"""The iterator of a sampler: batches of samples, and a state for loaders that says whether the epoch has ended."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Mapping, Sized
from itertools import chain
from types import FrameType
from typing import Any, NamedTuple, Protocol, cast

import torch.utils.data

from ..base_plan import BasePlan
from ..errors import Infeasible, warn
from ..micro_batches import LAST
from ..position import Position
from .run_state import RunState

__all__ = ["EpochIterator", "ReadAhead", "for_a_node"]

_DRAWS = "_BaseDataLoaderIter._next_index"  # the function of torch that draws from a sampler
_DEEPEST = 8  # frames between that function and the sampler; accelerate puts up to four there
_BATCHES_AGAIN = ("torch.utils.data.sampler", "BatchSampler.__iter__")
_NODE = ("torchdata.nodes.adapters", "SamplerWrapper.reset")


class Running(Protocol):
    """What an iterator needs of its sampler; the attributes are those of `BatchSampler`."""

    plan: BasePlan
    fetch: int

    def begin(self, read_ahead: ReadAhead | None) -> tuple[Position, int, int]: ...
    def follow(self, queue: BatchQueue) -> None: ...


class Filled(NamedTuple):
    """The batches that an iterator gives without asking for more, as they were listed.

    Attributes:
        consumed_before: how many micro-batches of the epoch all ranks had taken by then.
        waiting: the batches, last first, behind a None; the iterator takes them from the end.
        filled_with: how many entries the list had by then.
    """

    consumed_before: int
    waiting: list[list[int] | None]
    filled_with: int


class BatchQueue:
    """The batches that an iterator gives next, from which its sampler works out how far the run has come.

    Attributes:
        start: where the iterator began; None before its first `next`.
        starts_ended: before the first `next`: whether nothing of the epoch is left.
        asked: whether the iterator was asked for a batch.
        fetched_by_all: micro-batches that all ranks together take for one batch each.
        filled: what was listed last. It is set as one value, since a signal handler or another thread may ask for the run
            between any two stores.
    """

    start: Position | None = None  # what holds before `begin` is of the class, as an `__init__` is one more function
    starts_ended = False
    asked = False
    fetched_by_all: int
    filled: Filled
    _epoch_length: int  # micro-batches of the epoch

    def begin(self, start: Position, fetched_by_all: int) -> None:
        """The iterator begins here."""
        self.fetched_by_all, self._epoch_length = fetched_by_all, start.epoch_length
        self.filled = Filled(start.consumed, [], 1)
        self.start = start

    def switch_to(self, plan: BasePlan) -> Position:
        """Go on with a plan in which shares were set, without the batches that are listed: where the iterator is in it."""
        assert self.start is not None
        consumed = self.consumed
        self.filled = Filled(consumed, [], 1)
        self.start = self.start.with_shares_of(plan)
        return self.start.after(consumed)

    def refill(self, batches: list[list[int]]) -> list[list[int] | None]:
        """These batches come next, none are left: the list of them."""
        waiting = [None, *reversed(batches)]
        self.filled = Filled(self.consumed, waiting, len(waiting))
        return waiting

    def stop(self) -> None:
        """Let the iterator ask its sampler before it gives another batch."""
        filled = self.filled
        self.filled = filled._replace(waiting=filled.waiting.copy())
        filled.waiting[:] = [None]

    @property
    def consumed(self) -> int:
        """How many micro-batches of the epoch all ranks together have received."""
        while True:
            filled = self.filled
            given = filled.filled_with - (len(filled.waiting) or 1)  # of an empty list the None was taken too, no batch
            if self.filled is filled:  # else `stop` may have emptied the list in another thread
                return filled.consumed_before + given * self.fetched_by_all

    @property
    def ended(self) -> bool:
        """Whether the last batch of the epoch was given, or nothing was left of it at the start."""
        return self.starts_ended if self.start is None else self.consumed >= self._epoch_length

    @property
    def run(self) -> RunState:
        """The run after the last batch that was given."""
        consumed = self.consumed
        return RunState.after_batch(self.start, consumed, ended=consumed >= self._epoch_length)

    def following(self, step_size: int) -> Position | None:
        """The start of the next epoch in steps of this size; None if this epoch has not ended, or if it must be checked."""
        start = self.start
        if start is None or self.consumed < self._epoch_length or start.step_size != step_size:
            return None
        following = start.in_epoch(start.epoch + 1)
        # After an epoch of a run, `Position.check` refuses the next only if it ends after the last micro-batch.
        return following if following.origin + following.epoch_length <= LAST + 1 else None


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

    __slots__ = ("_queue",)
    _queue: BatchQueue

    def __new__(cls, sampler: Running, *, ended: bool = False) -> EpochIterator:
        """Make the iterator of the sampler's next epoch."""
        queue = BatchQueue()
        if ended:
            queue.starts_ended = True
        made = cast(EpochIterator, cls.from_iterable(_batches(sampler, queue)))
        made._queue = queue
        return made

    @property
    def ended(self) -> bool:
        """Whether the last batch of the epoch was returned."""
        return self._queue.ended

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
        if self._queue.asked:
            raise Infeasible(
                "an iterator of a sampler was asked for a batch, and cannot go elsewhere",
                "load the sampler's own state with sampler.load_state_dict(state), and call iter(sampler) again",
            )
        self._queue.starts_ended = state["ended"]

    def __reduce__(self) -> Any:
        raise Infeasible(
            "an iterator of a sampler cannot be copied or pickled", "copy the sampler, or keep its state_dict()"
        )


def _batches(sampler: Running, queue: BatchQueue) -> Iterator[Iterator[list[int]]]:
    """The batches of an iterator, as iterators over some at a time: it asks for the next when one of these is over."""
    queue.asked = True
    if queue.starts_ended:
        return
    plan = sampler.plan
    start, rank, world_size = sampler.begin(_reading_workers(sys._getframe(1)))
    queue.begin(start, world_size * sampler.fetch)
    found, waiting = start.computed_together(rank, world_size, sampler.fetch), list[list[int] | None]()
    while True:
        if sampler.plan is not plan:  # shares were set
            plan, waiting = sampler.plan, []
            found = queue.switch_to(plan).computed_together(rank, world_size, sampler.fetch)
        if len(waiting) < 2:
            batches = next(found, None)
            if not batches:
                return
            waiting = queue.refill(batches)
        sampler.follow(queue)
        yield iter(waiting.pop, None)
        waiting = queue.filled.waiting  # not the same list if the sampler was moved


class ReadAhead:
    """The batches that workers of a plain `DataLoader` have read and its loop has not seen, also after the loop was left.

    Args:
        loader_iterator: the iterator of the loader.
    """

    def __init__(self, loader_iterator: Any) -> None:
        self._tasks: Sized = loader_iterator._task_info  # torch's own, with an entry for each of them
        self._left = weakref.ref(loader_iterator, self._leave)

    def _leave(self, _: Any) -> None:
        self._tasks = range(len(self._tasks))  # some of the entries hold batches, which are not to be kept

    def warn(self, so: str) -> None:
        """Give a `PoorWarning` if there are any.

        Args:
            so: what follows from it, and a way out.
        """
        ahead = len(self._tasks)
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


def _reading_workers(frame: FrameType) -> ReadAhead | None:
    """What the workers of the plain `DataLoader` read that draws now, also through a trainer's wrappers; None without.

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
            found = frame.f_locals["self"]
            workers = type(found).__module__ == torch.utils.data.dataloader.__name__ and found._num_workers
            return ReadAhead(found) if workers else None
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None
