"""A loader of a stream: its state counts the batches that reached the loop, whatever its workers have read ahead."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Protocol

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ..errors import Infeasible, check_integer
from . import states
from .batch import StreamReport, total
from .loaded import Begun
from .replicas import Replica
from .summary import StreamSummary

__all__ = ["StreamLoader"]

_OWN = ("batch_size", "batch_sampler", "sampler", "shuffle", "drop_last", "dataset", "in_order", "persistent_workers")


class Read(Protocol):
    """What a loader needs of its stream; the attributes are those of `Stream`."""

    _steps: int | None
    _first_worker: int

    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None: ...
    def _ranks(self) -> tuple[int, int]: ...
    def _replica(self) -> Replica: ...
    def _settle_all(self, workers: int) -> Begun: ...
    def report(self) -> StreamReport: ...
    def _summary_of(self, report: StreamReport | None, epoch: int) -> StreamSummary: ...
    def _run_state(self) -> dict[str, Any] | None: ...
    def _state_of(
        self, run: dict[str, Any] | None, epoch: int, next_epoch: int, replica: Replica
    ) -> dict[str, Any]: ...


class _Told(IterableDataset[Any]):
    """The batches of a stream, each with the state of the worker after it; an anchor that was sent is not sent again.

    A worker also sends its counts: after its last batch, and each time as many samples were given as there are groups, so
    that the work for each sample does not grow with the number of groups.
    """

    def __init__(self, stream: Read) -> None:
        super().__init__()
        self.stream = stream

    def __iter__(self) -> Iterator[Any]:
        number = self.stream._replica().worker
        sent: Any = None
        in_worker, due = get_worker_info() is not None, 0
        for batch in self.stream:
            run = self.stream._run_state()
            assert run is not None
            anchor, sent = (None if run["anchor"] is sent else run["anchor"]), run["anchor"]
            due -= len(batch)
            report = self.report() if in_worker and due <= 0 else None
            due = due if report is None else len(report.seen)
            yield number, batch, {**run, "anchor": anchor}, report
        if in_worker and self.stream._run_state() is not None:
            yield number, None, None, self.report()

    def report(self) -> StreamReport:
        """The counts in this process."""
        return self.stream.report()


_Sent = tuple[int, Any, Any, StreamReport | None]


def _collated(collate: Callable[[Any], Any], told: _Sent) -> _Sent:
    number, batch, run, report = told
    return number, None if run is None else collate(batch), run, report


def _batches_in(sent: Iterable[_Sent], reports: dict[int, StreamReport]) -> Iterator[tuple[int, Any, Any]]:
    """The batches, each with its worker and the state after it; the counts go into `reports`."""
    for number, batch, run, report in sent:
        if report is not None:
            reports[number] = report
        if run is not None:
            yield number, batch, run


def _as_it_is(batch: Any) -> Any:
    return batch


class StreamLoader:
    """A loader of a stream's batches, made by `stream.loader`: loop over it once an epoch.

    `state_dict` is that after the last batch that the loop was given. It holds the states of all workers of this rank, and
    can be loaded with other workers; with the states of the loaders of all ranks, as a list, with other ranks too.

    Example:
        >>> from batchwright import online
        >>> stream = online.budgeted(["a", "bb", "cc"], length=len, max_tokens=4)
        >>> sorted(stream.loader())
        [['a'], ['bb', 'cc']]
    """

    def __init__(
        self, stream: Read, *, num_workers: int, collate: Callable[[Any], Any] | None, options: Mapping[str, Any]
    ) -> None:
        taken = next((name for name in (*_OWN, "collate_fn") if name in options), None)
        if taken is not None:
            way_out = "pass collate= in its place" if taken == "collate_fn" else "leave it out: the stream decides it"
            raise Infeasible(f"{taken} is an option of a loader of a stream", way_out)
        self.stream = stream
        self._workers = check_integer(num_workers, "num_workers", least=0)
        self._collate = _as_it_is if collate is None else collate
        self._options = dict(options)
        # Of each worker, after the last batch of it that the loop was given.
        self._runs: list[dict[str, Any] | None] = []
        self._reports: dict[int, StreamReport] = {}  # the last of each worker that sent one
        self._here: _Told | None = None  # what is read in this process, if there are no workers
        self._last = 0  # the worker that gave it
        self._epoch = 0  # of these
        self._next = 0
        self._passes = 0

    def __len__(self) -> int:
        return len(self.stream)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next loop; a loaded state of another epoch is dropped."""
        self.stream.set_epoch(epoch)
        self._runs = []

    def __iter__(self) -> Iterator[Any]:
        """Iterate over one epoch; it begins with the first batch."""
        self._passes += 1
        return self._pass(self._passes)

    def _pass(self, number: int) -> Iterator[Any]:
        while True:
            begun = self.stream._settle_all(max(1, self._workers))
            reports: dict[int, StreamReport] = {}
            here, sent = self._batches(begun.first)
            batches = _batches_in(sent, reports)
            first = list(islice(batches, 1))
            alone = self.stream._ranks()[1] == 1 or self.stream._steps is not None
            if first or not alone or all(run is None for run in begun.runs):
                break
            self.stream.set_epoch(begun.next)  # what was loaded is the end of an epoch, as in `Stream`
        self._runs, self._epoch, self._next, self._last = begun.runs, begun.epoch, begun.next, begun.first - 1
        self.stream.set_epoch(begun.next)
        self._reports, self._here = reports, here
        while first:
            worker, batch, run = first.pop()
            known = self._runs[worker]
            anchor = run["anchor"] if run["anchor"] is not None or known is None else known["anchor"]
            self._runs[worker], self._last = {**run, "anchor": anchor}, worker
            yield batch
            if number != self._passes:
                return
            first = list(islice(batches, 1))
        self._runs = []

    def _batches(self, first: int) -> tuple[_Told | None, Iterable[_Sent]]:
        """What is read in this process, if workers do not read it, and what they send."""
        stream = copy.copy(self.stream)
        stream._first_worker = first  # torch asks its workers in turn, and the run may have stopped within a turn
        told = _Told(stream)
        loader = DataLoader(
            told,
            batch_size=None,
            num_workers=self._workers,
            collate_fn=partial(_collated, self._collate),
            **self._options,
        )
        return (None if self._workers else told), loader

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
        if not self._runs:
            return self.stream.state_dict()
        rank, world_size = self.stream._ranks()
        found = [
            self.stream._state_of(
                run and {**run, "last": worker == self._last},
                self._epoch,
                self._next,
                Replica(rank, world_size, worker, len(self._runs)),
            )
            for worker, run in enumerate(self._runs)
        ]
        return found[0] if len(found) == 1 else states.together(found)

    def load_state_dict(self, state: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Continue from a state in the next loop; see `Stream.load_state_dict`.

        Args:
            state: what `state_dict` gave, or of several ranks what it gave on each, as a list in any order.

        Raises:
            Infeasible: the state is of another stream or version, not as it was saved, no state at all, or states of ranks
                are missing.
        """
        self.stream.load_state_dict(state)
        self._runs, self._reports, self._here = [], {}, None
