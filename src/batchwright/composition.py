"""Logs the composition of the batches of all ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from .columns import numbers
from .errors import Infeasible, check_integer
from .sampler import BatchSampler
from .sampler_of import needed_sampler

__all__ = ["Composition", "Log"]

_MOST_GROUPS = 32  # two numbers each, for every report: loggers become slow with many more


class Log(Protocol):
    """A function that logs numbers, such as `accelerator.log`, a Lightning logger's `log_metrics`, or `wandb.log`."""

    def __call__(self, values: Mapping[str, float], step: int, /) -> Any:
        """Log some named numbers at a step."""
        ...


class Composition:
    """Logs the composition of the batches of all ranks, once in so many batches, without communication.

    Every rank knows the whole plan. So it computes what the other ranks took; the batches of all ranks with the same
    number are counted together. The numbers are those of the batches since the last report:

    - `share/<group>` and `target/<group>`: the share that each group had and should have (the 32 largest groups).
    - `deviation`: the largest difference between the two over all groups.
    - `repeated`: how many samples in the lists of all ranks with one number repeat another sample there; a mean.
    - `padding`: if lengths are given, the fraction of a padded micro-batch that is padding.
    - `cost_spread`: if costs are given, how far the most expensive rank is above the mean of the ranks, which wait for
      it.

    Args:
        sampler: the sampler of the training loader.
        every: the number of this rank's batches between two reports.
        lengths: the length of every sample, array-like of shape (n_samples,).
        costs: the cost of every sample in any unit, array-like of shape (n_samples,).

    Raises:
        Infeasible: `every` is below 1, `sampler` is no sampler, or a column has not one value for each number the plan
            yields.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=4, target={"cat": 0.75, "dog": 0.25})
        >>> composition = bw.Composition(plan.sampler(), every=2)
        >>> composition.after(2, lambda values, step: print(step, values["share/cat"], values["deviation"]), epoch=0)
        2 0.75 0.0
    """

    def __init__(self, sampler: BatchSampler, *, every: int = 50, lengths: Any = None, costs: Any = None) -> None:
        sampler = needed_sampler(sampler)
        self.sampler = sampler
        self.every = check_integer(every, "every", least=1)
        self.lengths = None if lengths is None else self._of_samples(lengths, "lengths")
        self.costs = None if costs is None else self._of_samples(costs, "costs")

    def _of_samples(self, values: Any, called: str) -> np.ndarray:
        column = numbers(values, called=called).astype(np.float64)  # sums of float64 do not wrap around
        count = self.sampler.plan.groups.sample_count
        if column.size != count:
            raise Infeasible(
                f"there are {column.size} {called}, the plan yields {count} numbers", "pass one for each of them"
            )
        return column

    def after(self, step: int, log: Log, *, epoch: int, at: int | None = None) -> None:
        """Call this after each of this rank's batches; it calls `log` after every `every` batches.

        Args:
            step: how many batches of the epoch this rank has had.
            log: receives the numbers.
            epoch: the epoch of these batches.
            at: the step to log at; if left out, the number of batches over all epochs.
        """
        if check_integer(step, "step", least=1) % self.every == 0:
            # Lists before a resume were those of another run, perhaps with another world size.
            resumed_at = self.sampler.started_at(epoch)
            log(
                self.measured(max(step - self.every, resumed_at), step, epoch=epoch),
                epoch * len(self.sampler) + step if at is None else at,
            )

    def measured(self, first: int, last: int, *, epoch: int) -> dict[str, float]:
        """Measure batches first..last-1 of an epoch."""
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
        if hasattr(plan, "share_changes"):  # shares set during the run count, and these are the present ones
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
