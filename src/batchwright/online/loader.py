"""A loader of a stream: its state counts the batches that reached the loop, whatever its workers have read ahead."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader

from ..errors import Infeasible, check_integer, warn
from ..loader.checks import check_named_of_torch
from ..loader.loops import epochs_left
from ..public import internal, public
from ..run.moved import Moved
from . import states
from .batch import StreamReport, total
from .delivered import one_sided
from .loaded import Begun
from .look import BESIDE, check_look, check_unmoved, check_unread, find_moved, first_batch, read_by
from .missing_attribute import missing_attribute
from .replicas import Replica
from .run import steps_of
from .sent_batches import BatchesWithStates, LoadedStream, OpenedPass, batches_in, collated, with_anchor
from .stream_epoch import StreamEpoch
from .summary import StreamSummary

__all__ = ["StreamLoader"]

_DECIDED = (
    "batch_size",
    "batch_sampler",
    "sampler",
    "shuffle",
    "drop_last",
    "dataset",
    "in_order",
    "persistent_workers",
)


def _unchanged(batch: Any) -> Any:
    return batch


@public
class StreamLoader:
    """A loader of a stream's batches, made by `stream.loader`: loop over it once an epoch.

    `state_dict` is that after the last batch that the loop was given. It holds the states of all workers of this rank, and
    can be loaded with other workers; with the states of the loaders of all ranks, as a list, with other ranks too.

    Attributes:
        stream: the stream.

    Example:
        >>> from batchwright import online
        >>> stream = online.budgeted(["a", "bb", "cc"], length=len, max_tokens=4)
        >>> sorted(stream.loader())
        [['a'], ['bb', 'cc']]
    """

    _gives = "batches"  # see `no_samples`

    def __init__(
        self,
        stream: LoadedStream,
        *,
        num_workers: int,
        collate: Callable[[Any], Any] | None,
        options: Mapping[str, Any],
    ) -> None:
        check_named_of_torch(options, collate, "stream.loader", ("collate", "num_workers"))
        if "collate_fn" in options:
            raise Infeasible("collate_fn was given to stream.loader, which takes collate", "pass it as collate=")
        taken = next((name for name in _DECIDED if name in options), None)
        if taken is not None:
            raise Infeasible(f"{taken} was given to stream.loader, but the stream decides it", f"leave {taken} out")
        self.stream = stream
        self._workers = check_integer(num_workers, "num_workers", least=0)
        self._collate = _unchanged if collate is None else collate
        self._options = dict(options)
        # Of each worker, after the last batch of it that the loop was given: its state, or a refusal to have one.
        self._runs: list[Any] = []
        self._reports: dict[int, StreamReport] = {}  # the last of each worker that sent one
        self._here: BatchesWithStates | None = None  # what is read in this process, if there are no workers
        self._last = 0  # the worker that gave it
        self._epoch = 0  # of these
        self._next_epoch = 0
        self._passes = 0  # that have begun
        self._running = 0  # the number of the pass that is under way; 0 if there is none
        self._opened: OpenedPass | None = None  # the next pass, if `epoch` had to begin it
        self._loader_of(BatchesWithStates(stream))  # torch refuses options that do not go together

    def __getstate__(self) -> dict[str, Any]:
        """A copy begins a pass of its own."""
        return {**self.__dict__, "_opened": None}

    def __len__(self) -> int:
        return len(self.stream)

    @property
    def num_workers(self) -> int:
        """How many worker processes read the source."""
        return self._workers

    @property
    def collate_fn(self) -> Callable[[Any], Any]:
        """What makes a batch of a list of samples."""
        return self._collate

    @property
    def rank(self) -> int:
        """This process's number."""
        return self.stream._ranks()[0]

    @property
    def world_size(self) -> int:
        """How many processes share the stream."""
        return self.stream._ranks()[1]

    @property
    def epoch(self) -> int:
        """The epoch of the loop that runs; between two loops, the epoch that the next one takes.

        After a state was loaded, only reading tells whether it was the end of its epoch. So this begins the next loop:
        workers start, and its first batch is kept for it.
        """
        return self._epoch if self._running else self._due()

    def _due(self) -> int:
        """The epoch that the next loop takes."""
        due = self.stream._next
        begun = due.states is not None and any(one["run"] is not None for one in due.states.states)
        if begun and self._ready() is None:
            self._opened = self._open(copy.copy(self.stream), named=False)
        opened = self._ready()
        return due.due if opened is None else opened.begun.epoch

    def _ready(self) -> OpenedPass | None:
        """The pass that `epoch` had to begin, unless another epoch was set, or another state loaded, since."""
        opened, following = self._opened, self.stream._next
        if opened is not None and (opened.loaded is not following.states or opened.due != following.due):
            self._opened = None
        return self._opened

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next loop; a loaded state of another epoch is dropped."""
        opened = self._ready()
        self.stream.set_epoch(epoch)
        self._runs = []
        if opened is not None and opened.begun.epoch == epoch:
            self._opened = replace(opened, loaded=self.stream._next.states, due=epoch)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over one epoch; it begins with the first batch."""
        return self._pass(None)

    def epochs(self, until: int) -> Iterator[StreamEpoch]:
        """The epochs from the next one to number `until` - 1, each to be looped over once.

        Args:
            until: how many epochs the whole run has, counted from its beginning: a resumed run takes the rest. If it has had
                all of them, there are none, with a `PoorWarning`.

        Example:
            >>> from batchwright import online
            >>> loader = online.budgeted(["a", "bb", "cc"], length=len, max_tokens=4).loader()
            >>> [(epoch.number, len(list(epoch))) for epoch in loader.epochs(2)]
            [(0, 2), (1, 2)]
        """
        for number in epochs_left(self._due(), until):
            yield StreamEpoch(self, number)

    def _steps_left(self, epoch: int) -> int:
        """Batches that a loop over an epoch gives this rank, of a stream with `steps=`."""
        steps, opened, due = len(self), self._ready(), self.stream._next
        if due.states is None or due.due != epoch:
            return steps
        begun = copy.copy(self.stream)._settle_all(max(1, self._workers)) if opened is None else opened.begun
        return steps - sum(map(steps_of, begun.runs))

    def peek(self) -> Any:
        """The batch that the next loop will give first; nothing moves, and no worker starts.

        Use it to see what a batch looks like, also after a resume. The source is read in this process, until it gives a
        batch: half a buffer, for a balanced stream. What samples draw at random is not what the loop will draw.

        Returns:
            The batch, as `collate` makes it. The options of `DataLoader`, such as `pin_memory`, do not count.

        Raises:
            Infeasible: nothing is left of the epoch for this rank; a look would move the source; or the source splits itself
                over several workers.

        Example:
            >>> from batchwright import online
            >>> loader = online.budgeted(["a", "bb", "cc"], length=len, max_tokens=4).loader(num_workers=2)
            >>> loader.peek() == loader.peek() == next(iter(loader))
            True
        """
        stream = copy.copy(self.stream)
        check_look(stream.sources(), self._workers)
        while True:
            begun = stream._settle_all(max(1, self._workers))
            batch = first_batch(stream, self._workers, begun.first)
            if batch or self._ends_loop(begun):
                break
            stream.set_epoch(begun.next)
        if not batch:
            raise Infeasible(
                f"epoch {begun.epoch} of {self.stream!r} has no batch left for rank {self.rank} of {self.world_size}",
                "look after the next set_epoch, or see whether the source has enough samples",
            )
        return self._collate(batch[0])

    def _ends_loop(self, begun: Begun) -> bool:
        """Whether an epoch without a batch ends the loop; else the loaded state was the end of one, and the next begins."""
        alone = self.stream._ranks()[1] == 1 or self.stream._steps is not None
        return not alone or all(run is None for run in begun.runs)

    def _pass(self, epoch: int | None) -> Iterator[Any]:
        """A loop over one epoch, the next if none is named; it begins at its first `next`, as trainers call `iter` early."""
        if epoch is not None:
            self.set_epoch(epoch)
        opened = self._ready() or self._open(self.stream, named=epoch is not None)
        self._opened = None
        begun, batches, first, reports = opened.begun, opened.batches, opened.first, opened.reports
        number = self._passes = self._passes + 1
        # Kept here too: `set_epoch` or a state that is loaded in the loop replaces those of the loader.
        runs: list[Any] = begun.runs
        self._runs = runs
        self._epoch, self._next_epoch, self._last = begun.epoch, begun.next, begun.first - 1
        self.stream.set_epoch(begun.next)
        self._reports, self._here, self._running = reports, opened.here, number
        try:
            while first:
                worker, batch, run = first.pop()
                runs[worker], self._last = with_anchor(run, runs[worker]), worker
                yield batch
                if number != self._passes:
                    self._check_ended(batches)
                    return
                first = list(islice(batches, 1))
            self._runs = []
            warn(*one_sided(reports))
        finally:
            if self._running == number:
                self._running = 0

    def _open(self, stream: LoadedStream, *, named: bool) -> OpenedPass:
        """The next pass, with its first batch; if nothing is left of a loaded epoch that was not named, the one after it."""
        loaded, due = self.stream._next.states, self.stream._next.due
        while True:
            begun = stream._settle_all(max(1, self._workers))
            if all(run is None for run in begun.runs):
                check_unread(stream.sources())
            self._passes += 1
            reports: dict[int, StreamReport] = {}
            told = BatchesWithStates(read_by(stream, begun.first))
            batches = batches_in(self._loader_of(told), reports)
            first = list(islice(batches, 1))
            if first or named or self._ends_loop(begun):
                return OpenedPass(begun, None if self._workers else told, batches, first, reports, loaded, due)
            stream.set_epoch(begun.next)

    def _check_ended(self, batches: Iterator[Any]) -> None:
        """Refuse to go on with a loop since which another has begun; trainers may ask only then whether it has ended."""
        moved = not self._workers and find_moved(self.stream.sources()) is not None  # asking would move the other loop
        if moved or list(islice(batches, 1)):
            raise Infeasible(
                "another loop over this loader has begun since, and its position is that loop's",
                "make a second loader of a second stream for the other loop; for a look, call loader.peek()",
            )

    def _loader_of(self, told: BatchesWithStates) -> DataLoader[Any]:
        return DataLoader(
            told,
            batch_size=None,
            num_workers=self._workers,
            collate_fn=partial(collated, self._collate),
            **self._options,
        )

    @internal
    def moved_by_loops(self) -> list[Moved]:
        """The objects whose attributes say where a loop over this loader is; see `sampler_of.unmoved`.

        Raises:
            Infeasible: the stream was read in this process, and its source cannot be put back.
        """
        if self._passes and not self._workers:
            check_unmoved(self.stream.sources(), BESIDE)
        return [Moved(self, ("_opened",)), *self.stream.moved_by_loops()]

    def report(self) -> StreamReport:
        """The counts of the current pass, as far as its batches have reached the loop.

        Use it to log shares, repeats and drops while training. All workers of this rank are counted together. If there are
        more groups than samples in a batch, the counts of a worker may be older than its last batch, by as many samples as
        there are groups at most.

        Raises:
            Infeasible: the loop was given no batch yet.

        Example:
            >>> from batchwright import online
            >>> loader = online.budgeted(["a", "bb", "cc"], length=len, max_tokens=4).loader()
            >>> given = list(loader)
            >>> loader.report().delivered
            3
        """
        report = self._counts()
        if report is None:
            raise Infeasible("no batch of this loader has reached the loop yet", "ask after the first batch")
        return report

    def _counts(self) -> StreamReport | None:
        if self._here is not None:
            return self._here.report()
        return total(list(self._reports.values())) if self._reports else None

    def summary(self) -> StreamSummary:
        """The stream in numbers, as `report` counts them; `print` it."""
        return self.stream._summary_of(self._counts(), self._epoch)

    def state_dict(self) -> dict[str, Any]:
        """The state after the last batch that the loop was given, of JSON types.

        Raises:
            Infeasible: a source has no position, or the buffer takes more than `state_bytes`.
        """
        rank, world_size = self.stream._ranks()
        if not self._runs and world_size == 1:
            return self.stream.state_dict()
        for run in self._runs:
            if isinstance(run, Infeasible):
                raise run.with_traceback(None)
        if self._runs:
            runs = [run and {**run, "last": worker == self._last} for worker, run in enumerate(self._runs)]
            epoch, following = self._epoch, self._next_epoch
        else:  # other ranks may have begun, with as many workers: this one has its part
            runs, epoch, following, _ = self.stream._settle_all(max(1, self._workers))
        found = [
            self.stream._state_of(run, epoch, following, Replica(rank, world_size, worker, len(runs)))
            for worker, run in enumerate(runs)
        ]
        return found[0] if len(found) == 1 else states.together(found)

    def load_state_dict(self, state: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Continue from a state in the next loop; see `Stream.load_state_dict`.

        Args:
            state: what `state_dict` gave, or of several ranks what it gave on each, as a list in any order.

        Raises:
            Infeasible: the state is of another stream or version, not as it was saved, no state at all, or states of ranks
                are missing.

        Warns:
            PoorWarning: the state is `{}`, which loads nothing.
        """
        if isinstance(state, Mapping) and not state:
            warn(
                f"the state is {{}}, so nothing was loaded: the next loop begins with epoch {self.epoch}; look for the "
                "state under another name in the checkpoint, or load one only if there is one"
            )
            return
        self.stream.load_state_dict(state)
        self._runs, self._reports, self._here, self._opened = [], {}, None, None

    def __getattr__(self, name: str) -> Any:
        raise missing_attribute(self, name, of_a_loader=True)

    def __repr__(self) -> str:
        return f"<loader of {self.stream!r}, {self._workers} workers>"
