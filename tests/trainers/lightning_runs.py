"""Runs of Lightning that note the places of what they are trained on, and save where they are told."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from batchwright.adapters.lightning import PlanCallback

from .places import made, place


class Module(LightningModule):
    """Notes the places of what it is trained on; of batches by name, those of "a" and of "b"."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.learning_rate = 1e-9
        self.seen, self.seen_b = [], []

    def training_step(self, batch, batch_idx):
        if isinstance(batch, (list, tuple)):
            batch = dict(zip("ab", batch, strict=True))
        if isinstance(batch, dict):
            self.seen_b.append(place(batch["b"], 6))
            batch = batch["a"]
        self.seen.append(place(batch))
        return self.layer(batch[:, None].float()).mean()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)


class Save(Callback):
    """Saves a checkpoint in the n-th call of a hook; any callback may, before or after the plan's."""

    def __init__(self, hook, nth, path):
        self.left, self.path, self.trained = nth, path, None
        setattr(self, hook, self._save)

    def _save(self, trainer, module, *_, **__):
        if not trainer.sanity_checking:
            self.left -= 1
            if self.left == 0:
                trainer.save_checkpoint(self.path)
                self.trained = len(module.seen)


QUIET = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip


def fit(callbacks, train, *, checkpoint=None, validate=None, module=None, **options):
    module = module or Module()
    trainer = Trainer(**(QUIET | options), callbacks=callbacks)
    trainer.fit(module, train, validate, ckpt_path=checkpoint, weights_only=False)
    return module


def run(checkpoint=None, saving=(), *, first=True, accumulate=1, workers=0, by="loader", alone=False, **options):
    """A run of a plan's loader in a new process, as it were; with the callback unless it is alone."""
    own = [] if alone else [PlanCallback()]
    callbacks = [*own, *saving] if first else [*saving, *own]
    train = made(by, workers=workers, accumulate=accumulate)
    return fit(callbacks, train, checkpoint=checkpoint, accumulate_grad_batches=accumulate, **options).seen
