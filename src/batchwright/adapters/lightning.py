"""Lightning: a callback that puts the position into the checkpoints, for loaders with workers and other world sizes too.

The loader is an ordinary one, made with `batch_sampler=plan.sampler()`; the trainer needs `use_distributed_sampler=False`.
"""

from __future__ import annotations

from typing import Any

from ..composition import Composition
from ..errors import Infeasible
from ..ranks import check_ranks
from ..sampler import BatchSampler

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError:  # the same under its older name
    from pytorch_lightning import Callback, LightningModule, Trainer

__all__ = ["PlanCallback"]


class PlanCallback(Callback):
    """Saves where training stands in the plan with every checkpoint, and goes on from there.

    Args:
        sampler: the batch sampler of the training loader.
        composition: what to tell the trainer's loggers of it; nothing if left out.

    Raises:
        Infeasible: when training starts, if the ranks do not share one plan (see `batchwright.check_ranks`) or Lightning
            has put another sampler into the loader.
    """

    def __init__(self, sampler: BatchSampler, *, composition: Composition | None = None) -> None:
        self.sampler = sampler
        self.composition = composition
        self._state: dict[str, Any] = {}
        self._resumed_step = -1

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch that was trained on."""
        return dict(self._state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let training go on from there."""
        self.sampler.load_state_dict(state_dict)
        self._state = dict(state_dict)
        self._resumed_step = self.sampler.step

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before Lightning asks for the loader."""
        check_ranks(self.sampler)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Once the loader is there and a checkpoint's counters are loaded."""
        used = getattr(trainer.train_dataloader, "batch_sampler", None)
        if used is not self.sampler:
            raise Infeasible(
                f"the training loader's batch sampler is {used!r}, not the one this callback was given",
                "pass the loader's own sampler, and Trainer(use_distributed_sampler=False)",
            )
        if self._resumed_step >= 0:
            _count_from(trainer, self._resumed_step)
            self._resumed_step = -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After each micro-batch; `ModelCheckpoint` always comes later."""
        self._state = self.sampler.state_at(batch_idx + 1, epoch=trainer.current_epoch)
        if self.composition is not None:
            for logger in trainer.loggers:
                self.composition.after(
                    batch_idx + 1, logger.log_metrics, epoch=trainer.current_epoch, at=trainer.global_step
                )


def _count_from(trainer: Trainer, step: int) -> None:
    """Let Lightning's count of the batches of an epoch begin at a step: another world size makes another count."""
    loop = trainer.fit_loop
    counts = loop.epoch_loop.batch_progress.current
    ended = step == 0 and counts.ready > 0
    change = (len(trainer.train_dataloader) if ended else step) - counts.ready
    for name in ("ready", "started", "processed", "completed"):
        setattr(counts, name, getattr(counts, name) + change)
    if ended and loop.restarted_mid_epoch:
        loop.reset_restart_stage()  # or it would not count the next epoch, and lose its place at the restart after this one
