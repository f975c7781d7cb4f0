"""A step of samples on groups of ranks: long samples are divided among several ranks, short ones share a rank.

Groups are nested: each is divided into equal smaller ones, down to single ranks. Every rank goes through its groups from
the widest to the narrowest. All ranks of a group have then done the same before it, so they come to it at the same time:
no rank waits within a step, only at its end, for the rank that has most work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import Infeasible
from ..kernels.array_types import Floats, Integers
from .packing import MOST_CAPACITY, pack

__all__ = ["Division", "PackPart", "Schedule", "group_sizes"]


# Samples are first divided among no more ranks than they need, or than keep their work within the lower bound. If the work
# is then not level, they are divided further: until none has more than 0.9, 0.9^2, ... of the bound, down to a twelfth.
_FINER = tuple(0.9**number for number in range(24))
_LEVEL = 1.005  # this near to the lower bound no finer division is tried: the time of a step varies by more


class PackPart(NamedTuple):
    """What a rank runs at once: its part of a pack of samples.

    Attributes:
        samples: the samples of the pack, in order, int64.
        group: the ranks among which the pack is divided.
        part: which part of it this rank has, from 0: `Layout(lengths).shard(part, len(group))`.
    """

    samples: Integers
    group: range
    part: int


@dataclass(frozen=True)
class Schedule:
    """Where the samples of a step are, the widest groups first.

    Attributes:
        samples: the samples of the step, int64 (n_samples,).
        tokens: the length of each, int64.
        sizes: the ranks in the group of each, int64, descending.
        firsts: the first rank of each one's group, int64.
        loads: the work of every rank, float64 (ranks,), in the unit of the cost.
        at_least: a proven lower bound of the work of the rank that has most.
        tokens_per_rank: the most tokens that a rank runs at once.
    """

    samples: Integers
    tokens: Integers
    sizes: Integers
    firsts: Integers
    loads: Floats
    at_least: float
    tokens_per_rank: int

    @property
    def waiting(self) -> float:
        """The work of the rank that has most over the mean work of all ranks; 1 is perfect."""
        mean = float(self.loads.mean())
        return float(self.loads.max()) / mean if mean > 0 else 1.0

    @property
    def waiting_at_least(self) -> float:
        """A proven lower bound of `waiting`: no sample may be divided further than `widen` allows."""
        mean = float(self.loads.mean())
        return self.at_least / mean if mean > 0 else 1.0

    def parts(self, rank: int) -> list[PackPart]:
        """What a rank runs, in order: packs of the samples of each of its groups, the widest group first."""
        mine = np.flatnonzero((self.firsts <= rank) & (rank < self.firsts + self.sizes))
        found = []
        for begin, end in _runs(self.sizes[mine]):
            of_group = mine[begin:end]
            first, size = int(self.firsts[of_group[0]]), int(self.sizes[of_group[0]])
            packs = pack(self.tokens[of_group], min(size * self.tokens_per_rank, MOST_CAPACITY))
            group = range(first, first + size)
            for members in np.split(packs.members, packs.offsets[1:-1]):
                found.append(PackPart(self.samples[of_group[members]], group, rank - first))
        return found


def _runs(values: Integers) -> list[tuple[int, int]]:
    """Where each run of equal values begins and ends."""
    edges = np.flatnonzero(np.diff(values, prepend=-1, append=-1))
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def group_sizes(ranks: int) -> Integers:
    """The sizes that groups may have, ascending: each divides the next, the last is all ranks.

    The number of ranks is divided by its largest prime factors first. So of 24 ranks on nodes of 8, groups are 1, 2, 4, 8
    and 24.

    Example:
        >>> group_sizes(24).tolist()
        [1, 2, 4, 8, 24]
    """
    sizes, factors, left, factor = [ranks], [], ranks, 2
    while left > 1:
        if factor * factor > left:
            factor = left
        while left % factor == 0:
            factors.append(factor)
            left //= factor
        factor += 1
    for prime in reversed(factors):
        sizes.append(sizes[-1] // prime)
    return np.array(sizes[::-1], np.int64)


@dataclass(frozen=True)
class Division:
    """How samples may be divided among ranks.

    Attributes:
        tokens: the length of every sample, int64 (n_samples,).
        costs: the cost of every sample, float64 (n_samples,).
        tokens_per_rank: the most tokens that a rank runs at once.
        widen: how many times the ranks that it needs a sample may have.
    """

    tokens: Integers
    costs: Floats
    tokens_per_rank: int
    widen: int

    def check(self, ranks: int) -> None:
        """Refuse a number of ranks that cannot hold the longest sample.

        Raises:
            Infeasible: they cannot.
        """
        longest = int(self.tokens.argmax())
        tokens, held = int(self.tokens[longest]), ranks * self.tokens_per_rank
        if tokens > held:
            of = "1 rank" if ranks == 1 else f"{ranks} ranks"
            raise Infeasible(
                f"sample {longest} has {tokens} tokens, {of} of {self.tokens_per_rank} can hold {held}",
                f"pass {-(-tokens // self.tokens_per_rank)} ranks or more, or tokens_per_rank={-(-tokens // ranks)} or more",
            )

    def sizes(self, samples: Integers, ranks: int) -> tuple[Integers, Integers]:
        """The smallest and the largest group that each of these samples may have, int64."""
        sizes, needed = group_sizes(ranks), -(-self.tokens[samples] // self.tokens_per_rank)
        least = sizes[np.searchsorted(sizes, needed)]
        most = sizes[np.searchsorted(sizes, np.minimum(needed * min(self.widen, ranks), ranks), side="right") - 1]
        return least, np.maximum(least, most)

    def schedule(self, samples: Integers, ranks: int) -> Schedule:
        """Place the samples of a step on groups of ranks, so that all ranks have like work.

        The widest groups come first, and within a size the samples that cost most; each goes to the group that has least
        work (Graham's rule, 1969). Finer divisions are tried until the work is level.
        """
        from ..kernels.rank_groups import place_on_groups

        self.check(ranks)
        least, most = self.sizes(samples, ranks)
        costs, sizes = self.costs[samples], group_sizes(ranks)
        mean = float(costs.sum()) / ranks
        at_least = max(mean, float((costs / most).max(initial=0.0)))
        best: Schedule | None = None
        for finer in _FINER:
            wanted = costs / (finer * at_least) if mean > 0 else np.zeros(costs.size)
            chosen = np.clip(sizes[np.minimum(np.searchsorted(sizes, wanted), sizes.size - 1)], least, most)
            order = np.lexsort((-costs / chosen, -chosen))
            firsts, loads = np.empty(costs.size, np.int64), np.empty(ranks)
            longest = place_on_groups(chosen[order], (costs / chosen)[order], firsts, loads)
            if best is None or longest < best.loads.max():
                placed = samples[order]
                best = Schedule(
                    placed, self.tokens[placed], chosen[order], firsts, loads, at_least, self.tokens_per_rank
                )
            if longest <= _LEVEL * at_least:
                break
        assert best is not None
        return best
