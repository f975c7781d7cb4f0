"""The factor that turns a sum of losses into the mean over an optimizer step, for any ranks and batch sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from ..distributed import over, ranks, summed
from ..errors import Infeasible, check_bool, exactly, shown
from ..inputs import columns
from ..position import Position
from ..readings import check_count, reading
from ..run.sampler_of import needed_sampler, next_start
from .weights import Weights

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from ..run.sampler import BatchSampler

__all__ = ["LossScale", "OptimizerSteps", "loss_scale"]

Counts = Callable[[np.ndarray], Any]


class LossScale:
    """The factor for a sum of losses that gives the mean over an optimizer step.

    `loss_sum * factor`, averaged over ranks by DDP and summed over accumulation, is the mean over the step. A mean of
    the means of micro-batches is not: if their counts differ, a token of a short batch counts more. The factor is
    world_size / (the counts of all world_size x accumulate micro-batches of the step). Every rank computes it from the
    plan alone, without communication; if counts differ, that takes as long as drawing the sample numbers of all ranks.
    If the counts are known only from the data, use the function `loss_scale`, which communicates once for each step.

    Trainers that accumulate by themselves divide each loss by the number of batches that they accumulate: Lightning, HF's
    `Trainer`, Ignite's supervised trainer, and `backward` of Accelerate. Pass `trainer_divides=True` there, and the factor
    is so many times as large.

    Args:
        sampler: the sampler of the training loader.
        counts: what the mean is taken over: None for samples; one amount for each number that the plan yields, such as
            its tokens, array-like of shape (n_samples,); or a function from these numbers to their amounts, such as
            `Weights(plan)`, for a self-normalised weighted mean.
        trainer_divides: whether the trainer divides each loss by the number of batches that it accumulates. If left out, no
            trainer divides, and one that is seen to do so is refused.

    Raises:
        Infeasible: `counts` is no column of finite numbers of 0 or more, with one for each number that the plan yields;
            or it is `Weights` of a plan whose target moves; or a batch of the sampler has several optimizer steps
            (`fetch`). A function is refused when it gives something else than one amount for each number. A factor is
            refused if the loop is one of a trainer that divides losses, and `trainer_divides` was left out; or if that
            trainer accumulates another number of batches.

    Example:
        >>> import batchwright as bw
        >>> sampler = bw.shuffled(6, batch_size=2).sampler(rank=0, world_size=3)
        >>> LossScale(sampler).at(0)  # 6 samples in the step, losses averaged over 3 ranks
        0.5
    """

    def __init__(
        self, sampler: BatchSampler, counts: Any | Counts | None = None, *, trainer_divides: bool | None = None
    ) -> None:
        sampler = needed_sampler(sampler)
        if sampler.accumulate % sampler.fetch:
            raise Infeasible(
                f"a batch of the sampler holds {sampler.fetch} micro-batches, an optimizer step {sampler.accumulate}: no "
                "one factor is right for it",
                "pass fetch='micro', 'step', or a number that divides accumulate",
            )
        self.sampler = sampler
        self._divides = None if trainer_divides is None else check_bool(trainer_divides, "trainer_divides")
        if isinstance(counts, Weights):
            counts = counts.lasting()
        self._counts = counts if counts is None or callable(counts) else _amounts(counts, sampler)

    def at(self, number: int, *, epoch: int | None = None) -> float:
        """The factor for one batch of this rank, in the present epoch or in another one.

        Args:
            number: of the batch in the epoch, from 0; in a loop over a plan's loader `loader.batches_done - 1`, which
                `enumerate` counts too unless the run resumed within the epoch.
            epoch: of the run; the present one if left out: that of the batch that was given last, or the one that
                `set_epoch`, `seek` or `load_state_dict` asked for since.

        Raises:
            Infeasible: the epoch has fewer batches, or the batch came before the run was resumed.
        """
        before = self.sampler.before(number, epoch=epoch)
        steps = OptimizerSteps(self.sampler, before, self._counts)
        return steps.factor(before.consumed // self.sampler.fetched_by_all) * self._divisor()

    def over(self, loader: Iterable[Any]) -> Iterator[tuple[Any, float]]:
        """Iterate once over a loader that draws from the sampler: every batch with its factor, also after a resume.

        A `batchwright.Batch` also has its factor as `batch.aside.loss_scale`. If the plan is for evaluation, it has the
        number of samples that count as `batch.aside.real`: leave the others out of the sum.

        Raises:
            Infeasible: the loader draws from another sampler.
        """
        drawn = getattr(loader, "batch_sampler", self.sampler)
        if drawn is not self.sampler and type(drawn) in (type(self.sampler), torch.utils.data.BatchSampler):
            raise Infeasible(
                f"the loader draws from {drawn!r}, the loss scale is of {self.sampler!r}",
                "pass a loader with batch_sampler=sampler, the one the loss scale was made with",
            )
        epoch, done = next_start(loader, self.sampler)
        state = self.sampler.state_at(done, epoch=epoch)
        steps = OptimizerSteps(self.sampler, Position.from_state(self.sampler.plan, state), self._counts)
        first = state["consumed"] // (self.sampler.world_size * self.sampler.fetch)
        for step, batch in enumerate(loader, first):
            factor = steps.factor(step) * self._divisor()
            # Not `isinstance(batch, Batch)`: this module is below `collate` and must not import it.
            yield batch.scaled(factor, real=steps.real(step)) if hasattr(batch, "scaled") else batch, factor

    def _divisor(self) -> int:
        """What the trainer divides each loss by."""
        sampler, seen = self.sampler, self.sampler.trainer
        batches = sampler.accumulate // sampler.fetch
        if seen is not None and seen.multiplied:
            raise Infeasible(
                "Trainer multiplies what compute_loss_func gives by the number of processes, as the factor does",
                "pass average_tokens_across_devices=False to TrainingArguments",
            )
        if seen is not None and seen.divisor > 1:
            fact = f"{seen.setting} is {seen.divisor}, and that trainer divides each loss by it"
            if seen.divisor != batches:
                mended = f"pass accumulate={seen.divisor * sampler.fetch} to the plan's loader or sampler"
                if seen.divisor != seen.batches:
                    mended = "leave out the schedule: the loss scale is of steps of one size"
                raise Infeasible(f"{fact}; the sampler accumulates {batches}", mended)
            if self._divides is None:
                raise Infeasible(
                    fact, "pass LossScale(..., trainer_divides=True), or False if it does not divide this loss"
                )
        return batches if self._divides else 1


class OptimizerSteps:
    """The optimizer steps of one epoch; the totals of each are counted when they are first needed."""

    def __init__(self, sampler: BatchSampler, position: Position, counts: Any | Counts | None) -> None:
        self._sampler = sampler
        self._position = position
        self._plan = sampler.plan
        self._micro_batches = position.micro_batches
        self._world_size, self._accumulate, self._fetch = sampler.world_size, sampler.accumulate, sampler.fetch
        self._counts = counts
        self._counted: tuple[int | None, float] = None, 0.0  # the optimizer step counted last, and its factor

    def factor(self, step: int) -> float:
        """The factor for batch number `step` of a rank in the epoch; 0 if all of the optimizer step is empty."""
        if self._plan is not self._sampler.plan:  # shares were set: from here on the plan is another one
            self._plan = self._sampler.plan
            self._micro_batches = self._position.with_shares_of(self._plan).micro_batches
        number = step * self._fetch // self._accumulate
        if self._counted[0] != number:
            step_size = self._world_size * self._accumulate
            totals = map(self._total, range(number * step_size, (number + 1) * step_size))
            self._counted = number, _factor(self._world_size, sum(totals))
        return self._counted[1]

    def real(self, step: int) -> int | None:
        """How many samples of this rank's batch count; None where all do, as in training."""
        if not self._plan.whole_epochs:
            return None
        first = step * self._world_size * self._fetch + self._sampler.rank
        return sum(self._micro_batches.real(first + number * self._world_size) for number in range(self._fetch))

    def _total(self, number: int) -> float:
        if self._counts is None and self._plan.batch_size is not None:  # all micro-batches have one size
            return float(self._plan.batch_size)
        # After a change of the world size, numbers of an epoch may begin below 0; a sequence would count these from its
        # end.
        samples = self._micro_batches[number] if number >= 0 else np.array(next(self._micro_batches.lists(number, 1)))
        if self._plan.whole_epochs:
            samples = samples[: self._micro_batches.real(number)]
        if self._counts is None:
            return len(samples)
        counts = _given(self._counts, samples) if callable(self._counts) else self._counts[samples]
        # Of a function too, narrow types are summed as float64: a sum of float16 is infinite above 65,504.
        return float(counts.sum(dtype=np.float64))


def loss_scale(
    count: float | Tensor,
    *,
    process_group: dist.ProcessGroup | None = None,
    mesh: DeviceMesh | None = None,
    dims: Sequence[str] | None = None,
) -> float:
    """The factor of `LossScale`, from the count of this rank, by one all-reduce of one number.

    Args:
        count: tokens, samples or weights in all micro-batches of this rank in the optimizer step.
        process_group: the ranks over which DDP averages; None means all, or this process alone if there is no group.
        mesh: a device mesh, in place of `process_group`: for models that are split over processes too.
        dims: names of its data-parallel dimensions, outermost first; may be left out if it has one dimension.

    Returns:
        world_size / (the sum of the counts over ranks); 0 if that sum is 0. Multiply it by the accumulation if the trainer
        divides each loss by that; see `LossScale`.

    Raises:
        Infeasible: the counts are complex, or sum to less than 0, to infinity or to NaN.

    Example:
        >>> loss_scale(8)
        0.125
    """
    check_count(count, "count")
    with reading(count, "count", "pass the tokens or samples of this rank's step"):
        counted = torch.as_tensor(count).detach().cpu()
    if counted.is_complex():
        raise Infeasible(f"count is {shown(count)}, a complex number", "count tokens or samples")
    total = counted.double().sum()
    processes = over(process_group, mesh, dims)
    return _factor(ranks(processes)[1], summed(total, processes).item())


def _factor(world_size: int, total: float) -> float:
    if not 0 <= total < math.inf:
        raise Infeasible(
            f"the counts of an optimizer step sum to {exactly(total)}, a finite number of 0 or more is needed",
            "count tokens or samples",
        )
    return world_size / total if total else 0.0


def _amounts(counts: Any, sampler: BatchSampler) -> np.ndarray:
    amounts = columns.numbers_of_plan(counts, sampler.plan.groups.sample_count, called="counts")
    return _none_negative(amounts, "counts at sample")


def _given(function: Counts, samples: np.ndarray) -> np.ndarray:
    """The amounts that a function of the user gives for these numbers."""
    amounts = columns.numbers(function(samples), called="what counts gives", each="position")
    if amounts.size != len(samples):
        raise Infeasible(
            f"counts gives {amounts.size} amounts for {len(samples)} numbers", "return one amount for each number"
        )
    return _none_negative(amounts, "what counts gives at position")


def _none_negative(amounts: np.ndarray, called: str) -> np.ndarray:
    if amounts.size and amounts.min() < 0:
        worst = int(amounts.argmin())
        raise Infeasible(f"{called} {worst} is {exactly(amounts[worst])}", "pass amounts of 0 or more")
    return amounts
