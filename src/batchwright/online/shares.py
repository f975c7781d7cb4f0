"""The shares that a target gives to the groups of a stream, known or seen so far."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..targets import explicit, resolve

__all__ = ["Shares"]

_EXPLICIT = explicit({None: 1}).formula
_PARTS = 1_000_000_000  # natural shares become counts out of so many


class Shares:
    """A target at an epoch, over groups that come one by one.

    `labels` are the groups that are named beforehand, by the target or by the natural shares.
    """

    def __init__(self, target: Any, natural: Mapping[Hashable, float] | None, epoch: int) -> None:
        self._target = resolve(target)
        self._natural = natural
        self._epoch = epoch
        self._named: Mapping[Hashable, Any] | None = None
        if self._target.formula is _EXPLICIT:
            self._named = dict(self._target.arguments[0])
        elif natural is not None:
            self._named = dict(resolve(natural).arguments[0])
        self.labels: Sequence[Hashable] = [] if self._named is None else list(self._named)

    def refusal(self, label: Hashable) -> str | None:
        """Why a group may not come up, or None."""
        if label != label:
            return f"key gives {label!r}, which is not equal to itself and so names no group"
        if self._named is not None and label not in self._named:
            return f"group {label!r} is not among the {len(self._named)} groups that were given shares"
        return None

    def of(self, labels: Sequence[Hashable], seen: NDArray[np.int64]) -> NDArray[np.float64]:
        """The shares of these groups, of which so many samples were seen; one not seen yet counts as seen once."""
        if self._natural is None or self._target.formula is _EXPLICIT:
            counts = np.maximum(seen, 1).tolist()
        else:
            counts = [round(self._natural[label] * _PARTS) for label in labels]
        return self._target.shares(counts, self._epoch, names=labels)
