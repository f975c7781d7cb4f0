"""The batch sampler: which micro-batches this rank takes, and how far the run has come. Only this part has a state."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch.distributed
import torch.utils.data

from ..base_plan import BasePlan
from ..distributed import Over
from ..errors import Infeasible, check_integer, shown, typed, warn
from ..micro_batches import AS_IT_WAS
from ..position import Position
from ..public import internal, public
from ..told_accumulation import Accumulation
from .batches_of_run import BatchesOfRun
from .data_parallel_rank import DataParallelRank, Fetch, micro_batches_fetched
from .divided import refuse_to_be_divided
from .epoch_iterator import BatchQueue, EpochIterator, ReadAhead, for_a_node
from .given_out import left_out_in
from .known_batches import KnownBatches
from .looks import Looks
from .moved import Moved
from .run_state import RunState
from .state_checks import VERSION, bounded_identity, check_same_place, check_state_of

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from ..audit import Audit

__all__ = ["BatchSampler", "Fetch"]

Answer = TypeVar("Answer")

# What was warned of, by plan: one process may run the samplers of all ranks, which would all say the same.
_WARNED: weakref.WeakKeyDictionary[BasePlan, set[str]] = weakref.WeakKeyDictionary()


@public
class BatchSampler(BatchesOfRun, torch.utils.data.BatchSampler, torch.utils.data.SequentialSampler):
    """A batch sampler that takes every `world_size`-th micro-batch of a plan, and can save and resume its position.

    Each iterator takes the next epoch, even if the last was not finished. `set_epoch`, `seek` and `load_state_dict` change
    that if called before its first `next`. The base class's constructor is not called, and there are no attributes
    `batch_size` and `drop_last`: trainers that find them rebuild the sampler. Samplers that are no `SequentialSampler` are
    taken for shuffling ones, and are replaced where Lightning is to overfit.

    Attributes:
        copies: processes that take the same micro-batches, above 1 only with a mesh of more than data-parallel dimensions.
        follows_group: whether rank and world size come from the process group or a mesh.
        of_mesh: whether they come from a mesh.
        trainer: what the trainer of a loop over its loader was told of accumulation; None until that was seen.
        looks: whether the latest loop of its loader only looked at a batch.
        shares_from: the first micro-batch that may be another since `retarget` set shares; None if it set none in this
            process.

    Args:
        plan: the plan whose micro-batches are taken.
        rank: this process's number, 0 to world_size - 1; read from `torch.distributed` at every use if left out.
        world_size: how many processes there are; read in the same way if left out.
        accumulate: micro-batches a rank runs for one optimizer step. Epochs are a multiple of world_size * accumulate
            long.
        fetch: micro-batches in one yielded batch: "micro" (1), "step" (`accumulate`), or a number, as loaders for
            pipelined accelerators need it. The length of an epoch is a multiple of it too.
        mesh: a device mesh, in place of `rank` and `world_size`: for models that are split over processes too.
        dims: names of its data-parallel dimensions, outermost first; may be left out if it has one dimension.
        sampler: a `DistributedSampler`, whose rank and world size are used if `rank` and `world_size` are left out.

    Raises:
        Infeasible: a rank outside the world, an accumulation or fetch below 1, one of rank and world_size without the
            other.

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
        mesh: DeviceMesh | None = None,
        dims: Sequence[str] | None = None,
        sampler: Any = None,
    ) -> None:
        if not isinstance(plan, BasePlan):
            raise Infeasible(f"plan is {typed(plan)}", "pass a plan, such as bw.shuffled(1000, batch_size=10)")
        own = DataParallelRank.of(rank, world_size, mesh, dims, sampler)
        accumulate = check_integer(accumulate, "accumulate", least=1)
        self.plan = plan
        self.accumulate = accumulate
        self.fetch = micro_batches_fetched(fetch, accumulate)
        self.copies, self.follows_group, self._fixed_ranks = own.copies, own.follows_group, own.fixed_ranks
        self.of_mesh, self._groups = own.groups is not None, own.groups
        self.looks = Looks()
        self._run = RunState()
        self._queue = None
        self._known = KnownBatches()
        self._left_out = ()
        self._following: Position | None = None  # where an epoch begins, if that before it was whole
        self.shares_from = None
        self._read_ahead: ReadAhead | None = None
        self.trainer: Accumulation | None = None

    @property
    def over(self) -> Over:
        """The processes to sum over, where each rank counts once: all of them without a mesh.

        Raises:
            Infeasible: the sampler was made with a mesh in another process.
        """
        if self.of_mesh and self._groups is None:
            raise Infeasible(
                "the sampler is a copy, and the groups of its device mesh were not copied",
                "pass the sampler that was made with mesh= in this process",
            )
        return self._groups

    @property
    def sampler(self) -> BatchSampler:  # type: ignore[override]  # the base class has an attribute; trainers only read it
        """Itself: trainers forward `set_epoch` to a batch sampler's `.sampler`."""
        return self

    def __iter__(self) -> EpochIterator:  # type: ignore[override]  # of batches, as torch's own batch sampler
        """Iterate over this rank's batches of the next epoch, or the rest of an epoch after `load_state_dict` or `seek`.

        The iterator picks its epoch at its first `next`, as those of torch's own batch samplers do: trainers call
        `set_epoch` and `load_state_dict` between `iter` and `next`.
        """
        return EpochIterator(self, ended=for_a_node() and self.run.ended)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iterator start at this epoch; if it is the next one anyway, its `batches_done` does not change.

        Trainers call `set_epoch` at the start of every epoch, also right after a resume within one. That must not undo
        it.
        """
        epoch = check_integer(epoch, "epoch", least=0)
        asked = self.run.requested
        if epoch != self.epoch or (self.run.batch_returned and asked is None):
            asked = epoch, 0
        self.run = self.run._replace(requested=asked, ended=False)

    def seek(self, batches: int, *, epoch: int | None = None) -> None:
        """Let the next iterator leave out the first `batches` of this rank's batches of an epoch (the next one if left out).

        Pass the number of batches that the trainer has used: a loader with workers has read more than that.

        Raises:
            Infeasible: the epoch has fewer batches, or the batch came before a change of the world size.
        """
        batches = check_integer(batches, "batches")
        if epoch is None:
            epoch = self._next_epoch(self.looks.run_if_taken_back(self.run))
        epoch = check_integer(epoch, "epoch", least=0)
        self._present().after(batches, epoch)
        self.run = self.run._replace(requested=(epoch, batches), ended=False)

    def state_at(self, batches: int, *, epoch: int | None = None) -> dict[str, Any]:
        """The state after the first `batches` of this rank's batches of an epoch (the present one if left out)."""
        return self._state(self._present().after(batches, epoch))

    def state_dict(self) -> dict[str, Any]:
        """The state after the last batch that was yielded: a new dictionary of JSON types.

        It is the same on all ranks. Load it on every rank; their number may change.

        Warns:
            PoorWarning: workers of a `DataLoader` have read batches that did not reach the training loop yet.
        """
        self._warn_if_read_ahead(
            "this state counts them as done; make the loader with plan.loader(dataset), or save sampler.state_at(batches), "
            "the number of batches of this epoch that were trained"
        )
        state = self._state(self.position())
        return {**state, "ended": True} if self.run.ended else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iterator resume from a state; {} changes nothing.

        Raises:
            Infeasible: the state is of another plan or version, is damaged, or its epoch cannot continue with this
                world size. All ranks refuse it alike, and the sampler does not change.
        """
        if not isinstance(state, Mapping):
            raise Infeasible(f"the state is {typed(state)}", "load what state_dict() gave")
        if not state:
            return
        check_state_of(self.plan, state)
        position, ended = Position.from_state(self.plan, state), state.get("ended", False)
        if not isinstance(ended, bool):
            raise Infeasible(f"the state's ended is {shown(ended)}, neither True nor False", AS_IT_WAS)
        position = position.or_next_epoch()
        here = self._present().in_present_steps(position)
        here.check()
        left_out = left_out_in(state)
        # Nothing changes before all of the state has been checked.
        self.plan = self.plan.with_shares_of(position.sequence)
        self.run = RunState(position, position.consumed, ended=ended)
        self._known, self._left_out = KnownBatches(here, self.fetched_by_all), left_out
        self.shares_from = self._read_ahead = None

    def retarget(self, shares: Any, *, in_samples: bool = False) -> int:
        """Set the shares of groups from the next round of micro-batches on. Call it on every rank, at the same step.

        The next round is the one after the batches that the loop was given; after a look (see `Loader`), the one after the
        batches before the look. What workers of a plan's loader have read of it
        is read again, so neither the batches nor the returned number depend on how many workers each rank has. No sample is
        skipped or repeated. The state holds the new shares, so a resumed run uses them too. If shares are set again before
        the round begins, the later ones are used.

        Args:
            shares: by label, by the name of a target ("uniform", ...), or in the order of `plan.groups.names`; summing
                to 1. If the plan was built with `moving(in_units(...))`, they are shares of that unit, such as tokens.
            in_samples: whether they are shares of samples also then.

        Returns:
            The first micro-batch, counted over all epochs and ranks, that has them. A round has 89 micro-batches: 89 steps
            of one rank, or 3 of 8 ranks that accumulate 4. `new_shares_in` counts it in batches of this rank.

        Raises:
            Infeasible: the plan was not built with `targets.moving`, or a share is outside its limits.

        Warns:
            PoorWarning: workers of a plain `DataLoader` have read batches that did not reach the training loop yet.
        """
        self._warn_if_read_ahead(
            "the new shares begin after them, which may be another round on a rank with other workers; make the loader with "
            "plan.loader(dataset)"
        )
        run, looks = self.run, self.looks
        looked, before = looks.looked(run), looks.run_if_taken_back(run)
        if looked and not looks.may_go_on():  # the next loop begins before the look, and has the new shares
            run = before
        here = self._position(run)
        sequence, self.shares_from, first = here.sequence.retargeted(here.micro_batch, shares, in_samples=in_samples)
        self.plan = self.plan.with_shares_of(sequence)
        self.run = run.with_shares_of(self.plan)
        if looked:
            looks.replace(before.with_shares_of(self.plan), self.run)
        if self._known.since is not None:
            self._known = self._known._replace(since=self._known.since.with_shares_of(self.plan))
        return first

    def audit(self, *, epochs: int = 1, first: int = 0) -> Audit:
        """Measure the batches of this rank, without communication; see `batchwright.audit.audit_rank`."""
        from ..audit import audit_rank

        return audit_rank(self, epochs=epochs, first=first)

    def _warn_if_read_ahead(self, so: str) -> None:
        if self._read_ahead is not None and self.run.requested is None:
            self._read_ahead.warn(so)

    @internal
    def next_start(self) -> Position:
        """Where the next iterator begins; a `PoorWarning` says once what other steps or ranks than the plan's cost.

        Raises:
            Infeasible: the run cannot go on there; the world size may have changed since a state was loaded.
        """
        present = self._present()
        start = present.next_start()
        start.check()
        end, ranks = start.origin + start.epoch_length, present.fetched_by_all // self.fetch
        cost = start.sequence.warning_of_run(start.micro_batch, end, start.step_size, ranks)
        if cost is not None and cost not in _WARNED.setdefault(self.plan, set()):
            _WARNED[self.plan].add(cost)
            warn(cost)
        return start

    @internal
    def begin_loop(self, number: int | None) -> Position:
        """Where a loop of a loader begins, of epoch `number` if that was asked for; a look before it is taken back."""
        run, looks = self.run, self.looks
        looked = looks.looked(run)
        if looked:
            self.run = looks.run_if_taken_back(run)
        looks.count(looked, self.epoch, plain=number is None)
        if number is not None and number != self.epoch:
            self.set_epoch(number)
        return self.next_start()

    @internal
    def asked_before_a_look(self, question: Callable[[], Answer]) -> Answer:
        """What `question` returns where the next loop of a loader begins; the position of the run stays."""
        after = self.run
        if not self.looks.looked(after):
            return question()
        self.run = self.looks.run_if_taken_back(after)
        try:
            return question()
        finally:
            self.run = after

    @internal
    def moved_by_loops(self) -> list[Moved]:
        """The objects whose attributes say where the run is; see `sampler_of.unmoved`."""
        return [Moved(self), Moved(self.looks)]

    @internal
    def begin(self, read_ahead: ReadAhead | None) -> tuple[Position, int, int]:
        """Where an iterator begins that is asked for its first batch, perhaps by workers; this rank, and the world size."""
        rank, world_size = self._ranks()
        if world_size > 1:
            refuse_to_be_divided(world_size)
        # After an epoch that ended: what `next_start` finds then, with a quarter of the functions.
        step_size, queue = world_size * math.lcm(self.accumulate, self.fetch), self._queue
        self._following = None if queue is None else queue.following(step_size)
        start = self._following or self.next_start()
        self._read_ahead = read_ahead
        return start, rank, world_size

    @internal
    def advance(self, start: Position, before: int, after: int, *, ended: bool) -> None:
        """Move the run past a batch of an iterator that began at `start`; the last step before the batch reaches the loop.

        Args:
            start: what `next_start` gave.
            before: micro-batches of the epoch that all ranks together had received before this batch.
            after: the same with this batch.
            ended: whether it is the last of the epoch.

        Raises:
            Infeasible: `set_epoch`, `seek` or `load_state_dict` asked for another position since the batch before.
        """
        self.run = RunState.after_batch(self._moved(start, before, after), after, ended=ended)

    @internal
    def follow(self, queue: BatchQueue) -> None:
        """Move the run with the batches that an iterator gives, from the next one on.

        Raises:
            Infeasible: see `advance`.
        """
        last, before = self._queue, queue.consumed
        if queue is last:
            return
        assert queue.start is not None
        queue.start = self._moved(queue.start, before, before + queue.fetched_by_all)
        if last is not None and len(last.filled.waiting) > 1:
            last.stop()
        self._queue = queue

    def _moved(self, start: Position, before: int, after: int) -> Position:
        """The start of the loop that the run moves with, as a state must hold it; see `advance`."""
        if before > start.consumed and (self.run.requested is not None or not self.run.batch_returned):
            check_same_place(self._present().next_start(), start.epoch, before, self.fetched_by_all)
        if start is not self._following and start is not self.run.start:  # the epoch before may have ended early
            self._left_out = self._left_out_at(start.after(before))
        known, fetched_by_all = self._known, after - before
        if known != (None, fetched_by_all) and start is not self.run.start:  # a loop begins, or an older one goes on
            self._known = known.at(start.after(before), fetched_by_all)
        return start if self.shares_from is None else start.with_shares_of(self.plan)

    def _state(self, position: Position) -> dict[str, Any]:
        known = {"version": VERSION, "fingerprint": self.plan.run_fingerprint, "identity": dict(self._identity)}
        left_out = self._left_out_at(position)
        found = known | position.or_next_epoch().as_state()
        return found | {"left_out": [list(entry) for entry in left_out]} if left_out else found

    @cached_property
    def _identity(self) -> dict[str, str]:
        return bounded_identity(self.plan)

    def __getstate__(self) -> dict[str, Any]:
        # iterators and process groups stay here
        return {**vars(self), "_run": self.run, "_queue": None, "_read_ahead": None, "_groups": None}

    def __repr__(self) -> str:
        rank, world_size = self._ranks()
        return f"<rank {rank} of {world_size} of {self.plan!r}>"
