"""What a loader accumulates is compared with its trainer, without an adapter or a callback, as soon as that can be seen."""

from __future__ import annotations

import warnings

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import GradientState
from accelerate.utils import GradientAccumulationPlugin
from lightning.pytorch.callbacks import GradientAccumulationScheduler

import batchwright as bw

from .accumulation import check_that_the_two_are_compared
from .lightning_runs import Module, fit
from .places import SAMPLES, made

with warnings.catch_warnings():  # torch's own, when it is imported
    warnings.simplefilter("ignore")
    from ignite.engine import Engine, create_supervised_evaluator, create_supervised_trainer

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")

LAYER = torch.nn.Linear(1, 1)


class Sums(Module):
    def training_step(self, batch, batch_idx):
        return self.layer(batch[:, None].float()).mean()


def lightning(accumulates, told, *, module=None, **options):
    callbacks = options.pop("callbacks", [])
    fit(
        callbacks,
        made(accumulate=accumulates, **options),
        accumulate_grad_batches=told,
        max_steps=1,
        module=module or Sums(),
    )


def transformers(accumulates, told, **options):
    from transformers import Trainer, TrainingArguments

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def forward(self, x):
            return {"loss": self.layer(x).mean()}

    class Mine(Trainer):
        def get_train_dataloader(self):
            return bw.shuffled(SAMPLES, 4).loader(
                self.train_dataset, collate=self.data_collator, accumulate=accumulates, num_workers=0, **options
            )

    arguments = TrainingArguments(
        "unused", max_steps=1, gradient_accumulation_steps=told, use_cpu=True, report_to=[], disable_tqdm=True,
        save_strategy="no",
    )  # fmt: skip
    Mine(Model(), arguments, train_dataset=[{"x": torch.ones(1)}] * SAMPLES).train()


def pairs(samples):
    return torch.tensor(samples)[:, None].float(), torch.zeros(len(samples), 1)


def ignite(accumulates, told, **options):
    optimizer = torch.optim.SGD(LAYER.parameters(), lr=1e-9)
    loss = torch.nn.functional.mse_loss
    trainer = create_supervised_trainer(LAYER, optimizer, loss, gradient_accumulation_steps=told)
    trainer.run(made(accumulate=accumulates, collate=pairs, **options), max_iters=1)


def accelerate(accumulates, told, **options):
    accelerator = Accelerator(cpu=True, gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=told))
    for _ in accelerator.prepare(made(accumulate=accumulates, **options)):
        with accelerator.accumulate(LAYER):
            pass


@pytest.mark.parametrize(
    ("once", "setting"),
    [
        (lightning, "Trainer(accumulate_grad_batches)"),
        (transformers, "TrainingArguments(gradient_accumulation_steps)"),
        (ignite, "create_supervised_trainer(gradient_accumulation_steps)"),
    ],
)
def test_the_two_are_compared_at_the_first_batch(once, setting):
    check_that_the_two_are_compared(once, setting)


def test_accelerate_is_seen_where_it_accumulates():
    check_that_the_two_are_compared(accelerate, "Accelerator(gradient_accumulation_steps)", one_is_seen=False)
    accelerate(2, 1)


def test_an_accelerator_that_this_loop_does_not_use_is_not_compared():
    accelerator = Accelerator(cpu=True, gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=4))
    for stopped in (0, 1):  # whatever the last step of another loop was
        for _ in range(stopped):
            with accelerator.accumulate(LAYER):
                pass
        assert GradientState().sync_gradients != bool(stopped)
        assert len(list(made(accumulate=2))) == 10


def test_other_loops_within_a_trainers_are_not_compared():
    """An evaluation, a loop over another loader in a step, steps by hand, an update function of one's own."""
    held_out = bw.evaluation(SAMPLES, 4)

    class Looks(Sums):
        def training_step(self, batch, batch_idx):
            for other in (made(accumulate=3), held_out.loader(range(SAMPLES), num_workers=0)):
                assert len(list(other)) in (10, 12)
            return super().training_step(batch, batch_idx)

    class ByHand(Sums):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

    lightning(4, 4, module=Looks())
    fit([], made(), validate=made(accumulate=3), accumulate_grad_batches=5, max_steps=2, module=Sums())
    fit([], made(accumulate=2), max_epochs=1, module=ByHand())
    Engine(lambda *_: None).run(made(accumulate=2))
    create_supervised_evaluator(LAYER).run(made(accumulate=2, collate=pairs))


def test_a_schedule_of_lightnings_counts_with_all_its_numbers():
    lightning(4, 1, callbacks=[GradientAccumulationScheduler({0: 2, 1: 4})])
    with pytest.raises(bw.Infeasible, match="is 4"):
        lightning(2, 1, callbacks=[GradientAccumulationScheduler({0: 2, 1: 4})])


def test_what_an_adapter_compared_is_not_warned_of_again():
    from batchwright.adapters.lightning import PlanCallback

    with pytest.warns(bw.PoorWarning, match="is 4") as said:
        lightning(1, 4, callbacks=[PlanCallback()])
    assert len([warning for warning in said if warning.category is bw.PoorWarning]) == 1
