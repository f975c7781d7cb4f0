"""Finds out, from the calling frames, how many batches the trainer accumulates; no trainer is imported for that."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from ..told_accumulation import Accumulation

__all__ = ["of_accelerate", "of_lightning", "trainer_of_this_loop"]

_BETWEEN = {"accelerate", "batchwright", "ignite", "lightning", "pytorch_lightning", "torch", "transformers", "trl"}
"""Packages whose functions may stand between a loader and the loop that asks it for a batch."""


def trainer_of_this_loop() -> Iterator[Accumulation | None]:
    """To be asked before each batch of a loop: what its trainer was told, once that can be seen; None until then.

    Trainers call nothing of a loader that is no `DataLoader` but `iter` and `next`, so all there is to see is who calls. At
    the first batch this shows the loops of HF Trainer, Lightning and Ignite. A loop with Accelerate is the user's own. There
    `accumulate` notes in every step whether the optimizer steps, and what it notes changes from one batch to another.
    """
    for place, told in _caller():
        yield told(place)
        return
    module = sys.modules.get("accelerate.state")
    if module is None or not module.GradientState._shared_state:  # no Accelerator was made
        return
    state = module.GradientState()
    before = state.sync_gradients  # before the first batch, after which the first update may be skipped
    for _ in range(state.num_steps + 1):
        yield None
        if state.sync_gradients != before:
            yield of_accelerate(state.num_steps)
            return


def _caller() -> Iterator[tuple[Any, Callable[[Any], Accumulation | None]]]:
    """The object whose loop asks for a batch, and what reads its setting; nothing if the loop is none of a known trainer."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        found = _LOOPS.get(frame.f_code.co_qualname)
        if found is not None:
            yield frame.f_locals["self"], found
        frame = frame.f_back


def of_accelerate(batches: int) -> Accumulation:
    """What an `Accelerator` was told; its `backward` divides each loss."""
    return Accumulation(batches, "Accelerator(gradient_accumulation_steps)", batches)


def of_lightning(trainer: Any) -> Accumulation:
    """What a Lightning trainer was told; a schedule's numbers must all fit, so it is their least common multiple.

    With automatic optimization it divides each loss by the number of the present epoch.
    """
    schedules = [callback.scheduling for callback in trainer.callbacks if hasattr(callback, "scheduling")]
    numbers = [number for schedule in schedules for number in schedule.values()]
    batches = math.lcm(*numbers) if numbers else trainer.accumulate_grad_batches
    divisor = trainer.accumulate_grad_batches if trainer.lightning_module.automatic_optimization else 1
    return Accumulation(batches, "Trainer(accumulate_grad_batches)", divisor)


def _of_lightnings_loop(loop: Any) -> Accumulation | None:
    return of_lightning(loop.trainer) if loop.trainer.lightning_module.automatic_optimization else None


def _of_transformers(trainer: Any) -> Accumulation:
    """What HF's `Trainer` was told.

    It divides each loss, unless `compute_loss_func` or a subclass (`loss_is_scaled_for_ga`) is to have done so. It does not
    divide the loss of a model that was given `num_items_in_batch`, but no other loss is scaled there.
    """
    uses = getattr(trainer, "plan_uses", 1)  # by a `PlanTrainer` that generates, of each batch
    batches = max(1, trainer.args.gradient_accumulation_steps // uses)
    own = trainer.compute_loss_func is not None
    scaled = getattr(trainer, "loss_is_scaled_for_ga", None)
    divides = not (own if scaled is None else scaled)
    multiplied = own and trainer.args.average_tokens_across_devices and trainer.args.world_size > 1
    setting = "TrainingArguments(gradient_accumulation_steps)"
    return Accumulation(batches, setting, batches if divides else 1, multiplied)


def _of_ignite(engine: Any) -> Accumulation | None:
    """Of an engine that `create_supervised_trainer` made, whose function of a batch keeps the argument."""
    update = engine._process_function
    kept = inspect.getclosurevars(update).nonlocals if inspect.isfunction(update) else {}
    batches = kept.get("gradient_accumulation_steps")
    setting = "create_supervised_trainer(gradient_accumulation_steps)"
    return None if batches is None else Accumulation(batches, setting, batches)


_LOOPS: dict[str, Callable[[Any], Accumulation | None]] = {
    "Trainer.get_batch_samples": _of_transformers,
    "_TrainingEpochLoop.advance": _of_lightnings_loop,
    "Engine._run_once_on_dataset_as_gen": _of_ignite,
    "Engine._run_once_on_dataset_legacy": _of_ignite,
}
