"""Tell any logger what the global batches are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from .columns import numbers
from .errors import Infeasible, check_integer, typed
from .sampler import BatchSampler

__all__ = ["Composition", "Log"]

_MOST_GROUPS = 32


class Log(Protocol):
    """What takes numbers: `accelerator.log`, a Lightning logger's `log_metrics`, `wandb.log`, or a line around any other."""

    def __call__(self, values: Mapping[str, float], step: int, /) -> Any:
        """Write some named numbers down for a step."""
        ...


class Composition:
    """Every so often, the composition of the global batches since the last time, over all ranks, without asking them.

    - `share/<group>` and `target/<group>`: the share that each group had and should have (of more than 32 the 32 largest).
    - `deviation`: the largest difference between the two over all groups.
    - `repeated`: samples of a global batch that are in it more than once, a mean.
    - `padding`: the fraction of a padded micro-batch that is padding, where lengths are given.
    - `cost_spread`: what the rank with the largest cost in a step has over the mean of the ranks, where costs are given: all
      others wait for it.

    Args:
        sampler: what the batches come from.
        every: how many of this rank's lists lie between two reports.
        lengths: a column of the samples' lengths.
        costs: a column of the samples' costs, in any unit.

    Raises:
        Infeasible: `every` is below 1, `sampler` is none, or a column is not one value for each number the plan yields.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=4, target={"cat": 0.75, "dog": 0.25})
        >>> composition = bw.Composition(plan.sampler(), every=2)
        >>> composition.after(2, lambda values, step: print(step, values["share/cat"], values["deviation"]), epoch=0)
        2 0.75 0.0
    """

    def __init__(self, sampler: BatchSampler, *, every: int = 50, lengths: Any = None, costs: Any = None) -> None:
        if not isinstance(sampler, BatchSampler):
            raise Infeasible(f"a sampler is needed, this is {typed(sampler)}", "pass plan.sampler(...)")
        self.sampler = sampler
        self.every = check_integer(every, "every", least=1)
        self.lengths = None if lengths is None else self._of_samples(lengths, "lengths")
        self.costs = None if costs is None else self._of_samples(costs, "costs")

    def _of_samples(self, values: Any, called: str) -> np.ndarray:
        column = numbers(values, called=called).astype(np.float64)  # of which sums do not wrap around
        count = self.sampler.plan.groups.sample_count
        if column.size != count:
            raise Infeasible(
                f"there are {column.size} {called}, the plan yields {count} numbers", "pass one for each of them"
            )
        return column

    def after(self, step: int, log: Log, *, epoch: int, at: int | None = None) -> None:
        """Call after each of this rank's lists; once in `every` of them it calls `log`.

        Args:
            step: how many of this rank's lists of the epoch have come.
            log: takes the numbers.
            epoch: which epoch they are of.
            at: the step to log them at; if left out, counted in lists over all epochs.
        """
        if check_integer(step, "step", least=1) % self.every == 0:
            begun = self.sampler.begun_at(epoch)  # before it came another run's lists, maybe of another world
            log(
                self.measured(max(step - self.every, begun), step, epoch=epoch),
                epoch * len(self.sampler) + step if at is None else at,
            )

    def measured(self, first: int, last: int, *, epoch: int) -> dict[str, float]:
        """The numbers of lists first..last-1 of an epoch."""
        steps = [self.sampler.all_ranks(step, epoch=epoch) for step in range(first, last)]
        found = self._shares(np.concatenate([batch for step in steps for batch in step]), epoch)
        found["repeated"] = float(np.mean([_repeats(np.concatenate(step)) for step in steps]))
        if self.lengths is not None:
            found["padding"] = _padding([self.lengths[batch] for step in steps for batch in step])
        if self.costs is not None:
            found["cost_spread"] = float(
                np.mean([_spread(step, self.costs, self.sampler.world_size) for step in steps])
            )
        return found

    def _shares(self, samples: np.ndarray, epoch: int) -> dict[str, float]:
        plan = self.sampler.plan
        groups, length = plan.groups, plan.epoch_length()
        if hasattr(plan, "share_changes"):  # its shares may have been set since
            target = plan.shares(epoch)
        else:
            target = plan.prior_between(epoch * length, (epoch + 1) * length)
        share = np.bincount(groups.group_of(samples), minlength=target.size) / samples.size
        found = {"deviation": float(np.abs(share - target).max())}
        for group in np.argsort(-groups.sizes, kind="stable")[:_MOST_GROUPS].tolist():
            name = groups.names[group]
            found[f"share/{name}"], found[f"target/{name}"] = float(share[group]), float(target[group])
        return found


def _spread(step: list[np.ndarray], costs: np.ndarray, world_size: int) -> float:
    by_rank = [sum(costs[batch].sum() for batch in step[rank::world_size]) for rank in range(world_size)]
    return float(max(by_rank) / np.mean(by_rank) - 1)


def _repeats(samples: np.ndarray) -> int:
    return int(samples.size - np.unique(samples).size)


def _padding(lengths: list[np.ndarray]) -> float:
    padded = sum(int(batch.max()) * batch.size for batch in lengths)
    return 1 - sum(int(batch.sum()) for batch in lengths) / padded
