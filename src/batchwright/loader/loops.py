"""The loops over a loader: one epoch each, or what is left of one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from torch._C._autograd import _profiler_enabled

from ..collate import Batch
from ..errors import Infeasible, check_integer, warn
from ..position import Position
from ..run.looks import Looks
from ..run.run_state import RunState
from ..run.sampler import BatchSampler
from ..told_accumulation import Accumulation
from .requests import Requests
from .samples import WithRemarks
from .trainers import trainer_of_this_loop

__all__ = ["Batches", "Epoch", "epochs_left", "unrecorded"]


def epochs_left(due: int, until: Any) -> range:
    """The epochs from `due` to `until` - 1; a `PoorWarning` if the run has had them all, as in a notebook."""
    until = check_integer(until, "until", least=0)
    if until and due >= until:
        had = "1 epoch" if due == 1 else f"{due} epochs"
        warn(
            f"the run has had {had} and epochs({until}) counts from its beginning, so the loop has nothing to do; "
            f"epochs({due + until}) goes on for {until} more, and set_epoch(0) begins again."
        )
    return range(due, until)


class Looped(Protocol):
    """What a loop needs of its loader; the attributes are those of `Loader`."""

    sampler: BatchSampler
    device: Any
    watch: Callable[[int, int, bool], None] | None
    _requests: Requests
    _latest: weakref.ref[Batches] | None
    _looks: Looks

    @property
    def real(self) -> int: ...
    def __len__(self) -> int: ...
    def next_start(self) -> tuple[int, int]: ...
    def compare_accumulation(self, told: Accumulation) -> None: ...
    def _begin(self, number: int | None) -> Position: ...
    def _read_from(self, start: Position) -> Iterator[Any]: ...
    def _compare(self, start: Position) -> None: ...
    def _received(self, remarks: WithRemarks) -> None: ...
    def _moved(self, batch: Any) -> Any: ...


class Epoch:
    """One epoch of a loader, to be looped over once; made by `Loader.epochs`.

    Attributes:
        number: which epoch it is, from 0.
    """

    def __init__(self, loader: Looped, number: int) -> None:
        self._loader = loader
        self.number = number

    def __len__(self) -> int:
        """Batches that a loop over it gives: fewer than `len(loader)` where a run resumed within the epoch."""
        epoch, batch = self._loader.next_start()
        begun = batch if epoch == self.number else self._loader.sampler.started_at(self.number)
        return len(self._loader) - begun

    def __iter__(self) -> Iterator[Any]:
        return Batches(self._loader, self.number)

    def __repr__(self) -> str:
        return f"<epoch {self.number} of {self._loader!r}>"


class Batches(Iterator[Any]):
    """An epoch of a loader, or what is left of one; it begins at its first `next`, as trainers call `iter` early.

    Attributes:
        ended: whether it gives no more batches.
    """

    def __init__(self, loader: Looped, number: int | None = None) -> None:
        self._loader, self._number = loader, number
        self._start: Position | None = None  # None until the first `next`
        self._inner: Iterator[Any] = iter(())
        self._consumed = self._returned = self._fetched_by_all = self._epoch_length = 0
        self._trainer: Iterator[Accumulation | None] = iter(())
        self._plan = loader.sampler.plan  # the plan whose shares `_start` has
        self._outdated = False  # whether batches may come that were read before these shares were set
        self._run: RunState | None = None  # that of the sampler after the last batch
        self.ended = False

    def __next__(self) -> Any:
        loader, sampler, start = self._loader, self._loader.sampler, self._start
        if self.ended:
            raise StopIteration
        if start is None:
            start = loader._begin(self._number)
            self._inner = loader._read_from(start)
            self._start, self._consumed, self._fetched_by_all = start, start.consumed, sampler.fetched_by_all
            self._epoch_length, self._plan = start.epoch_length, sampler.plan
            loader._latest = weakref.ref(self)
            if not start.sequence.whole_epochs:  # an evaluation accumulates nothing
                self._trainer = trainer_of_this_loop()
        elif loader._latest is None or loader._latest() is not self:
            if self._consumed >= self._epoch_length:  # trainers ask once more after the last batch, perhaps only then
                raise StopIteration
            raise Infeasible(
                "another loop over this loader has begun since, and its position is that loop's",
                "make a second loader for the other loop: plan.loader(dataset), or bw.evaluation(...).loader(dataset)",
            )
        if self._returned == 1:  # not at the first: a look may be of one rank alone
            loader._compare(start)
        loader._looks.count_as_training()  # the loop came back
        told = next(self._trainer, None)
        if told is not None:
            loader.compare_accumulation(told)
        if sampler.plan is not self._plan or self._outdated:
            start = self._take_new_shares(start)
        try:
            batch = next(self._inner)
            if isinstance(batch, WithRemarks):
                loader._received(batch)
                batch = batch.batch
            if loader.device is not None:
                batch = loader._moved(batch)
        except BaseException:  # what comes behind a batch that failed would be counted as that batch
            self._inner, self.ended = iter(()), True
            raise
        self._advance(start)
        if start.sequence.whole_epochs and isinstance(batch, Batch):
            return batch.scaled(1.0, real=loader.real)
        return batch

    def _take_new_shares(self, start: Position) -> Position:
        """Where the loop began, with new shares; from the first batch that has them on, batches are read again.

        Workers may have read them with the earlier shares.
        """
        loader, sampler, here = self._loader, self._loader.sampler, start.origin + self._consumed
        if sampler.shares_from is None:  # they are of a state that was loaded, for the next loop
            return start
        if sampler.plan is not self._plan:  # at once: windows begin where they began with each change before
            self._plan, self._outdated = sampler.plan, True
            self._start = start = start.with_shares_of(sampler.plan)
        if here + self._fetched_by_all > sampler.shares_from:
            self._outdated = False
            if loader._requests.outdated(here):
                self._inner = iter(())  # lets the workers end before others begin
                self._inner = loader._read_from(start._replace(consumed=self._consumed))
        return start

    def _advance(self, start: Position) -> None:
        """Move the position past the next batch, and tell `watch`."""
        loader, before = self._loader, self._consumed
        sampler, run, after = loader.sampler, loader.sampler.run, before + self._fetched_by_all
        ended = after >= self._epoch_length
        if run is self._run:  # what `advance` does then, in a quarter of its time
            self._run = sampler.run = RunState.after_batch(run.start, after, ended=ended)
        else:
            sampler.advance(start, before, after, ended=ended)
            self._run = sampler.run
        self._consumed, self._returned = after, self._returned + 1
        if ended:
            self._inner = iter(())  # lets workers end: some trainers never ask for more than the last batch
        if self._returned == 1:
            loader._looks.note_first_batch(self, run, sampler.run)
        if loader.watch is not None:
            loader.watch(start.epoch, after // self._fetched_by_all, self._returned == 1)


def unrecorded(reading: Any) -> Iterator[Any]:
    """The batches of torch's iterator, without the record that it makes of each for a profiler.

    That takes a third of the time of a batch of 32 numbers, so it is left out unless a profiler runs.
    """
    try:
        while True:
            yield next(reading) if _profiler_enabled() else reading._next_data()
    except StopIteration:
        return
