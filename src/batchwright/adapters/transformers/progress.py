"""Where Hugging Face's Trainer stands in a plan: counted by a callback and saved in its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import torch.utils.data
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from ...composition import Composition, Log
from ...loader import Loader
from ...run.sampler import BatchSampler

__all__ = ["PlacedBatches", "PlanProgressCallback", "unchanged"]


class PlacedBatches(torch.utils.data.IterableDataset[Any]):
    """The batches of a plan's loader from where training stands, for the `DataLoader` that `Trainer` wants to have.

    `Trainer` resumes by making another loader of the same data set and dropping its first batches. It is given None for each
    of them, so that none is drawn: they would take time, and may not exist in another world size.
    """

    def __init__(self, loader: Loader, progress: PlanProgressCallback, copies: int) -> None:
        self.loader, self.progress, self.copies = loader, progress, copies

    def __len__(self) -> int:
        return len(self.loader) * self.progress.uses

    def __iter__(self) -> Iterator[Any]:
        epoch, step, uses = self.progress.epoch, self.progress.step, self.progress.uses
        yield from repeat(None, step)
        self.loader.seek(step // uses, epoch=epoch)
        for batch in self.loader:
            rows = batch if self.copies == 1 else [row for row in batch for _ in range(self.copies)]
            yield from repeat(rows, uses)


def unchanged(batch: Any) -> Any:
    """The collate function of batches that are whole."""
    return batch


class PlanProgressCallback(TrainerCallback, ExportableState):
    """Counts the micro-batches of the training, and saves the position in `trainer_state.json` of every checkpoint.

    Attributes:
        uses: how many of them come of one micro-batch of the plan; one that was not used to its end comes again, whole.
        epoch: of the plan, that is under way.
        step: micro-batches of the training that are done of it.
        resume: called when training begins, if it resumes in the loop of transformers 4.
    """

    def __init__(self, sampler: BatchSampler, composition: Composition | None, log: Log, uses: int) -> None:
        # The loader, once there is one: its states name broken samples too.
        self.source: BatchSampler | Loader = sampler
        self.composition = composition
        self.log = log
        self.uses = uses
        self.resume: Callable[[], None] | None = None
        self.epoch = self.step = 0

    def state(self) -> dict[str, Any]:
        """The state that is saved."""
        position = self.source.state_at(self.step // self.uses, epoch=self.epoch)
        return {"args": {}, "attributes": {"position": position}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Called when everything is in place."""
        if self.resume is not None:
            self.resume()
            self.resume = None

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Called after a micro-batch that does not end an optimizer step."""
        self._count(state)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Called after the micro-batch that ends an optimizer step."""
        self._count(state)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Called at the end of an epoch, before a checkpoint; an epoch in which training stops will be continued."""
        if not control.should_training_stop:
            self.epoch, self.step = self.epoch + 1, 0

    def _count(self, state: TrainerState) -> None:
        self.step += 1
        if self.composition is not None and self.step % self.uses == 0:
            self.composition.after(self.step // self.uses, self.log, epoch=self.epoch, at=state.global_step)
