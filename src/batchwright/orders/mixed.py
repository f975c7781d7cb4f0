"""The mixed order: sources in exact shares; each may have an order of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .ascending_draws import with_ascending_draws
from .dealt import Dealt
from .protocol import BatchwiseOrder, Order, Undersized, fingerprint_of, samples_at
from .share_change import ShareChange
from .shared import is_shared

__all__ = ["Mixed"]


class Mixed(BatchwiseOrder):
    """Slots are dealt to sources; the k-th slot of a source gets the k-th sample of the source's own order.

    Samples are numbered through all sources, one after the other, as in a concatenation of their datasets.

    A micro-batch of the mixture may take samples from several micro-batches of a source. The source then joins its
    passes, so that these samples are distinct too (`SharedOrder.distinct_within`). The draws of a group are also put in
    sequence within each micro-batch of the source: wherever the mixture stops in it, every sample of the group comes
    once before any comes again. Otherwise the mixture follows the source exactly.

    Args:
        dealt: deals the slots; its groups are the sources.
        children: the orders of sources by number. Sources without one are shuffled by `dealt` itself: a thousand such
            sources cost no more than a thousand classes.
        distinct_over: this many consecutive samples are distinct, as far as groups are large enough; those of a
            micro-batch if left out.
    """

    def __init__(self, dealt: Dealt, children: Mapping[int, Order], *, distinct_over: int | None = None) -> None:
        self.dealt = dealt
        self.distinct_over = distinct_over
        self._runs = self._runs_of(children, distinct_over)
        self.children: Mapping[int, Order] = {
            number: child.distinct_within(run) if run is not None and is_shared(child) else child
            for (number, child), run in zip(children.items(), self._runs.values(), strict=True)
        }
        self.groups = dealt.groups
        self.shares = dealt.shares
        self.batch_size = dealt.batch_size
        self.tickets = dealt.tickets
        self.per_ticket = dealt.per_ticket
        self.epoch_batches = dealt.epoch_batches

    @property
    def identity(self) -> dict[str, str]:
        """See `Order`."""
        children = {f"source {number}": fingerprint_of(child.identity) for number, child in self.children.items()}
        return {**self.dealt.identity, "order": "mixed", **children}

    def batches_at(self, numbers: np.ndarray) -> np.ndarray:
        """See `Order`."""
        dealing = self.dealt.dealing(numbers)
        if self.distinct_over is not None:
            dealing = with_ascending_draws(dealing, self.per_ticket)
        sources, draws = dealing.groups.reshape(-1), dealing.draws.reshape(-1)
        by_source = np.argsort(sources, kind="stable")
        bounds = np.searchsorted(sources, np.arange(self.groups.group_count + 1), sorter=by_source)
        samples = dealing.samples.reshape(-1, self.per_ticket)
        for source, child in self.children.items():
            mine = by_source[bounds[source] : bounds[source + 1]]
            if mine.size:
                places = draws[mine][:, None] * self.per_ticket + np.arange(self.per_ticket)
                samples[mine] = samples_at(child, places) + self.groups.starts[source]
        return samples.reshape(numbers.size, self.batch_size)

    def with_share_changes(self, share_changes: Sequence[ShareChange]) -> Mixed:
        """A copy with these changes of the shares of its sources."""
        return Mixed(self.dealt.with_share_changes(share_changes), self.children, distinct_over=self.distinct_over)

    def distinct_within(self, places: int) -> Mixed:
        """A copy in which any `places` consecutive samples are distinct, where groups are large enough."""
        return Mixed(self.dealt.distinct_within(places), self.children, distinct_over=places)

    def undersized(self, places: int | None = None) -> list[Undersized]:
        """See `SharedOrder`; groups of sources are named (source, group)."""
        names = self.groups.names
        own = {names[number] for number in self.children}
        rows = [row for row in self.dealt.undersized(places) if row.name not in own]
        for number, found in self.undersized_sources(places).items():
            rows += [Undersized((names[number], row.name), row.size, row.most) for row in found]
        return rows

    def undersized_sources(self, places: int | None = None) -> dict[int, list[Undersized]]:
        """By number of a source with an order of its own, its groups that are too small; sources without any left out."""
        runs = self._runs if places is None else self._runs_of(self.children, places)
        rows = {
            number: child.undersized(runs[number])
            if is_shared(child)
            else [Undersized(self.groups.names[number], child.groups.sample_count, runs[number] or child.batch_size)]
            for number, child in self.children.items()
        }
        return {number: found for number, found in rows.items() if found}

    def _runs_of(self, children: Mapping[int, Order], places: int | None) -> dict[int, int | None]:
        """How many consecutive places of each source `places` of the mixture take; None if they are its micro-batches."""
        most = self.dealt.most_drawn(places)
        integer = self.dealt.integer_quotas() if places is None else [False] * most.size
        return {
            number: None if integer[number] and child.batch_size == most[number] else int(most[number])
            for number, child in children.items()
        }

    def rates(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """See `Order`; each source is in the epoch of its own that it has reached by then."""
        samples = np.asarray(samples)
        rates = np.asarray(self.dealt.rates(samples, epoch))
        source = np.asarray(self.groups.group_of(samples))
        shares = self.shares.of(epoch)
        drawn = self.dealt.drawn(epoch * self.epoch_batches)
        for number, child in self.children.items():
            here = source == number
            if here.any():
                own = int(drawn[number]) // (child.batch_size * child.epoch_batches)
                rates[here] = shares[number] * child.rates(samples[here] - self.groups.starts[number], own)
        return rates
