"""The mixed order: sources dealt in exact shares, each of which may be an order of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .dealt import Dealt
from .protocol import Order, fingerprint_of, samples_at, take_from_batches
from .segment import Segment

__all__ = ["Mixed"]


class Mixed:
    """Slots are dealt to sources; the k-th slot of a source is the k-th sample of the source's own order.

    Indices count through the sources one after the other, as in the concatenation of their datasets.

    Args:
        dealt: deals the slots; its groups are the sources, one behind the other.
        children: the order of a source by its number. The others are plainly shuffled, which `dealt` does by itself: a
            thousand such sources cost no more than a thousand classes.
    """

    def __init__(self, dealt: Dealt, children: Mapping[int, Order]) -> None:
        self.dealt = dealt
        self.children: Mapping[int, Order] = dict(children)
        self.groups = dealt.groups
        self.shares = dealt.shares
        self.window = dealt.window
        self.tickets = dealt.tickets
        self.per_ticket = dealt.per_ticket
        self.epoch_batches = dealt.epoch_batches

    @property
    def identity(self) -> dict[str, str]:
        """What decides the sequence: see `Order`."""
        children = {f"source {number}": fingerprint_of(child.identity) for number, child in self.children.items()}
        return {**self.dealt.identity, "order": "mixed", **children}

    def batches(self, first: int, stride: int, count: int) -> np.ndarray:
        """Micro-batches first, first + stride, ...: sample indices, int64 (count, window)."""
        return self.windows(first + stride * np.arange(count))

    def windows(self, numbers: np.ndarray) -> np.ndarray:
        """Micro-batches of these numbers, ascending: sample indices, int64 (numbers, window)."""
        dealing = self.dealt.dealing(numbers, draws=True)
        sources, draws = dealing.groups.reshape(-1), dealing.draws.reshape(-1)
        by_source = np.argsort(sources, kind="stable")
        bounds = np.searchsorted(sources, np.arange(self.groups.group_count + 1), sorter=by_source)
        samples = dealing.samples.reshape(-1, self.per_ticket)
        for source, child in self.children.items():
            mine = by_source[bounds[source] : bounds[source + 1]]
            if mine.size:
                places = draws[mine][:, None] * self.per_ticket + np.arange(self.per_ticket)
                samples[mine] = samples_at(child, places) + self.groups.starts[source]
        return samples.reshape(numbers.size, self.window)

    def take(self, start: int, stop: int) -> np.ndarray:
        """The samples at places start..stop-1 of the sequence."""
        return take_from_batches(self, start, stop)

    def with_segments(self, segments: Sequence[Segment]) -> Mixed:
        """The same order with stretches of other shares of its sources."""
        return Mixed(self.dealt.with_segments(segments), self.children)

    def rates(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """The expected share of the sequence that each of these samples is; every source is in its own epoch by then."""
        samples = np.asarray(samples)
        rates = np.asarray(self.dealt.rates(samples, epoch))
        source = np.asarray(self.groups.group_of(samples))
        shares = self.shares.of(epoch)
        drawn = self.dealt.drawn(epoch * self.epoch_batches)
        for number, child in self.children.items():
            here = source == number
            if here.any():
                own = int(drawn[number]) // (child.window * child.epoch_batches)
                rates[here] = shares[number] * child.rates(samples[here] - self.groups.starts[number], own)
        return rates
