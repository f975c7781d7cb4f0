"""Plans by lengths: micro-batches by cost, planned window by window."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np

from ..base_plan import NumberColumn
from ..errors import check_integer, seed_number, warn
from ..kernels.array_types import Integers
from ..kernels.hashing import PURPOSE, child_key
from ..lengths.admission import Admission
from ..lengths.cut import Cut, steps_shuffled
from ..lengths.cutter import Cutter
from ..lengths.identity import fields_as_text
from ..lengths.layout import Window
from ..lengths.length_strata import LengthStrata
from ..lengths.order_windows import OrderWindows
from ..lengths.windows import Windows
from ..micro_batches import LAST, MicroBatches, counted
from ..orders.inclusion import InclusionRates
from ..public import internal
from ..recent import Recent
from .batch_costs import are_several, costs_of_batches
from .changed_steps import Windowed, plan_state_of, resumed, with_step_size_from
from .delivered import Delivery
from .fixed import FixedPlan
from .laid_out import check_step_size, windows_in_steps
from .length_arguments import checked_window, how_passed
from .plan import Plan
from .poor import faults_of_lengths
from .set_shares import SetShares, alike_until, orders_of, set_shares_after, set_shares_from, with_latest

if TYPE_CHECKING:
    from ..audit import Audit
    from .length_summary import LengthSummary

__all__ = ["LengthPlan"]

_MANY = 0.05  # warn if more micro-batches have a sample twice; a few always do where two passes meet (chosen by trial)
_ITEMS_KEPT = 1 << 21  # items of planned windows that a plan keeps: 32 MB
_AT_ONCE = 8  # micro-batches that become lists together: few, so that the first comes soon after its window is planned
_STEPS_KEPT = 8  # step sizes for which a plan keeps the windows; one process sees few


class LengthPlan(Plan, Windowed):
    """Micro-batches of like cost, made window by window.

    Made by `budgeted`, `grouped`, `bucketed` and `packed`. A window is consecutive micro-batches planned together: its
    samples are cut into micro-batches, these are sorted into steps of like cost, and the steps and the micro-batches within
    them are shuffled (`steps_shuffled`). With `order=` or `local=` it is the next range of an order. Without, it is made of
    `strata`; the plain shuffle that `order_plan` is then serves rates and the identity, and is cut only for buckets and if
    an epoch is one window.

    Attributes:
        epoch_samples: places of the order in an epoch of its plan.
        window: how many micro-batches are planned together, or "epoch"; elsewhere a `window` is the number of one.
        least_steps: a window has at least this many steps; the cutter may want more.
        admission: turns samples into items.
        seed: the seed of the strata, and of the order of steps and of the micro-batches within each.
        delivery: how the targets of the given order were adjusted, since samples are truncated or skipped; None
            without `order=`, or if nothing can be truncated or skipped.
        set_shares: the shares that were set during a run; see `retargeted`.
        strata: the strata of lengths that windows are made of; None with `order=` and for buckets.
        windows: the windows for this step size; `lengths.windows` says of which kind.
    """

    cutter: Cutter
    set_shares: tuple[SetShares, ...] = ()
    _of_run: LengthPlan | None = None  # the plan of the run, if only that knows where windows begin

    def __init__(
        self,
        order_plan: FixedPlan,
        cutter: Cutter,
        *,
        window: Window,
        seed: int,
        admission: Admission,
        epoch_samples: int | None = None,
        delivery: Delivery | None = None,
        least_steps: int = 1,
    ) -> None:
        order_plan = order_plan if delivery is None else delivery.order_plan
        self._order_plan = self._order_as_built = order_plan  # the latter before shares were set
        self.delivery, self.groups = delivery, admission.groups(order_plan.groups)
        self.epoch_samples = epoch_samples or order_plan.epoch_batches * order_plan.batch_size
        self.window, self.least_steps = checked_window(window), least_steps
        self.cutter, self.admission, self.seed = cutter, admission, seed_number(seed)
        self.strata = None
        # If its limits allow no strata, a cutter returns None, for any items: one item is enough to find that out.
        if epoch_samples is not None and cutter.over_strata(np.zeros(1, np.int64), 1) is not None:
            count = admission.item_count(epoch_samples)
            self.strata = LengthStrata.of(count, admission.skipped, cutter.similarity_keys, self.seed)
        self.same_samples = epoch_samples is not None
        # From a step size to this plan with that step size. All these copies share it.
        self._by_step_size: Recent[int, LengthPlan] = Recent({1: self})
        self._planned: Recent[int, tuple[Integers, Cut]] = Recent()
        if not self.same_samples or cutter.searches:
            # Laid out here, not at first use: with an order, or if cutting is a search, this may refuse the arguments.
            _ = self.windows
        warn(*faults_of_lengths(self, least=_MANY), *([delivery.fault] if delivery and delivery.fault else []))

    def __getitem__(self, batch: int) -> np.ndarray:
        """The samples of micro-batch `batch`, int64 (n_samples_of_the_batch,)."""
        return self.admission.emitted(self.items(counted(batch)))

    @property
    def order_plan(self) -> FixedPlan:
        """See `BasePlan`."""
        return self._order_plan

    @internal
    def computed_together(self, first: int, stride: int, count: int) -> Iterator[list[list[Any]]]:
        """See `MicroBatches`."""
        for batches in self._by_window(first, stride, count):
            while found := [batch.tolist() for batch in islice(batches, _AT_ONCE)]:
                yield found

    @internal
    def arrays(self, first: int, stride: int, count: int) -> Iterator[np.ndarray]:
        """See `MicroBatches`."""
        return chain.from_iterable(self._by_window(first, stride, count))

    def _by_window(self, first: int, stride: int, count: int) -> Iterator[Iterator[np.ndarray]]:
        """Micro-batches first, first + stride, ..., `count` of them; for each window those that are in it."""
        last = first + stride * count
        while first < last:
            window, place = self.windows.window_and_place(first)  # place: of the micro-batch in the window
            items, cut = self.planned(window)
            in_order, chosen = items[cut.places], slice(place, min(len(cut), place + last - first), stride)
            starts, ends = cut.offsets[:-1][chosen].tolist(), cut.offsets[1:][chosen].tolist()
            # Copied: a micro-batch that is kept should not keep its window.
            yield (self.admission.emitted(in_order[start:end].copy()) for start, end in zip(starts, ends, strict=True))
            first += len(starts) * stride

    def items(self, batch: int) -> Integers:
        """The items of a micro-batch, int64: samples, pieces of samples, or samples that stay together."""
        window, place = self.windows.window_and_place(batch)
        items, cut = self.planned(window)
        return items[cut.batch(place)]

    @overload
    def cost(self, batch: Sequence[int] | np.ndarray) -> float: ...
    @overload
    def cost(self, batch: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray: ...
    def cost(self, batch: Any) -> Any:
        """What a micro-batch of these samples costs, or each of several, in the unit of its limit or of `cost=`.

        Args:
            batch: the sample numbers of a micro-batch, array-like of shape (n_samples_of_the_batch,); or a sequence of
                such micro-batches, for instance `plan.epoch(0)`.

        Returns:
            A float; for several micro-batches their costs, float64 (n_batches,).

        Raises:
            Infeasible: a number is no sample of the plan.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.packed([6, 5, 4, 3, 2], 10, cost=lambda n: n**2)
            >>> plan.cost([0, 2])
            52.0
            >>> plan.cost([[0, 2], [1]]).tolist()
            [52.0, 25.0]
        """
        several = are_several(batch)
        batches = batch if several else [batch]
        costs = costs_of_batches(batches, self.groups.sample_count, self.admission, self.cutter)
        return costs if several else float(costs[0])

    def draw_number(self, batch: int) -> int:
        """The epoch, where each sample comes once in an epoch; see `MicroBatches`."""
        return self.windows.epoch_of(batch) if self.same_samples else batch

    def stepped(self, step_size: int) -> LengthPlan:
        """The plan with steps of `step_size` micro-batches, which have like costs; see `Plan`.

        Raises:
            Infeasible: an epoch cannot fill a step, or a step is too large to be planned in seconds.
        """
        if check_integer(step_size, "step_size", least=1) == self.step_size:
            return self
        check_step_size(self, step_size)
        if self.set_shares:  # windows are as long as those of the order without them
            if self._of_run is not None and self._of_run.step_size == step_size:
                return self._of_run
            return self._with_set_shares(()).stepped(step_size)._with_set_shares(self.set_shares)
        found = self._by_step_size.get(step_size)
        if found is None:
            found = self._with_windows(windows_in_steps(self, step_size), step_size)
            self._by_step_size.keep(step_size, found, _STEPS_KEPT)
        return found

    def with_window_starts(self, starts: Sequence[Sequence[int]]) -> LengthPlan:
        """The same plan, given where some windows begin; see `Windows.with_starts`."""
        if not starts:
            return self
        return self._with_windows(self.windows.with_starts(starts), self.step_size)

    def _with_windows(self, windows: Windows, step_size: int) -> LengthPlan:
        """A copy with these windows, in place of those that the property lays out."""
        found = copy.copy(self)
        vars(found).pop("mean_batch_size", None)
        found.step_size, found.windows, found.first = step_size, windows, windows.first_batch
        found._planned = Recent()
        return found

    @cached_property
    def windows(self) -> Windows:  # type: ignore[override]  # laid out when first needed: a run has a step size of its own
        """The windows for this step size."""
        return windows_in_steps(self, self.step_size)

    @property
    def epoch_batches(self) -> int:  # type: ignore[override]  # known once the windows are laid out
        """Micro-batches in an epoch, before rounding up to a multiple of world size x accumulate."""
        return self.windows.epoch_batches

    def with_step_size_from(self, batch: int, step_size: int) -> tuple[MicroBatches, int]:
        """See `MicroBatches`: steps change where a window, or an epoch, ends."""
        return with_step_size_from(self, batch, step_size)

    def plan_state(self, batch: int, since: int) -> dict[str, Any]:
        """See `MicroBatches`: the step size, where windows begin, and the shares that were set."""
        state = plan_state_of(self, batch, since)
        return state | ({"set_shares": [one.as_list() for one in self.set_shares]} if self.set_shares else {})

    def epochs_before(self, batch: int) -> float:
        """See `MicroBatches`: epochs of the plan whose order it is."""
        return self.windows.places_before(batch) / self.epoch_samples

    def resumed(self, plan_state: Mapping[str, Any], batch: int) -> MicroBatches:
        """See `BasePlan`."""
        before = self._with_set_shares(())
        rest = {name: value for name, value in plan_state.items() if name != "set_shares"}
        return resumed(before._with_set_shares(set_shares_from(before.order_plan, plan_state)), rest, batch)

    def retargeted(self, batch: int, shares: Any, *, in_samples: bool = False) -> tuple[LengthPlan, int, int]:
        """See `MicroBatches`: windows that were begun stay as they are. Both numbers are of a window's first micro-batch."""
        change, window = set_shares_after(self, batch, shares, in_samples=in_samples)
        found = self._with_set_shares(with_latest(self.set_shares, change))
        changed = window * found.windows.batches_between_boundaries
        return found, changed, found.new_shares_at(changed)

    @internal
    def new_shares_at(self, batch: int) -> int:
        """See `MicroBatches`: where the first window begins that takes nothing from before the order's new round."""
        if not self.set_shares:
            return 0
        windows, place = cast(OrderWindows, self.windows), self.set_shares[-1].change.first * self.order_plan.batch_size
        window = windows.window_and_place(batch)[0]
        while windows.start(window).place < place:
            window += 1
        return window * windows.batches_between_boundaries

    def with_shares_of(self, plan: Any) -> LengthPlan:
        """See `MicroBatches`. If the first changes were left out, only the plan of the run knows where windows begin."""
        found, of_run = self._with_set_shares(plan.set_shares), getattr(plan, "plan", plan)
        if found.first >= LAST and isinstance(of_run, LengthPlan):
            found = found._with_windows(of_run.windows, 1) if of_run.step_size == found.step_size == 1 else found
            found._of_run = of_run
        return found

    def _with_set_shares(self, changes: Sequence[SetShares]) -> LengthPlan:
        """The plan with these changes of the shares, and no others."""
        if tuple(changes) == self.set_shares:
            return self
        order_plan, orders = orders_of(self._order_as_built, changes)
        windows = cast(OrderWindows, self.windows).over(orders, alike_until(self.set_shares, changes))
        found = self._with_windows(windows, self.step_size)
        found._order_plan, found.set_shares, found._drawn, found._of_run = order_plan, tuple(changes), None, None
        return found

    def planned(self, window: int) -> tuple[Integers, Cut]:
        """The items of a window, and its micro-batches in their final order; the windows used last are kept.

        `Windows.cut_window` cuts it, the cutter makes the costs of a step equal, and `steps_shuffled` shuffles.
        """
        if (found := self._planned.get(window)) is not None:
            self._planned.move_to_end(window)
            return found
        items, cut = self.windows.cut_window(window)
        if self.step_size > 1:
            cut = self.cutter.with_equal_costs(items, cut, self.step_size)
        epoch, window_in_epoch = self.windows.epoch_and_window(window)
        key = child_key(child_key(child_key(self.seed, PURPOSE.STEPS), epoch), window_in_epoch)
        found = items, steps_shuffled(cut, self.step_size, key)
        # Two at least, however large: where a window ends, ranks in one process may use it and the next one in turn.
        return self._planned.keep(window, found, max(2, _ITEMS_KEPT // max(1, items.size)))

    @property
    def truncate_to(self) -> int | None:
        """The length to truncate longer samples to, as `bw.ragged(truncate_to=...)` does; None if nothing is truncated."""
        return self.admission.truncate_to

    @property
    def planned_lengths(self) -> NumberColumn | None:
        """See `BasePlan`; those of truncated samples are as they are left, and buckets have shapes in place of lengths."""
        bundled = self.admission.bundles is not None  # the length of a bundle is that of several samples
        return None if bundled else self.cutter.item_lengths

    @property
    def padded_budget(self) -> tuple[NumberColumn, float] | None:
        """See `BasePlan`."""
        return self.cutter.padded_budget

    @cached_property
    def run_identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch, by name, as short text; see `BasePlan`."""
        return {
            **{f"order.{name}": value for name, value in self.order_plan.run_identity.items()},
            "order": "none" if self.same_samples else how_passed(self.order_plan),
            "cut": self.cutter.builder,
            **self.cutter.identity,
            **fields_as_text(self.admission),
            "window": str(self.window) + (f" or {self.least_steps} steps" if self.least_steps > 1 else ""),
            "epoch_samples": str(self.epoch_samples),
            "steps_seed": str(self.seed),  # the argument `seed`
        }

    @property
    def shortcomings(self) -> list[str]:
        """See `BasePlan`; with those of the order that is cut."""
        own = faults_of_lengths(self._with_set_shares(())) + ([] if self.delivery is None else self.delivery.notes)
        return [*(f"order: {text}" for text in self.order_plan.shortcomings), *own]

    @property
    def settles_after(self) -> float | None:
        """See `BasePlan`: in epochs of the order that is cut."""
        return self.order_plan.settles_after

    @property
    def shards_change_rates(self) -> bool:
        """See `BasePlan`."""
        return self.order_plan.shards_change_rates

    @cached_property
    def mean_batch_size(self) -> float:
        """Samples in a micro-batch, on average."""
        # Of the order as it was built: shares of the first epoch may not be known any more.
        items = self.admission.items_in_a_place(self._order_as_built.inclusion_rates(0, 1), self.order_plan.groups)
        return float(self.windows.places_per_batch * items)

    def inclusion_rates(self, start: float, stop: float) -> InclusionRates:
        """See `BasePlan`."""
        samples = self.order_plan.groups.sample_count
        return self.admission.inclusion_rates(self.order_plan.inclusion_rates(start, stop), samples)

    def shares(self, epoch: int = 0) -> np.ndarray:
        """The expected share of every group in an epoch, float64 in the order of `groups.names`, summing to 1."""
        return self.drawn_in(epoch).prior(self.groups)

    def rates(self, indices: Any, *, epoch: int = 0) -> np.ndarray:
        """The expected share of each of these samples in the draws of an epoch, float64."""
        if not (self.admission.renumbers or self.admission.skipped.size):
            return self.order_plan.rates(indices, epoch=epoch)
        return super().rates(indices, epoch=epoch)

    def summary(self, step_size: int | None = None, *, accumulate: int = 1) -> LengthSummary:
        """Measure the plan on its first epoch: cost, padding, balance, composition, and a proven bound.

        Args:
            step_size: micro-batches in a step, world_size * accumulate; the plan's own if left out.
            accumulate: how many of these a rank goes through one after the other.

        Raises:
            Infeasible: `accumulate` does not divide `step_size`.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.packed([6, 5, 4, 3, 2, 6, 5, 4, 3, 2], 10, cost=lambda n: n**2)
            >>> plan.summary(2).waiting
            1.0
        """
        from .length_summary import summarise

        return summarise(self, self.step_size if step_size is None else step_size, accumulate)

    def audit(self, *, step_size: int = 1, epochs: int = 1, first: int = 0) -> Audit:
        """Measure guarantees G1, G4, G8, balance and padding; see `audit.audit_lengths`."""
        from ..audit import audit_lengths

        return audit_lengths(self, step_size=step_size, epochs=epochs, first=first)

    @internal
    def audit_of_run(self, step_size: int, *, epoch: int = 0, batches: int = 1000) -> Audit:
        """See `Plan`: of the epoch."""
        return self.audit(step_size=step_size, first=epoch)

    def __repr__(self) -> str:
        return (
            f"<plan: {self.epoch_batches} micro-batches an epoch, {self.cutter.builder}, window {self.window}, "
            f"from {self.order_plan!r}>"
        )
