"""Hugging Face Accelerate: a loader that is sharded once, and whose position is in the checkpoints.

`Accelerator.prepare` gives every process each world_size-th batch of whatever it yields; a sampler that knows its rank is
sharded twice by it, in silence. `prepare` below is used in its place, for the loader alone.
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
    """A prepared loader: on the right device, with this process's share, its position saved and loaded by `accelerator`.

    Of a plan for evaluation (`batchwright.evaluation`) the position is not saved, and `accelerator.gather_for_metrics`
    leaves the fillers of the last step out.

    Args:
        accelerator: what trains or evaluates.
        loader: made with `batch_sampler=plan.sampler()`. If gradients are accumulated in training, with
            `plan.sampler(accumulate=...)`.
        composition: what to tell `Accelerator.log` of the batches; nothing if left out.

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
            num_processes=1,  # the sampler has done what more of them would do
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
    """A prepared loader that knows which batches the training loop has taken, however far workers are ahead.

    `Accelerator.save_state` and `load_state` keep its position; `state_dict` and `load_state_dict` do for other checkpoints.
    """

    def __init__(
        self, accelerator: Accelerator, prepared: Any, sampler: BatchSampler, composition: Composition | None
    ) -> None:
        self.accelerator = accelerator
        self.prepared = prepared
        self.sampler = sampler
        self.composition = composition
        self._state: dict[
            str, Any
        ] = {}  # after the last batch that was taken; {} where none was since the sampler was placed

    def __len__(self) -> int:
        """Batches an epoch gives this process."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch, or of what is left of one."""
        epoch, begun = self.sampler.epoch, self.sampler.step
        self.prepared.iteration = epoch  # accelerate counts epochs too, in every process from 0, and tells the sampler
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
        """The epoch that the next `iter` yields from."""
        return self.sampler.epoch

    def set_epoch(self, epoch: int) -> None:
        """As `BatchSampler.set_epoch`; a checkpoint saved now goes on there."""
        self.sampler.set_epoch(epoch)
        self._state = {}

    def seek(self, step: int, *, epoch: int | None = None) -> None:
        """As `BatchSampler.seek`, and in place of `skip_first_batches`; a checkpoint saved now goes on there."""
        self.sampler.seek(step, epoch=epoch)
        self._state = {}

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch that the training loop has taken."""
        return dict(self._state) or self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next `iter` go on from there."""
        self.sampler.load_state_dict(state)
        self._state = {}


class EvaluationLoader(PlanLoader):
    """A prepared loader of a plan for evaluation; it leaves what Accelerate knows of training alone."""

    def _begin(self, step: int) -> None:
        """Evaluation accumulates nothing."""

    def _came(self, step: int, epoch: int) -> None:
        if step == len(self):  # what `gather_for_metrics` keeps of what it gathers last, where fillers stand last
            self.prepared.remainder = self.sampler.real_of_all(step - 1, epoch=epoch)
