"""Shares of tokens, seconds or other units in a balanced stream: by the mean of each group, as far as it was read."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import Infeasible, said
from ..kernels.array_types import Floats, Integers
from .measures import MOST, Refused, number, out_of_range
from .shares import StreamShares

__all__ = ["GroupUnits"]


class GroupUnits:
    """The units read and delivered of each group, by its number."""

    def __init__(self, unit: Callable[[Any], Any]) -> None:
        self._unit = unit
        self._read: list[float] = []
        self._delivered: list[float] = []

    def _of(self, sample: Any) -> float:
        try:
            units: float = number("unit", self._unit(sample))
        except (Refused, Infeasible):
            raise
        except Exception as error:
            raise Refused(f"unit raised {said(error)}") from error
        if not 0 < units <= MOST:
            raise Refused(out_of_range("unit", units, "and must be above 0"))
        return units

    def note(self, group: int, sample: Any) -> None:
        """Count a sample that was read.

        Raises:
            Refused: it has no units.
        """
        _add(self._read, group, self._of(sample))

    def deliver(self, groups: Iterable[int], samples: Iterable[Any]) -> None:
        """Count samples that were delivered."""
        for group, sample in zip(groups, samples, strict=True):
            _add(self._delivered, group, self._of(sample))

    def slots(self, target: StreamShares, labels: Sequence[Hashable], seen: Integers) -> Floats:
        """The shares of samples that give the shares of units: each is divided by the group's mean.

        A group that was not read yet counts as one with the mean of all.
        """
        units = np.zeros(len(labels))
        units[: len(self._read)] = self._read
        mean = units.sum() / max(1, int(seen.sum())) or 1.0
        means = np.where(seen > 0, units / np.maximum(seen, 1), mean)
        shares = target.of(labels, np.rint(units).astype(np.int64)) / means
        return np.asarray(shares / shares.sum())

    def delivered_by(self, labels: Sequence[Hashable]) -> dict[Hashable, float]:
        """The units delivered of each group."""
        return dict(zip(labels, [*self._delivered, *[0.0] * (len(labels) - len(self._delivered))], strict=True))

    def take_over(
        self,
        others: Sequence[GroupUnits | None],
        numbers: Sequence[Integers],
        seen: Integers,
        part: Integers,
        index: int,
    ) -> None:
        """Take the means of others for the `part` of the samples `seen`; the first reader counts what was delivered."""
        read = np.zeros(len(seen))
        for other, found in zip(others, numbers, strict=True):
            if other is not None:
                read[found[: len(other._read)]] += other._read
                for group, units in zip(found.tolist(), other._delivered, strict=False):
                    _add(self._delivered, group, units if index == 0 else 0.0)
        self._read = (read * part / np.maximum(seen, 1)).tolist()

    def state_dict(self) -> dict[str, Any]:
        """All counts."""
        return {"read": list(self._read), "delivered": list(self._delivered)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._read, self._delivered = list(state["read"]), list(state["delivered"])


def _add(amounts: list[float], group: int, units: float) -> None:
    if group >= len(amounts):
        amounts += [0.0] * (group + 1 - len(amounts))
    amounts[group] += units
