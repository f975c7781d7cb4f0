"""Sentence Transformers: a plan for the arguments `batch_sampler` and `multi_dataset_batch_sampler` of its trainers.

`PlanTrainer` of `batchwright.adapters.transformers`, before such a trainer, does more: other worlds, exact evaluation, and
mid-epoch checkpoints on several processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any

import torch.utils.data
from accelerate import PartialState

from ..errors import Infeasible, check_integer, typed
from ..plans.plan import Plan

__all__ = ["samplers"]


def samplers(
    plan: Plan, *, accumulate: int = 1, evaluation: Sized | Sequence[Sized] | Mapping[str, Sized] = ()
) -> dict[str, Callable[..., torch.utils.data.BatchSampler]]:
    """The arguments of `SentenceTransformerTrainingArguments` with which training takes its batches from a plan.

    Use it if a run resumes in the same world, and on one process if in mid-epoch. Several data sets are numbered one after
    another, in the order of the `DatasetDict`: `bw.alternating` takes one of them for each batch.

    Args:
        plan: the plan of the training batches.
        accumulate: `gradient_accumulation_steps` of the arguments.
        evaluation: the data set that is evaluated, or several, also by name; they come in order,
            `per_device_eval_batch_size` at a time.

    Returns:
        `batch_sampler` and `multi_dataset_batch_sampler`, by name.

    Raises:
        Infeasible: there is no plan, or a data set to evaluate has as many rows as the one to train on, and the trainer does
            not say which of them it means. When training begins: the data set is not the plan's.

    Example:
        >>> import batchwright as bw
        >>> sorted(samplers(bw.shuffled(8, batch_size=2)))
        ['batch_sampler', 'multi_dataset_batch_sampler']
    """
    if not isinstance(plan, Plan):
        raise Infeasible(f"plan is {typed(plan)}", "pass the plan itself, such as bw.shuffled(rows, 32)")
    accumulate = check_integer(accumulate, "accumulate", least=1)
    count = plan.groups.sample_count
    if isinstance(evaluation, Mapping):  # of several, by name
        evaluation = list(evaluation.values())
    lengths = {len(each) for each in evaluation} if isinstance(evaluation, (list, tuple)) else {len(evaluation)}
    if count in lengths:
        raise Infeasible(
            f"the data set to evaluate has {count} rows, as many as the plan was made for",
            "use PlanTrainer of batchwright.adapters.transformers, which knows them apart",
        )
    made = _Samplers(plan, accumulate, frozenset(lengths))
    return {"batch_sampler": made.sampler_of_one, "multi_dataset_batch_sampler": made.sampler_of_all}


class _Samplers:
    """The two functions, which the trainer calls for each data set; its checkpoints have their own copies of them."""

    def __init__(self, plan: Plan, accumulate: int, evaluated: frozenset[int]) -> None:
        self.plan: Plan | None = plan
        self.count = plan.groups.sample_count
        self.accumulate, self.evaluated = accumulate, evaluated

    def sampler_of_one(self, dataset: Sized, *, batch_size: int, **others: Any) -> torch.utils.data.BatchSampler:
        """What draws from a data set, or from one of several."""
        if len(dataset) in self.evaluated:
            in_order = torch.utils.data.SequentialSampler(dataset)
            return torch.utils.data.BatchSampler(in_order, batch_size, drop_last=False)
        return self.sampler_of_all(dataset)

    def sampler_of_all(self, dataset: Sized, **others: Any) -> torch.utils.data.BatchSampler:
        """What draws from all that are trained on together."""
        if len(dataset) != self.count:
            return _RefusingSampler(len(dataset), self.count)
        if self.plan is None:
            raise Infeasible(
                "these arguments were read from a checkpoint, which holds no plan", "call samplers(plan) again"
            )
        # Accelerate gives each process its part of what one rank of one would run, step by step.
        processes = PartialState().num_processes
        return self.plan.sampler(rank=0, world_size=1, accumulate=self.accumulate * processes)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "plan": None}  # a plan may be large, and is not for a file of arguments


class _RefusingSampler(torch.utils.data.BatchSampler):
    """Of a data set that the plan was not made for; refused at use, since of several the trainer asks for each first."""

    def __init__(self, rows: int, count: int) -> None:
        self.rows, self.count = rows, count

    def __len__(self) -> int:
        raise Infeasible(
            f"the data set has {self.rows} rows, the plan was made for {self.count}",
            "make the plan from the data set that is trained on, and name those to evaluate in samplers(evaluation=...)",
        )

    def __iter__(self) -> Iterator[list[int]]:
        len(self)
        return iter(())
