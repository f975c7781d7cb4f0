"""Hugging Face Accelerate: a loader whose batches are divided over ranks once, with its position in checkpoints.

`Accelerator.prepare` gives every process each world_size-th batch of a loader. With a sampler that does this already,
most batches would be lost without a warning. Use `prepare` below in its place, for the loader only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader

from ..accumulation import check_accumulation
from ..composition import Composition
from ..errors import Infeasible
from ..plans.evaluated import EvaluationPlan
from ..ranks import check_ranks
from ..sampler import BatchSampler

__all__ = ["EvaluationLoader", "PlanLoader", "prepare"]


def prepare(accelerator: Accelerator, loader: DataLoader[Any], *, composition: Composition | None = None) -> PlanLoader:
    """Prepare a loader: batches on the right device, and its position saved and loaded by `accelerator`.

    Of a plan for evaluation (`batchwright.evaluation`) the position is not saved, and `accelerator.gather_for_metrics`
    leaves the fillers of the last step out.

    Args:
        accelerator: the accelerator of the training or evaluation.
        loader: a loader with `batch_sampler=plan.sampler()`; if gradients are accumulated in training,
            `plan.sampler(accumulate=...)`.
        composition: logs the composition of batches to `Accelerator.log`; nothing if left out.

    Raises:
        Infeasible: the loader has no batchwright sampler, the processes do not share one plan (see `check_ranks`), or
            `gradient_accumulation_steps` is not what the sampler accumulates.
    """
    check_ranks(loader)
    sampler = loader.batch_sampler
    if sampler is None:  # Accelerate would forget the sampler and yield the samples one by one
        raise Infeasible(
            "Accelerate takes no loader with batch_size=None", "make the loader with batch_sampler=plan.sampler()"
        )
    if not isinstance(sampler, BatchSampler) or sampler.world_size != accelerator.num_processes:
        raise Infeasible(
            f"accelerate runs {accelerator.num_processes} processes, the loader's batches are shared by {sampler!r}",
            "pass a loader made with batch_sampler=plan.sampler(rank=accelerator.process_index, "
            "world_size=accelerator.num_processes)",
        )
    evaluates = isinstance(sampler.plan, EvaluationPlan)
    if not evaluates:
        check_accumulation(sampler, accelerator.gradient_accumulation_steps, "Accelerator(gradient_accumulation_steps)")
    prepared = (EvaluationLoader if evaluates else PlanLoader)(
        accelerator,
        prepare_data_loader(
            loader,
            accelerator.device,
            num_processes=1,  # the sampler has divided the batches already
            process_index=0,
            put_on_device=accelerator.device_placement,
            dispatch_batches=False,
            non_blocking=accelerator.non_blocking,
        ),
        sampler,
        composition,
    )
    if not evaluates:
        accelerator.register_for_checkpointing(prepared)
    return prepared


class PlanLoader:
    """A prepared loader that counts the batches that the training loop has taken; workers may be ahead of it.

    `Accelerator.save_state` and `load_state` keep its position. For other checkpoints use `state_dict` and
    `load_state_dict`.
    """

    def __init__(
        self, accelerator: Accelerator, prepared: Any, sampler: BatchSampler, composition: Composition | None
    ) -> None:
        self.accelerator = accelerator
        self.prepared = prepared
        self.sampler = sampler
        self.composition = composition
        # The state after the last batch that was taken; {} if none was since the position of the sampler was set.
        self._state: dict[str, Any] = {}

    def __len__(self) -> int:
        """The number of batches of this process in an epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the batches of the next epoch, or the rest of one."""
        epoch, begun = self.sampler.epoch, self.sampler.step
        # Accelerate counts epochs from 0 in every process, and passes them to `set_epoch`.
        self.prepared.iteration = epoch
        self._begin(begun)
        for step, batch in enumerate(self.prepared, begun + 1):
            self._state = self.sampler.state_at(step, epoch=epoch)
            self._came(step, epoch)
            if self.composition is not None:
                self.composition.after(step, self.accelerator.log, epoch=epoch)
            yield batch

    def _begin(self, step: int) -> None:
        self.accelerator.step = step  # where `accumulate` stands; a checkpoint has it in the terms of another world

    def _came(self, step: int, epoch: int) -> None:
        """Before batch number `step`, counted from 1, is handed to the loop."""

    @property
    def epoch(self) -> int:
        """The epoch that the next `iter` takes."""
        return self.sampler.epoch

    def set_epoch(self, epoch: int) -> None:
        """See `BatchSampler.set_epoch`; a checkpoint saved now resumes there."""
        self.sampler.set_epoch(epoch)
        self._state = {}

    def seek(self, step: int, *, epoch: int | None = None) -> None:
        """See `BatchSampler.seek`; use it in place of `skip_first_batches`. A checkpoint saved now resumes there."""
        self.sampler.seek(step, epoch=epoch)
        self._state = {}

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch that the training loop has taken."""
        return dict(self._state) or self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next `iter` resume from a state."""
        self.sampler.load_state_dict(state)
        self._state = {}


class EvaluationLoader(PlanLoader):
    """A prepared loader of a plan for evaluation; it leaves what Accelerate knows of training alone."""

    def _begin(self, step: int) -> None:
        """Evaluation accumulates nothing."""

    def _came(self, step: int, epoch: int) -> None:
        if step == len(self):  # what `gather_for_metrics` keeps of what it gathers last, where fillers stand last
            self.prepared.remainder = self.sampler.real_of_all(step - 1, epoch=epoch)
