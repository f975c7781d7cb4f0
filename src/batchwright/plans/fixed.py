"""Plans with a fixed batch size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Infeasible, check_integer, check_number, shown
from ..inputs.columns import sample_numbers
from ..micro_batches import AS_IT_WAS, counted
from ..orders import InTurn, Shards, ShareChange, SharedOrder
from ..orders.inclusion import (
    InclusionRates,
    batches_to_settle,
    drawn_rates_of,
    inclusion_rates_of,
    mean_shares,
    shards_change_rates,
)
from ..public import internal
from .ahead import Ahead
from .plan import Plan

if TYPE_CHECKING:
    from ..audit import Audit
    from ..groups import Groups
    from .summary import Summary

__all__ = ["FixedPlan"]

_WHOLE = 1e-6  # a number of micro-batches this near to an integer is one
_LONGEST_SHOWN = 100  # characters of a target in a `repr`
_CHANGES_KEPT = 8  # workers of a loader are ahead of training, and may need earlier shares again after a resume
# Samples computed in one call of a kernel: few at first, so that the first batch comes quickly; later so many that
# calling the kernel takes no time in proportion.
_SAMPLES_AT_ONCE = 4096, 32_768


class FixedPlan(Plan):
    """Micro-batches of `batch_size` samples each; `plan[t]` is micro-batch t, for t below 89 * 2**32.

    Made by `balanced`, `shuffled`, `weighted`, `mixed`, `hierarchical`, `raked` and `multilabel`.

    Attributes:
        epoch_batches: micro-batches in an epoch, before it is rounded up to a multiple.
        order: the endless order of samples that it cuts.
        groups: the groups of the samples.
        batch_size: samples in every micro-batch.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=4)
        >>> sorted(plan.groups.group_of(plan[17]).tolist())
        [0, 0, 1, 1]
    """

    order: SharedOrder
    batch_size: int

    def __init__(self, order: SharedOrder, *, epoch_batches: int) -> None:
        self.order = order
        self.groups: Groups = order.groups
        self.batch_size = order.batch_size
        self.epoch_batches = epoch_batches
        self._ahead = Ahead(epoch_batches, self.batch_size)

    def __getitem__(self, batch: int) -> np.ndarray:
        """The samples of micro-batch `batch`, int64 (batch_size,)."""
        return self._ahead.one(self.order, counted(batch))

    @internal
    def computed_together(self, first: int, stride: int, count: int) -> Iterator[list[list[Any]]]:
        """See `MicroBatches`."""
        if 0 < count * self.batch_size <= _SAMPLES_AT_ONCE[0]:
            return iter((self._ahead.together(self.order, first, stride, count).tolist(),))
        return self._in_calls(first, stride, count)

    @internal
    def arrays(self, first: int, stride: int, count: int) -> Iterator[np.ndarray]:
        """See `MicroBatches`."""
        # Copied: a micro-batch that is kept should not keep those that were computed with it.
        return (batch.copy() for table in self._tables(first, stride, count) for batch in table)

    def _in_calls(self, first: int, stride: int, count: int) -> Iterator[list[list[Any]]]:
        return (table.tolist() for table in self._tables(first, stride, count))

    def _tables(self, first: int, stride: int, count: int) -> Iterator[np.ndarray]:
        """Micro-batches that are computed together, int64 (batches, batch_size)."""
        at_once, most = (max(1, samples // self.batch_size) for samples in _SAMPLES_AT_ONCE)
        while count > 0:
            asked = min(at_once, count)
            end = first + asked * stride
            yield self.order.batches_at(np.arange(first, end, stride))
            first, count, at_once = end, count - asked, min(2 * at_once, most)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_ahead": Ahead(self.epoch_batches, self.batch_size)}

    @cached_property
    def run_identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch, by name, as short text; see `BasePlan`."""
        return {**self.order.identity, "epoch_batches": str(self.epoch_batches)}

    @property
    def shortcomings(self) -> list[str]:
        """See `BasePlan`."""
        from .poor import notes

        return notes(self.order)

    def plan_state(self, batch: int, since: int) -> dict[str, Any]:
        """See `MicroBatches`: the shares that were set during the run."""
        return {"share_changes": [change.as_list() for change in self.share_changes]} if self.share_changes else {}

    def resumed(self, plan_state: Mapping[str, Any], batch: int) -> FixedPlan:
        """See `BasePlan`: the plan with the shares that were set during the run."""
        if set(plan_state) - {"share_changes"}:
            raise Infeasible(
                f"the state says {shown(dict(plan_state))} of a plan of micro-batches of a fixed size", AS_IT_WAS
            )
        given = plan_state.get("share_changes", [])
        try:
            share_changes = tuple(ShareChange.from_list(change) for change in given)
        except (TypeError, ValueError):
            raise Infeasible(f"the state's share_changes are {shown(given)}", AS_IT_WAS) from None
        if len(share_changes) > _CHANGES_KEPT:
            raise Infeasible(
                f"the state has {len(share_changes)} share_changes, the most is {_CHANGES_KEPT}", AS_IT_WAS
            )
        return self if share_changes == self.share_changes else self.with_share_changes(share_changes)

    def retargeted(self, batch: int, shares: Any, *, in_samples: bool = False) -> tuple[FixedPlan, int, int]:
        """See `MicroBatches`; only the last few changes are kept."""
        change = self.share_change_after(batch, shares, in_samples=in_samples)
        kept = [earlier for earlier in self.share_changes if earlier.first < change.first]
        return self.with_share_changes([*kept, change][-_CHANGES_KEPT:]), change.first, change.first

    @internal
    def new_shares_at(self, batch: int) -> int:
        """See `MicroBatches`."""
        return self.share_changes[-1].first if self.share_changes else 0

    def with_shares_of(self, plan: Any) -> FixedPlan:
        """See `MicroBatches`."""
        found: FixedPlan = plan
        return found

    @internal
    def warning_of_run(self, batch: int, end: int, step_size: int, world_size: int) -> str | None:
        """See `MicroBatches`: shards are divided among a number of ranks."""
        shards = getattr(self.order, "shards", None)
        if not isinstance(shards, Shards) or shards.ranks == world_size:
            return None
        share = world_size // math.gcd(shards.ranks, world_size)
        return (
            f"the shards are divided among {shards.ranks} ranks and the run has {world_size}: "
            + (f"{share} ranks read each shard, and " if share > 1 else "")
            + f"a rank reads from up to {shards.at_once(world_size)} at a time, and a cache must hold as many; for a run "
            f"that begins, bw.Shards(..., ranks={world_size}) avoids it"
        )

    @internal
    def check_batch(self, batch: int) -> None:
        """See `MicroBatches`: refuses a micro-batch whose shares are no longer known."""
        if self.order.dealt is not None and self.share_changes:
            self.order.dealt.check_known(batch)

    def shares(self, epoch: int = 0) -> np.ndarray:
        """The wanted share of every group in an epoch, float64 in the order of `groups.names`, summing to 1.

        It is the mean over the epoch where shares change at micro-batches.
        """
        epoch, length = check_integer(epoch, "epoch", least=0), self.epoch_batches
        if self.order.shares.every is None:
            return self.order.shares.of(epoch)
        return mean_shares(self.order, epoch * length, (epoch + 1) * length)

    @property
    def share_changes(self) -> tuple[ShareChange, ...]:
        """The changes of the shares during the run; they are part of a sampler's state, not of the fingerprint."""
        return () if self.order.dealt is None else self.order.dealt.share_changes

    def share_change_after(self, batch: int, shares: Any, *, in_samples: bool = False) -> ShareChange:
        """The change to these shares, at the first round that begins at `batch` or later.

        Args:
            batch: a micro-batch of the endless plan.
            shares: by label, by the name of a target ("uniform", ...), or in the order of `groups.names`; summing to 1. If
                the plan was built with `moving(in_units(...))`, they are shares of that unit, such as tokens.
            in_samples: whether they are shares of samples also then.

        Raises:
            Infeasible: the plan's target is not `targets.moving`, or a share is outside its limits.

        Warns:
            PoorWarning: with these shares a group is smaller than its quota, so its samples repeat within a
                micro-batch.
        """
        from .retarget import share_change_after

        return share_change_after(self, batch, shares, in_samples=in_samples)

    def with_share_changes(self, share_changes: Sequence[ShareChange]) -> FixedPlan:
        """The same plan with these changes of the shares."""
        from .retarget import with_share_changes

        return FixedPlan(with_share_changes(self, share_changes), epoch_batches=self.epoch_batches)

    @property
    def settles_after(self) -> float | None:
        """See `BasePlan`."""
        batches = batches_to_settle(self.order)
        return None if batches is None else batches / self.epoch_batches

    @property
    def shards_change_rates(self) -> bool:
        """See `BasePlan`."""
        return shards_change_rates(self.order)

    @property
    def mean_batch_size(self) -> float:
        """Samples in every micro-batch."""
        return self.batch_size

    def inclusion_rates(self, start: float, stop: float) -> InclusionRates:
        """See `BasePlan`."""
        if not 0 <= check_number(start, "start") <= check_number(stop, "stop"):
            raise Infeasible(f"nothing is drawn from epoch {start} to epoch {stop}", "pass 0 <= start < stop")
        first = round(start * self.epoch_batches)
        return inclusion_rates_of(self.order, first, max(first + 1, round(stop * self.epoch_batches)))

    def drawn_before(self, batches: float) -> np.ndarray:
        """See `BasePlan`: counted, and no expectation, where shares are exact."""
        if self.order.dealt is None:
            return super().drawn_before(batches)
        whole = math.floor(batches + _WHOLE)
        drawn, part = self.order.dealt.drawn(whole).astype(np.float64), batches - whole
        if part > _WHOLE:  # a plan by lengths is within a micro-batch of its order
            drawn += part * (self.order.dealt.drawn(whole + 1) - drawn)
        return drawn

    def prior_between(self, start: int, stop: int, groups: Groups | None = None) -> np.ndarray:
        """See `BasePlan`."""
        if 0 <= start < stop and (groups is None or groups is self.groups) and not isinstance(self.order, InTurn):
            return mean_shares(self.order, start, stop)
        return super().prior_between(start, stop, groups)

    @internal
    def drawn_between(self, start: int, stop: int) -> InclusionRates:
        """See `BasePlan`."""
        return drawn_rates_of(self.order, start, stop)

    def horizon(self) -> int:
        """See `BasePlan`: of an order that is no random one, micro-batches that hold whole passes of it."""
        if isinstance(self.order, InTurn):
            return self.order.places.count // math.gcd(self.order.places.count, self.batch_size)
        return super().horizon()

    def rates(self, indices: Any, *, epoch: int = 0) -> np.ndarray:
        """The expected share of each of these samples in the draws of an epoch, float64."""
        epoch = check_integer(epoch, "epoch", least=0)
        if self.shards_change_rates or self.order.shares.every is not None:
            return super().rates(indices, epoch=epoch)
        return self.order.rates(sample_numbers(indices), epoch)

    def summary(self, step_size: int | None = None) -> Summary:
        """The plan in numbers: sizes, shares, quotas, passes an epoch, and warnings; see `Plan.summary`."""
        from .summary import summarise

        return summarise(self, 1 if step_size is None else step_size)

    def audit(self, *, batches: int = 1000, first: int = 0) -> Audit:
        """Measure guarantees G1 to G6 on the micro-batches of the plan; see `batchwright.audit`."""
        from ..audit import audit

        return audit(self, batches=batches, first=first)

    @internal
    def audit_of_run(self, step_size: int, *, epoch: int = 0, batches: int = 1000) -> Audit:
        """See `Plan`: of the first micro-batches of the epoch."""
        return self.audit(batches=batches, first=epoch * self.epoch_length(step_size))

    def __repr__(self) -> str:
        draw = "" if self.order.identity["draw"] == "exact" else ", draw='random'"
        return (
            f"<plan: {self.epoch_batches} micro-batches of {self.batch_size} an epoch from {self.groups!r}, "
            f"{_short(self.order.shares.shown)}{draw}>"
        )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."
