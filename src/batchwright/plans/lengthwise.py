"""Plans that cut an order by cost, window by window."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Infeasible
from ..kernels.cuts import keyed_order
from ..kernels.hashing import PURPOSE, child_key
from .admission import Admission
from .cut import Cut, Cutter, Integers, arranged, split_to
from .fixed import FixedPlan
from .layers import Layers
from .micro_batches import MicroBatches
from .plan import Plan
from .position import Position, fingerprint_of
from .refit import Remainder, decoded, encoded
from .strata import Strata
from .windows import Layout, Window, in_layers, in_stretches, spread_of_whole, whole

if TYPE_CHECKING:
    from ..audit import Audit
    from ..groups import Groups
    from .length_summary import LengthSummary

__all__ = ["LengthEpoch", "LengthPlan"]

_WINDOWS_KEPT = 2


class LengthPlan(Plan):
    """Micro-batches of like cost, cut from an order window by window.

    Made by `budgeted`, `grouped`, `bucketed` and `packed`. An epoch is a stretch of the order and a list of
    micro-batches over it; both are as long in every epoch, whatever chance brings.

    Attributes:
        source: the plan whose order is cut.
        groups: who is in which group, as the source has it, by the numbers that a sampler yields.
        epoch_samples: places of the order in an epoch.
        window: micro-batches that are planned together, or "epoch".
        cutter: how samples become micro-batches.
        admission: which samples take part.
        seed: of the shuffled steps.
        layers: what windows are made of where nobody asked for another order, else None.
    """

    def __init__(
        self,
        source: FixedPlan,
        cutter: Cutter,
        *,
        window: Window,
        seed: int,
        admission: Admission,
        epoch_samples: int | None = None,
    ) -> None:
        self.source = source
        self.groups = admission.groups(source.groups)
        self.epoch_samples = source.epoch_batches * source.batch_size if epoch_samples is None else epoch_samples
        self.window = window
        self.cutter = cutter
        self.admission = admission
        self.seed = seed
        if window != "epoch" and window < 1:
            raise Infeasible(f"window is {window} micro-batches", 'pass 1 or more, or "epoch"')
        items = admission.items(np.arange(epoch_samples)) if epoch_samples is not None else None
        layered = items is not None and cutter.over_layers(items[:1], 1) is not None
        self.layers = Layers.of(items, cutter.alike, seed) if items is not None and layered else None
        self._same_samples = epoch_samples is not None
        self._layouts: dict[int, Layout] = {}
        self.layout(1)  # what cannot be delivered at all is refused now

    def __getitem__(self, batch: int) -> np.ndarray:
        """The samples of micro-batch `batch`, counted through all epochs of one process, int64."""
        number = operator.index(batch)
        if number < 0:
            raise IndexError(f"micro-batch {number}: an endless plan counts from 0")
        epoch, place = divmod(number, self.epoch_length())
        return self.epoch(epoch)[place]

    __iter__ = None  # endless: ask for an epoch instead

    @cached_property
    def identity(self) -> dict[str, str]:
        """Every argument that decides the plan, by name, as short text."""
        return {
            **{f"order.{name}": value for name, value in self.source.identity.items()},
            **self.cutter.identity,
            "too_long": f"{self.admission.too_long} {self.admission.too_long_count}",
            "window": str(self.window),
            "epoch_samples": str(self.epoch_samples),
            "steps_seed": str(self.seed),
        }

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that two plans share exactly if their arguments are the same."""
        return fingerprint_of(self.identity)

    def layout(self, multiple: int = 1) -> Layout:
        """The windows of every epoch, for epochs that are a multiple of `multiple` long."""
        if multiple < 1:
            raise Infeasible(f"multiple is {multiple}", "pass world_size * accumulate, 1 or more")
        if multiple not in self._layouts:
            self._layouts[multiple] = self._laid_out(multiple)
        return self._layouts[multiple]

    def _laid_out(self, multiple: int) -> Layout:
        def needed(first: int, count: int) -> int:
            items = self.admission.items(self.source.order.take(first, first + count))
            return len(self.cutter.cut(items, 0, multiple)) if items.size else 0

        settled = self._same_samples and self.cutter.settled
        found: Layout | None = None
        if self.window != "epoch":
            if self.layers is not None:
                found = in_layers(self.layers, self.cutter, window=self.window, multiple=multiple)
            else:
                found = in_stretches(needed, epoch_samples=self.epoch_samples, window=self.window, multiple=multiple)
        if found is None and self.layers is not None and not settled:
            found = in_layers(self.layers, self.cutter, window="epoch", multiple=multiple)
        if found is not None:
            return found
        room = 0.0 if settled else spread_of_whole(needed, self.epoch_samples)
        items = self.admission.items(self.source.order.take(0, self.epoch_samples)).size
        return whole(self.epoch_samples, items, needed(0, self.epoch_samples), room, multiple)

    def epoch_length(self, multiple: int = 1) -> int:
        """Micro-batches in every epoch, a multiple of `multiple`."""
        return self.layout(multiple).length

    def epoch(self, epoch: int, multiple: int = 1) -> LengthEpoch:
        """The micro-batches of an epoch, a sequence.

        Args:
            epoch: 0 or more.
            multiple: micro-batches in a step, world size x accumulate: they have like costs.
        """
        return self.epoch_at(self.started(epoch, multiple))

    def epoch_at(self, position: Position) -> LengthEpoch:
        """The whole epoch that a position lies in."""
        refits = decoded(position.origin)
        steps = [multiple for multiple, _ in refits] + [position.multiple]
        left: Sequence[Integers] = Windows(self, position.epoch, self.layout(steps[0]))
        for (_, taken), multiple in zip(refits, steps[1:], strict=True):
            left = Remainder(left, taken, multiple, self.cutter)
        consumed = self.epoch_length(position.multiple) - len(left)
        return LengthEpoch(self, left, consumed, self.epoch_length(position.multiple))

    def started(self, epoch: int, multiple: int) -> Position:
        """The beginning of an epoch; it is the same for every run."""
        if epoch < 0:
            raise Infeasible(f"epoch is {epoch}", "epochs count from 0")
        return Position(epoch, 0, multiple, 0)

    def moved(self, position: Position, epoch: int) -> Position:
        """The beginning of another epoch of the run that stands at `position`."""
        return self.started(epoch, position.multiple)

    def refitted(self, position: Position, multiple: int) -> Position:
        """The same place for a run that goes on with another multiple.

        The micro-batches that are left stay as they were, but for the last few, split to make up the new multiple. `origin`
        holds where that was.
        """
        if position.multiple == multiple:
            return position
        refits = decoded(position.origin)
        if position.consumed == 0 and not refits:
            return self.started(position.epoch, multiple)
        epoch = self.epoch_at(position)
        left = -(-(len(epoch) - position.consumed) // multiple) * multiple
        refits.append((position.multiple, position.consumed - epoch.consumed))
        return Position(position.epoch, self.epoch_length(multiple) - left, multiple, encoded(refits))

    @property
    def settles_after(self) -> float | None:
        """After how many epochs no share moves any more; see `Plan`. An epoch is one of the source."""
        return self.source.settles_after

    @cached_property
    def mean_batch_size(self) -> float:
        """Samples in a micro-batch, on average."""
        drawn = self.source.strata(0, 1).rates(np.arange(self.source.groups.sample_count))
        drawn[self.admission.skipped] = 0
        return float(self.epoch_samples * drawn[self.admission.origins(drawn.size)].sum() / self.epoch_length())

    def strata(self, start: float, stop: float) -> Strata:
        """What is drawn from epoch `start` to epoch `stop`; see `Plan.strata`."""
        return self.admission.strata(self.source.strata(start, stop), self.source.groups.sample_count)

    def epochs_at(self, position: Position) -> float:
        """How many epochs of the plan were drawn before a position."""
        return position.epoch + max(0, position.consumed) / self.epoch_length(position.multiple)

    def prior_between(self, start: int, stop: int, groups: Groups | None = None) -> np.ndarray:
        """The mean wanted share of every group (the plan's own, if left out) over micro-batches start..stop-1, float64."""
        if not 0 <= start < stop:
            raise Infeasible(f"no micro-batches from {start} to {stop}", "pass start < stop, 0 or more")
        length = self.epoch_length()
        return self.strata(start / length, stop / length).prior(self.groups if groups is None else groups)

    def shares(self, epoch: int = 0) -> np.ndarray:
        """The expected share of every group in an epoch, float64 in the order of `groups.names`, summing to 1."""
        return self.strata(epoch, epoch + 1).prior(self.groups)

    def rates(self, indices: Any, *, epoch: int = 0) -> np.ndarray:
        """The part of all that is drawn in an epoch that each of these samples is, in expectation, float64."""
        samples = np.asarray(indices)
        if not (self.admission.renumbers or self.admission.skipped.size):
            return self.source.rates(samples, epoch=epoch)
        return self.strata(epoch, epoch + 1).rates(samples)

    def summary(self, multiple: int = 1) -> LengthSummary:
        """What the plan does, measured on its first epoch: cost, padding, balance, composition, the proven bound."""
        from .length_summary import summarise

        return summarise(self, multiple)

    def audit(self, *, multiple: int = 1, epochs: int = 1, first: int = 0) -> Audit:
        """Measure guarantees G1, G4, G8, balance and padding on what the plan yields; see `audit.audit_lengths`."""
        from ..audit import audit_lengths

        return audit_lengths(self, multiple=multiple, epochs=epochs, first=first)

    def planned(self, epoch: int, window: int, layout: Layout) -> tuple[Integers, Cut]:
        """The items of a window of an epoch and how they are cut, before anything is taken over or arranged."""
        wanted = layout.last_batches if window == layout.windows - 1 else layout.batches
        if layout.firsts is not None and self.layers is not None:
            items = self.layers.window(epoch, window, layout.windows)
            cut = self.cutter.cut(items, wanted, layout.multiple)
            if len(cut) > wanted:  # what holds the firsts holds these
                cut = split_to(layout.firsts.below(items.size), wanted, items, self.cutter)
            return items, cut
        first, last = layout.places(window)
        start = epoch * self.epoch_samples
        items = self.admission.items(self.source.order.take(start + first, start + last))
        return items, self.cutter.cut(items, wanted, layout.multiple)

    def arranged_window(self, epoch: int, window: int, layout: Layout) -> tuple[Integers, Cut]:
        """The items of a window of an epoch and its micro-batches as they come."""
        return Windows(self, epoch, layout).window(window)

    def key(self, epoch: int, window: int) -> int:
        """What the shuffling of a window's steps is keyed by."""
        return child_key(child_key(child_key(self.seed, PURPOSE.STEPS), epoch), window)

    def __repr__(self) -> str:
        kind = self.cutter.identity.get("cut", "cut")
        return (
            f"<plan: {self.epoch_length()} micro-batches an epoch, {kind}, window {self.window}, from {self.source!r}>"
        )


class Windows(Sequence[Integers]):
    """The items of every micro-batch of an epoch that began with this multiple."""

    def __init__(self, plan: LengthPlan, epoch: int, layout: Layout) -> None:
        self._plan, self._epoch, self._layout = plan, epoch, layout
        self._ready: OrderedDict[int, tuple[Integers, Cut]] = OrderedDict()
        self._over: dict[int, list[Integers]] = {}  # what windows could not hold

    def __len__(self) -> int:
        return self._layout.length

    def __getitem__(self, number):  # type: ignore[no-untyped-def]
        window, place = self._layout.window_of(number)
        items, cut = self.window(window)
        return items[cut.batch(place)]

    def window(self, window: int) -> tuple[Integers, Cut]:
        """The items of a window and its micro-batches as they come; the last windows asked for are kept."""
        if window not in self._ready:
            if len(self._ready) == _WINDOWS_KEPT:
                self._ready.popitem(last=False)
            plan, layout = self._plan, self._layout
            items, cut = self._fitted(window)
            if layout.multiple > 1:
                cut = plan.cutter.levelled(items, cut, layout.multiple)
            self._ready[window] = items, arranged(cut, layout.multiple, plan.key(self._epoch, window))
        return self._ready[window]

    def _fitted(self, window: int) -> tuple[Integers, Cut]:
        """The items of a window and as many micro-batches as it has; the last takes over what others cannot hold."""
        plan, layout = self._plan, self._layout
        items, cut = plan.planned(self._epoch, window, layout)
        if layout.firsts is not None:  # no window of layers needs more than it has
            return items, cut
        if window < layout.windows - 1:
            self._over[window] = []
            if len(cut) > layout.batches:
                mixed = keyed_order(len(cut), np.uint64(plan.key(self._epoch, window)))
                over = cut.chosen(mixed[layout.batches :])
                self._over[window] = [items[over.batch(number)] for number in range(len(over))]
                cut = cut.chosen(np.sort(mixed[: layout.batches]))
            return items, cut
        over_all = [batch for earlier in range(window) for batch in self._left_over(earlier)]
        if over_all:
            items = np.concatenate([items, *over_all])
            cut = plan.cutter.cut(items, layout.last_batches, layout.multiple)
        if len(cut) > layout.last_batches:
            raise Infeasible(
                f"epoch {self._epoch} needs {len(cut) - layout.last_batches} micro-batches more than the {len(self)} "
                "every epoch has: its samples cost far more than those the plan was laid out with",
                'pass a larger window, or "epoch"',
            )
        return items, cut

    def _left_over(self, window: int) -> list[Integers]:
        if window not in self._over:
            self._fitted(window)
        return self._over[window]


class LengthEpoch(MicroBatches):
    """The micro-batches of an epoch.

    Attributes:
        consumed: where it begins: micro-batches before it are gone, given out under another multiple. Below 0 where
        more were
            left than an epoch of this multiple has.
    """

    def __init__(self, plan: LengthPlan, left: Sequence[Integers], consumed: int, length: int) -> None:
        self._plan, self._left, self._length = plan, left, length
        self.consumed = consumed

    def _micro_batch(self, number: int) -> np.ndarray:
        if number < self.consumed:
            raise IndexError(f"micro-batch {number} came before the run went on with another multiple")
        return self._plan.admission.emitted(self._left[number - self.consumed])

    def lists(self, first: int, stride: int) -> Iterator[list[int]]:
        """Micro-batches first, first + stride, ... to the end, each a fresh list of Python integers."""
        for place in range(first, self._length, stride):
            yield self._plan.admission.emitted(self._left[place - self.consumed]).tolist()

    def __repr__(self) -> str:
        return f"<{self._length} micro-batches of {self._plan!r}>"
