"""How far the run of a sampler has come, and where its next iterator begins."""

from __future__ import annotations

from typing import NamedTuple

from ..base_plan import BasePlan
from ..errors import Infeasible, check_integer
from ..position import Position

__all__ = ["PresentRun", "RunState"]


class RunState(NamedTuple):
    """How far a run has come, and where its next iterator begins.

    The next iterator begins at `requested`, if that is set. Otherwise it begins with the next epoch if `batch_returned`,
    and where the run is if not: a loop that is broken off and begun again takes the next epoch, but a state that was
    loaded is continued.

    Attributes:
        start: where the iterator of the last batch began; or the position in a state that was loaded later; None
            before the first batch of a new run.
        consumed: how many micro-batches of that epoch all ranks together have received.
        batch_returned: whether a batch was returned; False at the start and after a state was loaded.
        requested: the epoch and the number of batches that `set_epoch` or `seek` set later; None if neither was called.
        ended: whether the last batch was the last of its epoch, or the state says so, and `requested` was not set later.
    """

    start: Position | None = None
    consumed: int = 0
    batch_returned: bool = False
    requested: tuple[int, int] | None = None
    ended: bool = False

    @classmethod
    def after_batch(cls, start: Position | None, consumed: int, *, ended: bool) -> RunState:
        """The run after a batch of a loop that began at `start`."""
        # Without the function of a `NamedTuple` in between: this is called for every batch.
        return tuple.__new__(cls, (start, consumed, True, None, ended))

    def with_shares_of(self, plan: BasePlan) -> RunState:
        """The same run, with the shares of groups that were set in `plan`."""
        return self if self.start is None else self._replace(start=self.start.with_shares_of(plan))

    @property
    def next_epoch(self) -> int:
        """The epoch that the next iterator takes, if `requested` is not set."""
        return (0 if self.start is None else self.start.epoch) + self.batch_returned


class PresentRun(NamedTuple):
    """A run on the ranks that there are now: positions of a `RunState` in steps of the present size.

    Attributes:
        state: how far the run has come.
        plan: the plan.
        step_size: the length of an epoch is a multiple of this number of micro-batches.
        fetched_by_all: micro-batches that all ranks together take for one batch each.
    """

    state: RunState
    plan: BasePlan
    step_size: int
    fetched_by_all: int

    @property
    def batches_of_rank(self) -> int:
        """The batches of each rank in an epoch."""
        return self.plan.epoch_length(self.step_size) // self.fetched_by_all

    def position(self) -> Position:
        """The position after the last batch that was returned; or the one in a state that was loaded later."""
        start = self.state.start
        if start is None:
            return Position.start_of_epoch(self.plan, 0, self.step_size)
        return self.in_present_steps(start.after(self.state.consumed))

    def next_start(self) -> Position:
        """Where the next iterator begins."""
        if self.state.requested is not None:
            epoch, batches = self.state.requested
            return self.after(batches, epoch).or_next_epoch()
        here = self.position()
        return here.in_epoch(here.epoch + 1) if self.state.batch_returned else here

    def after(self, batches: int, epoch: int | None = None) -> Position:
        """The position after the first `batches` of a rank's batches of an epoch.

        Args:
            batches: how many.
            epoch: the epoch, from 0; if left out, the one that the run is in.

        Raises:
            Infeasible: an epoch has fewer batches, or the position is before a change of the world size.
        """
        if epoch is None:
            epoch = (self.position() if self.state.requested is None else self.next_start()).epoch
        batches, epoch = check_integer(batches, "batches"), check_integer(epoch, "epoch", least=0)
        count = self.batches_of_rank
        if not 0 <= batches <= count:
            raise Infeasible(f"batch {batches} of an epoch of {count} batches", f"pass 0 to {count}")
        here = self.position()
        start = here.after(0) if epoch == here.epoch else here.in_epoch(epoch)
        position = start.after(batches * self.fetched_by_all)
        first = position.sequence.first
        if position.micro_batch < first:  # the world size changed within the epoch, so only its start is left
            if batches:
                least = -(-(first - start.micro_batch) // self.fetched_by_all)
                raise Infeasible(
                    f"batch {batches} of epoch {epoch} came before the run went on in another world",
                    f"pass 0 to begin the epoch again, or {least} to {count}",
                )
            return Position.start_of_epoch(self.plan, epoch, self.step_size)
        position.check()
        return position

    def in_present_steps(self, position: Position) -> Position:
        """The same position in steps of the present size."""
        if position.step_size == self.step_size:
            # What is left of the epoch must be whole batches of all present ranks. The old run had steps of the same size,
            # but may have had fewer ranks that accumulated more: then it can have stopped inside such a batch.
            if (position.epoch_length - position.consumed) % self.fetched_by_all == 0:
                return position
            position = position.with_step_size(1)  # so that the next line rounds up what is left
        return position.with_step_size(self.step_size)
