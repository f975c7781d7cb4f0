"""The pictures of a report as plain numbers, each with its table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..exported import Table

__all__ = [
    "CompositionPicture", "CostPicture", "DriftPicture", "LengthsPicture", "MeasuredBatches", "PaddingPicture",
    "PassesPicture", "PresencePicture", "SharesPicture",
]  # fmt: skip


@dataclass(frozen=True)
class MeasuredBatches:
    """Which micro-batches a report was measured on.

    Attributes:
        first: the first of them.
        batches: how many, one after the other.
        epoch_batches: micro-batches in the epoch.
        samples: the samples in them.
        shown: the numbers of those that pictures show: all, or evenly spaced ones.
    """

    first: int
    batches: int
    epoch_batches: int
    samples: int
    shown: np.ndarray

    def __str__(self) -> str:
        of = (
            f"all {self.batches:,} micro-batches of the epoch"
            if self.batches == self.epoch_batches
            else f"the first {self.batches:,} of {self.epoch_batches:,} micro-batches of the epoch"
        )
        rest = "" if self.shown.size == self.batches else f"; pictures show {self.shown.size} of them, evenly spaced"
        return f"measured on {of}{rest}"


@dataclass(frozen=True)
class SharesPicture:
    """Of each row: its share of the data, its wanted share, its share of what was drawn.

    Attributes:
        names: the group, or the groups, of each row.
        group_counts: how many groups.
        sample_counts: how many samples.
        natural: the share of all samples.
        target: the wanted share.
        drawn: the share of all draws.
    """

    names: list[str]
    group_counts: np.ndarray
    sample_counts: np.ndarray
    natural: np.ndarray
    target: np.ndarray
    drawn: np.ndarray

    def table(self) -> Table:
        """One line a row."""
        return Table(
            {
                "group": self.names, "groups": self.group_counts, "samples": self.sample_counts,
                "natural share": self.natural, "target": self.target, "drawn": self.drawn,
            },
            "Shares of the data, of the target, and of what was drawn",
        )  # fmt: skip


@dataclass(frozen=True)
class CompositionPicture:
    """What is in single micro-batches.

    Attributes:
        names: the rows.
        micro_batches: the numbers of the micro-batches, int64 (shown,).
        counts: samples of each row in each of them, int64 (rows, shown).
        quotas: how many should be in them on average, float64 (rows, shown).
        shuffled: samples of each row in micro-batches of a plain shuffle, all of the plan's mean size, int64 (rows, shown).
        shuffled_quotas: how many should be in them on average, float64 (rows, shown).
    """

    names: list[str]
    micro_batches: np.ndarray
    counts: np.ndarray
    quotas: np.ndarray
    shuffled: np.ndarray
    shuffled_quotas: np.ndarray

    def table(self) -> Table:
        """One line a row, and what is farthest from its quota."""
        return Table(
            {
                "group": self.names,
                "quota": self.quotas.mean(axis=1),
                "fewest": self.counts.min(axis=1),
                "most": self.counts.max(axis=1),
                "farthest from the quota": np.abs(self.counts - self.quotas).max(axis=1),
                "shuffle: fewest": self.shuffled.min(axis=1),
                "shuffle: most": self.shuffled.max(axis=1),
                "shuffle: farthest": np.abs(self.shuffled - self.shuffled_quotas).max(axis=1),
            },
            "Samples of a group in a micro-batch",
        )


@dataclass(frozen=True)
class PresencePicture:
    """In how many micro-batches a group is; of several groups in one row, the mean.

    Attributes:
        names: the rows.
        drawn: the fraction of micro-batches that have a sample of the group.
        shuffled: the same in expectation under a plain shuffle.
    """

    names: list[str]
    drawn: np.ndarray
    shuffled: np.ndarray

    def table(self) -> Table:
        """One line a row."""
        held = {"group": self.names, "of the plan": self.drawn, "of a shuffle": self.shuffled}
        return Table(held, "Fraction of micro-batches that hold the group")


@dataclass(frozen=True)
class PassesPicture:
    """How often samples came.

    Attributes:
        names: the rows.
        expected: the passes through the samples of each row that its target asks for.
        fewest: how often the sample of the row that came least often came.
        most: how often the one that came most often came.
        times: 0, 1, 2, ...: how often a sample came; the last one stands for that many or more.
        samples: how many samples came so often.
        shuffled: how many would under a plain shuffle.
        repeated: draws that repeat another of their micro-batch, of all draws.
    """

    names: list[str]
    expected: np.ndarray
    fewest: np.ndarray
    most: np.ndarray
    times: np.ndarray
    samples: np.ndarray
    shuffled: np.ndarray
    repeated: int

    def table(self) -> Table:
        """One line a row."""
        held = {"group": self.names, "passes": self.expected, "fewest": self.fewest, "most": self.most}
        return Table(held, "How often the samples of a group came")

    def histogram(self) -> Table:
        """One line for each number of times."""
        names = [*map(str, self.times[:-1].tolist()), f"{self.times[-1]} or more"]
        return Table(
            {"times": names, "samples": self.samples, "shuffle": self.shuffled}, "Samples by how often they came"
        )


@dataclass(frozen=True)
class DriftPicture:
    """How far the draws of groups are from the sum of their quotas, in samples.

    Attributes:
        micro_batches: after which micro-batches, counted from the first measured one.
        worst: the largest distance of a group.
        most_groups: the distance that 90 % of the groups stay within.
        median: that of half of the groups.
        shuffled: the largest distance of a group from its natural share under a plain shuffle.
        worst_group: the group that was farthest of all.
        bound: the guaranteed limit, as in the audit; None if there is none.
    """

    micro_batches: np.ndarray
    worst: np.ndarray
    most_groups: np.ndarray
    median: np.ndarray
    shuffled: np.ndarray
    worst_group: str
    bound: float | None

    def table(self) -> Table:
        """One line for each place where it was measured."""
        return Table(
            {
                "after": self.micro_batches, "farthest group": self.worst, "90 % within": self.most_groups,
                "half within": self.median, "shuffle: farthest": self.shuffled,
            },
            "Distance from the sum of the quotas, in samples",
        )  # fmt: skip


@dataclass(frozen=True)
class LengthsPicture:
    """How lengths are distributed.

    Attributes:
        edges: of the bins, float64 (bins + 1,).
        data: how many samples of the data are in each.
        drawn: how many of the draws are.
        longest: the largest length.
    """

    edges: np.ndarray
    data: np.ndarray
    drawn: np.ndarray
    longest: float

    def table(self) -> Table:
        """One line a bin."""
        return Table(
            {"from": self.edges[:-1], "to": self.edges[1:], "samples": self.data, "draws": self.drawn}, "Lengths"
        )


@dataclass(frozen=True)
class PaddingPicture:
    """What part of what is computed is padding.

    Attributes:
        micro_batches: the numbers of those shown.
        padding: the fraction of padding in each.
        shuffled: the same for a plain shuffle into micro-batches of the mean size.
        overall: the fraction over all that were measured.
        overall_shuffled: the same for the shuffle.
        batches: micro-batches that a bound is known for; 0 if for none.
        at_least: a proven lower bound of their number for these samples.
    """

    micro_batches: np.ndarray
    padding: np.ndarray
    shuffled: np.ndarray
    overall: float
    overall_shuffled: float
    batches: int
    at_least: int

    @property
    def gap(self) -> float:
        """Micro-batches above the proven lower bound, as a fraction of it."""
        return self.batches / self.at_least - 1 if self.at_least else 0.0

    def table(self) -> Table:
        """One line a micro-batch."""
        held = {"micro-batch": self.micro_batches, "padding": self.padding, "shuffle": self.shuffled}
        return Table(held, "Padding of a micro-batch")


@dataclass(frozen=True)
class CostPicture:
    """How equal the work of the ranks is.

    Attributes:
        ranks: how many ranks.
        steps: the numbers of the steps shown.
        least: the cost of the cheapest rank of each.
        mean: the mean cost of the ranks.
        most: the cost of the most expensive rank, which the others wait for.
        shuffled: the same for a plain shuffle into micro-batches of the mean size.
        waiting: the cost of the most expensive ranks, added over all steps, over the mean cost of all ranks; 1 is perfect.
        waiting_shuffled: the same for the shuffle.
    """

    ranks: int
    steps: np.ndarray
    least: np.ndarray
    mean: np.ndarray
    most: np.ndarray
    shuffled: np.ndarray
    waiting: float
    waiting_shuffled: float

    def table(self) -> Table:
        """One line a step."""
        return Table(
            {
                "step": self.steps, "cheapest rank": self.least, "mean": self.mean, "most expensive rank": self.most,
                "shuffle: most expensive": self.shuffled,
            },
            "Cost of the ranks of a step",
        )  # fmt: skip
