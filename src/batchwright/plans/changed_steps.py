"""A plan by lengths in a run whose step size changes: old steps up to the next boundary, new steps from there on.

A boundary is where a window ends (without `order=`: where an epoch ends). A run whose world size changes is inside a window
or an epoch, whose micro-batches were made for steps of the old size. The run takes these unchanged up to the
next boundary, so nothing is lost or repeated. From there on it is planned for the new step size.

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
from ..kernels.array_types import Integers
from ..lengths.cutter import Cutter
from ..lengths.windows import Windows
from ..micro_batches import AS_IT_WAS, LAST, MicroBatches
from ..position import number_of
from .laid_out import MOST_IN_A_STEP

__all__ = ["Rotated", "Windowed", "plan_state_of", "resumed", "with_step_size_from"]

_MOST_STARTS = 3  # a state says where three windows begin: the first known one, the first of the epoch, the current one
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
    def stepped(self, step_size: int) -> Windowed:
        """See `MicroBatches`."""

    @abstractmethod
    def retargeted(self, batch: int, shares: Any, *, in_samples: bool = False) -> tuple[Windowed, int, int]:
        """See `MicroBatches`."""

    @abstractmethod
    def with_shares_of(self, plan: Any) -> Windowed:
        """See `MicroBatches`."""

    @abstractmethod
    def with_window_starts(self, starts: Sequence[Sequence[int]]) -> Windowed:
        """The same plan, given where some windows begin, so that they need not be computed."""


class Rotated(MicroBatches):
    """A plan's micro-batches for a run that is inside a step where they begin.

    In each window (without `order=`: each epoch) the first `shift` micro-batches come first, then all steps but the first,
    then the rest of the first step. With steps of 4, shift 1 and 12 micro-batches in a window:
    0 | 4 5 6 7 | 8 9 10 11 | 1 2 3, then the next window.

    Args:
        plan: the plan, in steps of the new size.
        shift: how many micro-batches the current step of the run still needs; from 1 to the step size minus 1.
    """

    def __init__(self, plan: Windowed, shift: int) -> None:
        self.plan, self.shift = plan, shift
        self.step_size, self.epoch_batches, self.first = plan.step_size, plan.epoch_batches, plan.first
        self.set_shares = plan.set_shares

    def number_of(self, batch: int) -> int:
        """The number, in the plan, of micro-batch `batch` of this sequence."""
        period, rest = self.plan.windows.batches_between_boundaries, self.step_size - self.shift
        place = batch % period  # in the window, or in the epoch
        if place < self.shift:
            return batch
        return batch - place + (place + rest if place < period - rest else place - period + self.step_size)

    def __getitem__(self, batch: int) -> np.ndarray:
        return self.plan[self.number_of(batch)]

    def items(self, batch: int) -> Integers:
        """See `Windowed`."""
        return self.plan.items(self.number_of(batch))

    def stepped(self, step_size: int) -> MicroBatches:
        """See `MicroBatches`."""
        return self.plan.stepped(step_size)

    def with_step_size_from(self, batch: int, step_size: int) -> tuple[MicroBatches, int]:
        """See `MicroBatches`."""
        return with_step_size_from(self.plan, batch, step_size, self)

    def plan_state(self, batch: int, since: int) -> dict[str, Any]:
        """See `MicroBatches`."""
        # The smaller of the two numbers: the windows in a state must not begin after the state's own micro-batch.
        return {**self.plan.plan_state(min(self.number_of(batch), batch), since), "shift": self.shift}

    def retargeted(self, batch: int, shares: Any, *, in_samples: bool = False) -> tuple[Rotated, int, int]:
        """See `MicroBatches`; micro-batches are moved within their window only."""
        plan, changed, first = self.plan.retargeted(batch, shares, in_samples=in_samples)
        return Rotated(plan, self.shift), changed, first

    def new_shares_at(self, batch: int) -> int:
        """See `MicroBatches`."""
        return self.plan.new_shares_at(batch)

    def with_shares_of(self, plan: Any) -> Rotated:
        """See `MicroBatches`."""
        return Rotated(self.plan.with_shares_of(plan), self.shift)

    def draw_number(self, batch: int) -> int:
        """See `MicroBatches`."""
        return self.plan.draw_number(self.number_of(batch))

    def epochs_before(self, batch: int) -> float:
        """See `MicroBatches`."""
        return self.plan.epochs_before(batch)

    def __repr__(self) -> str:
        return f"<{self.plan!r} from {self.shift} micro-batches within a step>"


class _Spliced(MicroBatches):
    """One sequence up to some micro-batch, and another from there on.

    Args:
        before: the first sequence.
        at: the micro-batch, as the first sequence counts, at which the second sequence replaces it.
        after: the second sequence.
        start: the micro-batch of the second sequence that comes there.
    """

    def __init__(self, before: MicroBatches, at: int, after: MicroBatches, start: int) -> None:
        self._before, self._at, self._after, self._start = before, at, after, start
        # An epoch that begins later is of the second sequence; the steps that come next are of the first.
        self.epoch_batches, self.first = after.epoch_batches, before.first
        self.step_size, self.set_shares = before.step_size, before.set_shares

    def __getitem__(self, batch: int) -> np.ndarray:
        sequence, number = self._part(batch)
        return sequence[number]

    def _part(self, batch: int) -> tuple[MicroBatches, int]:
        """Which of the two sequences a micro-batch is of, and its number there."""
        return (self._before, batch) if batch < self._at else (self._after, batch - self._at + self._start)

    def stepped(self, step_size: int) -> MicroBatches:
        """See `MicroBatches`."""
        return self._after.stepped(step_size)

    def with_step_size_from(self, batch: int, step_size: int) -> tuple[MicroBatches, int]:
        """See `MicroBatches`."""
        # The second sequence may already be the one that is asked for.
        shift = getattr(self._after, "shift", 0)
        if batch < self._at and (step_size, (batch - self._at) % step_size) == (self._after.step_size, shift):
            return self, batch
        sequence, number = self._part(batch)
        return sequence.with_step_size_from(number, step_size)

    def without_past(self, batch: int) -> tuple[MicroBatches, int]:
        """See `MicroBatches`."""
        return (self, batch) if batch < self._at else self._part(batch)

    def warning_of_run(self, batch: int, end: int, step_size: int, world_size: int) -> str | None:
        """See `MicroBatches`: samples may come late, and steps may be uneven."""
        before: Any = self._before
        plan = before.plan if isinstance(before, Rotated) else before
        found = (
            _warning_of_rest(plan, step_size, self._at - batch, end - batch),
            self._warning_of_steps(plan, batch, step_size),
        )
        return "; ".join(filter(None, found)) or None

    def _warning_of_steps(self, plan: Any, batch: int, step_size: int) -> str | None:
        """A warning if steps are uneven, with numbers: the costs of the steps that come next."""
        before: Any = self._before
        count = min(_COSTED * max(step_size, plan.step_size), self._at - batch) // step_size * step_size
        # The run may be inside a step of the plan: its first whole one begins here.
        begins = (getattr(before, "shift", 0) - batch) % plan.step_size
        if count < max(step_size, begins + plan.step_size):
            return None
        costs = np.array([plan.cutter.cost(before.items(number)) for number in range(batch, batch + count)])
        now, even = _balance(costs, step_size), _balance(costs[begins:], plan.step_size)
        if now < _WORTH_A_WORD * even:
            return None
        return (
            f"the run goes on in steps of {step_size} micro-batches, and up to micro-batch {self._at} its plan has steps of "
            f"{plan.step_size}: the most expensive micro-batch of a step costs {now:.3f} of the mean until then, "
            f"{even:.3f} in steps of its own size"
        )

    def plan_state(self, batch: int, since: int) -> dict[str, Any]:
        """See `MicroBatches`."""
        after = self._after.plan_state(self._start, self._start)
        after.pop("set_shares", None)  # they are those of the first sequence
        return {**self._before.plan_state(batch, since), "then": {"at": self._at, "start": self._start, **after}}

    def retargeted(self, batch: int, shares: Any, *, in_samples: bool = False) -> tuple[MicroBatches, int, int]:
        """See `MicroBatches`: the first sequence ends where one of its windows ends, and does not change."""
        sequence, number = self._part(batch)
        least = number if sequence is self._after else self._start
        after, changed, first = self._after.retargeted(least, shares, in_samples=in_samples)
        moved = self._at - self._start
        return (
            _Spliced(self._before.with_shares_of(after), self._at, after, self._start),
            changed + moved,
            first + moved,
        )

    def new_shares_at(self, batch: int) -> int:
        """See `MicroBatches`: the first sequence ends where the window of `batch` ends."""
        if batch < self._at:
            first = self._before.new_shares_at(batch)
            if first <= batch:
                return first
        return self._after.new_shares_at(max(batch - self._at, 0) + self._start) + self._at - self._start

    def with_shares_of(self, plan: Any) -> _Spliced:
        """See `MicroBatches`."""
        return _Spliced(self._before.with_shares_of(plan), self._at, self._after.with_shares_of(plan), self._start)

    def draw_number(self, batch: int) -> int:
        """See `MicroBatches`."""
        sequence, number = self._part(batch)
        return sequence.draw_number(number)

    def epochs_before(self, batch: int) -> float:
        """See `MicroBatches`: the two sequences may have epochs of different lengths."""
        sequence, number = self._part(batch)
        return sequence.epochs_before(number)

    def __repr__(self) -> str:
        return f"<{self._before!r}, from micro-batch {self._at} on {self._after!r}>"


def _warning_of_rest(plan: Windowed, step_size: int, left: int, length: int) -> str | None:
    """A warning if more micro-batches of the present epoch are left than an epoch of the run has."""
    if left <= length or plan.windows.batches_between_boundaries != plan.epoch_batches:
        return None
    return (
        f"the run goes on in steps of {step_size} micro-batches, and an epoch now has {length} of them. The present epoch "
        f"was planned in steps of {plan.step_size} and has {left} left: the last {left - length} come at the beginning of "
        "the next epoch. Train one epoch more to get them"
    )


def _balance(costs: np.ndarray, step_size: int) -> float:
    """The cost of the most expensive micro-batch of a step over the mean cost in the step; the mean over all whole steps."""
    steps = costs[: costs.size // step_size * step_size].reshape(-1, step_size)
    busy = steps[steps.mean(axis=1) > 0]
    return float((busy.max(axis=1) / busy.mean(axis=1)).mean()) if busy.size else 1.0


def with_step_size_from(
    plan: Windowed, batch: int, step_size: int, rotated: Rotated | None = None
) -> tuple[MicroBatches, int]:
    """See `MicroBatches.with_step_size_from`. `rotated` is the plan, rotated, if the run uses that."""
    here = plan if rotated is None else rotated
    if step_size == plan.step_size and batch % step_size == (0 if rotated is None else rotated.shift):
        return here, batch
    at = plan.windows.next_boundary(batch)
    after = plan.stepped(step_size)
    start = after.windows.batch_at(plan.windows, at)
    after = after.with_window_starts(plan.windows.starts_after(at, start // after.windows.batches_between_boundaries))
    shift = (batch - at) % step_size  # micro-batches that the step which the run is in still needs at `at`
    joined = _Spliced(here, at, Rotated(after, shift) if shift else after, start)
    return joined.without_past(batch)


def plan_state_of(plan: Windowed, batch: int, since: int) -> dict[str, Any]:
    """See `MicroBatches.plan_state`."""
    starts = plan.windows.known_starts(max(since, plan.first), batch)
    return {"step_size": plan.step_size} | ({"windows": starts} if starts else {})


def resumed(plan: Windowed, plan_state: Mapping[str, Any], batch: int) -> MicroBatches:
    """See `BasePlan.resumed`.

    Raises:
        Infeasible: an entry cannot be of a state of this plan.
    """
    found = _as_in_state(plan, plan_state, batch)
    if "then" not in plan_state:
        return found
    then = plan_state["then"]
    if not isinstance(then, Mapping):
        raise Infeasible(f"the state's then is {shown(then)}", AS_IT_WAS)
    at, start = (number_of(then.get(name), f"the state's {name}") for name in ("at", "start"))
    if not (batch <= at <= LAST and 0 <= start <= LAST):
        raise Infeasible(
            f"the state goes on at micro-batch {at} as micro-batch {start}, and stands at {batch}", AS_IT_WAS
        )
    rest = {name: value for name, value in then.items() if name not in ("at", "start", "then")}
    return _Spliced(found, at, _as_in_state(plan, rest, start), start)


def _as_in_state(plan: Windowed, plan_state: Mapping[str, Any], batch: int) -> Windowed | Rotated:
    """The plan with the step size, the shift and the starts of windows that a state holds."""
    if "step_size" not in plan_state or set(plan_state) - {"step_size", "windows", "shift", "then"}:
        raise Infeasible(f"the state says {shown(dict(plan_state))} of its plan", AS_IT_WAS)
    step_size, shift = _steps_of(plan_state)
    starts = _starts_of(plan_state)
    found = plan.stepped(step_size)
    if not found.windows.knows(starts, found.windows.window_and_place(batch)[0]):
        raise Infeasible(f"the state's windows are {shown(starts)}, and it stands at micro-batch {batch}", AS_IT_WAS)
    found = found.with_window_starts(starts)
    return Rotated(found, shift) if shift else found


def _steps_of(plan_state: Mapping[str, Any]) -> tuple[int, int]:
    """The step size that a state holds, and its shift."""
    step_size = number_of(plan_state["step_size"], "the state's step_size")
    shift = number_of(plan_state.get("shift", 0), "the state's shift")
    if 1 <= step_size <= MOST_IN_A_STEP and 0 <= shift < step_size:
        return step_size, shift
    raise Infeasible(
        f"the state's step_size is {step_size} and its shift {shift}, the largest step is {MOST_IN_A_STEP}", AS_IT_WAS
    )


def _starts_of(plan_state: Mapping[str, Any]) -> list[list[int]]:
    """Where windows begin, from a state: at most three entries, ascending in their numbers and in their places."""
    given = plan_state.get("windows", [])
    if not (isinstance(given, list) and len(given) <= _MOST_STARTS and all(map(_is_start, given))):
        raise Infeasible(f"the state's windows are {shown(given)}", AS_IT_WAS)
    starts = [[number_of(number, "the state's windows") for number in start] for start in given]
    if not all(one[0] < other[0] and one[1:] < other[1:] for one, other in pairwise(starts)):
        raise Infeasible(f"the state's windows are {shown(starts)}", AS_IT_WAS)
    return starts


def _is_start(start: Any) -> bool:
    return isinstance(start, list) and len(start) == 3
