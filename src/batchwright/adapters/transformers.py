"""Hugging Face Trainer: training batches from any plan, resumed within an epoch on any world size."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import torch.utils.data
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from ..collate import Collate, attention
from ..collate.pack_collate import PackCollate
from ..composition import Composition, Log
from ..plans.plan import Plan
from ..ranks import check_ranks
from ..sampler import BatchSampler

__all__ = ["PlanProgress", "PlanTrainer"]


class PlanTrainer(Trainer):
    """`transformers.Trainer` with a plan; for another trainer write `class Mine(PlanTrainer, Seq2SeqTrainer)`.

    It has two arguments more than `Trainer`. The plan replaces what `TrainingArguments` say of training batches (their
    size, `drop_last`, sampling strategies); accumulation, workers and all other arguments stay.

    Args:
        plan: the plan of the training batches.
        log_composition_every: the number of micro-batches of a rank between two reports of the composition to
            `Trainer.log`; 0 for none.
    """

    def __init__(self, *args: Any, plan: Plan, log_composition_every: int = 0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.plan_sampler = plan.sampler(accumulate=self.args.gradient_accumulation_steps)
        composition = Composition(self.plan_sampler, every=log_composition_every) if log_composition_every else None
        self.plan_progress = PlanProgress(self.plan_sampler, composition, lambda values, step: self.log(dict(values)))
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
        prepared: DataLoader[Any] = prepare_data_loader(
            DataLoader(
                loader.dataset,
                batch_sampler=_WithPlaceholders(self.plan_sampler),
                collate_fn=loader.collate_fn,
                num_workers=loader.num_workers,
                prefetch_factor=loader.prefetch_factor,
                persistent_workers=loader.persistent_workers,
                pin_memory=loader.pin_memory,
                worker_init_fn=loader.worker_init_fn,
                multiprocessing_context=loader.multiprocessing_context,
            ),
            self.accelerator.device,
            num_processes=1,
            process_index=0,
            put_on_device=True,
            dispatch_batches=False,
        )
        check_ranks(prepared)
        return prepared

    def _init_training_state(
        self, max_steps: int, num_update_steps_per_epoch: int, *others: Any, **named: Any
    ) -> tuple[int, int]:
        """Set where `Trainer` resumes: its own division by the steps of an epoch is wrong in another world size."""
        epoch, step = super()._init_training_state(max_steps, num_update_steps_per_epoch, *others, **named)
        saved = self.state.stateful_callbacks.setdefault(PlanProgress.__name__, self.plan_progress.state())
        if self.state.global_step and not self.args.ignore_data_skip:
            self.plan_sampler.load_state_dict(saved["attributes"]["position"])
            epoch, step = self.plan_sampler.epoch, self.plan_sampler.step
            if self.args.max_steps <= 0:
                done = epoch * num_update_steps_per_epoch + step // self.args.gradient_accumulation_steps
                self.state.max_steps = self.state.global_step + max_steps - done
        else:
            self.plan_sampler.seek(0, epoch=epoch)
        self.plan_progress.epoch, self.plan_progress.step = epoch, step
        return epoch, step


class _WithPlaceholders(torch.utils.data.BatchSampler):
    """The lists of a sampler after as many empty ones as it skips: `Trainer` drops the first lists to resume.

    So the skipped lists are never drawn, which would take time, and which may not exist in another world size.
    """

    def __init__(self, sampler: BatchSampler) -> None:
        self.batch_sampler = sampler

    @property
    def sampler(self) -> BatchSampler:  # type: ignore[override]  # the base class has an attribute; trainers only read it
        """The sampler to which trainers forward `set_epoch`."""
        return self.batch_sampler

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list[int]]:
        return chain(repeat([], self.batch_sampler.step), iter(self.batch_sampler))


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
