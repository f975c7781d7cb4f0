"""Measures the guarantees of hybrid plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import check_integer
from .guarantee import Guarantee, measured
from .in_steps import Balance
from .report import Audit

if TYPE_CHECKING:
    from ..kinds import HybridKind

__all__ = ["audit_hybrid"]


def audit_hybrid(plan: HybridKind, *, epochs: int = 1, first: int = 0) -> Audit:
    """Measure complete epochs of a hybrid plan, from what `plan.parts` returns.

    - G1 cap: how many tokens a pack has beyond `tokens_per_rank` for each rank of its group. By how much one rank may have
      more than its part depends on the blocks that `Layout.shard` deals; see `hybrid`.
    - G4 coverage: how much the number of times that a sample comes in an epoch differs from 1. A sample that is divided
      among ranks counts once.
    - G8 groups: how many packs break the rule that lets ranks work together. Every rank of a group must have its own part of
      each pack of the group, in the same order, and after the same packs of wider groups. A rank without a pack counts too.
      Ranks that break the rule would wait for each other without end.
    - balance: how far the rank with most work is above the mean of its step, as a fraction. Only reported.

    Args:
        plan: a plan that `hybrid` made.
        epochs: the number of epochs, 1 or more.
        first: the first epoch.

    Example:
        >>> import batchwright as bw
        >>> bw.hybrid([70, 20, 10, 10, 30], ranks=2, tokens_per_rank=40).audit().kept
        True
    """
    epochs, first = check_integer(epochs, "epochs", least=1), check_integer(first, "first", least=0)
    steps = range(first * plan.steps, (first + epochs) * plan.steps)
    division = plan.division
    guarantees: list[Guarantee[HybridStep]] = [
        Cap(division.tokens, division.tokens_per_rank),
        OncePerEpoch(division.tokens.size, plan.steps),
        GroupsTogether(),
        Balance(lambda seen: [seen.loads(division.costs)]),
    ]
    pieces = (HybridStep(step, [plan.parts(step, rank) for rank in range(plan.ranks)]) for step in steps)
    return measured(steps[0] * plan.ranks, len(steps) * plan.ranks, guarantees, pieces)


@dataclass(frozen=True)
class HybridStep:
    """A step.

    Attributes:
        number: its number, over all epochs.
        by_rank: for each rank its packs, in order.
    """

    number: int
    by_rank: list[list[Any]]

    def once(self) -> list[Any]:
        """Every pack once, however many ranks share it."""
        return [pack for rank, packs in enumerate(self.by_rank) for pack in packs if pack.group[0] == rank]

    def loads(self, costs: np.ndarray) -> tuple[str, list[float]]:
        """Where it is, and the work of each rank."""
        work = [sum(costs[pack.samples].sum() / len(pack.group) for pack in packs) for packs in self.by_rank]
        return f"step {self.number}", work


class Cap(Guarantee[HybridStep]):
    """G1: no pack has more tokens than its ranks hold."""

    def __init__(self, tokens: np.ndarray, tokens_per_rank: int) -> None:
        super().__init__("G1 cap")
        self._tokens, self._tokens_per_rank = tokens, tokens_per_rank

    def see(self, seen: HybridStep) -> None:
        """See `Guarantee`."""
        for rank, packs in enumerate(seen.by_rank):
            for pack in packs:
                held = len(pack.group) * self._tokens_per_rank
                self.offer(int(self._tokens[pack.samples].sum()) - held, f"step {seen.number}, rank {rank}")


class OncePerEpoch(Guarantee[HybridStep]):
    """G4: every sample comes once in an epoch."""

    def __init__(self, count: int, steps: int) -> None:
        super().__init__("G4 coverage")
        self._often, self._steps = np.zeros(count, np.int64), steps

    def see(self, seen: HybridStep) -> None:
        """See `Guarantee`."""
        for pack in seen.once():
            np.add.at(self._often, pack.samples, 1)
        if (seen.number + 1) % self._steps == 0:
            off = np.abs(self._often - 1)
            self.offer(int(off.max()), f"epoch {seen.number // self._steps}, sample {off.argmax()}")
            self._often[:] = 0


class GroupsTogether(Guarantee[HybridStep]):
    """G8: the ranks of a group run its packs together, and no rank has none."""

    def __init__(self) -> None:
        super().__init__("G8 groups")

    def see(self, seen: HybridStep) -> None:
        """See `Guarantee`."""
        for rank, packs in enumerate(seen.by_rank):
            where = f"step {seen.number}, rank {rank}"
            self.offer(not packs, where)
            for place, pack in enumerate(packs):
                self.offer(pack.part != rank - pack.group[0], where)
                leader = seen.by_rank[pack.group[0]]
                same = len(leader) > place and all(
                    mine.group == theirs.group and np.array_equal(mine.samples, theirs.samples)
                    for mine, theirs in zip(packs[: place + 1], leader[: place + 1], strict=True)
                )
                self.offer(len(pack.group) > 1 and not same, where)
