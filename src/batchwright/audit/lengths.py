"""Measures the guarantees of plans by lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_integer
from ..lengths.order_windows import OrderWindows
from ..lengths.same_size_cutter import GroupCutter
from ..orders import ShardShuffle
from .guarantee import Guarantee, measured
from .in_steps import Balance, ExpectedCounts, WholeSteps, YieldedBatches
from .report import Audit

if TYPE_CHECKING:
    from ..kinds import LengthKind
    from ..lengths.admission import Admission
    from ..lengths.cutter import Cutter

__all__ = ["audit_lengths"]


def audit_lengths(plan: LengthKind, *, step_size: int = 1, epochs: int = 1, first: int = 0) -> Audit:
    """Measure complete epochs of a run of a plan by lengths, from what `plan[t]` yields.

    - G1 budget: how far a micro-batch exceeds its limits (see the cutter's `excess`), except micro-batches of one
      sample with `too_long="alone"`. With `grouped(..., level=True)`: how many samples too many a step has.
    - G4 coverage: by how much the number of times that a sample comes is wrong. Without `order=`, every epoch must have
      each sample once. With `order=` or `local=`, complete windows are measured: together they must have the samples of
      the order from the start of the first window to the end of the last. One sample may come twice before another comes
      once, where a window reaches over the end of a pass.
    - G4 together: samples in a micro-batch without those that must be with them, if `together` was passed.
    - G8 steps: micro-batches without a sample, which would leave a rank without work, and micro-batches beyond complete
      steps.
    - G8 open: with `local=`, how many more shards a window reads than may be open. If a window has more samples than the
      shards that are read together, so that a warning was given, the blocks of shards that it goes through count.
    - balance: how far the most expensive micro-batch of a step is above the mean of the step, as a fraction. Only
      reported.
    - copies: with `order=` or `local=`, how many samples of a micro-batch are copies of others in it: a window may hold
      samples of two passes. Only reported.
    - padding: the fraction of all computed tokens that is padding. Only reported; left out of buckets, which know shapes
      and not what in them is padding.

    Args:
        plan: a plan by lengths.
        step_size: micro-batches in a step, world size x accumulate.
        epochs: the number of epochs, 1 or more.
        first: the first epoch.

    Example:
        >>> import batchwright as bw
        >>> bw.budgeted([5, 3, 8, 2, 7, 1, 6, 4], max_tokens=16).audit(epochs=3).kept
        True
    """
    epochs, first = check_integer(epochs, "epochs", least=1), check_integer(first, "first", least=0)
    in_steps, cutter, admission = plan.stepped(step_size), plan.cutter, plan.admission
    length = in_steps.epoch_batches
    # With `level` a micro-batch may exceed `batch_size`, and only the whole step is limited.
    guarantees: list[Guarantee[MeasuredWindows]] = [
        LevelBudget(cutter, step_size)
        if isinstance(cutter, GroupCutter) and cutter.level
        else Budget(cutter, alone=admission.too_long == "alone"),
        ExpectedCounts(plan.groups.sample_count, lambda seen: (seen.where, np.concatenate(seen.yielded), seen.wanted)),
        *([Together(admission)] if admission.bundles is not None else []),
        WholeSteps(step_size),
        *_open_shards(in_steps),
        Balance(lambda seen: seen.steps([_cost(cutter, items) for items in seen.items], step_size)),
        *([] if plan.same_samples else [CopiesInBatches()]),
        *([PaddingFraction(cutter)] if cutter.knows_padding else []),
    ]
    return measured(first * length, epochs * length, guarantees, _windows(in_steps, first * length, epochs * length))


@dataclass(frozen=True)
class MeasuredWindows(YieldedBatches):
    """Consecutive micro-batches of which is known which samples they must have together.

    Attributes:
        items: the items of each, without numbers that are of no sample.
        wanted: the numbers that they should have together, in any order.
    """

    items: list[np.ndarray]
    wanted: np.ndarray

    @property
    def where(self) -> str:
        """Their numbers."""
        return f"micro-batches {self.start} to {self.start + len(self.yielded) - 1}"


def _windows(plan: LengthKind, first: int, batches: int) -> Iterator[MeasuredWindows]:
    admission, count = plan.admission, plan.groups.sample_count
    for start, end, wanted in plan.windows.expected_items(first, first + batches, admission.items):
        yielded = [plan[batch] for batch in range(start, end)]
        valid = [batch[(batch >= 0) & (batch < count)] for batch in yielded]
        yield MeasuredWindows(
            start, yielded, [admission.items_in(batch)[0] for batch in valid], admission.emitted(wanted)
        )


def _open_shards(plan: LengthKind) -> list[Guarantee[MeasuredWindows]]:
    """What is measured of a shuffle of single samples that reads few shards at a time; nothing of other orders."""
    order, windows = plan.order_plan.order, plan.windows
    if not isinstance(order, ShardShuffle) or not order.blocks_are_even or plan.admission.bundles is not None:
        return []
    assert isinstance(windows, OrderWindows)
    return [WindowShards(plan.admission, windows, order)]


def _cost(cutter: Cutter, items: np.ndarray) -> float:
    return cutter.cost(items) if items.size else 0.0


class Budget(Guarantee[MeasuredWindows]):
    """G1: no micro-batch exceeds a limit, except those of one sample with `too_long="alone"`."""

    def __init__(self, cutter: Cutter, *, alone: bool) -> None:
        super().__init__("G1 budget")
        self._cutter, self._least = cutter, 2 if alone else 1

    def see(self, seen: MeasuredWindows) -> None:
        """See `Guarantee`."""
        for batch, items in enumerate(seen.items, seen.start):
            if items.size >= self._least:
                self.offer(self._cutter.excess(items), f"micro-batch {batch}")


class LevelBudget(Guarantee[MeasuredWindows]):
    """G1 if the micro-batches of a step may differ in size: their mean size is at most `batch_size`."""

    def __init__(self, cutter: GroupCutter, step_size: int) -> None:
        super().__init__("G1 budget")
        self._step_size, self._most = step_size, step_size * cutter.batch_size

    def see(self, seen: MeasuredWindows) -> None:
        """See `Guarantee`."""
        for where, sizes in seen.steps([items.size for items in seen.items], self._step_size):
            self.offer(sum(sizes) - self._most, where)


class Together(Guarantee[MeasuredWindows]):
    """G4 together: samples that must stay together are in one micro-batch."""

    def __init__(self, admission: Admission) -> None:
        super().__init__("G4 together")
        self._admission = admission

    def see(self, seen: MeasuredWindows) -> None:
        """See `Guarantee`."""
        for batch, (yielded, items) in enumerate(zip(seen.yielded, seen.items, strict=True), seen.start):
            complete = self._admission.emitted(items)
            # A sample that comes twice is the same in sets, so the sizes are compared too.
            apart = np.setxor1d(yielded, complete).size
            self.offer(max(apart, abs(yielded.size - complete.size)), f"micro-batch {batch}")


class WindowShards(Guarantee[MeasuredWindows]):
    """G8: how many more shards a window reads than may be open."""

    def __init__(self, admission: Admission, windows: OrderWindows, order: ShardShuffle) -> None:
        super().__init__("G8 open")
        self._admission, self._windows, self._order = admission, windows, order

    def see(self, seen: MeasuredWindows) -> None:
        """See `Guarantee`."""
        batches = self._windows.window_batches
        for first in range(0, len(seen.items), batches):
            window = (seen.start + first) // batches
            places = self._windows.start(window + 1).place - self._windows.start(window).place + 1
            samples = self._admission.samples_of(np.concatenate(seen.items[first : first + batches]))
            read = np.unique(self._order.shards.around(samples)).size
            self.offer(read - self._order.most_read(places), f"window {window}")


class CopiesInBatches(Guarantee[MeasuredWindows]):
    """How many samples of a micro-batch are copies of others in it; only reported."""

    def __init__(self) -> None:
        super().__init__("copies", np.inf)

    def see(self, seen: MeasuredWindows) -> None:
        """See `Guarantee`."""
        for batch, samples in enumerate(seen.yielded, seen.start):
            self.offer(samples.size - np.unique(samples).size, f"micro-batch {batch}")


class PaddingFraction(Guarantee[MeasuredWindows]):
    """The fraction of all computed tokens that is padding; only reported."""

    def __init__(self, cutter: Cutter) -> None:
        super().__init__("padding", np.inf)
        self._cutter, self._tokens, self._computed = cutter, 0.0, 0.0

    def see(self, seen: MeasuredWindows) -> None:
        """See `Guarantee`."""
        for items in seen.items:
            if items.size:
                tokens, computed = self._cutter.tokens(items)
                self._tokens, self._computed = self._tokens + tokens, self._computed + computed

    def end(self) -> None:
        """See `Guarantee`."""
        # At the end only: a mean of fractions over windows would give small windows too much weight.
        self.offer(1 - self._tokens / self._computed if self._computed else 0.0, "all of them")
