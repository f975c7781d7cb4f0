"""What the processes that read a stream for a loader send it: batches, each with the state after it, and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch.utils.data import IterableDataset, get_worker_info

from ..errors import Infeasible
from ..readings import call_in_loop
from ..run.moved import Moved
from .batch import StreamReport
from .loaded import Begun, Loaded
from .next_pass import NextPass
from .replicas import Replica
from .sources import Source
from .summary import StreamSummary

__all__ = ["BatchesWithStates", "OpenedPass", "SentBatch", "batches_in", "collated", "with_anchor"]


class LoadedStream(Protocol):
    """What a loader needs of its stream; the attributes are those of `Stream`."""

    _steps: int | None
    _next: NextPass

    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None: ...
    def sources(self) -> Sequence[Source]: ...
    def moved_by_loops(self) -> list[Moved]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None: ...
    def _ranks(self) -> tuple[int, int]: ...
    def _replica(self) -> Replica: ...
    def _settle_all(self, workers: int) -> Begun: ...
    def report(self) -> StreamReport: ...
    def _summary_of(self, report: StreamReport | None, epoch: int) -> StreamSummary: ...
    def _run_state(self) -> dict[str, Any] | Infeasible | None: ...
    def _state_of(
        self, run: dict[str, Any] | None, epoch: int, next_epoch: int, replica: Replica
    ) -> dict[str, Any]: ...


class BatchesWithStates(IterableDataset[Any]):
    """The batches of a stream, each with the state of the worker after it; an anchor that was sent is not sent again.

    A worker also sends its counts: after its last batch, and each time as many samples were given as there are groups, so
    that the work for each sample does not grow with the number of groups.
    """

    def __init__(self, stream: LoadedStream) -> None:
        super().__init__()
        self.stream = stream

    def __iter__(self) -> Iterator[Any]:
        number = self.stream._replica().worker
        sent: Any = None
        in_worker, due = get_worker_info() is not None, 0
        for batch in self.stream:
            run = self.stream._run_state()
            assert run is not None
            if isinstance(run, Infeasible):
                sent = None
            else:
                anchor, sent = (None if run["anchor"] is sent else run["anchor"]), run["anchor"]
                run = {**run, "anchor": anchor}
            due -= len(batch)
            report = self.report() if in_worker and due <= 0 else None
            due = due if report is None else len(report.seen)
            yield number, batch, run, report
        if in_worker and self.stream._run_state() is not None:
            yield number, None, None, self.report()

    def report(self) -> StreamReport:
        """The counts in this process."""
        return self.stream.report()


SentBatch = tuple[int, Any, Any, StreamReport | None]


def collated(collate: Callable[[Any], Any], told: SentBatch) -> SentBatch:
    """What was sent, with the batch that `collate` makes of it."""
    number, batch, run, report = told
    return number, None if run is None else call_in_loop(collate, batch), run, report


def batches_in(sent: Iterable[SentBatch], reports: dict[int, StreamReport]) -> Iterator[tuple[int, Any, Any]]:
    """The batches, each with its worker and the state after it; the counts go into `reports`."""
    for number, batch, run, report in sent:
        if report is not None:
            reports[number] = report
        if run is not None:
            yield number, batch, run


def with_anchor(run: Any, known: Any) -> Any:
    """A state as a worker sent it, with the anchor of the one before it if that was not sent again."""
    if isinstance(run, Infeasible) or run["anchor"] is not None or not isinstance(known, Mapping):
        return run
    return {**run, "anchor": known["anchor"]}


@dataclass(frozen=True, slots=True)
class OpenedPass:
    """A pass that has begun; the loop was given nothing of it.

    Attributes:
        begun: where it begins.
        here: what is read in this process, if workers do not read it.
        batches: the batches after the first one.
        first: the first one; none if there is none.
        reports: the last counts of each worker that sent some.
        loaded: the loaded states that were next before it began.
        due: the epoch that was next then.
    """

    begun: Begun
    here: BatchesWithStates | None
    batches: Iterator[tuple[int, Any, Any]]
    first: list[tuple[int, Any, Any]]
    reports: dict[int, StreamReport]
    loaded: Loaded | None
    due: int
