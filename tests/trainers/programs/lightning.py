"""Lightning's Trainer."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from batchwright.adapters.lightning import PlanCallback

from ...loader.datasets import Numbers
from ..recorder import LABELS, Life, Recorder, model, plan


class Module(LightningModule):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.network = model()
        self.recorder = recorder

    def training_step(self, batch, batch_idx):
        self.recorder.saw(batch)
        return self.network(batch[:, None].float()).mean()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=1e-9)
        optimizer.register_step_post_hook(self.recorder.stepped)
        return optimizer


class Mortal(ModelCheckpoint):
    """A checkpoint callback, so that Lightning runs it after the one that saves."""

    def __init__(self, recorder: Recorder, accumulate: int) -> None:
        super().__init__(save_top_k=0)
        self.recorder = recorder
        self.accumulate = accumulate

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (batch_idx + 1) % self.accumulate == 0:
            self.recorder.end_of_step()


class Beginning(Callback):
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def on_train_start(self, trainer, pl_module):
        self.recorder.begin(trainer.global_step)


def trainer(life: Life, world_size: int, callbacks: list[Callback], **options) -> Trainer:
    if world_size > 1:
        from lightning.pytorch.plugins.environments import LightningEnvironment

        class Started(LightningEnvironment):
            """The ranks are here already."""

            creates_processes_externally = True

            def world_size(self):
                return world_size

            def global_rank(self):
                return torch.distributed.get_rank()

            def local_rank(self):
                return torch.distributed.get_rank()

            def set_global_rank(self, rank):
                pass

            def set_world_size(self, size):
                pass

        options = {"strategy": "ddp", "plugins": [Started()]} | options
    return Trainer(
        accelerator="cpu",
        devices=world_size,
        max_epochs=life.epochs,
        accumulate_grad_batches=life.accumulate,
        callbacks=callbacks,
        default_root_dir=life.folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def train(rank: int, world_size: int, life: Life, *, callback: bool = True) -> None:
    warnings.filterwarnings("ignore", module="lightning")
    recorder = Recorder(life, rank, world_size)
    loader = plan().loader(Numbers(len(LABELS)), num_workers=life.workers, accumulate=life.accumulate)
    saving = ModelCheckpoint(
        life.folder, filename="{step}", save_top_k=-1, every_n_train_steps=life.checkpoint_every, save_last=False
    )
    own = [PlanCallback()] if callback else []
    callbacks = [*own, Beginning(recorder), saving, Mortal(recorder, life.accumulate)]
    checkpoints = sorted(
        Path(life.folder).glob("step=*.ckpt"), key=lambda path: int(path.stem.split("=")[1].split("-")[0])
    )
    trainer(life, world_size, callbacks).fit(
        Module(recorder), loader, ckpt_path=str(checkpoints[-1]) if checkpoints else None, weights_only=False
    )
