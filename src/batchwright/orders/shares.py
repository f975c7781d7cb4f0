"""Wanted shares, bound to the groups they are of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..errors import Infeasible
from ..groups import Groups
from ..kernels import apportion
from ..targets import Target
from ..targets.moving import moved

__all__ = ["Shares", "TargetShares", "WeightShares", "group_rates"]

_CHUNK = 1 << 20


class Shares(Protocol):
    """Shares of groups, exact as edges on a line and readable as floats."""

    @property
    def settles_at(self) -> int | None:
        """The epoch from which they no longer change, 0 for constant ones, None for never."""
        ...

    @property
    def identity(self) -> str:
        """What they are, as short text for a fingerprint."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What summaries say of them besides."""
        ...

    @property
    def limits(self) -> tuple[float, float] | None:
        """The least and the most share a group may be given later; None where shares cannot be set."""
        ...

    def moved(self, weights: Sequence[int]) -> Shares:
        """Shares set anew, for those that have limits."""
        ...

    def edges(self, tickets: int, epoch: int) -> np.ndarray:
        """The groups on a line of `tickets` tickets, see `kernels.apportion.line`."""
        ...

    def of(self, epoch: int, groups: np.ndarray | None = None) -> np.ndarray:
        """The shares in an epoch, float64, of all groups (summing to 1) or of these."""
        ...


class TargetShares:
    """The shares that a target gives to groups."""

    def __init__(self, target: Target, groups: Groups) -> None:
        self.target = target.bound_to(groups)
        self._groups = groups
        self._asked: tuple[int, np.ndarray] = -1, np.empty(0)  # the epoch asked for last
        self.of(0)  # refuses what cannot be met before anything is drawn

    @property
    def settles_at(self) -> int | None:
        """The epoch from which the target no longer moves."""
        return self.target.settles_at

    @property
    def identity(self) -> str:
        """The target as it is written."""
        return self.target.shown

    @property
    def notes(self) -> tuple[str, ...]:
        """What summaries say of the target besides."""
        return self.target.notes

    @property
    def limits(self) -> tuple[float, float] | None:
        """The least and the most share a group may be given later; None where shares cannot be set."""
        return self.target.limits

    def moved(self, weights: Sequence[int]) -> TargetShares:
        """The target, set to these weights."""
        return TargetShares(moved(self.target, weights), self._groups)

    def exact(self, epoch: int) -> list[int]:
        """The shares in an epoch as whole numbers in exact proportion."""
        return self.target.exact(self._groups.sizes, epoch, names=self._groups.names)

    def edges(self, tickets: int, epoch: int) -> np.ndarray:
        """The groups on a line of `tickets` tickets."""
        return apportion.line(self.exact(epoch), tickets)

    def of(self, epoch: int, groups: np.ndarray | None = None) -> np.ndarray:
        """The shares in an epoch, of all groups or of these."""
        known, shares = self._asked
        if known != epoch:
            shares = self.target.shares(self._groups.sizes, epoch, names=self._groups.names)
            self._asked = epoch, shares
        return shares.copy() if groups is None else shares[groups]


class WeightShares:
    """Shares in proportion to one weight a sample; for hundreds of millions of samples.

    Weights become whole numbers whose sum stays below 2^62 / tickets: relative to their mean they are kept to about nine
    digits for a hundred million samples, more for fewer.

    Attributes:
        vanished: how many samples have a weight above 0 that is too small beside the others to be kept.
    """

    settles_at = 0
    limits = None

    def __init__(self, weights: np.ndarray, tickets: int, notes: tuple[str, ...] = ()) -> None:
        total = float(weights.sum(dtype=np.float64))
        if weights.size and weights.min() < 0:
            bad = int((weights < 0).argmax())
            raise Infeasible(f"the weight of sample {bad} is {weights[bad]}", "pass weights of 0 or more")
        if not total > 0:
            raise Infeasible(f"all {weights.size} weights are 0", "give one sample a weight above 0")
        self._weights = weights
        self._scale = float(1 << (61 - tickets.bit_length())) / total
        self._total = total
        self.vanished = 0
        self.notes = notes
        self.identity = f"weights {hashlib.blake2b(np.ascontiguousarray(weights).data, digest_size=8).hexdigest()}"

    def moved(self, weights: Sequence[int]) -> Shares:
        """Never: a weight a sample is too much for a state."""
        raise Infeasible("the weights of samples cannot be set", "group the samples and balance the groups")

    def edges(self, tickets: int, epoch: int) -> np.ndarray:
        """The samples on a line of `tickets` tickets."""
        kept = self._weights.dtype.kind in "biu" and self._total < 1 << (61 - tickets.bit_length())
        whole = np.empty(self._weights.size, np.int64)
        for first in range(0, whole.size, _CHUNK):
            part = self._weights[first : first + _CHUNK]
            whole[first : first + part.size] = part if kept else np.rint(part.astype(np.float64) * self._scale)
        edges = apportion.line(whole, tickets)
        self.vanished = 0
        for first in range(0, whole.size, _CHUNK):
            drawn = np.diff(edges[first : first + _CHUNK + 1]) > 0
            self.vanished += int(np.count_nonzero((self._weights[first : first + _CHUNK] > 0) & ~drawn))
        return edges

    def of(self, epoch: int, groups: np.ndarray | None = None) -> np.ndarray:
        """The shares of all samples or of these."""
        shares: np.ndarray = (self._weights if groups is None else self._weights[groups]) / self._total
        return shares


def group_rates(groups: Groups, shares: Shares, samples: np.ndarray, epoch: int) -> np.ndarray:
    """The expected share of every slot that each of these samples is, where the samples of a group are alike."""
    number = groups.group_of(samples)
    rates: np.ndarray = shares.of(epoch, number) / groups.sizes[number]
    return rates
