"""Two processes that hold parts of one model: what each trainer gives them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import batchwright as bw

from ...refusals import refusals_noted
from ..recorder import LABELS, Life, plan

HELD_OUT = 21


def _of_mesh() -> dict[str, Any]:
    from torch.distributed.device_mesh import init_device_mesh

    size = torch.distributed.get_world_size()
    return {"mesh": init_device_mesh("cpu", (1, size), mesh_dim_names=("dp", "tp")), "dims": ("dp",)}


def _loader(**options: Any) -> bw.loader.Loader:
    return plan().loader(range(len(LABELS)), num_workers=0, **options)


def _mean(**of_mesh: Any) -> float:
    """What the ways out say: a loop over the loader of an evaluation, and its means."""
    loader = bw.evaluation(HELD_OUT, 4).loader(range(HELD_OUT), num_workers=0, **of_mesh)
    means = bw.correct.Means(loader.sampler)
    for step, batch in enumerate(loader):
        means.add(step, number=batch)
    return means.result()["number"]


def accelerate(rank: int, world_size: int) -> dict[str, Any]:
    from accelerate import Accelerator

    from batchwright.adapters.accelerate import prepare

    of_mesh = _of_mesh()
    accelerator = Accelerator(cpu=True)
    seen = [batch.tolist() for batch in prepare(accelerator, _loader(**of_mesh))]
    evaluated = bw.evaluation(HELD_OUT, 4).loader(range(HELD_OUT), num_workers=0, **of_mesh)
    refused = pytest.raises(bw.Infeasible, match="gathers from 2 processes, the batches are of 1 ranks")
    with refusals_noted() as noted, refused:
        prepare(accelerator, evaluated)
    return {"seen": seen, "refused": noted[-1:], "mean": _mean(**of_mesh)}


def transformers(rank: int, world_size: int) -> dict[str, Any]:
    from transformers import TrainingArguments

    from batchwright.adapters.transformers import PlanTrainer

    from ..test_transformers import Model, Rows

    of_mesh = _of_mesh()

    class All(Rows):
        def __len__(self) -> int:
            return len(LABELS)

    arguments = TrainingArguments(
        "unused", num_train_epochs=1, use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no",
        ddp_backend="gloo", logging_strategy="no",
    )  # fmt: skip
    model = Model()
    trainer = PlanTrainer(model, arguments, plan=plan(), train_dataset=All(), eval_dataset=All(), **of_mesh)
    trainer.train()
    with refusals_noted() as noted, pytest.raises(bw.Infeasible, match="the model is split over processes"):
        trainer.evaluate()
    return {"seen": model.seen, "refused": noted[-1:], "mean": _mean(**of_mesh)}


def lightning(rank: int, world_size: int) -> dict[str, Any]:
    from lightning.pytorch import LightningModule

    from batchwright.adapters.lightning import PlanCallback

    from .habits import _trained
    from .lightning import trainer

    warnings.filterwarnings("ignore", module="lightning")
    of_mesh, seen = _of_mesh(), []
    fits = trainer(Life("", epochs=1), world_size, [PlanCallback()], enable_checkpointing=False)
    fits.fit(_trained(LightningModule, seen)(), _loader(**of_mesh))
    return {"seen": seen, "refused": [], "mean": _mean(**of_mesh)}


TRAINERS = {program.__name__: program for program in (accelerate, transformers, lightning)}


def every_trainer(rank: int, world_size: int) -> dict[str, Any]:
    """What each trainer gives this process."""
    return {name: program(rank, world_size) for name, program in TRAINERS.items()}
