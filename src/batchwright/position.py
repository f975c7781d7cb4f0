"""How far a run has come: the arithmetic of epochs, steps and changes of the world size, for all kinds of plans.

A run takes the micro-batches of an endless list in order. The plan says how many of them an epoch has; that number is
rounded up to a multiple of world size x accumulate, and the next epoch begins right after it. After a change of the
world size the run continues with the next micro-batch of the list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .errors import Infeasible, check_integer, shown
from .interface import BasePlan, rounded
from .micro_batches import AS_IT_WAS, LAST, MicroBatches, Stretch

__all__ = ["Numbers", "Position", "RunState", "number_of"]

_LARGEST = (1 << 63) - 1  # a larger number in a state cannot come from a run, and would overflow in kernels
_HEX = re.compile("0x[0-9a-f]+")


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


class Numbers(NamedTuple):
    """The numbers of a position, as a state holds them.

    Attributes:
        epoch: the number of the epoch in the run, from 0.
        consumed: how many micro-batches of the epoch all ranks together have received.
        multiple: world size x accumulate; the epoch's length is a multiple of it.
        origin: number of the epoch's first micro-batch in the endless list. After a change of the world size `consumed`
            is chosen so that the rest of the epoch has the right length; `origin` then follows from it and may be
            negative.
    """

    epoch: int
    consumed: int
    multiple: int
    origin: int

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Numbers:
        """Read the numbers of a state.

        Raises:
            Infeasible: a number is missing, not an integer, or too small.
        """
        missing = [name for name in cls._fields if name not in state]
        if missing:
            raise Infeasible(f"the state has no {missing[0]!r}", "load what state_dict() gave")
        epoch, consumed, multiple, origin = (number_of(state[name], f"the state's {name}") for name in cls._fields)
        if epoch < 0 or consumed < 0 or multiple < 1:
            raise Infeasible(
                f"the state's epoch, consumed and multiple are {epoch}, {consumed} and {multiple}", AS_IT_WAS
            )
        return cls(epoch, consumed, multiple, origin)


class Position(NamedTuple):
    """The position of a run in its list of micro-batches; the same on all ranks.

    Attributes:
        batches: the endless list of the run.
        epoch: see `Numbers`.
        consumed: see `Numbers`.
        multiple: see `Numbers`.
        origin: see `Numbers`.
    """

    batches: MicroBatches
    epoch: int
    consumed: int
    multiple: int
    origin: int

    @classmethod
    def started(cls, plan: MicroBatches, epoch: int, multiple: int) -> Position:
        """The start of an epoch in a run whose multiple never changed."""
        batches = plan.stepped(multiple)
        return cls(batches, epoch, 0, multiple, epoch * rounded(batches.epoch_batches, multiple))

    @classmethod
    def of(cls, plan: BasePlan, state: Mapping[str, Any]) -> Position:
        """Read a position from a state; the inverse of `as_state`.

        Raises:
            Infeasible: the state is not one of this plan.
        """
        numbers, carried = Numbers.of(state), state.get("plan", {})
        if not isinstance(carried, Mapping):
            raise Infeasible(f"the state's plan is {shown(carried)}", AS_IT_WAS)
        found = cls(plan.resumed(carried, numbers.origin + numbers.consumed), *numbers)
        found.check()
        return found

    def as_state(self) -> dict[str, Any]:
        """The position as a dictionary of JSON types."""
        batches, batch = self.batches.reached(self.batch)
        numbers = Numbers(self.epoch, self.consumed, self.multiple, batch - self.consumed)
        carried = batches.carried(batch, batch - self.consumed)
        return numbers._asdict() | ({"plan": carried} if carried else {})

    @property
    def length(self) -> int:
        """Micro-batches in every epoch of the run."""
        return rounded(self.batches.epoch_batches, self.multiple)

    @property
    def batch(self) -> int:
        """The number, in the list, of the micro-batch that comes next."""
        return self.origin + self.consumed

    @property
    def micro_batches(self) -> Stretch:
        """The micro-batches of the epoch as a sequence."""
        return Stretch(self.batches, self.origin, self.length)

    def after(self, consumed: int) -> Position:
        """The position after `consumed` micro-batches of the same epoch."""
        # Called for every list; `_replace` would take three times as long.
        return Position(self.batches, self.epoch, consumed, self.multiple, self.origin)

    def moved(self, epoch: int) -> Position:
        """The start of another epoch of the run; epochs between have the present length."""
        origin = self.origin + (epoch - self.epoch) * self.length
        # The state does not say what came before the first micro-batch of the list. So an earlier epoch is taken from a run
        # that always had this multiple.
        if origin < self.batches.first:
            return self.started(self.batches, epoch, self.multiple)
        batches, batch = self.batches.reached(origin)
        return Position(batches, epoch, 0, self.multiple, batch)

    def rolled(self) -> Position:
        """The start of the next epoch if this one has ended, else the same position."""
        return self.moved(self.epoch + 1) if self.consumed >= self.length else self

    def refitted(self, multiple: int) -> Position:
        """The same position in a run that continues with another multiple.

        What is left of the epoch is rounded up to the new multiple; the next epoch follows right after it.
        """
        if multiple == self.multiple:
            return self
        left = self.length - self.consumed
        batches, batch = self.batches.continued_from(self.batch, multiple)
        here = Position(batches, self.epoch, 0, multiple, batch)
        if left and batches.whole_epochs:
            within = batch % batches.epoch_batches
            return here._replace(consumed=within, origin=batch - within)
        if self.consumed == 0:
            return here
        # What is left may be longer than a new epoch: then only one epoch's length counts, the next epoch takes the
        # rest.
        consumed = here.length - min(rounded(left, multiple), here.length)
        return here._replace(consumed=consumed, origin=batch - consumed)

    def check(self) -> None:
        """Refuse a position that is impossible, or whose epoch ends after the last micro-batch.

        Raises:
            Infeasible: it is such a position; a state is the same on all ranks, so all of them raise or none.
        """
        if self.consumed > self.length or self.batch < 0:
            raise Infeasible(
                f"the state has consumed {self.consumed} micro-batches of an epoch of {self.length} from "
                f"{shown(self.origin)} on",
                AS_IT_WAS,
            )
        if self.origin + self.length > LAST + 1:
            raise Infeasible(
                f"epoch {self.epoch} ends at micro-batch {shown(self.origin + self.length)}, the last is {LAST}",
                "ask for an earlier epoch",
            )
        self.batches.check_batch(self.batch)


class RunState(NamedTuple):
    """How far a run has come, and where its next iterator begins.

    The next iterator begins at `asked`, if that is set. Otherwise it begins with the next epoch if `drawn`, and at `at` if
    not: a loop that is broken off and begun again takes the next epoch, but a state that was loaded is continued.

    Attributes:
        begun: where the iterator of the last list began; or the position in a state that was loaded later.
        consumed: how many micro-batches of that epoch all ranks together have received.
        drawn: whether a list was returned; False at the start and after a state was loaded.
        asked: the epoch and step that `set_epoch` or `seek` set later; None if neither was called.
        ended: whether the last list was the last of its epoch, or the state says so, and `asked` was not set later.
    """

    begun: Position
    consumed: int
    drawn: bool = False
    asked: tuple[int, int] | None = None
    ended: bool = False

    @classmethod
    def before(cls, place: Position, *, ended: bool = False) -> RunState:
        """A run that continues from this position."""
        return cls(place, place.consumed, ended=ended)

    @property
    def at(self) -> Position:
        """The position after the last list that was returned; or the one in a state that was loaded later."""
        return self.begun.after(self.consumed)
