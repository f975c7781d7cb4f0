"""Plans that cut an order by cost, window by window."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Infeasible, seed_number, shown, warn
from ..errors import whole as whole_number
from ..kernels.hashing import PURPOSE, child_key
from .admission import Admission
from .cut import Cut, Cutter, Integers, split_to
from .delivered import Delivery
from .fixed import FixedPlan
from .identity import fields_as_text
from .layers import Layers
from .length_epoch import LengthEpoch, Section, Windows
from .micro_batches import LAST, check_stretch, counted
from .plan import Plan
from .poor import faults_of_lengths
from .position import AS_IT_WAS, Position, fingerprint_of
from .refit import Remainder, Trail, spare_for
from .strata import Strata
from .stretches import stretch
from .windows import PARTS, Begin, Layout, Window, in_layers, in_stretches, room_of_whole, whole

if TYPE_CHECKING:
    from ..audit import Audit
    from .length_summary import LengthSummary

__all__ = ["LengthPlan"]

_MANY = 0.05  # of all micro-batches: so many that hold a sample twice are warned of
_MOVES_FOR_EVER = 30  # epochs that are looked at where shares never settle
_MOST_AT_ONCE = 1 << 26  # samples that a window of a state takes: more is damage, and would be held in memory
_MOST_IN_A_STEP = 1 << 24  # of a state: ranks x accumulate beyond this is damage, and would be laid out in memory


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
        same_samples: whether nobody asked for another order, so that every epoch has the same samples.
        delivery: what becomes of an order that was given; None of a plain shuffle, and where nothing can be cut or skipped.
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
        delivery: Delivery | None = None,
    ) -> None:
        source = source if delivery is None else delivery.source
        self.source = source
        self.delivery = delivery
        self.groups = admission.groups(source.groups)
        self.epoch_samples = source.epoch_batches * source.batch_size if epoch_samples is None else epoch_samples
        self.window = _micro_batches(window)
        self.cutter = cutter
        self.admission = admission
        self.seed = seed_number(seed)
        items = admission.items(np.arange(epoch_samples)) if epoch_samples is not None else None
        layered = items is not None and cutter.over_layers(items[:1], 1) is not None
        self.layers = Layers.of(items, cutter.alike, self.seed) if items is not None and layered else None
        self.same_samples = epoch_samples is not None
        self._layouts: dict[int, Layout] = {}
        self._asked: tuple[Position, LengthEpoch] | None = None  # the epoch that a run asked for last
        self.layout(1)  # what cannot be delivered at all is refused now
        warn(
            *faults_of_lengths(self, least=_MANY),
            *([delivery.fault] if delivery is not None and delivery.fault else []),
        )

    def __getitem__(self, batch: int) -> np.ndarray:
        """The samples of micro-batch `batch`, counted through all epochs of one process, int64."""
        epoch, place = divmod(counted(batch), self.epoch_length())
        return self.epoch(epoch)[place]

    @property
    def truncate_to(self) -> int | None:
        """What longer samples are to be cut down to, as `bw.ragged(truncate_to=...)` does; None where nothing is cut."""
        return self.admission.truncate_to

    @cached_property
    def identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch, by name, as short text; see `Plan`."""
        return {
            **{f"order.{name}": value for name, value in self.source.identity.items()},
            "order": "none" if self.same_samples else "given",
            "cut": self.cutter.kind,
            **self.cutter.identity,
            **fields_as_text(self.admission),
            "window": str(self.window),
            "epoch_samples": str(self.epoch_samples),
            "steps_seed": str(self.seed),
        }

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that two plans share exactly if their arguments are the same."""
        return fingerprint_of(self.identity)

    @property
    def shortcomings(self) -> list[str]:
        """What the plan delivers poorly, in words: see `Plan`; of the order that is cut as such."""
        own = [] if self.delivery is None else self.delivery.notes
        return [*(f"order: {text}" for text in self.source.shortcomings), *faults_of_lengths(self), *own]

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
            return len(self.cutter.for_window(PARTS).cut(items, 0, multiple)) if items.size else 0

        items = self._items
        settled = self.same_samples and self.cutter.settled
        found: Layout | None = None
        if self.window != "epoch":
            if self.layers is not None:
                found = in_layers(self.layers, self.cutter, window=self.window, multiple=multiple)
            else:
                found = in_stretches(
                    needed,
                    items=items,
                    epoch_samples=self.epoch_samples,
                    window=self.window,
                    multiple=multiple,
                    least_steps=self.cutter.least_steps,
                    moves_over=self._moves_over,
                )
        if found is None and self.layers is not None and not settled:
            found = in_layers(self.layers, self.cutter, window="epoch", multiple=multiple)
        if found is not None:
            return found
        room = 0.0 if settled else room_of_whole(needed, self.epoch_samples, self._moves_over)
        return whole(items, needed(0, self.epoch_samples), room, multiple)

    @cached_property
    def _items(self) -> int:
        """Items in the first epoch, and about as many in every other."""
        if self.admission.admits_all:
            return self.epoch_samples
        return int(self.admission.counts(self.source.order.take(0, self.epoch_samples)).sum())

    @property
    def _moves_over(self) -> int:
        """Epochs over which the composition of the order moves; a guess where it may move for ever."""
        settles_at = self.source.order.shares.settles_at
        return _MOVES_FOR_EVER if settles_at is None else settles_at

    def epoch_length(self, multiple: int = 1) -> int:
        """Micro-batches in every epoch, a multiple of `multiple`."""
        return self.layout(multiple).length

    def epoch(self, epoch: int, multiple: int = 1) -> LengthEpoch:
        """The micro-batches of an epoch, a sequence.

        Args:
            epoch: 0 or more.
            multiple: micro-batches in a step, world size x accumulate: they have like costs.
        """
        begun = self.started(epoch, multiple)
        return LengthEpoch(self, self.epoch_length(multiple), self._sections(begun))

    def epoch_at(self, position: Position) -> LengthEpoch:
        """The whole epoch that a position lies in."""
        begun = position._replace(epoch=0, consumed=0)
        if self._asked is None or self._asked[0] != begun:
            self._asked = begun, LengthEpoch(self, self.epoch_length(position.multiple), self._sections(position))
        return self._asked[1]

    def _sections(self, position: Position) -> list[Section]:
        """The plan's epochs that an epoch of a run is made of, first what is left of the one it stands in."""
        layout, trail = self.layout(position.multiple), Trail.of(position.trail)
        if trail is not None and trail.refits and position.origin < (trail.epoch + 1) * layout.length:
            left = self._left(trail, position.multiple)
            sections = [
                Section(
                    (trail.epoch + 1) * layout.length - len(left) - position.origin, trail.epoch, trail.refits, left
                )
            ]
        else:
            epoch, taken = divmod(position.origin, layout.length)
            sections = [Section(-taken, epoch, (), self._windows(epoch, layout, trail))]
        last = sections[0]
        following = last.first + len(last.items)
        if following < layout.length:
            windows = self._windows(last.epoch + 1, layout, trail, after=last.items)
            sections.append(Section(following, last.epoch + 1, (), windows))
        return sections

    def _windows(
        self, epoch: int, layout: Layout, trail: Trail | None, *, after: Windows | Remainder | None = None
    ) -> Windows:
        """An epoch of the plan in a run that knows this of it, or went through the one before."""
        if trail is not None and trail.epoch == epoch:
            return Windows(self, epoch, layout, known=lambda: (trail.window, trail.begin))
        return Windows(self, epoch, layout, known=None if after is None else lambda: (0, after.end()))

    def _left(self, trail: Trail, multiple: int) -> Remainder:
        """What is left of an epoch of the plan, after all its refits."""
        layout = self.layout(trail.refits[0][0])
        spare = spare_for(trail.refits, multiple, layout)
        left: Windows | Remainder = Windows(
            self, trail.epoch, layout, known=lambda: (trail.window, trail.begin), spare=spare
        )
        for (_, taken), (following, _) in pairwise([*trail.refits, (multiple, 0)]):
            left = Remainder(left, taken, following, self.cutter)
        assert isinstance(left, Remainder)
        return left

    def started(self, epoch: int, multiple: int) -> Position:
        """The beginning of an epoch in a run that always had this multiple."""
        if epoch < 0:
            raise Infeasible(f"epoch is {epoch}", "pass 0 or more: epochs count from 0")
        return Position(epoch, 0, multiple, epoch * self.epoch_length(multiple))

    def moved(self, position: Position, epoch: int) -> Position:
        """The beginning of another epoch of the run that stands at `position`.

        The epoch after one that was gone through goes on behind it; any other begins at its own place.
        """
        length = self.epoch_length(position.multiple)
        if epoch != position.epoch + 1 or position.consumed < length:
            return self.started(epoch, position.multiple)
        trail, _ = self.epoch_at(position).standing(length)
        return Position(epoch, 0, position.multiple, position.origin + length, self._told(trail))

    def located(self, position: Position) -> Position:
        """The same place, with where in the order its window begins."""
        if not position.trail and self.layout(position.multiple).firsts is not None:
            return position
        trail, _ = self.epoch_at(position).standing(position.consumed)
        return position._replace(trail=self._told(trail))

    def refitted(self, position: Position, multiple: int) -> Position:
        """The same place for a run that goes on with another multiple.

        The micro-batches that are left of the plan's epoch stay as they were, but for the last few, split to make up the
        new multiple. The run's epoch ends with them; where an epoch of the new multiple is too short for that, those that
        are too many come first in the next.
        """
        if position.multiple == multiple:
            return position
        trail, taken = self.epoch_at(position).standing(position.consumed)
        length = self.epoch_length(multiple)
        following = (trail.epoch + 1) * length  # the micro-batch of the run that the plan's next epoch begins with
        if taken:
            trail = trail._replace(refits=(*trail.refits, (position.multiple, taken)))
        here = following - (len(self._left(trail, multiple)) if trail.refits else length)
        consumed = max(0, here - position.epoch * length)
        return Position(position.epoch, consumed, multiple, here - consumed, self._told(trail))

    def check_position(self, position: Position) -> None:
        """Refuse a place that no run comes to, or whose epoch has not enough samples left; see `Plan.check_position`."""
        trail = Trail.of(position.trail)
        multiples = [position.multiple, *(multiple for multiple, _ in (trail.refits if trail is not None else ()))]
        if not all(1 <= multiple <= _MOST_IN_A_STEP for multiple in multiples):
            raise Infeasible(f"the state's multiples are {shown(multiples)}, the most is {_MOST_IN_A_STEP}", AS_IT_WAS)
        length = self.epoch_length(position.multiple)
        if trail is not None:
            self._check_trail(trail, position)
        origin = position.origin if trail is None or not trail.refits else max(0, position.origin)
        check_stretch(position._replace(trail=()), origin, length)
        epoch = self.epoch_at(position)
        if not epoch.consumed <= position.consumed <= epoch.planned:
            raise Infeasible(
                f"micro-batch {position.consumed} of epoch {position.epoch} is outside what is left of it, micro-batches "
                f"{epoch.consumed} to {min(epoch.planned, length)}: the run went on with another multiple",
                f"go on from micro-batch {epoch.consumed} or a later one, or with another epoch",
            )
        for section in epoch.sections:
            if isinstance(section.items, Remainder):
                section.items.split()

    def _check_trail(self, trail: Trail, position: Position) -> None:
        layout = self.layout(trail.refits[0][0] if trail.refits else position.multiple)
        place, skipped = trail.begin
        places = (LAST + 1) * self.source.batch_size
        known = 0 <= trail.window < layout.windows and trail.epoch >= 0 and 0 <= place < places - self.epoch_samples
        if known:  # a window takes all samples from its beginning to its own place
            line = layout.line(trail.window, self.epoch_samples)
            known = self.begin_of(trail.epoch).place + line - place <= max(_MOST_AT_ONCE, 2 * self.epoch_samples)
        if not known:
            raise Infeasible(f"the state's trail is {shown(list(position.trail))}", AS_IT_WAS)
        items = int(self.admission.counts(self.source.order.take(place, place + 1))[0])
        if not 0 <= skipped < max(1, items) or any(taken < 0 for _, taken in trail.refits):
            raise Infeasible(f"the state's trail is {shown(list(position.trail))}", AS_IT_WAS)

    def _told(self, trail: Trail) -> tuple[int, ...]:
        """A trail as a position holds it, empty where it says nothing that is not so in every run."""
        return trail.numbers if trail.refits or trail.begin != self.begin_of(trail.epoch) else ()

    def begin_of(self, epoch: int) -> Begin:
        """Where in the order an epoch begins that no other run over."""
        return Begin(epoch * self.epoch_samples)

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
        return max(0, position.origin + position.consumed) / self.epoch_length(position.multiple)

    def shares(self, epoch: int = 0) -> np.ndarray:
        """The expected share of every group in an epoch, float64 in the order of `groups.names`, summing to 1."""
        return self.drawn_in(epoch).prior(self.groups)

    def rates(self, indices: Any, *, epoch: int = 0) -> np.ndarray:
        """The part of all that is drawn in an epoch that each of these samples is, in expectation, float64."""
        if not (self.admission.renumbers or self.admission.skipped.size):
            return self.source.rates(indices, epoch=epoch)
        return super().rates(indices, epoch=epoch)

    def summary(self, multiple: int = 1) -> LengthSummary:
        """What the plan does, measured on its first epoch: cost, padding, balance, composition, the proven bound."""
        from .length_summary import summarise

        return summarise(self, multiple)

    def audit(self, *, multiple: int = 1, epochs: int = 1, first: int = 0) -> Audit:
        """Measure guarantees G1, G4, G8, balance and padding on what the plan yields; see `audit.audit_lengths`."""
        from ..audit import audit_lengths

        return audit_lengths(self, multiple=multiple, epochs=epochs, first=first)

    def layered(self, epoch: int, window: int, layout: Layout) -> tuple[Integers, Cut]:
        """The items of a window that is made of layers, and how they are cut."""
        assert self.layers is not None
        assert layout.firsts is not None
        items = self.layers.window(epoch, window, layout.windows)
        cut = self.cutter.cut(items, layout.batches, layout.multiple)
        if len(cut) > layout.batches:  # what holds the firsts holds these
            cut = split_to(layout.firsts.below(items.size), layout.batches, items, self.cutter)
        return items, cut

    def stretch(self, epoch: int, window: int, layout: Layout, begin: Begin, spare: int) -> tuple[Integers, Cut, Begin]:
        """The items of a window that is a stretch of the order from `begin` on, how they are cut, and where it ends."""
        line = self.begin_of(epoch).place + layout.line(window, self.epoch_samples)
        # every epoch has the same samples where no order was given: its last window ends where they do
        spare = spare if window == layout.windows - 1 and not self.same_samples else 0
        wanted, multiple = layout.wanted(window), layout.multiple
        return stretch(self.source.order, self.admission, self.cutter, begin, line, wanted, multiple, spare=spare)

    def between(self, begin: Begin, end: Begin) -> Integers:
        """The items of the order from `begin` to `end`."""
        samples = self.source.order.take(begin.place, end.place + 1)
        last = int(self.admission.counts(samples[-1:])[0])  # items of the sample that may be cut off within
        items = self.admission.items(samples)
        return items[begin.skipped : items.size - last + end.skipped]

    def spare_of_last(self, layout: Layout) -> int:
        """How many micro-batches more than it has the last window could surely be split into, of an epoch's own samples."""
        if layout.firsts is not None:
            assert self.layers is not None
            return self.layers.size(layout.windows - 1, layout.windows) - layout.last_batches
        begun = layout.line(layout.windows - 2, self.epoch_samples) if layout.windows > 1 else 0
        return self._items - begun - layout.last_batches

    def key(self, epoch: int, window: int) -> int:
        """What the shuffling of a window's steps is keyed by."""
        return child_key(child_key(child_key(self.seed, PURPOSE.STEPS), epoch), window)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_asked": None}

    def __repr__(self) -> str:
        return (
            f"<plan: {self.epoch_length()} micro-batches an epoch, {self.cutter.kind}, window {self.window}, "
            f"from {self.source!r}>"
        )


def _micro_batches(window: Window) -> Window:
    """A window as a number of micro-batches, or "epoch"."""
    if isinstance(window, str) and window == "epoch":
        return "epoch"
    try:
        return whole_number(window, "window", least=1)
    except Infeasible:
        raise Infeasible(
            f"window is {shown(window)} micro-batches", 'pass a whole number of 1 or more, or "epoch"'
        ) from None
