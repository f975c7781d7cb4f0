"""How far a run has come: the arithmetic of epochs, steps and changes of the world size, for all kinds of plans.

A run takes the micro-batches of an endless sequence in order. The plan says how many of them an epoch has; that number is
rounded up to a multiple of world size x accumulate, and the next epoch begins right after it. After a change of the
world size the run continues with the next micro-batch of the sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from .base_plan import BasePlan
from .errors import Infeasible, check_integer, shown
from .micro_batches import AS_IT_WAS, LAST, MicroBatches, Slice, whole_steps

__all__ = ["Position", "PositionNumbers", "number_of"]

_LARGEST = (1 << 63) - 1  # a larger number in a state cannot come from a run, and would overflow in kernels


def number_of(value: Any, called: str) -> int:
    """Check a number in a state; returns it as an int.

    Raises:
        Infeasible: it is not an integer, or has more than 63 bits.
    """
    try:
        number = check_integer(value, called, most=None)
    except Infeasible:
        raise Infeasible(f"{called} is {shown(value)}, not a whole number", AS_IT_WAS) from None
    if abs(number) > _LARGEST:
        raise Infeasible(f"{called} is {shown(number)}, which has more than 63 bits", AS_IT_WAS)
    return number


class PositionNumbers(NamedTuple):
    """The numbers of a position, as a state holds them.

    Attributes:
        epoch: the number of the epoch in the run, from 0.
        consumed: how many micro-batches of the epoch all ranks together have received; see `origin`.
        step_size: world size x accumulate, or a multiple of it where a sampler fetches several micro-batches at once; the
            epoch's length is a multiple of it. It is the run's. A plan by lengths that resumed in another world still gives
            micro-batches in steps of the old size for a while: that size is in the state's `plan`.
        origin: number of the epoch's first micro-batch in the endless sequence. After a change of the world size `consumed`
            is chosen so that the rest of the epoch has the right length: if 56 micro-batches are left and a new epoch has
            92, it becomes 36. `origin` is the number of the next micro-batch less `consumed`, and may be negative.
    """

    epoch: int
    consumed: int
    step_size: int
    origin: int

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> PositionNumbers:
        """Read the numbers of a state.

        Raises:
            Infeasible: a number is missing, not an integer, or too small.
        """
        missing = [name for name in cls._fields if name not in state]
        if missing:
            raise Infeasible(f"the state has no {missing[0]!r}", "load what state_dict() gave")
        epoch, consumed, step_size, origin = (number_of(state[name], f"the state's {name}") for name in cls._fields)
        if epoch < 0 or consumed < 0 or step_size < 1:
            raise Infeasible(
                f"the state's epoch, consumed and step_size are {epoch}, {consumed} and {step_size}", AS_IT_WAS
            )
        return cls(epoch, consumed, step_size, origin)


class Position(NamedTuple):
    """The position of a run in its sequence of micro-batches; the same on all ranks.

    Attributes:
        sequence: the endless sequence of micro-batches of the run.
        epoch: see `PositionNumbers`.
        consumed: see `PositionNumbers`.
        step_size: see `PositionNumbers`.
        origin: see `PositionNumbers`.
    """

    sequence: MicroBatches
    epoch: int
    consumed: int
    step_size: int
    origin: int

    @classmethod
    def start_of_epoch(cls, plan: MicroBatches, epoch: int, step_size: int) -> Position:
        """The start of an epoch in a run whose step size never changed."""
        sequence = plan.stepped(step_size)
        return cls(sequence, epoch, 0, step_size, epoch * whole_steps(sequence.epoch_batches, step_size))

    @classmethod
    def from_state(cls, plan: BasePlan, state: Mapping[str, Any]) -> Position:
        """Read a position from a state; the inverse of `as_state`.

        Raises:
            Infeasible: the state is not one of this plan.
        """
        numbers, plan_state = PositionNumbers.of(state), state.get("plan", {})
        if not isinstance(plan_state, Mapping):
            raise Infeasible(f"the state's plan is {shown(plan_state)}", AS_IT_WAS)
        found = cls(plan.resumed(plan_state, numbers.origin + numbers.consumed), *numbers)
        found.check()
        return found

    def as_state(self) -> dict[str, Any]:
        """The position as a dictionary of JSON types."""
        sequence, micro_batch = self.sequence.without_past(self.micro_batch)
        numbers = PositionNumbers(self.epoch, self.consumed, self.step_size, micro_batch - self.consumed)
        plan_state = sequence.plan_state(micro_batch, micro_batch - self.consumed)
        return numbers._asdict() | ({"plan": plan_state} if plan_state else {})

    @property
    def epoch_length(self) -> int:
        """Micro-batches in every epoch of the run."""
        step_size = self.step_size  # `whole_steps`, written out: this is asked several times where an epoch begins
        return -(-self.sequence.epoch_batches // step_size) * step_size

    @property
    def micro_batch(self) -> int:
        """The number, in the sequence, of the micro-batch that comes next."""
        return self.origin + self.consumed

    def lists(self, rank: int, world_size: int) -> Iterator[list[Any]]:
        """The micro-batches of a rank from here to the end of the epoch, each a fresh list of Python integers."""
        return chain.from_iterable(self.computed_together(rank, world_size, 1))

    def computed_together(self, rank: int, world_size: int, fetch: int) -> Iterator[list[list[Any]]]:
        """The batches of a rank from here to the end of the epoch, of `fetch` micro-batches each, a few at a time."""
        first = self.consumed + rank  # `Slice.lists`, written out: an epoch of a small set often begins
        count = max(0, -(-(self.epoch_length - first) // world_size))
        found = self.sequence.computed_together(self.origin + first, world_size, count)
        return found if fetch == 1 else _joined(found, fetch)

    @property
    def micro_batches(self) -> Slice:
        """The micro-batches of the epoch as a sequence."""
        return Slice(self.sequence, self.origin, self.epoch_length)

    def after(self, consumed: int) -> Position:
        """The position after `consumed` micro-batches of the same epoch."""
        # Called for every batch; `_replace` would take three times as long.
        return Position(self.sequence, self.epoch, consumed, self.step_size, self.origin)

    def in_epoch(self, epoch: int) -> Position:
        """The start of another epoch of the run; epochs between have the present length."""
        origin = self.origin + (epoch - self.epoch) * self.epoch_length
        # The state does not say what came before the first micro-batch of the sequence. So an earlier epoch is taken from
        # a run that always had this step size.
        if origin < self.sequence.first:
            return self.start_of_epoch(self.sequence, epoch, self.step_size)
        sequence, micro_batch = self.sequence.without_past(origin)
        return Position(sequence, epoch, 0, self.step_size, micro_batch)

    def or_next_epoch(self) -> Position:
        """The start of the next epoch if this one has ended, else the same position."""
        return self.in_epoch(self.epoch + 1) if self.consumed >= self.epoch_length else self

    def with_step_size(self, step_size: int) -> Position:
        """The same position in a run that goes on with another step size.

        What is left of the epoch is rounded up to the new step size; the next epoch follows right after it.
        """
        if step_size == self.step_size:
            return self
        left = self.epoch_length - self.consumed
        sequence, micro_batch = self.sequence.with_step_size_from(self.micro_batch, step_size)
        here = Position(sequence, self.epoch, 0, step_size, micro_batch)
        if left and sequence.whole_epochs:
            within = micro_batch % sequence.epoch_batches
            return here._replace(consumed=within, origin=micro_batch - within)
        if self.consumed == 0:
            return here
        # What is left may be longer than a new epoch: then only one epoch's length counts, the next epoch takes the
        # rest.
        consumed = here.epoch_length - min(whole_steps(left, step_size), here.epoch_length)
        return here._replace(consumed=consumed, origin=micro_batch - consumed)

    def with_shares_of(self, plan: BasePlan) -> Position:
        """The same position in a run whose shares are those that were set in `plan`."""
        return self._replace(sequence=self.sequence.with_shares_of(plan))

    def check(self) -> None:
        """Refuse a position that is impossible, or whose epoch ends after the last micro-batch.

        Raises:
            Infeasible: it is such a position; a state is the same on all ranks, so all of them raise or none.
        """
        epoch_length, micro_batch = self.epoch_length, self.origin + self.consumed
        if self.consumed > epoch_length or micro_batch < 0:
            raise Infeasible(
                f"the state has consumed {self.consumed} micro-batches of an epoch of {epoch_length} from "
                f"{shown(self.origin)} on",
                AS_IT_WAS,
            )
        if self.origin + epoch_length > LAST + 1:
            raise Infeasible(
                f"epoch {self.epoch} ends at micro-batch {shown(self.origin + epoch_length)}, the last is {LAST}",
                "ask for an earlier epoch",
            )
        self.sequence.check_batch(micro_batch)


def _joined(found: Iterator[list[list[Any]]], fetch: int) -> Iterator[list[list[Any]]]:
    """Lists of micro-batches of a rank as lists of batches of `fetch` of these each; the last batch may have fewer."""
    rest: list[list[Any]] = []
    for together in found:
        rest += together
        whole = len(rest) - len(rest) % fetch
        if whole:
            yield [list(chain.from_iterable(rest[at : at + fetch])) for at in range(0, whole, fetch)]
            del rest[:whole]
    if rest:
        yield [list(chain.from_iterable(rest))]
