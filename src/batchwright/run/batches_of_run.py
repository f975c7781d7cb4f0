"""A run of a plan on some ranks: how far it has come, and what was in its batches, or will be."""

from __future__ import annotations

import math
from collections.abc import Hashable
from itertools import pairwise

import numpy as np

from ..base_plan import BasePlan
from ..distributed import ranks
from ..errors import Infeasible, check_integer
from ..position import Position
from ..public import internal
from .epoch_iterator import BatchQueue
from .given_out import LeftOut, given_out, left_out_at
from .known_batches import KnownBatches
from .run_state import PresentRun, RunState

__all__ = ["BatchesOfRun"]


class BatchesOfRun:
    """A run of a plan on some ranks, and what was in its batches, or will be; `BatchSampler` adds what moves it.

    Attributes:
        plan: the plan whose micro-batches are taken.
        accumulate: see `BatchSampler`.
        fetch: micro-batches in one batch of a rank.
        shares_from: the first micro-batch that may be another since shares were set.
    """

    plan: BasePlan
    accumulate: int
    fetch: int
    shares_from: int | None
    _fixed_ranks: tuple[int, int] | None
    _run: RunState
    _queue: BatchQueue | None  # of the iterator that has moved the run since `_run` was set
    _known: KnownBatches
    _left_out: tuple[LeftOut, ...]

    @property
    @internal
    def run(self) -> RunState:
        """How far the run has come."""
        return self._run if self._queue is None else self._queue.run

    @run.setter
    def run(self, run: RunState) -> None:
        if self._queue is not None:
            self._queue.stop()
        self._run, self._queue = run, None

    @property
    def rank(self) -> int:
        """This process's number."""
        return self._ranks()[0]

    @property
    def world_size(self) -> int:
        """How many processes share the plan."""
        return self._ranks()[1]

    def __len__(self) -> int:
        """The number of batches of this rank in an epoch: the same for all ranks and epochs."""
        return self._present().batches_of_rank

    @property
    @internal
    def fetched_by_all(self) -> int:
        """Micro-batches that all ranks together take for one batch each."""
        return self._ranks()[1] * self.fetch

    def position(self) -> Position:
        """The position of the run: as set by `set_epoch` or `seek`, else after the last batch that was yielded."""
        return self._position(self.run)

    def _position(self, run: RunState) -> Position:
        present = self._present(run)
        return present.position() if run.requested is None else present.next_start()

    def _present(self, run: RunState | None = None) -> PresentRun:
        """The run on the ranks that there are now."""
        world_size, fetch = self._ranks()[1], self.fetch
        # A whole number both of steps and of batches: `lcm` differs from `accumulate` only with `fetch` of several.
        return PresentRun(
            self.run if run is None else run,
            self.plan,
            world_size * math.lcm(self.accumulate, fetch),
            world_size * fetch,
        )

    def _ranks(self) -> tuple[int, int]:
        if self._fixed_ranks is not None:
            return self._fixed_ranks
        return ranks()

    @property
    def epoch(self) -> int:
        """The epoch that the next iterator takes."""
        return self._next_epoch(self.run)

    def _next_epoch(self, run: RunState) -> int:
        if run.requested is None:
            return run.next_epoch
        epoch, batches = run.requested
        return epoch + (batches == len(self))  # the end of an epoch means the start of the next

    @property
    def batches_done(self) -> int:
        """The batches of this rank in epoch `epoch` that count as done, in batches of the present world.

        They were returned, or `seek` passed over them. The next iterator begins behind them.
        """
        return self._present().next_start().consumed // self.fetched_by_all

    @property
    def epochs_done(self) -> float:
        """The epochs of the plan (with `order=`, of the order) that all ranks together have come through, with a fraction.

        Epochs that ended early, by `break` or by a limit of the trainer, count as whole.
        """
        here = self.position()
        return here.sequence.epochs_before(here.micro_batch)

    @property
    def new_shares_in(self) -> int | None:
        """The batches of this rank until the shares begin that `retarget` set last; None if they have, or none were set.

        A run that was resumed, on any number of ranks, counts the shares that were set before too.
        """
        here = self.position()
        first = here.sequence.new_shares_at(here.micro_batch)
        return None if first <= here.micro_batch else -(-(first - here.micro_batch) // self.fetched_by_all)

    @property
    def passes_done(self) -> dict[Hashable, float]:
        """How often all ranks together have passed through each source, group or task, by its name.

        2.5 passes of a source mean that each of its samples came two or three times. What was left out of epochs that ended
        early does not count. The number is computed from the plan,
        so it costs the same anywhere in a run. It is exact where shares are dealt, as in `balanced` and `mixed`. For a plan
        by lengths with `order=` it counts what was taken of the order, give or take a window. Elsewhere it is an
        expectation: within an epoch of other plans by lengths and of evaluations, and at any place for tasks, random draws
        and plans with `local=`. If every sample is its own group, the only name is "all".

        Example:
            >>> import batchwright as bw
            >>> plan = bw.mixed({"web": 90, "code": 10}, 10, target={"web": 0.5, "code": 0.5})
            >>> sampler = plan.sampler(rank=0, world_size=1)
            >>> sampler.seek(9)
            >>> sampler.passes_done
            {'web': 0.5, 'code': 4.5}
        """
        here, plan = self.position(), self.plan.order_plan
        drawn = plan.drawn_before(here.sequence.epochs_before(here.micro_batch) * plan.epoch_batches)
        for (_, ended), (begun, _) in pairwise([*self.given_out(), (self._place(here), 0)]):
            if begun > ended:
                epochs = plan.epoch_batches / self.plan.epoch_length()
                drawn = drawn - (plan.drawn_before(begun * epochs) - plan.drawn_before(ended * epochs))
        groups = plan.groups
        if not groups.starts.size:
            return {"all": float(drawn.sum() / groups.group_count)}
        passes = np.divide(drawn, groups.sizes, out=np.zeros(drawn.size), where=groups.sizes > 0)
        return dict(zip(groups.names, passes.tolist(), strict=True))

    @internal
    def given_out(self) -> list[tuple[int, int]]:
        """The micro-batches that the run has given out so far, as ranges; the plan counts them in steps of 1."""
        here = self.position()
        return list(given_out(self._left_out_at(here), self._place(here)))

    def _place(self, position: Position) -> int:
        """The micro-batch at a position, as the plan counts them in steps of 1, whatever the steps of the run were."""
        return round(position.sequence.epochs_before(position.micro_batch) * self.plan.epoch_length())

    def _left_out_at(self, position: Position) -> tuple[LeftOut, ...]:
        """What the run has left out if it goes on at this position."""
        if self.run.start is None:  # a place that is asked for first is where an earlier run stopped
            return ()
        here = self._present().position()
        if position.micro_batch == here.micro_batch and not self._left_out and position.sequence is here.sequence:
            return ()
        return left_out_at(self._left_out, self._place(here), self._place(position))

    def all_ranks(self, number: int, *, epoch: int | None = None) -> list[np.ndarray]:
        """The micro-batches of batch `number` of all ranks in an epoch: int64 arrays, in order.

        It is what the run gives, or gave, there, also after a change of the number of ranks. `loader.at` shows it with
        groups. The epoch is the present one if left out.

        Raises:
            Infeasible: the epoch has fewer batches, or the batch came before the run was resumed.
        """
        first = self.before(number, epoch=epoch)
        return [first.sequence[first.micro_batch + place] for place in range(self.fetched_by_all)]

    @internal
    def before(self, number: int, *, epoch: int | None = None) -> Position:
        """The position before batch `number` of an epoch of this run; see `KnownBatches.before`."""
        here, present = self.position(), self._present()
        number, epoch = check_integer(number, "number"), here.epoch if epoch is None else epoch
        start = Position.start_of_epoch(self.plan, 0, present.step_size)
        return self._known.at(here, self.fetched_by_all).before(number, check_integer(epoch, "epoch", least=0), start)

    def real(self, number: int, *, epoch: int | None = None) -> int:
        """How many samples count in batch `number` of this rank in an epoch (the current one if left out).

        Plans for evaluation (`batchwright.evaluation`) may fill up batches of the last step with samples that do not count:
        they keep a rank busy and must be left out of metrics. They come last in a batch. In all other plans, every sample
        counts.

        Raises:
            Infeasible: the epoch has fewer batches, or the batch is before a change of the world size.

        Example:
            >>> import batchwright as bw
            >>> sampler = bw.evaluation(5, batch_size=4).sampler(rank=1, world_size=2)
            >>> list(sampler), sampler.real(0)
            ([[3, 4, 4]], 2)
        """
        return self._real(number, epoch, range(self.rank, self.fetched_by_all, self.world_size))

    def real_of_all(self, number: int, *, epoch: int | None = None) -> int:
        """How many samples count in batch `number` of all ranks together; see `real`."""
        return self._real(number, epoch, range(self.fetched_by_all))

    def _real(self, number: int, epoch: int | None, places: range) -> int:
        """How many samples count in these places of the micro-batches of batch `number` of all ranks."""
        if check_integer(number, "number", least=0) >= len(self):
            raise Infeasible(f"batch {number} of an epoch of {len(self)} batches", f"pass 0 to {len(self) - 1}")
        first = self._present().after(number, epoch)
        return sum(first.micro_batches.real(first.consumed + place) for place in places)

    def started_at(self, epoch: int) -> int:
        """The batch of the epoch at which this rank started: 0 except after a resume or `seek`."""
        start = self.run.start
        if start is None or start.epoch != epoch:
            return 0
        return self._present().in_present_steps(start).consumed // self.fetched_by_all
