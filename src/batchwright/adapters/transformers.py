"""Hugging Face Trainer: training batches from any plan, resumed within an epoch on any world size.

And evaluation of every sample exactly once, on any number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import torch.utils.data
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import recursively_apply
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState
from transformers.trainer_pt_utils import find_batch_size

from ..collate import Batch, Collate, attention
from ..collate.pack_collate import PackCollate
from ..composition import Composition, Log
from ..plans.evaluation import evaluation
from ..plans.plan import Plan
from ..ranks import check_ranks, sampler_of
from ..sampler import BatchSampler

__all__ = ["ExactEvaluation", "PlanProgress", "PlanTrainer"]


class ExactEvaluation(Trainer):
    """`transformers.Trainer` whose `evaluate` and `predict` take every sample exactly once on any number of processes.

    Use it if no plan is trained with; `PlanTrainer` does the same. For another trainer write
    `class Mine(ExactEvaluation, Seq2SeqTrainer)`. Predictions and labels come in the order of the dataset. `eval_loss` is
    the mean over samples of each process's mean loss of its samples, without fillers. For losses that are means over
    samples, one process gives the same. `per_device_eval_batch_size` holds; datasets without a length are left to
    `Trainer`.
    """

    _real: Iterator[int] | None = None  # while several processes evaluate: what counts in this one's next batches

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """A loader of this process's part of the evaluation data."""
        return self._exact(super().get_eval_dataloader(eval_dataset))

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """A loader of this process's part of the test data."""
        return self._exact(super().get_test_dataloader(test_dataset))

    def _exact(self, loader: DataLoader[Any]) -> DataLoader[Any]:
        if isinstance(loader.dataset, torch.utils.data.IterableDataset):
            return loader
        dataset: Any = loader.dataset  # of a type without a length, which all but iterable ones have
        sampler = evaluation(dataset, self.args.eval_batch_size).sampler()
        # the loader is made for one evaluation, so its workers end with it
        return _prepared(self, loader, _WithSize(sampler, self.args.eval_batch_size), persistent_workers=False)

    def evaluation_loop(self, dataloader: DataLoader[Any], *others: Any, **named: Any) -> Any:
        """As `Trainer`'s, with each process's loss weighted by the samples that count."""
        sampler, size = sampler_of(dataloader), self.args.per_device_eval_batch_size
        if sampler is None or sampler.world_size == 1:
            return super().evaluation_loop(dataloader, *others, **named)
        self._real = (sampler.real(step, epoch=0) for step in range(len(sampler)))
        # `Trainer` repeats a loss as often as this says; `prediction_step` gives it once for every row
        self.args.per_device_eval_batch_size = 1
        try:
            return super().evaluation_loop(dataloader, *others, **named)
        finally:
            self._real, self.args.per_device_eval_batch_size = None, size

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Any, Any, Any]:
        """As `Trainer`'s, without fillers where this process has anything else; the rows they need are repeated."""
        found: tuple[Any, Any, Any]
        if self._real is None:
            found = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
            return found
        rows, real = find_batch_size(inputs), next(self._real)
        if 0 < real < rows:
            inputs = _first(inputs, real, rows)
        loss, logits, labels = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        if loss is not None:
            loss = loss.repeat(rows)
        if not 0 < real < rows:
            return loss, logits, labels

        def filled(tensor: Tensor) -> Tensor:
            return torch.cat([tensor, tensor[-1:].expand(rows - real, *tensor.shape[1:])]) if tensor.dim() else tensor

        return loss, recursively_apply(filled, logits), recursively_apply(filled, labels)


def _first(inputs: Any, real: int, rows: int) -> Any:
    """The first samples of a batch of so many rows."""
    if isinstance(inputs, Batch):
        return inputs.select(range(real))
    return {
        name: value[:real] if isinstance(value, (Tensor, list)) and len(value) == rows else value
        for name, value in inputs.items()
    }


def _prepared(
    trainer: Trainer, loader: DataLoader[Any], batch_sampler: torch.utils.data.BatchSampler, *, persistent_workers: bool
) -> DataLoader[Any]:
    """A loader like `Trainer`'s own, with another batch sampler, which Accelerate is not to shard a second time."""
    prepared: DataLoader[Any] = prepare_data_loader(
        DataLoader(
            loader.dataset,
            batch_sampler=batch_sampler,
            collate_fn=loader.collate_fn,
            num_workers=loader.num_workers,
            prefetch_factor=loader.prefetch_factor,
            persistent_workers=persistent_workers,
            pin_memory=loader.pin_memory,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
        ),
        trainer.accelerator.device,
        num_processes=1,
        process_index=0,
        put_on_device=True,
        dispatch_batches=False,
    )
    check_ranks(prepared)
    return prepared


class PlanTrainer(ExactEvaluation):
    """`transformers.Trainer` with a plan; for another trainer write `class Mine(PlanTrainer, Seq2SeqTrainer)`.

    `evaluate` and `predict` take every sample exactly once, see `ExactEvaluation`.

    It has two arguments more than `Trainer`. The plan replaces what `TrainingArguments` say of training batches (their
    size, `drop_last`, sampling strategies); accumulation, workers and all other arguments stay.

    Args:
        plan: the plan of the training batches.
        composition: makes, of the sampler, what to tell `Trainer.log`, and so all of `report_to`, of the batches, such as
            `functools.partial(batchwright.Composition, every=50)`; nothing if left out.
    """

    def __init__(
        self,
        *args: Any,
        plan: Plan,
        composition: Callable[[BatchSampler], Composition] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.plan_sampler = plan.sampler(accumulate=self.args.gradient_accumulation_steps)
        told = None if composition is None else composition(self.plan_sampler)
        self.plan_progress = PlanProgress(self.plan_sampler, told, lambda values, step: self.log(dict(values)))
        self.add_callback(self.plan_progress)
        self._keep_packed_samples_apart()

    def _keep_packed_samples_apart(self) -> None:
        """If samples are packed, switch off the model's cache, and check that samples do not attend to each other."""
        if not isinstance(self.data_collator, PackCollate) or self.is_deepspeed_enabled or self.is_fsdp_enabled:
            return
        for module in self.model.modules():
            if getattr(getattr(module, "config", None), "use_cache", False):
                module.config.use_cache = False  # with a cache, models ignore that positions start again
        dataset = self.train_dataset
        if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
            attention.check(self.model, self.data_collator, (dataset[index] for index in range(len(dataset))))

    def _set_signature_columns_if_needed(self) -> None:
        """The columns of samples that `Trainer` keeps: those of the model, and those that `Collate` declares."""
        super()._set_signature_columns_if_needed()
        if isinstance(self.data_collator, (Collate, PackCollate)):
            model_columns: list[str] = self._signature_columns
            self._signature_columns: list[str] = [
                *model_columns,
                *(name for name in self.data_collator.fields if name not in model_columns),
            ]

    def get_train_dataloader(self) -> DataLoader[Any]:
        """A loader of the micro-batches of this process; Accelerate would divide them a second time."""
        loader = super().get_train_dataloader()
        # `Trainer` resumes by dropping batches, see `_WithPlaceholders`.
        sampler = _WithPlaceholders(self.plan_sampler)
        return _prepared(self, loader, sampler, persistent_workers=loader.persistent_workers)

    def _init_training_state(
        self, max_steps: int, num_update_steps_per_epoch: int, *others: Any, **named: Any
    ) -> tuple[int, int]:
        """Set where `Trainer` resumes: its own division by the steps of an epoch is wrong in another world size."""
        epoch, step = super()._init_training_state(max_steps, num_update_steps_per_epoch, *others, **named)
        saved = self.state.stateful_callbacks.setdefault(PlanProgress.__name__, self.plan_progress.state())
        if self.state.global_step and not self.args.ignore_data_skip:
            self.plan_sampler.load_state_dict(saved["attributes"]["position"])
            epoch, step = self.plan_sampler.epoch, self.plan_sampler.batches_done
            if self.args.max_steps <= 0:
                done = epoch * num_update_steps_per_epoch + step // self.args.gradient_accumulation_steps
                self.state.max_steps = self.state.global_step + max_steps - done
        else:
            self.plan_sampler.seek(0, epoch=epoch)
        self.plan_progress.epoch, self.plan_progress.step = epoch, step
        return epoch, step


class _OverSampler(torch.utils.data.BatchSampler):
    """A sampler's batches, as trainers find them in a loader; the base of what adds something to them."""

    def __init__(self, sampler: BatchSampler) -> None:
        self.batch_sampler = sampler

    @property
    def sampler(self) -> BatchSampler:  # type: ignore[override]  # the base class has an attribute; trainers only read it
        """The sampler to which trainers forward `set_epoch`."""
        return self.batch_sampler

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batch_sampler)


class _WithSize(_OverSampler):
    """Adds the size of the batches of all processes: by it Accelerate cuts fillers off what it gathers last."""

    def __init__(self, sampler: BatchSampler, batch_size: int) -> None:
        super().__init__(sampler)
        self.batch_size = batch_size * sampler.world_size


class _WithPlaceholders(_OverSampler):
    """Puts an empty list in the place of each that the sampler skips: `Trainer` drops the first batches to resume.

    So the skipped batches are never drawn, which would take time, and which may not exist in another world size.
    """

    def __iter__(self) -> Iterator[list[int]]:
        return chain(repeat([], self.batch_sampler.batches_done), super().__iter__())


class PlanProgress(TrainerCallback, ExportableState):
    """Counts the micro-batches of the training, and saves the position in `trainer_state.json` of every checkpoint."""

    def __init__(self, sampler: BatchSampler, composition: Composition | None, log: Log) -> None:
        self.sampler = sampler
        self.composition = composition
        self.log = log
        self.epoch = self.step = 0

    def state(self) -> dict[str, Any]:
        """The state that is saved."""
        return {"args": {}, "attributes": {"position": self.sampler.state_at(self.step, epoch=self.epoch)}}

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
        if self.composition is not None:
            self.composition.after(self.step, self.log, epoch=self.epoch, at=state.global_step)
