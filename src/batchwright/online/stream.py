"""The iterable dataset that a loader reads: its replica, epoch, steps and position."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from multiprocessing.context import get_spawning_popen
from typing import TYPE_CHECKING, Any, NoReturn

import torch.utils.data

from ..audit import Audit
from ..distributed import ranks_of_mesh
from ..errors import Infeasible, check_bool, check_integer, shortened, shown
from ..run.moved import Moved
from . import states
from .audited import AuditedBatch, audited
from .batch import StreamReport
from .digests import digested
from .loaded import Begun
from .loader import StreamLoader
from .look import BESIDE, check_unmoved, check_unread
from .made_of import written
from .missing_attribute import OF_A_STREAM, missing_attribute
from .next_pass import NextPass
from .replicas import Replica, resolve_ranks
from .run import Recipe, Run
from .sources import Source
from .summary import StreamSummary, summarised

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["Stream"]


class Stream(torch.utils.data.IterableDataset[Any]):
    """An iterable dataset of batches, composed while samples are read; made by the functions of `batchwright.online`.

    Pass it to a loader with `batch_size=None`. It splits its source over ranks and workers, and has a state for
    torchdata's StatefulDataLoader. A stream of samples (`batches=False`) can be the source of another stream.
    """

    _gives = "parts"  # see `no_samples`

    def __init__(
        self,
        recipe: Recipe,
        *,
        name: str | None,
        batches: bool,
        way_out_for_samples: str,
        steps: int | None,
        rank: int | None,
        world_size: int | None,
        mesh: DeviceMesh | None,
        dims: Sequence[str] | None,
        state_bytes: int,
    ) -> None:
        super().__init__()
        if steps is not None:
            steps = check_integer(steps, "steps", least=1)
        if steps is not None and not batches:
            raise Infeasible(
                f"steps is {steps} batches and the stream gives samples", "pass steps to the stream that reads this one"
            )
        self.name = shortened(recipe.sources()[0].name if name is None else name)
        self._way_out_for_samples = way_out_for_samples
        self._recipe = recipe
        self._batches = check_bool(batches, "batches")
        self._steps = steps
        rank, world_size = ranks_of_mesh(rank, world_size, mesh, dims) or (rank, world_size)
        self._rank, self._world_size = rank, world_size
        self._spawned_by = (0, 1)  # rank and world size of the process that spawned this one and sent it the stream
        self._state_bytes = check_integer(state_bytes, "state_bytes", least=1)
        self._first_worker = 0  # the number that the first worker of a loader reads for; see `StreamLoader`
        self._of_loader = False  # whether a `StreamLoader` reads it, which begins the epoch after an ended one itself
        self._next = NextPass()
        self._run: Run | None = None
        self._passes = 0  # that have begun
        self._arguments: str | None = None  # as text in the states; made once, since a target may have many groups
        if rank is not None or world_size is not None:
            Replica(*self._ranks())

    def __getstate__(self) -> dict[str, Any]:
        """A copy begins where `iter` would begin here. Spawned workers are in no process group: the rank is sent along."""
        sent = {"_spawned_by": self._ranks()} if get_spawning_popen() is not None else {}
        return {**self.__dict__, "_run": None, "_next": copy.copy(self._next), **sent}

    def _ranks(self) -> tuple[int, int]:
        return resolve_ranks(self._rank, self._world_size, otherwise=self._spawned_by)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass; a loaded state of another epoch is dropped.

        Raises:
            Infeasible: it is not a whole number, or below 0.
        """
        self._next.set_epoch(check_integer(epoch, "epoch", least=0))

    def __len__(self) -> int:
        if self._steps is None:
            raise TypeError("a stream has no length; make it with steps= to give it one")
        return self._steps

    def __getitem__(self, number: Any) -> NoReturn:
        raise Infeasible(
            f"batch {shown(number)} is asked for, and a stream has no batches by number: {OF_A_STREAM['at']}",
            "loop over it, or make a plan of data that has an index",
        )

    def __getattr__(self, name: str) -> Any:
        raise missing_attribute(self, name)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over one pass. Its epoch or state is fixed at the first item, because loaders call `iter` more than once.

        Raises:
            Infeasible: the state that was loaded is another reader's.
        """
        if self._next.states is not None:
            self._next.states.has(self._replica())
        self._run = None  # until the first item, a state is the start of this pass
        return self._pass()

    def _replica(self) -> Replica:
        replica = Replica.here(*self._ranks())
        replica = replace(replica, worker=(replica.worker + self._first_worker) % replica.workers)
        return replica if self._steps is None else replace(replica, all_read=True)

    def _settle_all(self, workers: int) -> Begun:
        """Where each worker of this rank begins, for the process that starts them."""
        replica = Replica(*self._ranks(), 0, workers, all_read=self._steps is not None)
        here = [replace(replica, worker=worker) for worker in range(workers)]
        return self._next.settle_all(here, self._recipe, self._state_bytes, self._state_of)

    def _pass(self) -> Iterator[Any]:
        """One pass. If a loaded state is at the end of its epoch, the next one begins, unless other replicas may be in it.

        In a worker, the next epoch never begins here: the loader may have seen the end before; then it reads the end
        once more and drops it.
        """
        replica = self._replica()
        self._next.settle(replica, self._recipe, self._state_bytes, self._state_of)
        loaded = self._next.loaded
        if loaded is None:
            check_unread(self.sources())
        self._passes += 1
        given = self._rest(replica, loaded)
        in_worker = torch.utils.data.get_worker_info() is not None
        begins_next = not in_worker and not self._of_loader
        if loaded is not None and begins_next and (replica.count == 1 or self._steps is not None):
            first = list(islice(given, 1))
            given = chain(first, given) if first else self._rest(replica, None)
        yield from given

    def _rest(self, replica: Replica, loaded: dict[str, Any] | None) -> Iterator[Any]:
        epoch, state = (self._next.epoch, None) if loaded is None else (loaded["epoch"], loaded["run"])
        run = self._run = Run(self._recipe, replica, epoch, state, self._state_bytes)
        # The next pass is another epoch, even if this one is not read to its end: ranks may stop early.
        if loaded is None:
            self._next.epoch = epoch + 1
        return self._steps_of(run, self._passes) if self._batches else self._samples_of(run, self._passes)

    def _limit(self, replica: Replica) -> int | None:
        if self._steps is None:
            return None
        return self._steps // replica.workers + (replica.worker < self._steps % replica.workers)

    def _check_latest(self, number: int | None) -> None:
        if number not in (None, self._passes):
            check_unmoved(self.sources(), "another pass over the stream, which has begun since, has moved it")

    def _steps_of(self, run: Run, number: int) -> Iterator[Any]:
        limit = self._limit(run.replica)
        while run.steps != limit:
            self._check_latest(number)
            if not run.advance(last=run.steps + 1 == limit):
                if limit is not None:
                    raise Infeasible(
                        f"source {self.name!r} ended after {run.steps:,} of the {limit:,} batches due from "
                        f"reader {run.replica.index} of {run.replica.count}",
                        "pass fewer steps, or no steps and online.equal_stop around the loader",
                    )
                break
            self._next.loaded = None
            run.used = len(run.batch)
            self._run = run  # another call of `iter` may have set it to None
            yield run.batch
        self._next.loaded = None

    def _samples_of(self, run: Run, number: int | None = None) -> Iterator[Any]:
        while True:
            while run.used < len(run.batch):
                sample = run.batch[run.used]
                run.used += 1
                self._next.loaded = None
                self._run = run
                yield sample
            self._check_latest(number)
            if not run.advance():
                break
        self._next.loaded = None

    def _run_state(self) -> dict[str, Any] | Infeasible | None:
        """The state of the current pass in this process, or why there is none; None before its first batch."""
        return None if self._run is None else self._run.state_or_refusal()

    def state_dict(self) -> dict[str, Any]:
        """The state of the current pass in this process.

        Raises:
            Infeasible: a source has no position, or the buffer takes more than `state_bytes`.
        """
        due, run = self._next, self._run
        if due.states is not None and self._ranks()[1] > 1:  # other ranks may have begun by then, and have their parts
            replica = self._replica()
            return self._state_of(**due.states.of(replica, self._recipe, self._state_bytes), replica=replica)
        if due.states is not None:
            return due.states.state_dict()
        if due.loaded is not None:
            return copy.deepcopy(due.loaded)
        if run is None:
            return self._state_of(None, due.epoch, due.epoch, self._replica())
        return self._state_of(run.state(), run.epoch, due.epoch, run.replica)

    def _state_of(self, run: dict[str, Any] | None, epoch: int, next_epoch: int, replica: Replica) -> dict[str, Any]:
        """The state of a reader with this state of its pass."""
        arguments, contents = self._made_of()
        return states.sealed(
            {
                "arguments": arguments,
                "contents": contents,
                "epoch": epoch,
                "next": next_epoch,
                "replica": [replica.index, replica.count, replica.world_size],
                "run": run,
            }
        )

    def load_state_dict(self, state: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Continue from a state in the next pass; {} and a refused state change nothing.

        Args:
            state: what `state_dict` gave. Where this process is one of several readers, the states of all of them, as a list
                in any order or as one from `online.merged`: each reader finds its own. If there are more or fewer readers
                now, what was left is dealt to them: nothing is lost and nothing comes twice. Every reader then reads once
                more what was in the buffers of all.

        Raises:
            Infeasible: the state is of another stream or version, not as it was saved, no state at all, or states are
                missing.
        """
        if isinstance(state, Mapping) and not state:
            return
        found = states.opened_all(state, *self._made_of())
        self._run = None
        self._next.load(found)

    def loader(
        self,
        *,
        num_workers: int = 0,
        collate: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> StreamLoader:
        """A loader of this stream whose state counts the batches that reached the loop.

        Use it to train on a stream: its state can be loaded with other workers and ranks. Each loop over it is the next
        epoch.

        Args:
            num_workers: processes that read the source.
            collate: makes a batch of a list of samples, in a worker; `list` if left out.
            options: other arguments of `torch.utils.data.DataLoader`.

        Raises:
            Infeasible: an option is the stream's to decide, or the stream gives samples.

        Example:
            >>> from batchwright import online
            >>> loader = online.packed(range(1, 60), length=int, capacity=90).loader()
            >>> batches = iter(loader)
            >>> given = [next(batches) for _ in range(5)]
            >>> again = online.packed(range(1, 60), length=int, capacity=90).loader()
            >>> again.load_state_dict(loader.state_dict())
            >>> sorted(number for batch in [*given, *again] for number in batch) == list(range(1, 60))
            True
        """
        if not self._batches:
            raise Infeasible(
                f"stream {self.name!r} gives samples, and a loader of a stream gives its batches",
                "make the stream of batches, or pass it to torch's DataLoader with a batch_size",
            )
        return StreamLoader(self, num_workers=num_workers, collate=collate, options=options)

    def arguments(self) -> dict[str, Any]:
        """Everything that the batches depend on, except the user's own objects and the epoch."""
        return {**self._recipe.arguments(), "batches": self._batches, "steps": self._steps}

    def contents(self) -> dict[str, Any]:
        """What the sources hold, as far as that is known without reading them."""
        return self._recipe.contents()

    def _made_of(self) -> tuple[str, str]:
        """The arguments and the contents as a state has them."""
        if self._arguments is None:
            self._arguments = written(self.arguments())
        return self._arguments, written(self.contents())

    def moved_by_loops(self) -> list[Moved]:
        """The objects whose attributes say where a pass is; see `sampler_of.unmoved`.

        Raises:
            Infeasible: the stream was read in this process, and its source cannot be put back.
        """
        if self._passes:
            check_unmoved(self.sources(), BESIDE)
        return [Moved(self), Moved(self._next)]

    def report(self) -> StreamReport:
        """The counts of the current pass in this process, or of the one that just ended.

        Raises:
            Infeasible: nothing was read in this process; each worker of a loader has its own counts.
        """
        if self._run is None:
            raise Infeasible(
                f"nothing of source {self.name!r} was read in this process",
                "ask after the first batch; of stream.loader() ask the loader, by its report(); in workers of another "
                "loader, let collate_fn return torch.utils.data.get_worker_info().dataset.report() beside the batch",
            )
        return self._run.composer.report()

    def summary(self) -> StreamSummary:
        """The stream in numbers: what it is, and what its current pass in this process read and delivered; `print` it.

        Example:
            >>> from batchwright import online
            >>> stream = online.mixed({"a": range(30), "b": range(10)}, target={"a": 0.75, "b": 0.25}, batch_size=4)
            >>> _ = list(stream)
            >>> print(stream.summary())
            mixed of 2 sources, target explicit({'a': 0.75, 'b': 0.25}), at_end='stop', from 'mixture'
            40 samples read, 40 delivered
            group  read  natural  wanted  delivered  slots  deficit
            a        30   75.00%  75.00%     75.00%     30        0
            b        10   25.00%  25.00%     25.00%     10        0
        """
        run = self._run
        return self._summary_of(None if run is None else run.composer.report(), 0 if run is None else run.epoch)

    def _summary_of(self, report: StreamReport | None, epoch: int) -> StreamSummary:
        wanted = {} if report is None else self._recipe.wanted(epoch, report.seen)
        return summarised(self._in_words(), report, wanted)

    def audit(self, *, batches: int = 1000, epoch: int = 0) -> Audit:
        """Measure the guarantees of the stream on its batches; the pass that is under way is not touched.

        The source is read from its start, twice: whether a second pass gives the same is one of the guarantees.

        Args:
            batches: how many are measured; fewer if the source ends before.
            epoch: the epoch that is measured.

        Returns:
            The findings: `print` them. "G2 quota" is of batches before and after which no slot is owed.

        Raises:
            Infeasible: the source is an iterator, or has a position of its own, which an audit would move.
        """
        batches, epoch = check_integer(batches, "batches", least=1), check_integer(epoch, "epoch", least=0)
        check_unmoved(self.sources(), "an audit, which reads it twice, would move it")
        return audited(self._given(epoch), self._given(epoch), batches, self._recipe.limits(epoch))

    def _given(self, epoch: int) -> Iterator[AuditedBatch]:
        run = Run(self._recipe, self._replica(), epoch, None, self._state_bytes)
        while run.steps != self._steps and run.advance():
            composer = run.composer
            yield AuditedBatch(run.steps - 1, run.batch, composer.report(), composer.shares(), digested(run.batch))

    def _in_words(self) -> str:
        return f"{self._recipe.in_words()}, from {self.name!r}"

    def __repr__(self) -> str:
        return f"<stream: {self._in_words()}>"

    def sources(self) -> Sequence[Source]:
        """The sources that it reads."""
        return self._recipe.sources()
