"""The dataset that torch iterates: which replica it is, which epoch, how many steps, and where it stands."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from multiprocessing.context import get_spawning_popen
from typing import Any, Protocol

import torch.utils.data

from ..errors import Infeasible, whole
from .feed import Feed
from .replicas import Replica, ranks
from .results import Batch, Report

__all__ = ["Composer", "Recipe", "Stream"]

_VERSION = 1


class Composer(Protocol):
    """Puts batches together from one replica's feeds; everything it remembers is in `memory` and `held`."""

    @property
    def feeds(self) -> Sequence[Feed]:
        """What it reads."""

    def start(self) -> None:
        """Begin at the start of the feeds."""

    def compose(self) -> Batch | None:
        """The next batch; None at the end."""

    def held(self) -> list[list[Any]]:
        """For each feed the items in memory."""

    def memory(self) -> Any:
        """All else that is remembered: plain data."""

    def resume(self, memory: Any, held: list[list[Any]]) -> None:
        """Go on from there."""

    def report(self) -> Report:
        """What was done so far."""


class Recipe(Protocol):
    """The arguments of a stream: a frozen value that makes a composer for each replica and epoch."""

    def composer(self, replica: Replica, epoch: int) -> Composer:
        """A composer that has not started."""

    def describe(self) -> str:
        """All that the sequence of batches depends on, but for what the user brings along and the epoch."""


class _Run:
    """One pass of one replica. A state is an anchor (everything in memory, rarely taken) and the batches since."""

    def __init__(self, recipe: Recipe, replica: Replica, epoch: int, state: Any, state_bytes: int) -> None:
        self.composer = recipe.composer(replica, epoch)
        self.replica = replica
        self.epoch = epoch
        self.batch: Sequence[Any] = ()
        self.used = 0  # samples of `batch` that were yielded, where samples are yielded
        self.steps = 0
        self._state_bytes = state_bytes
        self._anchor: bytes | None = None
        self._anchor_taken = 0  # samples read when it was taken
        self._anchor_held = 0  # samples in it: after so many more were read it is taken anew
        self._since = 0
        self._over = False  # a composer that gave None is not asked again
        self._torn = False  # the composer was stopped between two batches, by an error or an interrupt
        if state is None or state["anchor"] is None:
            self.composer.start()
        else:
            self._anchor = state["anchor"]
            self._start_from(pickle.loads(state["anchor"]))
            self._anchor_taken = self._taken()
        if state is None:
            return
        for _ in range(state["batches"]):
            self.advance()
        if state["over"]:
            self.advance()
        self.used = state["used"]

    def _taken(self) -> int:
        return sum(feed.read for feed in self.composer.feeds)

    def advance(self) -> bool:
        self._torn = True
        batch = None if self._over else self.composer.compose()
        self._torn = False
        if batch is None:
            self._over = True
            return False
        self.batch, self.used = batch, 0
        self.steps += 1
        self._since += 1
        return True

    def state(self) -> dict[str, Any]:
        """The batches since the anchor, or since the start; where a batch was begun and not given, it does not count."""
        if self._torn:
            for feed in self.composer.feeds if self._anchor is None else ():
                feed.state()  # refuses where the source cannot be read again
        elif self._anchor is None or self._taken() - self._anchor_taken > self._anchor_held:
            taken, rest, held = self._taken(), self.batch[self.used :], self.composer.held()
            self._anchor = self._weigh_anchor(held)
            self._anchor_taken, self._anchor_held, self._since = taken, sum(map(len, held)), 0
            self.batch, self.used = rest, 0
        return {"anchor": self._anchor, "batches": self._since, "used": self.used, "over": self._over}

    def _weigh_anchor(self, held: list[list[Any]]) -> bytes:
        feeds = [
            {**feed.state(), "items": [ordinal for ordinal, _ in items] if feed.by_reference else items}
            for feed, items in zip(self.composer.feeds, held, strict=True)
        ]
        everything = {
            "feeds": feeds,
            "memory": self.composer.memory(),
            "rest": list(self.batch[self.used :]),
            "steps": self.steps,
            "over": self._over,
        }
        anchor = pickle.dumps(everything, protocol=pickle.HIGHEST_PROTOCOL)
        if len(anchor) > self._state_bytes:
            raise Infeasible(
                f"the state takes {len(anchor):,} bytes and state_bytes is {self._state_bytes:,}",
                f"pass state_bytes={len(anchor) * 2}, a smaller buffer, or online.Shards: a state only names their samples",
            )
        return anchor

    def _start_from(self, everything: Any) -> None:
        held = []
        for feed, saved in zip(self.composer.feeds, everything["feeds"], strict=True):
            feed.resume(saved)
            items = saved["items"]
            held.append(list(zip(items, feed.reader.fetch(items), strict=True)) if feed.by_reference else items)
        self._anchor_held = sum(map(len, held))
        self.composer.resume(everything["memory"], held)
        self.batch, self.used = everything["rest"], 0
        self.steps, self._over = everything["steps"], everything["over"]


class Stream(torch.utils.data.IterableDataset[Any]):
    """An iterable dataset of batches composed as samples come; made by the functions of `batchwright.online`.

    Pass it to a loader with `batch_size=None`. It splits its source over ranks and workers, and has a state for
    torchdata's StatefulDataLoader. A stream of samples (`batches=False`) can be the source of another stream.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        name: str,
        batches: bool,
        steps: int | None,
        rank: int | None,
        world_size: int | None,
        state_bytes: int,
    ) -> None:
        super().__init__()
        if steps is not None:
            steps = whole(steps, "steps", least=1)
        if steps is not None and not batches:
            raise Infeasible(
                f"steps is {steps} batches and the stream gives samples", "pass steps to the stream that reads this one"
            )
        self.name = name
        self._recipe = recipe
        self._batches = batches
        self._steps = steps
        self._rank, self._world_size = rank, world_size
        self._spawned_by = (0, 1)  # rank and world size of the process that spawned this one and sent it the stream
        self._state_bytes = state_bytes
        self._epoch = 0
        self._loaded: dict[str, Any] | None = None
        self._run: _Run | None = None
        if rank is not None or world_size is not None:
            Replica(*self._ranks())

    def __getstate__(self) -> dict[str, Any]:
        """A copy begins where `iter` would begin here; spawned workers, which join no process group, are told the rank."""
        sent = {"_spawned_by": self._ranks()} if get_spawning_popen() is not None else {}
        return {**self.__dict__, "_run": None, **sent}

    def _ranks(self) -> tuple[int, int]:
        return ranks(self._rank, self._world_size, otherwise=self._spawned_by)

    def set_epoch(self, epoch: int) -> None:
        """Let the next pass be that of `epoch`; a state loaded for another epoch is dropped."""
        self._epoch = epoch
        if self._loaded is not None and self._loaded["epoch"] != epoch:
            self._loaded = None

    def __len__(self) -> int:
        if self._steps is None:
            raise TypeError("a stream has no length; pass steps= to give it one")
        return self._steps

    def __iter__(self) -> Iterator[Any]:
        replica = Replica.here(*self._ranks())
        loaded = self._loaded
        if loaded is not None and loaded["replica"] != [replica.index, replica.count]:
            index, count = loaded["replica"]
            raise Infeasible(
                f"the state is of reader {index} of {count} and this is reader {replica.index} of {replica.count}",
                "resume a stream with the ranks and workers it was stopped with",
            )
        self._run = None
        if self._steps is not None:
            replica = replace(replica, all_read=True)
        if loaded is None:
            return self._pass(replica, self._epoch, None)
        return self._pass(replica, loaded["epoch"], loaded["run"])  # again, where a pass failed before its first batch

    def _pass(self, replica: Replica, epoch: int, state: Any) -> Iterator[Any]:
        """One pass; nothing is read before its first sample is asked for, since loaders call `iter` more than once.

        Where a state leaves nothing of its epoch, the next begins, unless other readers may still have some of it.
        """
        given = self._rest(replica, epoch, state)
        if state is not None and (replica.count == 1 or (self._steps is not None and replica.workers == 1)):
            first = list(islice(given, 1))
            if not first:
                given = self._rest(replica, self._epoch, None)
            yield from first
        yield from given

    def _rest(self, replica: Replica, epoch: int, state: Any) -> Iterator[Any]:
        run = self._run = _Run(self._recipe, replica, epoch, state, self._state_bytes)
        if self._epoch == epoch:  # the next pass is another epoch's, however far this one is read: ranks may stop early
            self._epoch += 1
        return self._steps_of(run) if self._batches else self._samples_of(run)

    def _limit(self, replica: Replica) -> int | None:
        if self._steps is None:
            return None
        return self._steps // replica.workers + (replica.worker < self._steps % replica.workers)

    def _steps_of(self, run: _Run) -> Iterator[Any]:
        limit = self._limit(run.replica)
        while run.steps != limit:
            if not run.advance():
                if limit is not None:
                    raise Infeasible(
                        f"source {self.name!r} ended after {run.steps:,} of the {limit:,} batches due from "
                        f"reader {run.replica.index} of {run.replica.count}",
                        "pass fewer steps, or no steps and online.equal_stop around the loader",
                    )
                break
            self._loaded = None
            run.used = len(run.batch)
            yield run.batch
        self._loaded = None

    def _samples_of(self, run: _Run) -> Iterator[Any]:
        while True:
            while run.used < len(run.batch):
                sample = run.batch[run.used]
                run.used += 1
                self._loaded = None
                yield sample
            if not run.advance():
                break
        self._loaded = None

    def state_dict(self) -> dict[str, Any]:
        """Where the pass under way in this process stands.

        Raises:
            Infeasible: a source cannot say where it stands, or the buffer takes more than `state_bytes`.
        """
        if self._loaded is not None:
            return self._loaded
        run = self._run
        return {
            "version": _VERSION,
            "fingerprint": self._fingerprint(),
            "epoch": self._epoch if run is None else run.epoch,
            "replica": None if run is None else [run.replica.index, run.replica.count],
            "run": None if run is None else run.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass go on from `state`; {} changes nothing.

        Raises:
            Infeasible: the state is another stream's, or none.
        """
        if not isinstance(state, Mapping):
            raise Infeasible(f"a state of type {type(state).__name__}", "load what state_dict() gave")
        if not state:
            return
        missing = [entry for entry in ("version", "fingerprint", "epoch", "replica", "run") if entry not in state]
        if missing:
            raise Infeasible(f"the state has no {', '.join(missing)}", "load what state_dict() gave")
        if state["version"] != _VERSION or state["fingerprint"] != self._fingerprint():
            raise Infeasible(
                f"the state is of a stream with fingerprint {state['fingerprint']} and this one's is {self._fingerprint()}",
                "make the stream with the arguments it was stopped with",
            )
        self._epoch = state["epoch"]
        self._loaded = dict(state) if state["run"] is not None else None

    def describe(self) -> str:
        """All that the sequence of batches depends on, but for what the user brings along and the epoch."""
        return f"{self._recipe.describe()}, batches={self._batches}, steps={self._steps}"

    def _fingerprint(self) -> str:
        return hashlib.sha256(self.describe().encode()).hexdigest()[:16]

    def report(self) -> Report:
        """What the pass under way (or just ended) in this process did.

        Raises:
            Infeasible: nothing was read here; the workers of a loader count for themselves.
        """
        if self._run is None:
            raise Infeasible(
                f"nothing of source {self.name!r} was read in this process",
                "ask after the first batch; where a loader's workers read it, let collate_fn ask there, and return "
                "torch.utils.data.get_worker_info().dataset.report() beside the batch",
            )
        return self._run.composer.report()

    def reader(self, replica: Replica, epoch: int) -> _StreamReader:
        """One replica's samples, for a stream that reads this one."""
        if self._batches:
            raise Infeasible(f"stream {self.name!r} gives batches", "pass batches=False to read samples from it")
        if self._rank is not None:
            raise Infeasible(
                f"stream {self.name!r} is rank {self._rank} of {self._world_size} and another stream reads it",
                "pass rank and world_size to the outermost stream alone, which tells those that it reads",
            )
        return _StreamReader(self, replica, epoch)


class _StreamReader:
    can_fetch = False

    def __init__(self, stream: Stream, replica: Replica, epoch: int) -> None:
        self._stream = stream
        self._replica = replica
        self._epoch = epoch
        self._run: _Run | None = None

    def open(self, position: Any) -> Iterator[Any]:
        self._run = _Run(self._stream._recipe, self._replica, self._epoch, position, self._stream._state_bytes)
        self._stream._run = self._run
        return self._stream._samples_of(self._run)

    def position(self, taken: int) -> Any:
        return None if self._run is None else self._run.state()

    def fetch(self, ordinals: Sequence[int]) -> list[Any]:
        raise NotImplementedError
