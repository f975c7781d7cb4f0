"""Lightning: a run that is stopped by `max_steps` in mid-epoch and resumes from its checkpoint; digits in balanced batches.

python examples/training/lightning_run.py
"""

from __future__ import annotations

import tempfile

import torch
from lightning.pytorch import LightningModule, Trainer
from sklearn.datasets import load_digits

import batchwright as bw
from batchwright.adapters.lightning import PlanCallback


class Classifier(LightningModule):
    """One linear layer; it keeps which samples it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = torch.nn.Linear(64, 10), []

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        images, classes, numbers = batch
        self.seen += numbers.tolist()
        return torch.nn.functional.cross_entropy(self.layer(images), classes)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def main(epochs: int = 3) -> None:
    digits = load_digits()
    images, classes = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    dataset = torch.utils.data.TensorDataset(images, classes, torch.arange(len(classes)))
    plan = bw.balanced(digits.target, batch_size=30, seed=1)

    def fit(model: Classifier, checkpoint: str | None, **limits: int) -> Trainer:
        trainer = Trainer(
            accelerator="cpu", callbacks=[PlanCallback()], logger=False, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, **limits,
        )  # fmt: skip
        trainer.fit(model, plan.loader(dataset, num_workers=0), ckpt_path=checkpoint)
        return trainer

    straight, stopped, resumed = Classifier(), Classifier(), Classifier()
    fit(straight, None, max_epochs=epochs)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/stopped.ckpt"
        fit(stopped, None, max_epochs=epochs, max_steps=70).save_checkpoint(path)
        fit(resumed, path, max_epochs=epochs)
    with torch.no_grad():
        accuracy = (resumed.layer(images).argmax(1) == classes).float().mean()
    print(f"{len(stopped.seen)} samples, then {len(resumed.seen)} more; accuracy {accuracy:.1%}")
    assert stopped.seen + resumed.seen == straight.seen


if __name__ == "__main__":
    main()
