"""The composition reaches TensorBoard and the trainers' own loggers."""

from __future__ import annotations

import csv
import functools
import json
import time

import pytest
import torch
from torch.utils.data import DataLoader

import batchwright as bw
from batchwright.adapters import loggers

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
        log = loggers.tensorboard(writer)
        for step, _ in enumerate(DataLoader(range(99), batch_sampler=sampler), 1):
            composition.after(step, log, epoch=0)
    assert written(tmp_path, "batches/deviation") == (STEPS, pytest.approx(expected()))
    assert written(tmp_path, "batches/target/2")[1] == pytest.approx([recorder.plan().shares()[2]] * 2)


def trained(log):
    sampler = recorder.plan().sampler()
    composition = bw.Composition(sampler, every=10)
    for step, _ in enumerate(DataLoader(range(99), batch_sampler=sampler), 1):
        composition.after(step, log, epoch=0)
    return composition.measured(10, 20, epoch=0)


def test_mlflow(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(tmp_path.as_uri())
    mlflow.set_experiment("batches")
    with mlflow.start_run() as run:
        last = trained(loggers.mlflow())
        loggers.mlflow()({"share/a: b*c/..": 0.5}, 1)
    client = mlflow.MlflowClient()
    history = client.get_metric_history(run.info.run_id, "batches/deviation")
    assert [one.step for one in history] == STEPS
    assert [one.value for one in history] == pytest.approx(expected())
    held = client.get_run(run.info.run_id).data.metrics
    assert held.pop("batches/share/a_ b_c/__") == 0.5
    assert held == pytest.approx({f"batches/{name}": value for name, value in last.items()})


def records(data):
    """The records in a file of an offline run: a LevelDB log of protobuf records after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    at, held = 7, b""
    while at + 7 <= len(data):
        if 32_768 - at % 32_768 < 7:  # a block ends
            at += 32_768 - at % 32_768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        if at + 7 + length > len(data):  # still being written
            return
        held += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a record that is whole, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(held)
            held = b""
            yield record


def finished(file):
    """All records of an offline run. Another process writes the last ones, some time after `run.finish()` has returned."""
    for _ in range(600):
        read = list(records(file.read_bytes()))
        if any(record.HasField("exit") for record in read):
            return read
        time.sleep(0.1)
    raise TimeoutError(f"{file} never ended with the run's exit, only {len(read)} records")


def histories(read):
    """What was logged."""
    for record in read:
        if record.HasField("history"):
            yield {"/".join(one.nested_key) or one.key: json.loads(one.value_json) for one in record.history.item}


def test_wandb(tmp_path, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(mode="offline", dir=tmp_path, project="batches")
    run.log({"loss": 1.0})  # its steps and ours do not hinder each other
    last = trained(loggers.wandb(run))
    run.finish()
    (file,) = tmp_path.rglob("*.wandb")
    own = [record for record in histories(finished(file)) if "batches/step" in record]
    assert [record["batches/step"] for record in own] == STEPS
    assert [record["batches/deviation"] for record in own] == pytest.approx(expected())
    assert {name: own[-1][f"batches/{name}"] for name in last} == pytest.approx(last)


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
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

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
        logger=[TensorBoardLogger(tmp_path), CSVLogger(tmp_path, name="csv")],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), recorder.plan().loader(range(99), num_workers=0))
    assert written(tmp_path) == (STEPS, pytest.approx(expected()))
    (table,) = tmp_path.rglob("metrics.csv")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [float(row["deviation"]) for row in rows] == pytest.approx(expected())


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
        composition=functools.partial(bw.Composition, every=10),
    )
    trainer.train()
    assert written(tmp_path, "train/deviation") == (STEPS, pytest.approx(expected()))


def test_ignite(tmp_path):
    from ignite.engine import Engine, Events
    from ignite.handlers.tensorboard_logger import TensorboardLogger

    from batchwright.adapters.ignite import PlanProgress

    engine = Engine(lambda engine, batch: batch.tolist())
    loader = recorder.plan().loader(range(99), num_workers=0)
    PlanProgress(engine, loader, composition=bw.Composition(loader.sampler, every=10))
    with TensorboardLogger(log_dir=tmp_path) as logger:
        every = Events.ITERATION_COMPLETED(every=10)
        logger.attach_output_handler(engine, every, "train", metric_names="all")
        engine.run(loader, max_epochs=2)
    steps, values = written(tmp_path, "train/deviation")
    assert len(loader) > 20
    assert steps[:2] == STEPS
    assert values[:2] == pytest.approx(expected())


def test_ignite_measures_the_last_batch_of_an_epoch():
    from ignite.engine import Engine, Events

    from batchwright.adapters.ignite import PlanProgress

    engine = Engine(lambda engine, batch: None)
    loader = recorder.plan().loader(range(99), num_workers=0)
    composition = bw.Composition(loader.sampler, every=len(loader))
    PlanProgress(engine, loader, composition=composition)
    told = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: told.append(dict(engine.state.metrics)))
    engine.run(loader, max_epochs=2)
    assert told == [composition.measured(0, len(loader), epoch=epoch) for epoch in range(2)]
