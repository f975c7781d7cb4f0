"""The composition reaches TensorBoard and the trainers' own loggers."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.utils.data import DataLoader

import batchwright as bw

from . import recorder

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own

STEPS = [10, 20]


def expected():
    composition = bw.Composition(recorder.plan().sampler(), every=10)
    return [composition.measured(step - 10, step, epoch=0)["deviation"] for step in STEPS]


def written(folder, tag="deviation"):
    """Steps and values in the event files of TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = sorted(folder.rglob("events.out.tfevents.*"))
    accumulated = [EventAccumulator(str(file)) for file in files]
    scalars = [scalar for file in accumulated for scalar in file.Reload().Scalars(tag) if tag in file.Tags()["scalars"]]
    return [scalar.step for scalar in scalars], [scalar.value for scalar in scalars]


def test_tensorboard(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    sampler = recorder.plan().sampler()
    composition = bw.Composition(sampler, every=10)
    with SummaryWriter(tmp_path) as writer:

        def log(values, step):
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        for step, _ in enumerate(DataLoader(range(99), batch_sampler=sampler), 1):
            composition.after(step, log, epoch=0)
    assert written(tmp_path) == (STEPS, pytest.approx(expected()))
    assert written(tmp_path, "target/2")[1] == pytest.approx([recorder.plan().shares()[2]] * 2)


def test_accelerate(tmp_path):
    from accelerate import Accelerator

    from batchwright.adapters.accelerate import prepare

    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=tmp_path)
    accelerator.init_trackers("run")
    loader = recorder.plan().loader(range(99), num_workers=0)
    loader = prepare(accelerator, loader, composition=bw.Composition(loader.sampler, every=10))
    assert len(list(loader)) == len(loader)
    accelerator.end_training()
    assert written(tmp_path) == (STEPS, pytest.approx(expected()))


def test_lightning(tmp_path):
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.loggers import TensorBoardLogger

    from batchwright.adapters.lightning import PlanCallback

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.network = recorder.model()

        def training_step(self, batch, batch_idx):
            return self.network(batch[:, None].float()).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-9)

    callback = PlanCallback(composition=functools.partial(bw.Composition, every=10))
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[callback],
        logger=TensorBoardLogger(tmp_path),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), recorder.plan().loader(range(99), num_workers=0))
    assert written(tmp_path) == (STEPS, pytest.approx(expected()))


def test_transformers(tmp_path):
    from transformers import TrainingArguments

    from batchwright.adapters.transformers import PlanTrainer

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = recorder.model()

        def forward(self, x):
            return {"loss": self.network(x).mean()}

    trainer = PlanTrainer(
        Model(),
        TrainingArguments(
            str(tmp_path),
            num_train_epochs=1,
            use_cpu=True,
            report_to=["tensorboard"],
            disable_tqdm=True,
            save_strategy="no",
        ),
        train_dataset=[{"x": torch.tensor([float(i)])} for i in range(99)],
        plan=recorder.plan(),
        log_composition_every=10,
    )
    trainer.train()
    assert written(tmp_path, "train/deviation") == (STEPS, pytest.approx(expected()))
