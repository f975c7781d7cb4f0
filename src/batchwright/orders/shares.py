"""Wanted shares of groups, as exact positions on a line or as floats."""

from __future__ import annotations

import hashlib
import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from typing import Protocol

import numpy as np

from ..errors import Infeasible
from ..groups import Groups
from ..kernels import apportion
from ..kernels.array_types import blocks
from ..targets import Target
from ..targets.moving import moved

__all__ = [
    "Shares",
    "TargetShares",
    "WeightShares",
    "group_rates",
    "moves_within_epochs",
    "stage_of",
    "without_spelling",
]

_DIGEST = re.compile("[0-9a-f]{16}(?= as )")  # in a value of an identity; the text after it is only shown to users
_EPOCHS_TOLD_APART = 4  # targets that never settle count as equal if their shares are, in this many epochs
_LONGEST_SHOWN = 60  # characters of a target in an identity
_DECIMAL_BITS = 14_000  # Python refuses to write integers of more than 4,300 decimal digits
_TRIAL_BITS = 28  # 2^34 weights of at most 2^28 still sum to less than 2^62


class Shares(Protocol):
    """The wanted shares of groups in every epoch."""

    @property
    def settles_at(self) -> int | None:
        """The epoch from which on the shares no longer change: 0 if they are constant, None if they may always change."""
        ...

    @property
    def every(self) -> int | None:
        """The micro-batches after which shares are evaluated again; None for those of an epoch."""
        ...

    @property
    def firsts(self) -> Sequence[int] | None:
        """The epochs at which the shares may change, ascending from 0; None if they may change at each without end."""
        ...

    @property
    def identity(self) -> str:
        """Short text for a fingerprint; equal for equal shares."""
        ...

    @property
    def shown(self) -> str:
        """The shares as a user would write them."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes about the shares for summaries."""
        ...

    @property
    def limits(self) -> tuple[float, float] | None:
        """The smallest and the largest share a group may get later; None where shares cannot be set."""
        ...

    def moved(self, weights: Sequence[int]) -> Shares:
        """A copy set to these weights; only for shares that have `limits`."""
        ...

    def edges(self, tickets: int, epoch: int) -> np.ndarray:
        """The groups on a line of `tickets` tickets, int64 (groups + 1); see `kernels.apportion.line`."""
        ...

    def of(self, epoch: int, groups: np.ndarray | None = None) -> np.ndarray:
        """The shares in an epoch, float64: of all groups (summing to 1), or only of `groups`."""
        ...


class TargetShares:
    """The shares that a target gives to groups."""

    def __init__(self, target: Target, groups: Groups) -> None:
        self.target = target.bound_to(groups)
        self._groups = groups
        self._asked: tuple[int, np.ndarray] = -1, np.empty(0)  # the epoch evaluated last
        self.of(0)  # raises now if the target cannot be met, and not at the first draw

    @property
    def settles_at(self) -> int | None:
        """See `Shares`."""
        return self.target.settles_at

    @property
    def every(self) -> int | None:
        """See `Shares`."""
        return self.target.every

    @property
    def firsts(self) -> Sequence[int] | None:
        """See `Shares`."""
        return self.target.firsts

    @cached_property
    def identity(self) -> str:
        """See `Shares`: a digest of the shares of all epochs until they settle, or of the first few if they never do."""
        firsts = range(_EPOCHS_TOLD_APART) if self.firsts is None else self.firsts
        # Of shares that never change, `every` changes no micro-batch.
        told = self.settles_at, self.limits, *([self.every] if moves_within_epochs(self) else [])
        hasher = hashlib.blake2b(repr(told).encode(), digest_size=8)
        stops = [*firsts[1:], firsts[-1] + 1]
        # Equal shares in a row are one run, so that neither the work nor the digest depends on how a target is written.
        for text, run in groupby(zip(firsts, stops, strict=True), lambda stage: self._proportion(stage[0])):
            stages = list(run)
            epochs = stages[-1][1] - stages[0][0]
            hasher.update(f"{text} x{epochs}".encode() if epochs > 1 else text.encode())
        return f"{hasher.hexdigest()} as {self.shown[:_LONGEST_SHOWN]}"

    @property
    def shown(self) -> str:
        """The target as the user wrote it."""
        return self.target.shown

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes about the target for summaries."""
        return self.target.notes

    @property
    def limits(self) -> tuple[float, float] | None:
        """The smallest and the largest share a group may get later; None where shares cannot be set."""
        return self.target.limits

    def moved(self, weights: Sequence[int]) -> TargetShares:
        """See `Shares`."""
        return TargetShares(moved(self.target, weights), self._groups)

    def exact(self, epoch: int) -> list[int]:
        """The shares in an epoch as integers in exact proportion."""
        return self.target.exact(self._groups.sizes, epoch, names=self._groups.names)

    def _proportion(self, epoch: int) -> str:
        """The shares in an epoch as text, in smallest integers."""
        exact = self.exact(epoch)
        common = math.gcd(*exact)
        return _text([weight // common for weight in exact])

    def edges(self, tickets: int, epoch: int) -> np.ndarray:
        """See `Shares`."""
        return apportion.line(self.exact(epoch), tickets)

    def of(self, epoch: int, groups: np.ndarray | None = None) -> np.ndarray:
        """See `Shares`."""
        epoch, _ = stage_of(self.firsts, epoch)
        kept, shares = self._asked
        if kept != epoch:
            shares = self.target.shares(self._groups.sizes, epoch, names=self._groups.names)
            self._asked = epoch, shares
        return shares.copy() if groups is None else shares[groups]


class WeightShares:
    """Shares in proportion to one weight for each sample; for hundreds of millions of samples.

    Weights become integers that sum to less than 2^61 / tickets. For a hundred million samples in batches of 256 that
    keeps about six digits of a mean weight, for fewer samples more. The array that was passed in is not kept.

    Args:
        weights: finite numbers of 0 or more, array of shape (n_samples,).
        tickets: the length of the line on which the samples will lie.
        notes: notes for summaries.

    Attributes:
        vanished: how many samples have a weight above 0 that is too small beside the others to be kept.
    """

    settles_at = 0
    firsts = (0,)
    every = None
    limits = None
    shown = "weights"

    def __init__(self, weights: np.ndarray, tickets: int, notes: tuple[str, ...] = ()) -> None:
        if weights.size and weights.min() < 0:
            bad = int((weights < 0).argmax())
            raise Infeasible(f"the weight of sample {bad} is {weights[bad]}", "pass weights of 0 or more")
        if not weights.any():
            raise Infeasible(f"all {weights.size} weights are 0", "give one sample a weight above 0")
        self.notes = notes
        self._tickets = tickets
        # Written over the integers: with hundreds of millions of weights, both would not fit in memory.
        edges = np.empty(weights.size + 1, np.int64)
        _write_integers(edges[1:], weights, (1 << 61) // tickets)
        self._edges = apportion.line(edges[1:], tickets, edges)
        self.vanished = 0
        for first, last in blocks(weights.size):
            gone = np.diff(self._edges[first : last + 1]) == 0
            self.vanished += int(np.count_nonzero(gone & (weights[first:last] > 0)))

    @cached_property
    def identity(self) -> str:
        """See `Shares`: a digest of the weights as they are kept."""
        return f"weights {hashlib.blake2b(self._edges.data, digest_size=8).hexdigest()}"

    def moved(self, weights: Sequence[int]) -> Shares:
        """Refused: a state cannot hold one weight for each sample."""
        raise Infeasible(
            "the weights of samples cannot be set",
            "group the samples and balance the groups with target=targets.moving(...)",
        )

    def edges(self, tickets: int, epoch: int) -> np.ndarray:
        """See `Shares`; only for the number of tickets that the weights were made for."""
        if tickets != self._tickets:
            raise ValueError(f"weights made for a line of {self._tickets} tickets, not {tickets}")
        return self._edges

    def of(self, epoch: int, groups: np.ndarray | None = None) -> np.ndarray:
        """See `Shares`."""
        if groups is None:
            groups = np.arange(self._edges.size - 1)
        shares: np.ndarray = (self._edges[groups + 1] - self._edges[groups]) / self._edges[-1]
        return shares


def moves_within_epochs(shares: Shares) -> bool:
    """Whether shares change at micro-batches that their target names, so that the length of an epoch does not count."""
    return shares.every is not None and shares.settles_at != 0


def stage_of(firsts: Sequence[int] | None, epoch: int) -> tuple[int, int | None]:
    """The first epoch with the shares of this one, and the epoch at which they may change next; None if they never will.

    `firsts` are those of `Shares`.

    Example:
        >>> stage_of((0, 5, 9), 7), stage_of((0, 5, 9), 20), stage_of(None, 7)
        ((5, 9), (9, None), (7, 8))
    """
    if firsts is None:
        return epoch, epoch + 1
    following = bisect_right(firsts, epoch)
    return firsts[following - 1], firsts[following] if following < len(firsts) else None


def without_spelling(value: str) -> str:
    """Leave the spelling of a target out of a value of an identity: the same shares are then equal.

    Example:
        >>> without_spelling("0123456789abcdef as sqrt"), without_spelling("['read as a book']")
        ('0123456789abcdef', "['read as a book']")
    """
    digest = _DIGEST.match(value)
    return value if digest is None else digest[0]


def _text(weights: list[int]) -> str:
    """Integers as text; in hexadecimal if Python refuses to write them in decimal."""
    return repr(weights) if max(weights).bit_length() < _DECIMAL_BITS else " ".join(map(hex, weights))


def _write_integers(whole: np.ndarray, weights: np.ndarray, limit: int) -> None:
    """Write weights as int64 in proportion, with a sum below `limit`: unchanged if they are such, else scaled.

    The scale is a power of two.
    Every operation is exact or correctly rounded, on one number at a time, so that all platforms agree.
    """
    if weights.dtype.kind in "biu" and float(weights.max()) * weights.size < limit:
        whole[:] = weights
        return
    top = weights.max()
    total, bits = 0, _TRIAL_BITS
    # A first scaling finds the sum, a second uses all of the bits that the limit leaves.
    for attempt in range(2):
        for first, last in blocks(weights.size):
            part = weights[first:last].astype(np.float64) / np.float64(top)
            whole[first:last] = np.rint(np.ldexp(part, bits))
            total += int(whole[first:last].sum()) if attempt == 0 else 0
        bits += limit.bit_length() - 2 - total.bit_length()


def group_rates(groups: Groups, shares: Shares, samples: np.ndarray, epoch: int) -> np.ndarray:
    """The share of each of these samples in all draws, float64: equal within a group, 0 for a sample in no group."""
    number = np.asarray(groups.group_of(samples))
    grouped = number < groups.group_count
    rates = np.zeros(number.shape)
    number = number[grouped]
    rates[grouped] = shares.of(epoch, number) / groups.sizes[number]
    return rates
