"""Cutting at a budget: as many samples as fit, like lengths together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..kernels.cuts import cut_longest, cut_several
from .cut import Cut, falling_ranks, sorted_places, split_to, spread

__all__ = ["BudgetCutter"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BudgetCutter:
    """Cuts samples that stand longest first so that no budget is exceeded.

    Args:
        costs: float64 (samples, budgets).
        budgets: float64 (budgets,).
        padded: for each budget, whether a micro-batch costs longest x count, or the sum.
        most_samples: in one micro-batch.
        count_multiple: counts of this and more are a multiple of it.
        lengths: float64 (samples,), what is padded, for reports.
        identity: see `Cutter`.
    """

    costs: Floats
    budgets: Floats
    padded: NDArray[np.bool_]
    most_samples: int
    count_multiple: int
    lengths: Floats
    identity: dict[str, str]
    ranks: Integers = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shares = (self.costs / self.budgets).max(axis=1)
        object.__setattr__(self, "ranks", falling_ranks(shares))

    @property
    def settled(self) -> bool:
        """See `Cutter`: with several budgets, samples of one rank may differ in what they cost."""
        return self.budgets.size == 1

    @property
    def monotone(self) -> bool:
        """See `Cutter`."""
        return self.budgets.size == 1 and bool(self.padded[0]) and self.count_multiple == 1

    def cut(self, samples: Integers, batches: int, multiple: int) -> Cut:
        """See `Cutter`: the budget is lowered until `batches` micro-batches are needed, then the dearest are split."""
        places = sorted_places(self.ranks[samples])
        costs = self.costs[samples[places]]
        cut_at = self._cutting(costs)
        offsets = cut_at(0, 1.0)
        if offsets.size - 1 < batches:
            offsets = spread(batches, cut_at)
        cut = Cut(places, offsets, self._costs(costs, offsets))
        return split_to(cut, batches, samples, self)

    def cost(self, samples: Integers) -> float:
        """See `Cutter`: the first budget's."""
        return float(self._costs(self.costs[samples], np.array([0, samples.size]))[0])

    def tokens(self, samples: Integers) -> tuple[float, float]:
        """See `Cutter`."""
        lengths = self.lengths[samples]
        return float(lengths.sum()), float(lengths.max() * lengths.size if self.padded[0] else lengths.sum())

    def at_least(self, samples: Integers) -> int:
        """See `Cutter`: what cutting longest first needs where padding counts, the mean load where it does not."""
        costs = self.costs[samples]
        by_count = -(-samples.size // self.most_samples)
        sums = np.ceil(costs.sum(axis=0) / self.budgets - 1e-9).max(initial=0)
        alone = [
            cut_longest(-np.sort(-costs[:, kind]), self.budgets[kind], self.most_samples, 1).size - 1
            for kind in np.flatnonzero(self.padded)
        ]
        return max(by_count, int(sums), *alone, 0)

    def part(self, samples: Integers) -> tuple[Integers, Integers]:
        """See `Cutter`: in the middle, the longer half first."""
        falling = np.argsort(self.ranks[samples], kind="stable")
        return falling[: samples.size // 2], falling[samples.size // 2 :]

    def _cutting(self, costs: Floats) -> Callable[[int, float], Integers]:
        """Offsets from a sample on at a share of the budgets."""
        if self.padded.size == 1 and self.padded[0]:
            column = np.ascontiguousarray(costs[:, 0])
            return lambda first, share: cut_longest(
                column[first:], self.budgets[0] * share, self.most_samples, self.count_multiple
            )
        return lambda first, share: cut_several(
            costs[first:], self.budgets * share, self.padded, self.most_samples, self.count_multiple
        )

    def _costs(self, costs: Floats, offsets: Integers) -> Floats:
        column = np.ascontiguousarray(costs[:, 0])
        if self.padded[0]:
            return np.maximum.reduceat(column, offsets[:-1]) * np.diff(offsets)
        return np.add.reduceat(column, offsets[:-1])
