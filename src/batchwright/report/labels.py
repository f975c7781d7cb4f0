"""How often each label is drawn, where a sample may have several labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..exported import Table
from ..inputs.label_sets import LabelRates

__all__ = ["Labels", "LabelsHeld"]

_MOST_CELLS = 1 << 22  # of a table of micro-batches and labels: 32 MB


@dataclass(frozen=True)
class Labels:
    """How often each label is drawn, and how many samples of a micro-batch have it; a sample may have several labels.

    Attributes:
        names: the labels.
        natural: the share of all samples that have the label, float64 (labels,).
        target: the share of drawn samples that should have it, float64 (labels,).
        expected: the share of drawn samples that have it in expectation, float64 (labels,).
        drawn: the share of the samples drawn so far that have it, float64 (labels,).
        fewest: the smallest number of samples with it in a micro-batch, int64 (labels,).
        most: the largest number of samples with it in a micro-batch, int64 (labels,).
        without: the share of micro-batches in which no sample has it, float64 (labels,).
    """

    names: list[str]
    natural: np.ndarray
    target: np.ndarray
    expected: np.ndarray
    drawn: np.ndarray
    fewest: np.ndarray
    most: np.ndarray
    without: np.ndarray

    def table(self) -> Table:
        """One line a label."""
        return Table(
            {
                "label": self.names, "natural rate": self.natural, "target": self.target, "expected": self.expected,
                "drawn": self.drawn, "fewest": self.fewest, "most": self.most, "batches without": self.without,
            },
            "Labels: the share of samples that have each, and how many samples of a micro-batch do",
        )  # fmt: skip


class LabelsHeld:
    """Counts the samples with each label in micro-batches of one size, piece by piece."""

    def __init__(self, rates: LabelRates) -> None:
        count = len(rates.names)
        self._rates, self._samples, self._batches = rates, 0, 0
        self._drawn, self._without, self._most = np.zeros((3, count), np.int64)
        self._fewest = np.full(count, np.iinfo(np.int64).max)

    def see(self, batches: np.ndarray) -> None:
        """Count micro-batches, int64 (batches, samples)."""
        at_once = max(1, _MOST_CELLS // len(self._rates.names))
        for first in range(0, len(batches), at_once):
            counts = self._rates.counts(batches[first : first + at_once])
            self._drawn += counts.sum(axis=0)
            self._without += (counts == 0).sum(axis=0)
            np.maximum(self._most, counts.max(axis=0), out=self._most)
            np.minimum(self._fewest, counts.min(axis=0), out=self._fewest)
        self._samples, self._batches = self._samples + batches.size, self._batches + len(batches)

    def found(self) -> Labels:
        """What was counted."""
        rates = self._rates
        return Labels(
            [str(name) for name in rates.names],
            rates.natural,
            rates.wanted,
            rates.reached,
            self._drawn / self._samples,
            self._fewest,
            self._most,
            self._without / self._batches,
        )
