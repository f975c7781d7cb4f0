"""A plan by lengths in a run whose step size changes: old steps up to the next boundary, new steps from there on.

A boundary is where a window ends (without `order=`: where an epoch ends). A run whose world size changes is inside a window
or an epoch, whose micro-batches were made for steps of the old size. The run takes these unchanged up to the
next boundary, so nothing is lost or repeated. From there on the list is planned for the new step size.

At that boundary the run may be inside one of its own steps. Then each window is rotated. For example, with windows of 12 and
steps of 4, if the step of the run still needs 1 micro-batch, the micro-batches of each window come in this order:

    0 | 4 5 6 7 | 8 9 10 11 | 1 2 3

The 0 completes the step that the run is in. Whole steps of the plan follow. The last step of the run is 1 2 3 and the first
micro-batch of the next window: the only one whose micro-batches were not made for each other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import Infeasible, shown
from ..lengths.cut import Cutter, Integers
from ..lengths.windows import Windows
from ..micro_batches import AS_IT_WAS, LAST, MicroBatches
from ..position import number_of

__all__ = ["MOST_IN_A_STEP", "Rotated", "Windowed", "carried_of", "continued_from", "resumed"]

MOST_IN_A_STEP = 1 << 17
"""The most micro-batches in a step of a plan by lengths; planning a window of so many takes about ten seconds."""

_MOST_BEGINS = 3  # a state says where three windows begin: the first known one, the first of the epoch, the current one
_COSTED = 32  # steps whose costs are compared for a warning; more would delay the start of the run (chosen by trial)
_WORTH_A_WORD = 1.01  # warn if uneven steps cost over 1 % more than even ones; less is lost in the noise of step times


class Windowed(MicroBatches):
    """The part of a plan by lengths that this module uses."""

    windows: Windows
    cutter: Cutter

    @abstractmethod
    def items(self, batch: int) -> Integers:
        """The items of a micro-batch, int64 (items,)."""

    @abstractmethod
    def stepped(self, step: int) -> Windowed:
        """See `MicroBatches`."""

    @abstractmethod
    def with_window_starts(self, starts: Sequence[Sequence[int]]) -> Windowed:
        """The same plan, with the beginnings of some windows given, so that they need not be computed."""


class Rotated(MicroBatches):
    """A plan's list for a run that is inside a step where the list begins.

    In each window (without `order=`: each epoch) the first `shift` micro-batches come first, then all steps but the first,
    then the rest of the first step. With steps of 4, shift 1 and 12 micro-batches in a window:
    0 | 4 5 6 7 | 8 9 10 11 | 1 2 3, then the next window.

    Args:
        plan: the plan, in steps of the new size.
        shift: how many micro-batches the current step of the run still needs; from 1 to the step size minus 1.
    """

    def __init__(self, plan: Windowed, shift: int) -> None:
        self.plan, self.shift = plan, shift
        self.step, self.epoch_batches, self.first = plan.step, plan.epoch_batches, plan.first

    def number_of(self, batch: int) -> int:
        """The number, in the plan, of micro-batch `batch` of this list."""
        period, rest = self.plan.windows.period, self.step - self.shift
        begun, place = batch // period * period, batch % period
        if place < self.shift:
            return batch
        return begun + (place + rest if place < period - rest else place - period + self.step)

    def __getitem__(self, batch: int) -> np.ndarray:
        return self.plan[self.number_of(batch)]

    def stepped(self, step: int) -> MicroBatches:
        """See `MicroBatches`."""
        return self.plan.stepped(step)

    def continued_from(self, batch: int, step: int) -> tuple[MicroBatches, int]:
        """See `MicroBatches`."""
        return continued_from(self.plan, batch, step, self)

    def carried(self, batch: int, since: int) -> dict[str, Any]:
        """See `MicroBatches`."""
        # The smaller of the two numbers: the windows in a state must not begin after the state's own micro-batch.
        return {**carried_of(self.plan, min(self.number_of(batch), batch), since), "shift": self.shift}

    def visit(self, batch: int) -> int:
        """See `MicroBatches`."""
        return self.plan.visit(self.number_of(batch))

    def epochs_before(self, batch: int) -> float:
        """See `MicroBatches`."""
        return self.plan.epochs_before(batch)

    def __repr__(self) -> str:
        return f"<{self.plan!r} from {self.shift} micro-batches within a step>"


class _Joined(MicroBatches):
    """One list up to some micro-batch, and another list from there on.

    Args:
        before: the first list.
        at: the micro-batch, as the first list counts, at which the second list replaces it.
        after: the second list.
        start: the micro-batch of the second list that comes there.
    """

    def __init__(self, before: MicroBatches, at: int, after: MicroBatches, start: int) -> None:
        self._before, self._at, self._after, self._start = before, at, after, start
        self.epoch_batches, self.first = after.epoch_batches, before.first
        self.step = before.step

    def __getitem__(self, batch: int) -> np.ndarray:
        return self._before[batch] if batch < self._at else self._after[batch - self._at + self._start]

    def stepped(self, step: int) -> MicroBatches:
        """See `MicroBatches`."""
        return self._after.stepped(step)

    def continued_from(self, batch: int, step: int) -> tuple[MicroBatches, int]:
        """See `MicroBatches`."""
        if batch < self._at:
            if (step, (batch - self._at) % step) == (self._after.step, self._shift):
                return self, batch
            return self._before.continued_from(batch, step)
        return self._after.continued_from(batch - self._at + self._start, step)

    @property
    def _shift(self) -> int:
        return getattr(self._after, "shift", 0)

    def reached(self, batch: int) -> tuple[MicroBatches, int]:
        """See `MicroBatches`."""
        return (self, batch) if batch < self._at else (self._after, batch - self._at + self._start)

    def uneven(self, batch: int, step: int) -> str | None:
        """See `MicroBatches`: a warning with numbers, from the costs of the next steps."""
        plan: Any = getattr(self._before, "plan", self._before)
        count = min(_COSTED * max(step, plan.step), self._at - batch) // step * step
        if count < step:
            return None
        costs = np.array([plan.cutter.cost(plan.items(number)) for number in range(batch, batch + count)])
        now, even = _balance(costs, step), _balance(costs, plan.step)
        if now < _WORTH_A_WORD * even:
            return None
        return (
            f"the run goes on in steps of {step} micro-batches, and up to micro-batch {self._at} its plan has steps of "
            f"{plan.step}: the most expensive micro-batch of a step costs {now:.3f} of the mean until then, {even:.3f} in "
            "steps of its own size"
        )

    def carried(self, batch: int, since: int) -> dict[str, Any]:
        """See `MicroBatches`."""
        then = {"at": self._at, "start": self._start, **self._after.carried(self._start, self._start)}
        return {**self._before.carried(batch, since), "then": then}

    def visit(self, batch: int) -> int:
        """See `MicroBatches`."""
        return self._before.visit(batch) if batch < self._at else self._after.visit(batch - self._at + self._start)

    def epochs_before(self, batch: int) -> float:
        """See `MicroBatches`: the two lists may have epochs of different lengths."""
        if batch < self._at:
            return self._before.epochs_before(batch)
        return self._after.epochs_before(batch - self._at + self._start)

    def __repr__(self) -> str:
        return f"<{self._before!r}, from micro-batch {self._at} on {self._after!r}>"


def _balance(costs: np.ndarray, step: int) -> float:
    """The cost of the most expensive micro-batch of a step over the mean cost in the step; the mean over all whole steps."""
    steps = costs[: costs.size // step * step].reshape(-1, step)
    busy = steps[steps.mean(axis=1) > 0]
    return float((busy.max(axis=1) / busy.mean(axis=1)).mean()) if busy.size else 1.0


def continued_from(plan: Windowed, batch: int, step: int, listed: Rotated | None = None) -> tuple[MicroBatches, int]:
    """See `MicroBatches.continued_from`. `listed` is the rotated list of the plan, if the run uses one."""
    here = plan if listed is None else listed
    if step == plan.step and batch % step == (0 if listed is None else listed.shift):
        return here, batch
    at = plan.windows.next_boundary(batch)
    after = plan.stepped(step)
    start = after.windows.batch_at(plan.windows, at)
    after = after.with_window_starts(plan.windows.starts_at(at, start // after.windows.period))
    shift = (batch - at) % step
    joined = _Joined(here, at, Rotated(after, shift) if shift else after, start)
    return joined.reached(batch)


def carried_of(plan: Windowed, batch: int, since: int) -> dict[str, Any]:
    """See `MicroBatches.carried`."""
    starts = plan.windows.starts(max(since, plan.first), batch)
    return {"step": plan.step} | ({"windows": starts} if starts else {})


def resumed(plan: Windowed, carried: Mapping[str, Any], batch: int) -> MicroBatches:
    """See `Plan.resumed`.

    Raises:
        Infeasible: an entry cannot be of a state of this plan.
    """
    found = _listed(plan, carried, batch)
    if "then" not in carried:
        return found
    then = carried["then"]
    if not isinstance(then, Mapping):
        raise Infeasible(f"the state's then is {shown(then)}", AS_IT_WAS)
    at, start = (number_of(then.get(name), f"the state's {name}") for name in ("at", "start"))
    if not (batch <= at <= LAST and 0 <= start <= LAST):
        raise Infeasible(
            f"the state goes on at micro-batch {at} as micro-batch {start}, and stands at {batch}", AS_IT_WAS
        )
    rest = {name: value for name, value in then.items() if name not in ("at", "start", "then")}
    return _Joined(found, at, _listed(plan, rest, start), start)


def _listed(plan: Windowed, carried: Mapping[str, Any], batch: int) -> Windowed | Rotated:
    """The plan's list with the step size, the shift and the beginnings of windows that a state holds."""
    if "step" not in carried or set(carried) - {"step", "windows", "shift", "then"}:
        raise Infeasible(f"the state says {shown(dict(carried))} of its plan", AS_IT_WAS)
    step, shift = _steps_of(carried)
    starts = _begins_of(carried)
    found = plan.stepped(step)
    if not found.windows.knows(starts, found.windows.of(batch)[0]):
        raise Infeasible(f"the state's windows are {shown(starts)}, and it stands at micro-batch {batch}", AS_IT_WAS)
    found = found.with_window_starts(starts)
    return Rotated(found, shift) if shift else found


def _steps_of(carried: Mapping[str, Any]) -> tuple[int, int]:
    """The step size that a state holds, and its shift."""
    step = number_of(carried["step"], "the state's step")
    shift = number_of(carried.get("shift", 0), "the state's shift")
    if 1 <= step <= MOST_IN_A_STEP and 0 <= shift < step:
        return step, shift
    raise Infeasible(
        f"the state's step is {step} and its shift {shift}, the largest step is {MOST_IN_A_STEP}", AS_IT_WAS
    )


def _begins_of(carried: Mapping[str, Any]) -> list[list[int]]:
    """Where windows begin, from a state: at most three entries, ascending in their numbers and in their places."""
    given = carried.get("windows", [])
    if not (isinstance(given, list) and len(given) <= _MOST_BEGINS and all(map(_is_begin, given))):
        raise Infeasible(f"the state's windows are {shown(given)}", AS_IT_WAS)
    starts = [[number_of(number, "the state's windows") for number in begin] for begin in given]
    if not all(one[0] < other[0] and one[1:] < other[1:] for one, other in pairwise(starts)):
        raise Infeasible(f"the state's windows are {shown(starts)}", AS_IT_WAS)
    return starts


def _is_begin(begin: Any) -> bool:
    return isinstance(begin, list) and len(begin) == 3
