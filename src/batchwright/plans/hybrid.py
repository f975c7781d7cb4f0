"""Data parallelism and context parallelism together: each sample gets as many ranks as its length needs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..calls import recorded
from ..errors import Infeasible, check_integer, empty_dataset, seed_number, shown
from ..groups import Groups
from ..inputs import columns
from ..kernels.array_types import Integers
from ..lengths.identity import fields_as_text
from ..lengths.length_strata import LengthStrata
from ..lengths.numbers import Numbers
from ..lengths.rank_groups import Division, PackPart, Schedule, group_sizes
from ..lengths.sort_keys import Keys
from ..micro_batches import AS_IT_WAS, MOST_RANKS, MicroBatches, Slice, counted
from ..position import number_of
from ..public import internal
from ..recent import Recent
from .each_once import EachOnce
from .hybrid_summary import HybridSummary
from .length_arguments import costs_of
from .printed import MOST_MEASURED

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from ..audit import Audit
    from ..run.sampler import BatchSampler

__all__ = ["HybridPlan", "hybrid"]


_RUNS = 4  # by default, a rank runs this many times `tokens_per_rank` in a step: enough short samples to level the work
_KEPT = 8  # schedules that a plan keeps; a rank goes through them one by one


class HybridPlan(EachOnce):
    """A plan whose steps are divided among groups of ranks by length and work; made by `hybrid`.

    Micro-batch `step * ranks + rank` has the samples of which this rank runs a part in this step. A sample that is divided
    among several ranks is in the micro-batches of all of them. `parts` says how they are divided.

    Attributes:
        strata: the samples, longest first; each step has one sample of every stratum of like lengths.
        steps: steps in an epoch.
        division: the length and the cost of every sample, and how it may be divided.
        groups: one group of all samples.
    """

    def __init__(self, division: Division, *, ranks: int, steps: int, seed: int) -> None:
        self.division, self.steps = division, steps
        count = division.tokens.size
        self.strata = LengthStrata.of(count, np.empty(0, np.int64), Keys.of(division.tokens), seed)
        self.groups = Groups.from_sizes({"all": count})
        self._on(ranks)
        self.check_world(ranks)

    def _on(self, ranks: int) -> None:
        self.step_size, self.epoch_batches = ranks, self.steps * ranks
        self._schedules: Recent[int, Schedule] = Recent()

    @property
    def divides_samples(self) -> bool:
        """See `BasePlan`."""
        return True

    @property
    def planned_lengths(self) -> np.ndarray:
        """See `BasePlan`."""
        return self.division.tokens

    @property
    def ranks(self) -> int:
        """How many ranks the steps are divided among."""
        return self.step_size

    def __getitem__(self, batch: int) -> Integers:
        """The samples of which a rank runs a part in a step, int64, in the order of `parts`."""
        step, rank = divmod(counted(batch), self.ranks)
        return np.concatenate([part.samples for part in self.parts(step, rank)])

    def parts(self, step: int, rank: int) -> list[PackPart]:
        """What a rank runs in a step, in order: packs of samples, with the group of ranks and the part of this rank.

        Every rank computes the same schedule by itself. All ranks of a group run its packs in the same order, after the
        packs of the same wider groups. So collective operations of different groups cannot wait for each other in a circle.

        Args:
            step: counted over all epochs, from 0.
            rank: from 0.

        Returns:
            For each pack the numbers of its samples (int64), its group (a range of ranks), and which part this rank has:
            `Layout(lengths).shard(part.part, len(part.group))` gives its elements.

        Raises:
            Infeasible: the rank is outside the world, or a sample is too long for all ranks together.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.hybrid([70, 20, 10, 10, 30], ranks=2, tokens_per_rank=40, batch_size=5)
            >>> [(part.samples.tolist(), part.group, part.part) for part in plan.parts(0, rank=1)]
            [([0], range(0, 2), 1), ([4], range(0, 2), 1), ([2, 3], range(1, 2), 0)]
        """
        rank = check_integer(rank, "rank", least=0)
        if rank >= self.ranks:
            raise Infeasible(f"rank is {rank}, the steps are for {self.ranks} ranks", f"pass 0 to {self.ranks - 1}")
        return self.schedule(step).parts(rank)

    def schedule(self, step: int) -> Schedule:
        """Where every sample of a step is, and the work of every rank.

        Args:
            step: counted over all epochs, from 0.

        Example:
            >>> import batchwright as bw
            >>> bw.hybrid([70, 20, 10, 10, 30], ranks=2, tokens_per_rank=40).schedule(0).waiting
            1.0
        """
        found = self._schedules.get(check_integer(step, "step", least=0))
        if found is None:
            self.check_world(self.ranks)
            found = self._schedules.keep(step, self.division.schedule(self.samples(step), self.ranks), _KEPT)
        return found

    def samples(self, step: int) -> Integers:
        """The samples of a step, on any number of ranks, int64, longest first.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.hybrid([70, 20, 10, 10, 30], ranks=2, tokens_per_rank=40)
            >>> plan.samples(0).tolist() == plan.stepped(8).samples(0).tolist()
            True
        """
        return self.strata.items_of_window(*divmod(step, self.steps), self.steps)

    def check_world(self, ranks: int) -> None:
        """Refuse a number of ranks that some step cannot be divided among.

        Raises:
            Infeasible: the longest sample has more tokens than all ranks hold, or a step has fewer samples than ranks.
        """
        self.division.check(ranks)
        samples = self.groups.sample_count
        fewest = samples // self.steps
        if fewest < ranks:
            larger = f"batch_size={ranks} or more, or " if samples >= ranks else ""
            raise Infeasible(
                f"a step has {fewest} samples, so some of {ranks} ranks would have none",
                f"pass {larger}{fewest} ranks or fewer",
            )

    def epoch(self, epoch: int, step_size: int | None = None) -> Slice:
        """The micro-batches of an epoch, those of all ranks in turn; on the plan's ranks if `step_size` is left out."""
        return super().epoch(epoch, self.ranks if step_size is None else step_size)

    def stepped(self, step_size: int) -> HybridPlan:
        """The plan on this number of ranks: the steps have the same samples; see `Plan`."""
        if check_integer(step_size, "step_size", least=1, most=MOST_RANKS) == self.ranks:
            return self
        found = copy.copy(self)
        found._on(step_size)
        return found

    def with_step_size_from(self, batch: int, step_size: int) -> tuple[HybridPlan, int]:
        """See `MicroBatches`: the next step is divided among the new ranks; one that some ranks have not had, again."""
        return self.stepped(step_size), batch // self.ranks * step_size

    def plan_state(self, batch: int, since: int) -> dict[str, Any]:
        """See `MicroBatches`: the number of ranks."""
        return {"step_size": self.ranks}

    def resumed(self, plan_state: Mapping[str, Any], batch: int) -> MicroBatches:
        """See `BasePlan`."""
        if set(plan_state) != {"step_size"}:
            raise Infeasible(f"the state says {shown(dict(plan_state))} of a hybrid plan", AS_IT_WAS)
        step_size = number_of(plan_state["step_size"], "the state's step_size")
        if not 1 <= step_size <= MOST_RANKS:
            raise Infeasible(f"the state's step_size is {step_size}, the largest is {MOST_RANKS}", AS_IT_WAS)
        return self.stepped(step_size)

    def sampler(
        self,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        accumulate: int = 1,
        fetch: Literal["micro", "step"] | int = "micro",
        mesh: DeviceMesh | None = None,
        dims: Sequence[str] | None = None,
    ) -> BatchSampler:
        """A batch sampler of what a rank runs, a list a step; see `Plan.sampler`. The ranks may be other than the plan's.

        Raises:
            Infeasible: `accumulate` or `fetch` is not 1: a list has a whole step; or a step cannot be divided among this
                number of ranks.
        """
        for name, value, one in (("accumulate", accumulate, (1,)), ("fetch", fetch, (1, "micro", "step"))):
            if not any(type(value) is type(word) and value == word for word in one):
                raise Infeasible(
                    f"{name} is {shown(value)}, and a list of a hybrid plan is all that a rank runs in a step",
                    f"leave {name} out, and pass a larger batch_size",
                )
        made = super().sampler(rank=rank, world_size=world_size, mesh=mesh, dims=dims)
        if world_size is not None or mesh is not None:
            self.check_world(made.world_size)
        return made

    @cached_property
    def rank_groups(self) -> list[range]:
        """Every group of two ranks or more that a sample may be divided among: fewer than there are ranks.

        Make a process group of each of them once, on all ranks, in this order.

        Example:
            >>> import batchwright as bw
            >>> bw.hybrid([30] * 8, ranks=4, tokens_per_rank=20).rank_groups
            [range(0, 2), range(2, 4), range(0, 4)]
        """
        sizes = group_sizes(self.ranks).tolist()
        return [range(at, at + size) for size in sizes[1:] for at in range(0, self.ranks, size)]

    @cached_property
    def run_identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch, by name, as short text; see `Plan`. The ranks are the run's."""
        return {
            "plan": "hybrid",
            **fields_as_text(self.division),
            "steps": str(self.steps),
            "seed": str(self.strata.seed),
        }

    @property
    def identity(self) -> dict[str, str]:
        """See `BasePlan`: the number of ranks is not included."""
        return self.run_identity

    def summary(self, step_size: int | None = None) -> HybridSummary:
        """Steps, groups of ranks, and how long ranks wait, measured on the first epoch; `print` it.

        Args:
            step_size: the ranks of a run; the plan's own if left out.
        """
        if step_size is not None:
            return self.stepped(step_size).summary()
        measured = min(self.steps, max(1, MOST_MEASURED * self.steps // self.groups.sample_count))
        schedules = [self.schedule(step) for step in range(measured)]
        most = np.array([schedule.loads.max() for schedule in schedules])
        mean = np.array([schedule.loads.mean() for schedule in schedules])
        at_least = np.array([schedule.at_least for schedule in schedules])
        samples = [schedule.samples.size for schedule in schedules]
        tokens = [int(schedule.tokens.sum()) for schedule in schedules]
        of_size = np.bincount(
            np.concatenate([schedule.sizes for schedule in schedules]),
            weights=np.concatenate([schedule.tokens for schedule in schedules]),
        )
        total = float(mean.sum())
        return HybridSummary(
            self.ranks,
            self.steps,
            measured,
            (min(samples), max(samples)),
            (min(tokens), max(tokens)),
            {int(size): float(of_size[size] / of_size.sum()) for size in np.flatnonzero(of_size)},
            float(most.sum()) / total if total else 1.0,
            max(schedule.waiting for schedule in schedules),
            float(at_least.sum()) / total if total else 1.0,
            self.shortcomings,
        )

    def audit(self, *, epochs: int = 1, first: int = 0) -> Audit:
        """Measure guarantees G1, G4 and G8 on the micro-batches of the plan; see `audit.audit_hybrid`."""
        from ..audit import audit_hybrid

        return audit_hybrid(self, epochs=epochs, first=first)

    @internal
    def audit_of_run(self, step_size: int, *, epoch: int = 0, batches: int = 1000) -> Audit:
        """See `Plan`: of the epoch, divided among as many ranks as the run has."""
        return self.stepped(step_size).audit(first=epoch)

    def __repr__(self) -> str:
        return (
            f"<plan: {self.steps} steps an epoch of {self.groups.sample_count} samples, on {self.ranks} ranks of "
            f"{self.division.tokens_per_rank} tokens>"
        )


@recorded
def hybrid(
    lengths: Any,
    *,
    ranks: int,
    tokens_per_rank: int,
    widen: int = 2,
    cost: Callable[[np.ndarray], ArrayLike] | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> HybridPlan:
    """Steps in which long samples are divided among several ranks and short ones run data-parallel.

    Use it where sequences are too long for one device and differ in length: every sample gets as many ranks as its length
    needs, and all ranks have nearly equal work. Each step has one sample of every stratum of similar lengths, so all steps
    are similar, and every epoch has each sample once.

    Args:
        lengths: tokens of every sample, array-like of shape (n_samples,), int, 1 or more.
        ranks: how many ranks share a step, int; a run may resume with another number.
        tokens_per_rank: the most tokens that a rank runs at once, int. A sample of n tokens is divided among at least
            `n / tokens_per_rank` ranks, and a pack has at most so many tokens for each rank of its group. `Layout.shard`
            deals whole blocks, so a rank has at most this, rounded up to a multiple of 128: pass such a multiple, or a
            divisor of `tokens_per_rank` as `block=` there, and no rank has more.
        widen: a sample may be divided among up to this many times the ranks that it needs, int, 1 or more, if that makes
            the work of ranks more equal. A group has one of a few sizes (see `rank_groups`), so it may be wider than that
            if no smaller size holds the sample.
        cost: a function from lengths, float64 of shape (n,), to costs of the same shape, such as
            `bw.costs.transformer(...)`; tokens if left out. A rank of a group has an equal part of the cost.
        batch_size: samples in a step; steps differ by one at most. If left out, as many as make ranks run their tokens
            four times in a step, on average: enough short samples to even out the long ones.
        seed: of the steps' samples, int from 0 to 2^64 - 1.

    Returns:
        A plan. `plan.parts(step, rank)` is what a rank runs; `plan.loader(dataset)` loads its samples.

    Raises:
        Infeasible: a sample has more tokens than all ranks hold, or a step has fewer samples than ranks.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.hybrid([70, 20, 10, 10, 30], ranks=2, tokens_per_rank=40)
        >>> for rank in range(2):
        ...     print([(part.samples.tolist(), len(part.group)) for part in plan.parts(0, rank)])
        [([0], 2), ([4], 2), ([1], 1)]
        [([0], 2), ([4], 2), ([2, 3], 1)]
    """
    tokens = columns.whole_numbers(lengths, called="lengths", least=1)
    if not tokens.size:
        raise empty_dataset("0 lengths")
    ranks = check_integer(ranks, "ranks", least=1, most=MOST_RANKS)
    tokens_per_rank = check_integer(tokens_per_rank, "tokens_per_rank", least=1)
    given = tokens.astype(np.float64)
    division = Division(
        tokens,
        given if cost is None else costs_of(cost, Numbers.of(given))[:],
        tokens_per_rank,
        check_integer(widen, "widen", least=1),
    )
    if batch_size is None:
        wanted = max(ranks, math.ceil(_RUNS * ranks * tokens_per_rank / float(given.mean())))
    else:
        wanted = check_integer(batch_size, "batch_size", least=1)
    steps = round(tokens.size / wanted)
    if wanted >= ranks:  # a step must have a sample for every rank
        steps = min(steps, tokens.size // ranks)
    return HybridPlan(division, ranks=ranks, steps=max(1, steps), seed=seed_number(seed))
