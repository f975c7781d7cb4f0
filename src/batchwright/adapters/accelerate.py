"""Hugging Face Accelerate: a loader that is sharded once, and whose position is in the checkpoints.

`Accelerator.prepare` leaves a loader of a plan as it is: the plan has sharded it. `prepare` below does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from accelerate import Accelerator
from accelerate.data_loader import DataLoaderStateMixin
from accelerate.state import GradientState

from ..composition import Composition
from ..errors import Infeasible, typed
from ..loader import Loader
from ..loader.trainers import of_accelerate
from ..plans.evaluation import EvaluationPlan
from ..ranks import check_ranks

__all__ = ["EvaluationLoader", "prepare"]


def prepare(
    accelerator: Accelerator, loader: Loader, *, composition: Composition | None = None
) -> Loader | EvaluationLoader:
    """The loader, with its batches on the accelerator's device and its position in the accelerator's checkpoints.

    `Accelerator.save_state` and `load_state` keep the position; where `accumulate` stands follows from it, in any world. Of
    a plan for evaluation (`batchwright.evaluation`) the position is not saved, and `accelerator.gather_for_metrics` leaves
    the fillers of the last step out.

    Args:
        accelerator: what trains or evaluates.
        loader: of the plan. If gradients are accumulated in training, made with `plan.loader(accumulate=...)`.
        composition: what to tell `Accelerator.log` of the batches; nothing if left out.

    Returns:
        The same loader; for a plan for evaluation, what yields its batches and tells Accelerate of fillers.

    Raises:
        Infeasible: it is no loader of a plan, the processes do not share one plan (see `check_ranks`), or
            `gradient_accumulation_steps` is not what the loader accumulates.
    """
    if not isinstance(loader, Loader):
        raise Infeasible(
            f"the loader is {typed(loader)}, of which Accelerate would give each process a part of its part",
            "pass plan.loader(dataset)",
        )
    check_ranks(loader)
    evaluates = isinstance(loader.plan, EvaluationPlan)
    if evaluates and loader.sampler.of_mesh and loader.world_size != accelerator.num_processes:
        raise Infeasible(
            f"accelerate gathers from {accelerator.num_processes} processes, the batches are of {loader.world_size} ranks",
            "loop over the plan's loader itself, and use batchwright.correct.Means",
        )
    if not loader.sampler.of_mesh and loader.world_size != accelerator.num_processes:
        raise Infeasible(
            f"accelerate runs {accelerator.num_processes} processes, the loader's batches are shared by {loader.sampler!r}",
            "pass plan.loader(dataset, rank=accelerator.process_index, world_size=accelerator.num_processes)",
        )
    if accelerator.device_placement and loader.device is None:
        loader.device = accelerator.device
    if evaluates:
        return EvaluationLoader(loader)
    loader.compare_accumulation(of_accelerate(accelerator.gradient_accumulation_steps))

    def watch(epoch: int, step: int, begins: bool) -> None:
        if begins:  # where `accumulate` stands; a checkpoint has it in the terms of another world
            accelerator.step = step - 1
        if composition is not None:
            composition.after(step, accelerator.log, epoch=epoch)

    loader.watch = watch
    accelerator.register_for_checkpointing(loader)
    return loader


class EvaluationLoader(DataLoaderStateMixin):
    """The batches of a plan for evaluation; `Accelerator.gather_for_metrics` leaves fillers out of what it gathers."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.gradient_state = GradientState()

    def __len__(self) -> int:
        """Batches that this process evaluates."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        """The batches of one evaluation."""
        (epoch, _), last = self.loader.next_start(), len(self.loader)
        self.begin()
        try:
            for step, batch in enumerate(self.loader, 1):
                if step == last:  # what `gather_for_metrics` keeps of what it gathers last, where fillers stand last
                    self.end_of_dataloader = True
                    self.remainder = self.loader.sampler.real_of_all(step - 1, epoch=epoch)
                yield batch
        finally:
            self.end()
