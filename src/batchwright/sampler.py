"""The only stateful thing: which micro-batches this rank takes, and how far the run has come."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch.distributed
import torch.utils.data

from .distributed import ranks
from .errors import Infeasible, check_integer, shown, typed, warn
from .interface import BasePlan
from .lists import Lists, for_a_node
from .micro_batches import AS_IT_WAS
from .position import Position

if TYPE_CHECKING:
    from .audit import Audit

__all__ = ["BatchSampler", "Fetch"]

Fetch = Literal["micro", "step"] | int

_VERSION = 2
_LONGEST_SHOWN = 32


class BatchSampler(torch.utils.data.BatchSampler):
    """A batch sampler that takes every `world_size`-th micro-batch of a plan, and knows where it is.

    Epochs advance by themselves: an iterator begins at its first `next`, with the epoch after the one that was last drawn
    from, wherever that was broken off. `set_epoch`, `seek` and `load_state_dict` say otherwise, up to that first `next`.
    The base class's constructor is not called and there are no attributes `batch_size` and `drop_last`: trainers that find
    them rebuild the sampler.

    Args:
        plan: what is in every micro-batch.
        rank: this process's number, 0 to world_size - 1; looked up in `torch.distributed` at every use if left out.
        world_size: how many processes there are; as `rank`.
        accumulate: micro-batches a rank runs for one optimizer step. Epochs are a multiple of world_size * accumulate long.
        fetch: micro-batches in one yielded list: "micro" (1), "step" (`accumulate`), or a number of them, as loaders for
            pipelined accelerators take it. Epochs are a multiple of it too.
        sampler: a `DistributedSampler` whose rank and size are taken where `rank` and `world_size` are left out.

    Raises:
        Infeasible: a rank outside the world, an accumulation or fetch below 1, one of rank and world_size without the other.

    Example:
        >>> import batchwright as bw
        >>> sampler = bw.shuffled(6, batch_size=2).sampler(rank=1, world_size=3)
        >>> [len(batch) for batch in sampler]
        [2]
    """

    def __init__(
        self,
        plan: BasePlan,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        accumulate: int = 1,
        fetch: Fetch = "micro",
        sampler: Any = None,
    ) -> None:
        if rank is None and world_size is None and isinstance(sampler, torch.utils.data.DistributedSampler):
            rank, world_size = sampler.rank, sampler.num_replicas
        rank = rank if rank is None else check_integer(rank, "rank")
        world_size = world_size if world_size is None else check_integer(world_size, "world_size")
        accumulate = check_integer(accumulate, "accumulate", least=1)
        if (rank is None) != (world_size is None):
            raise Infeasible(f"rank is {rank} and world_size is {world_size}", "pass both or neither")
        if world_size is not None and world_size < 1:
            raise Infeasible(
                f"world_size is {world_size}, the least is 1", "pass world_size=1 or more, how many processes there are"
            )
        if world_size is not None and rank is not None and not 0 <= rank < world_size:
            raise Infeasible(
                f"rank {rank} is outside a world of {world_size}", f"pass a rank from 0 to {world_size - 1}"
            )
        self.plan = plan
        self.accumulate = accumulate
        self.fetch = _micro_batches(fetch, accumulate)
        self._given = None if rank is None or world_size is None else (rank, world_size)
        self._at = Position.started(plan, 0, 1)  # after the last list that was handed out, or where a state said
        self._drawn = False  # whether an iterator has drawn from the epoch of `_at`: then the epoch after is next
        self._asked: tuple[int, int] | None = None  # the epoch and step that the next iterator is to begin at
        self._ended = False  # whether an epoch was drawn to its end, and nothing else was asked for since
        self._begun = self._at  # where the iterator began that handed out the last list

    @property
    def rank(self) -> int:
        """This process's number."""
        return self._ranks()[0]

    @property
    def world_size(self) -> int:
        """How many processes share the plan."""
        return self._ranks()[1]

    @property
    def sampler(self) -> BatchSampler:  # type: ignore[override]  # the base class has an attribute; trainers only read it
        """Itself: trainers forward `set_epoch` to a batch sampler's `.sampler`."""
        return self

    @property
    def epoch(self) -> int:
        """The epoch that the next iterator yields from."""
        if self._asked is None:
            return self._at.epoch + self._drawn
        epoch, step = self._asked
        return epoch + (step == len(self))

    @property
    def step(self) -> int:
        """How many of this rank's lists of that epoch it leaves out, since they came before."""
        return self._next().consumed // self._stride

    @property
    def epochs_given(self) -> float:
        """How many epochs of the plan (or of the order that it cuts) all ranks were given so far, with parts of one."""
        here = self._here()
        return here.batches.epochs_before(here.batch)

    def __len__(self) -> int:
        """Lists an epoch gives this rank: the same for all ranks and epochs."""
        return self.plan.epoch_length(self._multiple) // self._stride

    def __iter__(self) -> Lists:
        """This rank's lists of the next epoch, or of what is left of one after `load_state_dict` or `seek`.

        Which epoch that is, is decided at the first `next`, as in torch's own batch samplers: trainers call `set_epoch` and
        `load_state_dict` between.
        """
        return Lists(self._yield_lists, ended=self._ended and for_a_node())

    def set_epoch(self, epoch: int) -> None:
        """Let the next iterator begin this epoch; the epoch that is next anyway keeps its position."""
        epoch = check_integer(epoch, "epoch", least=0)
        if epoch != self.epoch or (self._drawn and self._asked is None):
            self._asked = epoch, 0
        self._ended = False

    def seek(self, step: int, *, epoch: int | None = None) -> None:
        """Let the next iterator begin after `step` of this rank's lists of an epoch (the next one if left out).

        A trainer's own step count is the position: a loader with workers has drawn ahead of what was consumed.

        Raises:
            Infeasible: the epoch has fewer steps.
        """
        step, epoch = (
            check_integer(step, "step"),
            check_integer(self.epoch if epoch is None else epoch, "epoch", least=0),
        )
        self._place(step, epoch)
        self._asked, self._ended = (epoch, step), False

    def state_at(self, step: int, *, epoch: int | None = None) -> dict[str, Any]:
        """The state after `step` of this rank's lists of an epoch (the one being yielded if left out)."""
        return self._state(self._place(step, self._here().epoch if epoch is None else epoch))

    def all_ranks(self, step: int, *, epoch: int | None = None) -> list[np.ndarray]:
        """What all ranks together take for their list number `step` of an epoch, from the plan: int64 arrays, in order."""
        first = self._place(step, self._here().epoch if epoch is None else epoch)
        return [first.micro_batches[first.consumed + i] for i in range(self._stride)]

    def begun_at(self, epoch: int) -> int:
        """The first of this rank's lists of an epoch that it was handed: 0, but in the epoch that it was resumed in."""
        return self._fitted(self._begun).consumed // self._stride if epoch == self._begun.epoch else 0

    def state_dict(self) -> dict[str, Any]:
        """Where the run is, after the last list that was handed out: a fresh dict of JSON types.

        It says nothing of ranks: load it on every rank, of any number of them.
        """
        state = self._state(self._here())
        return {**state, "ended": True} if self._ended else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iterator go on from a state; {} changes nothing.

        Raises:
            Infeasible: the state is of another plan or version, holds what no state holds, or its epoch cannot be gone on
                with in this world, on any rank; the sampler is as it was then.
        """
        if not isinstance(state, Mapping):
            raise Infeasible(f"the state is {typed(state)}", "load what state_dict() gave")
        if not state:
            return
        self._check_source(state)
        position, ended = Position.of(self.plan, state), state.get("ended", False)
        if not isinstance(ended, bool):
            raise Infeasible(f"the state's ended is {shown(ended)}, neither True nor False", AS_IT_WAS)
        rolled = position.rolled()
        self._fitted(rolled).check()
        # all of it was found right: only now does anything change
        self.plan = self.plan.as_of(position.batches)
        self._at, self._drawn, self._asked, self._ended = rolled, False, None, ended

    def audit(self, *, epochs: int = 1, first: int = 0) -> Audit:
        """Measure what this rank is handed, without asking the others; see `batchwright.audit.audit_rank`."""
        from .audit import audit_rank

        return audit_rank(self, epochs=epochs, first=first)

    def retarget(self, shares: Any) -> int:
        """Give the groups other shares from the next round of micro-batches on; every rank must, at the same step.

        What was handed out stays as it was, coverage goes on (no sample is skipped or repeated for it), and the state
        carries the new shares: a run that is resumed goes on with them. Shares set again before the round begins replace
        them.

        Args:
            shares: by label, by the name of a target ("uniform", ...), or in the order of `plan.groups.names`; summing to 1.

        Returns:
            The first micro-batch, counted over all epochs and ranks, that has them.

        Raises:
            Infeasible: the plan was not built with `targets.moving`, or a share is outside its limits.
        """
        here = self._here()
        self.plan, first = self.plan.retargeted(here.batch, shares)
        self._at = replace(self._at, batches=self.plan)
        return first

    def _check_source(self, state: Mapping[str, Any]) -> None:
        """Refuse a state of another version or plan."""
        version, fingerprint = state.get("version"), state.get("fingerprint")
        if type(version) is not int or version != _VERSION:
            raise Infeasible(
                f"the state has version {shown(version)}, this is version {_VERSION}",
                "load it with the version of batchwright that saved it",
            )
        if fingerprint is None:
            raise Infeasible("the state has no 'fingerprint'", "load what state_dict() gave")
        if not isinstance(fingerprint, str) or fingerprint != self.plan.fingerprint:
            given = fingerprint[:_LONGEST_SHOWN] if isinstance(fingerprint, str) else shown(fingerprint)
            raise Infeasible(
                f"the state is of plan {given}, this is plan {self.plan.fingerprint}",
                "build the plan with the arguments, labels and seed it had",
            )

    def _yield_lists(self, lists: Lists) -> Iterator[list[int]]:
        plan, start = self.plan, self._next()
        start.check()  # before any rank has drawn: a world may have begun since the state was loaded
        cost = start.batches.uneven(start.batch, start.multiple)
        if cost is not None:
            warn(cost)
        rank, world_size = self._ranks()
        consumed, length, begun = start.consumed, start.length, False
        micro_batches = start.micro_batches.lists(consumed + rank, world_size)
        while True:
            if self.plan is not plan:  # the shares were set: nothing of the old plan beyond here is used
                plan, start = self.plan, replace(start, batches=self.plan)
                micro_batches = start.micro_batches.lists(consumed + rank, world_size)
            fetched = next(micro_batches, None)
            if fetched is None:
                return
            if begun and (self._asked is not None or not self._drawn):
                self._refuse_other_place(start.epoch, consumed)
            begun = True
            if self.fetch > 1:
                fetched = [*fetched, *chain.from_iterable(islice(micro_batches, self.fetch - 1))]
            consumed += world_size * self.fetch
            self._begun = start
            self._at, self._drawn, self._asked = start.after(consumed), True, None
            self._ended = lists.ended = consumed >= length
            yield fetched

    def _refuse_other_place(self, epoch: int, consumed: int) -> None:
        """Refuse to go on with an iterator where another place was asked for and no iterator was begun since."""
        there = self._next()
        # trainers name the epoch again whose lists their workers have begun to draw
        if (there.epoch, there.consumed) not in ((epoch, 0), (epoch, consumed)):
            raise Infeasible(
                f"list {there.consumed // self._stride} of epoch {there.epoch} was asked for, an iterator that had begun "
                f"before goes on with list {consumed // self._stride} of epoch {epoch}",
                "call set_epoch, seek or load_state_dict before iter(loader): workers draw as soon as that is called",
            )

    @property
    def _stride(self) -> int:
        """Micro-batches that all ranks together take for one list each."""
        return self.world_size * self.fetch

    @property
    def _multiple(self) -> int:
        """What an epoch's length must be a multiple of."""
        return self.world_size * math.lcm(self.accumulate, self.fetch)

    def _here(self) -> Position:
        """Where the run is: at what was asked for, else after the last list that was handed out."""
        return self._fitted(self._at) if self._asked is None else self._next()

    def _next(self) -> Position:
        """Where the next iterator begins."""
        if self._asked is not None:
            epoch, step = self._asked
            return self._place(step, epoch).rolled()
        here = self._fitted(self._at)
        return here.moved(here.epoch + 1) if self._drawn else here

    def _place(self, step: int, epoch: int) -> Position:
        """After `step` of this rank's lists of an epoch of this run."""
        step, epoch = check_integer(step, "step"), check_integer(epoch, "epoch", least=0)
        if not 0 <= step <= len(self):
            raise Infeasible(f"step {step} of an epoch of {len(self)} steps", f"pass 0 to {len(self)}")
        here = self._fitted(self._at)
        begun = here.after(0) if epoch == here.epoch else here.moved(epoch)
        place = begun.after(step * self._stride)
        early = place.batches.first - begun.batch
        if place.batch < place.batches.first:  # the run went on in another world: some of the epoch came in that
            if step:
                raise Infeasible(
                    f"step {step} of epoch {epoch} came before the run went on in another world",
                    f"pass 0, to begin the epoch anew, or {-(-early // self._stride)} to {len(self)}",
                )
            return Position.started(self.plan, epoch, self._multiple)
        place.check()
        return place

    def _fitted(self, position: Position) -> Position:
        """A position in the terms of the world as it is now."""
        left = position.length - position.consumed
        if position.multiple == self._multiple and left % self._stride:  # fewer ranks stood in the middle of a step
            position = position.refitted(1)
        return position.refitted(self._multiple)

    def _state(self, position: Position) -> dict[str, Any]:
        return {"version": _VERSION, "fingerprint": self.plan.fingerprint, **position.rolled().as_state()}

    def _ranks(self) -> tuple[int, int]:
        if self._given is not None:
            return self._given
        return ranks()

    def __repr__(self) -> str:
        rank, world_size = self._ranks()
        return f"<rank {rank} of {world_size} of {self.plan!r}>"


def _micro_batches(fetch: Fetch, accumulate: int) -> int:
    if isinstance(fetch, str) and fetch in ("micro", "step"):
        return 1 if fetch == "micro" else accumulate
    try:
        return check_integer(fetch, "fetch", least=1)
    except Infeasible:
        raise Infeasible(
            f"fetch is {shown(fetch)}", 'pass "micro", "step", or a number of micro-batches, 1 or more'
        ) from None
