"""Batches by length: collects samples in a buffer, cuts the buffer into batches by a rule, and shuffles their order."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np

from ..errors import shown
from ..kernels.hashing import PURPOSE, child_key
from .batch import StreamBatch, StreamReport
from .byte_limit import Weigher
from .feed import Feed
from .keyed_random import words
from .measures import MOST, out_of_range

__all__ = ["CutBuffer", "LengthComposer", "best_fit_packs", "cut_by_budget"]


class CutBuffer(NamedTuple):
    """A buffer that was cut into batches.

    Attributes:
        batches: for each batch its packs, for each pack the positions in the buffer.
        kept: the positions that stay for the next buffer.
    """

    batches: list[list[list[int]]]
    kept: list[int]


def cut_by_budget(lengths: Sequence[float], *, max_tokens: float | None, max_samples: int | None) -> CutBuffer:
    """Cut samples, the longest first, into batches of at most `max_tokens` when padded to the longest.

    The last batch may be small. In this order it is one of the shortest samples, where an extra batch costs least.
    """
    batches: list[list[list[int]]] = []
    batch: list[int] = []
    fits = 0  # the samples that fit into the present batch
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        if len(batch) == fits:
            batch = []
            batches.append([batch])
            by_tokens = len(lengths) if max_tokens is None else int(max_tokens // lengths[position])
            fits = by_tokens if max_samples is None else min(by_tokens, max_samples)
        batch.append(position)
    return CutBuffer(batches, [])


def best_fit_packs(lengths: Sequence[float], *, capacity: float, packs: int, kept_before: int, last: bool) -> CutBuffer:
    """Best fit decreasing (Johnson 1973): each sample, the longest first, goes to the fullest pack in which it fits.

    The emptiest pack waits for the next buffer, unless it has one of the first `kept_before` samples, which have waited
    already. `packs` consecutive packs make a batch.
    """
    bins: list[list[int]] = []
    gaps: list[tuple[float, int]] = []  # (gap, bin), sorted
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        place = bisect_left(gaps, (lengths[position], -1))
        if place == len(gaps):
            bins.append([position])
            gap, number = capacity, len(bins) - 1
        else:
            gap, number = gaps.pop(place)
            bins[number].append(position)
        if gap > lengths[position]:
            insort(gaps, (gap - lengths[position], number))
    kept: list[int] = []
    if gaps and not last and min(bins[gaps[-1][1]]) >= kept_before:
        kept = sorted(bins.pop(gaps[-1][1]))
    return CutBuffer([bins[start : start + packs] for start in range(0, len(bins), packs)], kept)


class LengthComposer:
    """Fills a buffer of `buffer` samples, or of fewer if bytes are limited, and cuts it; then the next one.

    Every sample comes exactly once. A sample that would exceed the limit of bytes waits for the next buffer.
    """

    keeps_repeats = True

    def __init__(
        self,
        feed: Feed,
        rule: Callable[[list[float], int, bool], CutBuffer],
        *,
        buffer: int,
        weigher: Weigher | None,
        limit: float,
        title: str,
        key: int,
    ) -> None:
        self.feeds = [feed]
        self._feed = feed
        feed.wants_numbers("length")
        self._rule = rule
        self._buffer = buffer
        self._weigher = None if weigher is None else weigher.of_items(feed)
        self._limit = limit
        self._title = title
        self._key = key
        self._kept: list[tuple[float, Any]] = []
        self._too_much: list[tuple[float, Any]] = []  # the sample read last, if it did not fit into the buffer
        self._ready: deque[list[list[Any]]] = deque()
        self._buffers = 0
        self._delivered = 0

    def start(self) -> None:
        """Open the source."""
        self._feed.start()

    def compose(self) -> StreamBatch | None:
        """The next batch."""
        while not self._ready:
            if self._feed.ended and not self._kept and not self._too_much:
                return None
            self._cut_the_buffer()
        packs = self._ready.popleft()
        batch = StreamBatch(self._feed.unwrap([item for one in packs for item in one]))
        batch.packs = [len(one) for one in packs]
        self._delivered += len(batch)
        return batch

    def _sound(self) -> Iterator[tuple[float, Any]]:
        most, weigher = min(self._limit, MOST), self._weigher
        for length, item in self._feed.pairs:
            way_out = None
            if not 1 <= length <= most:
                why, way_out = self._unfit(length)
            else:
                why = None if weigher is None else weigher.refusal(item)
            if why is None:
                yield length, item
            else:
                self._feed.reject(why, way_out=way_out)

    def _unfit(self, length: float) -> tuple[str | None, str | None]:
        """Why a sample of this length is left out, and perhaps what else to do than to mend it."""
        if self._limit < length <= MOST:
            return (
                f"its length is {shown(length)} and {self._title} is {self._limit}",
                f"pass {self._title}={math.ceil(length)} or more (in the unit of length), cut the sample",
            )
        return out_of_range("length", length, "the least is 1"), None

    def _cut_the_buffer(self) -> None:
        buffer = self._kept
        waited = len(buffer)
        if waited < self._buffer:
            more = islice(chain(self._too_much, self._sound()), self._buffer - waited)
            self._too_much = []
            buffer += more if self._weigher is None else self._within(self._weigher, buffer, more)
        last = self._feed.ended and not self._too_much
        batches, kept = self._rule([length for length, _ in buffer], waited, last)
        order = np.argsort(
            words(child_key(self._key, PURPOSE.BUFFER), self._buffers << 32, len(batches)), kind="stable"
        )
        self._ready.extend([[buffer[at][1] for at in one] for one in batches[number]] for number in order.tolist())
        self._kept = [buffer[position] for position in kept]
        self._buffers += 1

    def _within(
        self, weigher: Weigher, buffer: list[tuple[float, Any]], more: Iterator[tuple[float, Any]]
    ) -> list[tuple[float, Any]]:
        left = weigher.limit - sum(weigher.size(item) for _, item in buffer)
        found: list[tuple[float, Any]] = []
        for entry in more:
            left -= weigher.size(entry[1])
            if left < 0:
                self._too_much = [entry]
                break
            found.append(entry)
        return found

    def held(self) -> list[list[Any]]:
        """The samples that were kept for the next buffer, then those of batches that are not returned yet."""
        waiting = [item for _, item in self._kept + self._too_much]
        return [waiting + [item for packs in self._ready for one in packs for item in one]]

    def pending(self) -> list[list[Any]]:
        """All of them."""
        return self.held()

    def pooled(self) -> list[list[Any]]:
        """None: nothing repeats."""
        return [[]]

    def take_over(self, others: Sequence[LengthComposer], index: int, readers: int, pools: list[Any]) -> None:
        """See `run.Composer`."""
        self._buffers = max(other._buffers for other in others)
        self._delivered = sum(other._delivered for other in others) if index == 0 else 0

    def memory(self) -> dict[str, Any]:
        """How the held samples are divided, and the counters."""
        return {
            "kept": [length for length, _ in self._kept],
            "too_much": [length for length, _ in self._too_much],
            "ready": [[len(one) for one in packs] for packs in self._ready],
            "buffers": self._buffers,
            "delivered": self._delivered,
        }

    def resume(self, memory: dict[str, Any], held: list[list[Any]]) -> None:
        """Continue from what `memory` and `held` returned."""
        items = iter(held[0])
        self._kept = [(length, next(items)) for length in memory["kept"]]
        self._too_much = [(length, next(items)) for length in memory["too_much"]]
        self._ready = deque([list(islice(items, count)) for count in packs] for packs in memory["ready"])
        self._buffers, self._delivered = memory["buffers"], memory["delivered"]

    def report(self) -> StreamReport:
        """The counts so far."""
        feed = self._feed
        return StreamReport(
            read=feed.read,
            delivered=self._delivered,
            skipped=feed.skipped,
            buffered=feed.read - feed.skipped - self._delivered,
        )

    def shares(self) -> dict[Hashable, float]:
        """None: samples have no groups."""
        return {}

    def judge(self) -> None:
        """Nothing to say: every sample is delivered."""
