"""The shares of the groups of a stream, of which more may appear."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from ..columns import by_label
from ..errors import Infeasible, check_mapping, listed, shown
from ..kernels.array_types import Floats, Integers
from ..targets import Target, explicit, resolve
from .group_keys import check_label
from .measures import Refused

__all__ = ["StreamShares", "by_epoch"]

_EXPLICIT = explicit({None: 1}).formula
_PARTS = 1_000_000_000  # natural shares become counts that sum to this: targets take integers


def _by_group(shares: Mapping[Any, Any], argument: str) -> dict[Hashable, Any]:
    """Shares by label that sum to 1; labels that are tensors become plain values, as keys return them."""
    try:
        named = {check_label(label, f"{argument} names"): share for label, share in shares.items()}
    except Refused as refused:
        raise Infeasible(str(refused), f"pass {argument} by labels that key gives") from None
    return dict(explicit(named).arguments[0])


def by_epoch(target: Any) -> Target:
    """The target of a stream; one that changes at micro-batches is refused: no reader counts those of all ranks."""
    found = resolve(target)
    if found.every is not None:
        raise Infeasible(
            f"{found.briefly} changes at micro-batches, and the target of a stream changes from epoch to epoch",
            "pass a schedule with epochs=, or a function of (counts, epoch)",
        )
    return found


class StreamShares:
    """The target of an epoch, for groups that appear one by one.

    Attributes:
        labels: the groups that are named in advance, by the target or by the natural shares.
    """

    def __init__(self, target: Any, natural: Mapping[Hashable, float] | None, epoch: int) -> None:
        self._target = by_epoch(target)
        self._natural = (
            None if natural is None else _by_group(check_mapping(by_label(natural), "shares in natural"), "natural")
        )
        self._epoch = epoch
        self._named = self._natural
        if self._target.formula is _EXPLICIT:
            self._named = _by_group(dict(self._target.arguments[0]), "target")
            self._target = explicit(self._named)
        self.labels: Sequence[Hashable] = [] if self._named is None else list(self._named)

    def refusal(self, label: Hashable) -> str | None:
        """Why a group may not appear, or None."""
        if self._named is not None and label not in self._named:
            named = listed(map(shown, self._named))
            return f"group {shown(label)} is not among the {len(self._named)} groups that were given shares: {named}"
        return None

    def of(self, labels: Sequence[Hashable], seen: Integers) -> Floats:
        """The shares of these groups, given the samples seen of each; a group not seen yet counts as seen once."""
        if self._natural is None or self._target.formula is _EXPLICIT:
            counts = np.maximum(seen, 1).tolist()
        else:
            counts = [round(self._natural[label] * _PARTS) for label in labels]
        return self._target.shares(counts, self._epoch, names=labels)
