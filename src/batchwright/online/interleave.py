"""Interleaves streams in exact shares of samples, or of units such as tokens."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["ByCount", "ByUnit", "Interleaving"]


class Interleaving(Protocol):
    """Decides which stream gives the next sample."""

    def sources(self) -> Sequence[int]:
        """The streams that have a share."""

    def next(self) -> int:
        """The stream of the next sample. Call `served` before the next call."""

    def served(self, stream: int, units: float) -> None:
        """Record that a stream gave a sample of this many units."""

    def drop(self, stream: int) -> None:
        """Record that a stream has ended; the others continue in proportion."""

    def take_over(self, others: Sequence[Any], index: int, readers: int) -> None:
        """Go on with part `index` of `readers` of what other interleavings of the same streams have served."""

    def state_dict(self) -> dict[str, Any]:
        """The whole state."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""


class ByCount:
    """Stream g gives its sample k within turns [k / p, (k + 1) / p), by earliest deadline first.

    So after any number of turns each stream is within one sample of its exact share (Liu and Layland 1973; Tijdeman
    1980). All numbers are integers: `weights` are proportional to the shares.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        self._weights = list(weights)
        self._begin()

    def _begin(self) -> None:
        self._turn = 0
        self._total = sum(self._weights)
        self._turns_had = [0] * len(self._weights)
        self._waiting = [(0, stream) for stream, weight in enumerate(self._weights) if weight]  # (release, stream)
        self._due: list[tuple[int, int]] = []  # (deadline, stream)

    def sources(self) -> Sequence[int]:
        """The streams that have a share."""
        return [stream for stream, weight in enumerate(self._weights) if weight]

    def next(self) -> int:
        """The stream of the next sample."""
        while self._waiting and self._waiting[0][0] <= self._turn:
            _, stream = heapq.heappop(self._waiting)
            deadline = -(-(self._turns_had[stream] + 1) * self._total // self._weights[stream])
            heapq.heappush(self._due, (deadline, stream))
        return self._due[0][1]

    def served(self, stream: int, units: float) -> None:
        """Record that a stream gave a sample."""
        heapq.heappop(self._due)
        self._turn += 1
        self._turns_had[stream] += 1
        heapq.heappush(self._waiting, (self._turns_had[stream] * self._total // self._weights[stream], stream))

    def drop(self, stream: int) -> None:
        """Record that a stream has ended; the schedule of the others starts again."""
        self._weights[stream] = 0
        self._begin()

    def take_over(self, others: Sequence[ByCount], index: int, readers: int) -> None:
        """See `Interleaving`; if some of the others have dropped a stream, the schedule starts again."""
        dropped = any(other._weights != self._weights for other in others)
        self._weights = [max(weights) for weights in zip(*(other._weights for other in others), strict=True)]
        self._begin()
        if dropped:
            return
        # Each part is within one of an equal one, so every stream stays as near to its share as before.
        served = [sum(had) for had in zip(*(other._turns_had for other in others), strict=True)]
        self._turns_had = [had * (index + 1) // readers - had * index // readers for had in served]
        self._turn = sum(self._turns_had)
        self._waiting = [
            (self._turns_had[stream] * self._total // weight, stream)
            for stream, weight in enumerate(self._weights)
            if weight
        ]
        heapq.heapify(self._waiting)

    def state_dict(self) -> dict[str, Any]:
        """The whole state."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        vars(self).update(state)


class ByUnit:
    """The stream that has had the fewest units for its share is next (start-time fair queueing; Goyal, Vin, Cheng 1996).

    The stream that is next has had the fewest, so no other is ahead of it by more than its own last sample. In units
    (tokens, bytes), a stream with share p is then above its exact share by at most 1 - p of its largest sample, and below
    it by at most p times the sum of the largest samples of the others.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        self._weights = list(weights)
        self._heap = [(0.0, stream) for stream, weight in enumerate(weights) if weight]  # (units for its share, stream)

    def sources(self) -> Sequence[int]:
        """The streams that have a share."""
        return [stream for _, stream in self._heap]

    def next(self) -> int:
        """The stream of the next sample."""
        return self._heap[0][1]

    def served(self, stream: int, units: float) -> None:
        """Record that a stream gave a sample of this many units."""
        heapq.heapreplace(self._heap, (self._heap[0][0] + units / self._weights[stream], stream))

    def drop(self, stream: int) -> None:
        """Record that a stream has ended."""
        heapq.heappop(self._heap)

    def take_over(self, others: Sequence[ByUnit], index: int, readers: int) -> None:
        """See `Interleaving`; if some of the others have dropped a stream, all begin equal."""
        live = {stream for other in others for _, stream in other._heap}
        dropped = any(len(other._heap) < len(live) for other in others)
        served = dict.fromkeys(sorted(live), 0.0)
        if not dropped:
            for other in others:
                for units, stream in other._heap:
                    served[stream] += units / readers
        self._heap = [(units, stream) for stream, units in served.items()]
        heapq.heapify(self._heap)

    def state_dict(self) -> dict[str, Any]:
        """The whole state."""
        return {"_heap": list(self._heap)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._heap = [tuple(entry) for entry in state["_heap"]]
