"""Micro-batches of a fixed size that are computed before they are asked for.

Calling a kernel takes as long as several micro-batches. Iterating computes many in one call. Here the same is done for
micro-batches that are asked for one by one: those that follow each other are computed some calls ahead, and an epoch that
is asked for in any other order is computed as a whole and kept.
"""

from __future__ import annotations

import numpy as np

from ..errors import Infeasible
from ..micro_batches import LAST
from ..orders import SharedOrder

__all__ = ["Ahead"]

_SAMPLES_AHEAD = 16_384  # which is a millisecond of work
_SAMPLES_KEPT = 1 << 24  # 64 MB, or 128 MB of samples that do not fit into 32 bits; longer epochs are not kept
_SAMPLES_AT_ONCE = 1 << 20  # of an epoch that is to be kept: 8 MB that are then made narrower
# An epoch is computed as a whole once one in so many of its micro-batches was asked for. Each of these takes up to eight
# times as long as in an iteration, so together they take an eighth of the time of iterating.
_ASKED_BEFORE = 64
_FEW = 2  # calls in an epoch: so few may be a look, or the first of calls that follow each other
_EPOCHS_COUNTED = 64  # whose calls are counted at a time
_NOTHING: tuple[int, int, np.ndarray, int] = -1, 0, np.empty((0, 0), np.int64), 0


class Ahead:
    """Micro-batches of a plan, computed ahead of the calls that ask for them; each call is passed the order of samples.

    Args:
        epoch_batches: micro-batches in an epoch.
        batch_size: samples in each.
    """

    def __init__(self, epoch_batches: int, batch_size: int) -> None:
        self._length, self._batch_size = epoch_batches, batch_size
        # Where the next call would begin, its stride, micro-batches that were computed together, and how many were returned.
        self._following = _NOTHING
        self._kept: dict[int, np.ndarray] = {}  # whole epochs, the one that was computed first comes first
        self._calls: dict[int, int] = {}  # how many asked for a micro-batch of an epoch that is not kept, by epoch
        # Micro-batches that may still be computed as parts of whole epochs. Each call adds one. So the work stays in
        # proportion to the calls, even if they go back and forth between more epochs than can be kept.
        self._allowed = _SAMPLES_KEPT // batch_size

    def one(self, order: SharedOrder, number: int) -> np.ndarray:
        """Micro-batch `number`, int64 (batch_size,), in memory of its own."""
        following, stride, table, done = self._following
        if number == following and done < len(table):  # as `together` does, in half the time
            self._following = number + stride, stride, table, done + 1
            samples: np.ndarray = table[done]
        else:
            epoch, place = divmod(number, self._length)
            self._allowed += 1
            kept = self._kept.get(epoch)
            samples = self._computed(order, number, epoch, place) if kept is None else kept[place]
        return samples.astype(np.int64)  # a copy: one that is kept should not keep those that were computed with it

    def _computed(self, order: SharedOrder, number: int, epoch: int, place: int) -> np.ndarray:
        """Micro-batch `number`, at `place` of an epoch that is not kept, (batch_size,)."""
        following, stride = self._following[:2]
        apart = max(1, number - following + stride)
        kept = self._keep(order, epoch) if apart != stride and self._is_due(epoch) else None
        samples: np.ndarray = self.together(order, number, apart, 1)[0] if kept is None else kept[place]
        return samples

    def together(self, order: SharedOrder, first: int, stride: int, count: int) -> np.ndarray:
        """Micro-batches of a short epoch, or a single one, int64 (count, batch_size).

        Where such calls follow each other, twice as many are computed together each time.
        """
        place, apart, table, done = self._following
        following = place == first and apart == stride
        if not following or len(table) < done + count:
            calls = 1
            if following:
                # A target that moves is not asked for later epochs.
                moves, length = order.shares.settles_at != 0, self._length
                end = (first // length + 1) * length if moves else LAST + 1
                most = min(_SAMPLES_AHEAD // self._batch_size, -((first - end) // stride))
                calls = max(1, min(2 * len(table), most) // count)
            asked = np.arange(first, first + calls * count * stride, stride)
            try:
                table, done = order.batches_at(asked), 0
            except Infeasible:  # a plan in this one may end before: what was not asked for must not refuse what was
                table, done = order.batches_at(asked[:count]), 0
        self._following = first + count * stride, stride, table, done + count
        return table[done : done + count]

    def _is_due(self, epoch: int) -> bool:
        """Count a call for a micro-batch of an epoch, and say whether the epoch is now to be computed as a whole."""
        calls, length = self._calls, self._length
        if epoch not in calls and len(calls) == _EPOCHS_COUNTED:
            calls = self._calls = {}
        calls[epoch] = count = calls.get(epoch, 0) + 1
        few = count <= _FEW or count * _ASKED_BEFORE < length
        return not few and length <= self._allowed and length * self._batch_size <= _SAMPLES_KEPT

    def _keep(self, order: SharedOrder, epoch: int) -> np.ndarray | None:
        """Compute an epoch as a whole and keep it; None where a plan in this one ends within it."""
        length, parts = self._length, []
        end, at_once = min((epoch + 1) * length, LAST + 1), max(1, _SAMPLES_AT_ONCE // self._batch_size)
        self._allowed -= length
        self._calls.pop(epoch, None)
        try:
            for first in range(epoch * length, end, at_once):
                part = order.batches_at(np.arange(first, min(first + at_once, end)))
                parts.append(part.astype(np.uint32) if part.max() < 1 << 32 else part)
        except Infeasible:
            return None
        table = np.concatenate(parts)
        others = list(self._kept.items())
        room = _SAMPLES_KEPT // (length * self._batch_size)
        self._kept = dict([*others[max(0, len(others) + 1 - room) :], (epoch, table)])  # threads see a whole one
        return table
