"""Plans whose micro-batches all have the same number of samples."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..columns import sample_numbers
from ..errors import Infeasible
from ..orders import SharedOrder
from .micro_batches import MicroBatches, check_stretch, counted
from .plan import Plan
from .position import Position, fingerprint_of
from .strata import Strata, mean_shares, strata_of, windows_to_settle

if TYPE_CHECKING:
    from ..audit import Audit
    from ..groups import Groups
    from ..orders import Segment
    from .summary import Summary

__all__ = ["FixedPlan", "Stretch"]

_LONGEST_SHOWN = 100
_SAMPLES_AT_ONCE = (
    4096,
    32_768,
)  # few first, so that the first batch comes at once; then so many that a call costs nothing


class Stretch(MicroBatches):
    """Consecutive micro-batches of an endless plan: an epoch of it."""

    def __init__(self, plan: FixedPlan, origin: int, length: int) -> None:
        self._plan = plan
        self._origin = origin
        self._length = length

    def _micro_batch(self, number: int) -> np.ndarray:
        return self._plan[self._origin + number]

    def lists(self, first: int, stride: int) -> Iterator[list[int]]:
        """Micro-batches first, first + stride, ... to the end, each a fresh list of Python integers."""
        at_once, most = (max(1, samples // self._plan.batch_size) for samples in _SAMPLES_AT_ONCE)
        while first < self._length:
            count = min(at_once, -(-(self._length - first) // stride))
            at_once = min(2 * at_once, most)
            for batch in self._plan.order.batches(self._origin + first, stride, count):
                yield batch.tolist()
            first += count * stride

    def __repr__(self) -> str:
        return f"<{self._length} micro-batches of {self._plan.batch_size} from {self._origin} on>"


class FixedPlan(Plan):
    """Micro-batches of `batch_size` samples each; `plan[t]` is micro-batch t, for t below 89 x 2^32.

    Made by `balanced`, `shuffled` and `weighted`.

    Attributes:
        order: the endless order of samples it cuts.
        groups: who is in which group.
        batch_size: samples in every micro-batch.
        epoch_batches: micro-batches in an epoch, before it is rounded up to a multiple.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=4)
        >>> sorted(plan.groups.group_of(plan[17]).tolist())
        [0, 0, 1, 1]
    """

    def __init__(self, order: SharedOrder, *, epoch_batches: int) -> None:
        self.order = order
        self.groups: Groups = order.groups
        self.batch_size = order.window
        self.epoch_batches = epoch_batches

    def __getitem__(self, batch: int) -> np.ndarray:
        """The samples of micro-batch `batch`, int64 (batch_size,)."""
        samples: np.ndarray = self.order.batches(counted(batch), 1, 1)[0]
        return samples

    @cached_property
    def identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch, by name, as short text; see `Plan`."""
        return {**self.order.identity, "epoch_batches": str(self.epoch_batches)}

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that two plans share exactly if their arguments are the same."""
        return fingerprint_of(self.identity)

    @property
    def shortcomings(self) -> list[str]:
        """What the plan delivers poorly, in words: see `Plan`."""
        from .poor import notes

        return notes(self.order)

    def epoch_length(self, multiple: int = 1) -> int:
        """Micro-batches in an epoch, rounded up to a multiple; nothing is repeated for it, the order simply goes on."""
        if multiple < 1:
            raise Infeasible(f"multiple is {multiple}", "pass world_size * accumulate, 1 or more")
        return -(-self.epoch_batches // multiple) * multiple

    def epoch(self, epoch: int, multiple: int = 1) -> Stretch:
        """The micro-batches of an epoch, a sequence.

        Args:
            epoch: 0 or more.
            multiple: what the length is rounded up to a multiple of, world size x accumulate.
        """
        return self.epoch_at(self.started(epoch, multiple))

    def epoch_at(self, position: Position) -> Stretch:
        """The whole epoch that a position lies in."""
        return Stretch(self, position.origin, self.epoch_length(position.multiple))

    def started(self, epoch: int, multiple: int) -> Position:
        """The beginning of an epoch in a run that always had this multiple."""
        if epoch < 0:
            raise Infeasible(f"epoch is {epoch}", "pass 0 or more")
        return Position(epoch, 0, multiple, epoch * self.epoch_length(multiple))

    def moved(self, position: Position, epoch: int) -> Position:
        """The beginning of another epoch of the run that stands at `position`."""
        origin = position.origin + (epoch - position.epoch) * self.epoch_length(position.multiple)
        if epoch < 0 or origin < 0:  # before the run's multiple was changed: as if it always had been this one
            return self.started(epoch, position.multiple)
        return Position(epoch, 0, position.multiple, origin)

    def refitted(self, position: Position, multiple: int) -> Position:
        """The same place for a run that goes on with another multiple.

        What is left of the epoch is rounded up to the new multiple; later epochs follow right behind it.
        """
        if position.multiple == multiple:
            return position
        if position.consumed == 0:
            return position._replace(multiple=multiple)
        length = self.epoch_length(multiple)
        left = -(-(self.epoch_length(position.multiple) - position.consumed) // multiple) * multiple
        # where epochs are shorter now, this one may end before what was left does: the next goes on right there
        consumed = length - min(left, length)
        return Position(position.epoch, consumed, multiple, position.origin + position.consumed - consumed)

    def check_position(self, position: Position) -> None:
        """Refuse a place that no run comes to; see `Plan.check_position`."""
        check_stretch(position, position.origin, self.epoch_length(position.multiple))
        here, segments = position.origin + position.consumed, self.segments
        if segments and segments[0].number > 1 and here < segments[0].first:
            raise Infeasible(
                f"micro-batch {here} came before the shares of micro-batch {segments[0].first} were set, and only the last "
                f"{len(segments)} times that shares were set are known",
                "go on with a later epoch",
            )

    def shares(self, epoch: int = 0) -> np.ndarray:
        """The wanted share of every group in an epoch, float64 in the order of `groups.names`, summing to 1."""
        return self.order.shares.of(epoch)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The stretches whose shares were set; they are in a sampler's state, not in the fingerprint."""
        return () if self.order.dealt is None else self.order.dealt.segments

    def segment_after(self, batch: int, shares: Any) -> Segment:
        """The stretch of the order that these shares make, from the first round that begins at `batch` or later on.

        Args:
            batch: a micro-batch of the endless plan.
            shares: by label, by the name of a target ("uniform", ...), or in the order of `groups.names`; summing to 1.

        Raises:
            Infeasible: the plan's target is not `targets.moving`, or a share is outside its limits.

        Warns:
            PoorWarning: with these shares a group is smaller than its quota, so its samples repeat within a micro-batch.
        """
        from .retarget import segment_after

        return segment_after(self, batch, shares)

    def with_segments(self, segments: Sequence[Segment]) -> FixedPlan:
        """The same plan with these stretches of other shares; for runs whose shares were set while they ran."""
        from .retarget import with_segments

        return with_segments(self, segments)

    @property
    def settles_after(self) -> float | None:
        """After how many epochs no share moves any more: 0 if none ever does, None if some may for ever."""
        windows = windows_to_settle(self.order)
        return None if windows is None else windows / self.epoch_batches

    @property
    def mean_batch_size(self) -> float:
        """Samples in every micro-batch."""
        return self.batch_size

    def strata(self, start: float, stop: float) -> Strata:
        """What is drawn from epoch `start` to epoch `stop`, either of which may lie within one."""
        first = round(start * self.epoch_batches)
        return strata_of(self.order, first, max(first + 1, round(stop * self.epoch_batches)))

    def epochs_at(self, position: Position) -> float:
        """How many epochs of the plan were drawn before a position."""
        return (position.origin + position.consumed) / self.epoch_batches

    def prior_between(self, start: int, stop: int, groups: Groups | None = None) -> np.ndarray:
        """The mean wanted share of every group (the plan's own, if left out) over micro-batches start..stop-1, float64."""
        if 0 <= start < stop and (groups is None or groups is self.groups):
            return mean_shares(self.order, start, stop)
        return super().prior_between(start, stop, groups)

    def rates(self, indices: Any, *, epoch: int = 0) -> np.ndarray:
        """The part of all that is drawn in an epoch that each of these samples is, in expectation, float64."""
        return self.order.rates(sample_numbers(indices), epoch)

    def locate(self, indices: Any) -> tuple[list[Hashable], np.ndarray]:
        """The group of each of these samples and its number within it; of a mixture the source and the number there.

        Example:
            >>> import batchwright as bw
            >>> names, numbers = bw.mixed({"web": 100, "books": 10}, batch_size=4).locate([105, 7])
            >>> names, numbers.tolist()
            (['books', 'web'], [5, 7])
        """
        return self.groups.locate(indices)

    def summary(self) -> Summary:
        """What the plan will do, in numbers: sizes, shares, quotas, passes an epoch, and everything that is merely poor."""
        from .summary import summarise

        return summarise(self)

    def audit(self, *, batches: int = 1000, first: int = 0) -> Audit:
        """Measure guarantees G1 to G6 on what the plan really yields; see `batchwright.audit`."""
        from ..audit import audit

        return audit(self, batches=batches, first=first)

    def __repr__(self) -> str:
        draw = "" if self.order.identity["draw"] == "exact" else ", draw='random'"
        return (
            f"<plan: {self.epoch_batches} micro-batches of {self.batch_size} an epoch from {self.groups!r}, "
            f"{_short(self.order.shares.shown)}{draw}>"
        )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."
