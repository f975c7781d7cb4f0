"""One optimizer step with `LossScale` in every trainer: the gradient that the optimizer is given.

The loss of a sample is its number times the one weight, so the gradient of a mean of losses is the mean of the numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

import batchwright as bw

from ..recorder import Life

ACCUMULATE = 4
PLAN = bw.budgeted([5, 3, 8, 1] * 25, 20)  # its micro-batches have 4 to 12 samples
NUMBERS = torch.arange(1.0, 101.0)


def wanted(world_size: int) -> float:
    """The mean of the numbers of the first step."""
    step_size = world_size * ACCUMULATE
    return torch.cat([NUMBERS[PLAN.stepped(step_size)[t]] for t in range(step_size)]).mean().item()


def _loader(accumulate: int = ACCUMULATE, **options: Any) -> bw.loader.Loader:
    return PLAN.loader(NUMBERS, accumulate=accumulate, num_workers=0, **options)


def _layer() -> torch.nn.Linear:
    return torch.nn.Linear(1, 1, bias=False)


def _of(model: torch.nn.Module) -> float:
    (weight,) = model.parameters()
    return weight.grad.item()


def plain(rank: int, world_size: int, divides: bool | None) -> float:
    loader = _loader()
    model = DistributedDataParallel(_layer()) if world_size > 1 else _layer()
    for number, (batch, factor) in enumerate(bw.correct.LossScale(loader, trainer_divides=divides).over(loader), 1):
        (model(batch[:, None]).sum() * factor).backward()  # synchronised in every micro-batch, which changes nothing
        if number == ACCUMULATE:
            return _of(model)
    raise AssertionError


def accelerate(
    rank: int, world_size: int, divides: bool | None, *, adapter: bool = True, own: bool = False, told: int = ACCUMULATE
) -> float:
    from accelerate import Accelerator

    from batchwright.adapters.accelerate import prepare

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=told)
    loader = prepare(accelerator, _loader()) if adapter else accelerator.prepare(_loader())
    model = accelerator.prepare(_layer())
    for batch, factor in bw.correct.LossScale(loader, trainer_divides=divides).over(loader):
        with accelerator.accumulate(model):
            loss = model(batch[:, None]).sum() * factor
            loss.backward() if own else accelerator.backward(loss)
            if accelerator.sync_gradients:
                return _of(model)
    raise AssertionError


def lightning(
    rank: int,
    world_size: int,
    divides: bool | None,
    *,
    callback: bool = True,
    schedule: Any = None,
    told: int = ACCUMULATE,
) -> float:
    from lightning.pytorch import LightningModule
    from lightning.pytorch.callbacks import GradientAccumulationScheduler

    from batchwright.adapters.lightning import PlanCallback

    from .lightning import trainer

    warnings.filterwarnings("ignore", module="lightning")
    loader = _loader(told)
    found: list[float] = []

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = _layer()
            self.scale = bw.correct.LossScale(loader, trainer_divides=divides)

        def training_step(self, batch, batch_idx):
            return self.layer(batch[:, None]).sum() * self.scale.at(batch_idx)

        def on_before_optimizer_step(self, optimizer):
            found.append(_of(self.layer))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.0)

    callbacks: list[Any] = [PlanCallback()] if callback else []
    callbacks += [GradientAccumulationScheduler(schedule)] if schedule else []
    life = Life("", epochs=1, accumulate=1 if schedule else ACCUMULATE)
    trainer(life, world_size, callbacks, max_steps=1, enable_checkpointing=False).fit(Module(), loader)
    return found[0]


def transformers(
    rank: int, world_size: int, divides: bool | None, *, labels: bool = False, function: bool = False, **options: Any
) -> float:
    from transformers import TrainerCallback, TrainingArguments

    from batchwright.adapters.transformers import PlanTrainer

    found: list[float] = []

    class Model(torch.nn.Module):
        accepts_loss_kwargs = labels

        def __init__(self) -> None:
            super().__init__()
            self.layer = _layer()

        def forward(self, x, labels=None, num_items_in_batch=None):
            assert (num_items_in_batch is not None) == self.accepts_loss_kwargs
            return {"loss": self.layer(x).sum()}

    class Mine(PlanTrainer):
        def scaled(self, loss_sum):
            scale = bw.correct.LossScale(self.plan_sampler, trainer_divides=divides)
            return loss_sum * scale.at(self.plan_progress.step, epoch=self.plan_progress.epoch)

    class Overriding(Mine):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            if self.model_accepts_loss_kwargs:
                inputs = {**inputs, "num_items_in_batch": num_items_in_batch}
            return self.scaled(model(**inputs)["loss"])

    class Watch(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **others):
            found.append(_of(model))

    arguments = TrainingArguments(
        "unused", max_steps=1, gradient_accumulation_steps=ACCUMULATE, use_cpu=True, report_to=[], disable_tqdm=True,
        save_strategy="no", max_grad_norm=0.0, dataloader_pin_memory=False,
        ddp_backend="gloo" if world_size > 1 else None, **options,
    )  # fmt: skip
    rows = [{"x": number[None], **({"labels": torch.tensor(1)} if labels or function else {})} for number in NUMBERS]
    given = {"train_dataset": rows, "plan": PLAN, "callbacks": [Watch()]}
    if function:
        made = Mine(
            Model(), arguments, compute_loss_func=lambda outputs, *_, **__: made.scaled(outputs["loss"]), **given
        )
    else:
        made = Overriding(Model(), arguments, **given)
    made.train()
    return found[0]


def ignite(rank: int, world_size: int, divides: bool | None) -> float:
    from ignite.engine import create_supervised_trainer

    found: list[float] = []

    def pairs(samples):
        numbers = torch.stack(samples)[:, None]
        return numbers, numbers

    loader = _loader(collate=pairs)
    scale = bw.correct.LossScale(loader, trainer_divides=divides)
    model = DistributedDataParallel(_layer()) if world_size > 1 else _layer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    optimizer.register_step_pre_hook(lambda *_: found.append(_of(model)))

    def loss(predicted, _):
        return predicted.sum() * scale.at(loader.batches_done - 1)

    trainer = create_supervised_trainer(model, optimizer, loss, gradient_accumulation_steps=ACCUMULATE)
    trainer.run(loader, max_iters=ACCUMULATE)
    return found[0]


RUNS: dict[str, Callable[..., float]] = {
    "plain": plain,
    "Accelerate": accelerate,
    "Accelerate alone": partial(accelerate, adapter=False),
    "Accelerate, its backward not used": partial(accelerate, own=True),
    "Lightning": lightning,
    "Lightning alone": partial(lightning, callback=False),
    "Lightning, a schedule": partial(lightning, schedule={0: ACCUMULATE}),
    "Lightning, a schedule that changes": partial(lightning, schedule={0: 2, 1: ACCUMULATE}),
    "HF": transformers,
    "HF, num_items_in_batch": partial(transformers, labels=True),
    "HF, compute_loss_func": partial(transformers, function=True, average_tokens_across_devices=False),
    "HF, compute_loss_func, tokens averaged": partial(transformers, function=True, average_tokens_across_devices=True),
    "Ignite": ignite,
    "Lightning alone accumulates": partial(lightning, told=1),
}


def gradient(rank: int, world_size: int, run: str, divides: bool | None) -> tuple[float, float] | str:
    """What the optimizer was given, and what it should be; or why that was refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return RUNS[run](rank, world_size, divides), wanted(world_size)
    except bw.Infeasible as refusal:
        return str(refusal)
