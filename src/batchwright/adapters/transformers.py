"""Hugging Face Trainer: training batches from any plan, resumed within an epoch on any world size.

And evaluation of every sample exactly once, on any number of processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any

import torch.utils.data
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import recursively_apply
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from ..collate import Collate, attention
from ..collate.pack_collate import PackCollate
from ..composition import Composition, Log
from ..errors import Infeasible, typed
from ..loader import Loader
from ..loader.samples import OnError
from ..plans.evaluation import evaluation
from ..plans.plan import Plan
from ..ranks import check_ranks
from ..sampler import BatchSampler

__all__ = ["ExactEvaluation", "PlanProgress", "PlanTrainer"]

_GATHERING = ("DPOTrainer", "KTOTrainer", "RewardTrainer")


class ExactEvaluation(Trainer):
    """`transformers.Trainer` whose `evaluate` and `predict` take every sample exactly once on any number of processes.

    Use it if no plan is trained with; `PlanTrainer` does the same. For another trainer write
    `class Mine(ExactEvaluation, Seq2SeqTrainer)`. Predictions and labels come in the order of the dataset. `eval_loss` is
    the mean over samples of each process's mean loss of its samples, without fillers. For losses that are means over
    samples, one process gives the same. Batches have `per_device_eval_batch_size` samples. TRL's preference trainers, such
    as `DPOTrainer`, are the exception: on several processes they evaluate one sample at a time. Datasets without a length
    are left to `Trainer`.
    """

    _split = False  # whether several processes hold parts of one model
    _evaluated: deque[tuple[int, int]] | None = None  # while several processes evaluate: see `_RealFirst`

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """A loader of this process's part of the evaluation data."""
        return self._exact(super().get_eval_dataloader(eval_dataset))

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """A loader of this process's part of the test data."""
        return self._exact(super().get_test_dataloader(test_dataset))

    def _exact(self, loader: DataLoader[Any]) -> DataLoader[Any]:
        if isinstance(loader.dataset, torch.utils.data.IterableDataset):
            return loader
        if self._split:
            raise Infeasible(
                "the model is split over processes, and Trainer gathers predictions from all of them, each sample several "
                "times",
                "loop over bw.evaluation(...).loader(dataset, mesh=..., dims=...), and use batchwright.correct.Means",
            )
        dataset: Any = loader.dataset  # of a type without a length, which all but iterable ones have
        size = self.args.eval_batch_size if self._takes_batches_of_any_size else 1
        return _prepared(self, loader, _RealFirst(evaluation(dataset, size).sampler(), size))

    @property
    def _takes_batches_of_any_size(self) -> bool:
        """Whether processes may evaluate batches of different sizes: not where a loss gathers one number a sample."""
        gathering = any(base.__module__.startswith("trl.") and base.__name__ in _GATHERING for base in type(self).mro())
        return self.args.world_size == 1 or not gathering

    def evaluation_loop(self, dataloader: DataLoader[Any], *others: Any, **named: Any) -> Any:
        """As `Trainer`'s, with each process's loss weighted by the samples that count."""
        batches = getattr(dataloader, "batch_sampler", None)
        if not isinstance(batches, _RealFirst) or batches.sampler.world_size == 1:
            return super().evaluation_loop(dataloader, *others, **named)
        size, self._evaluated = self.args.per_device_eval_batch_size, batches.sizes
        # `Trainer` repeats a loss as often as this says; `prediction_step` gives it once for every row
        self.args.per_device_eval_batch_size = 1
        try:
            return super().evaluation_loop(dataloader, *others, **named)
        finally:
            self._evaluated, self.args.per_device_eval_batch_size = None, size

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Any, Any, Any]:
        """As `Trainer`'s; in place of fillers the last row is repeated, since every process must gather as many rows."""
        loss, logits, labels = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        if self._evaluated is None:
            return loss, logits, labels
        rows, real = self._evaluated.popleft()
        if loss is not None:
            loss = loss.repeat(rows)

        def filled(tensor: Tensor) -> Tensor:
            if not tensor.dim():
                return tensor
            more = (rows - real) * (len(tensor) // real)
            return torch.cat([tensor, tensor[-1:].expand(more, *tensor.shape[1:])])

        if real < rows:
            logits, labels = recursively_apply(filled, logits), recursively_apply(filled, labels)
        return loss, logits, labels


def _prepared(
    trainer: Trainer, loader: DataLoader[Any], batch_sampler: torch.utils.data.BatchSampler
) -> DataLoader[Any]:
    """A loader like `Trainer`'s own, with another batch sampler, which Accelerate is not to shard a second time."""
    prepared: DataLoader[Any] = prepare_data_loader(
        DataLoader(
            loader.dataset,
            batch_sampler=batch_sampler,
            collate_fn=loader.collate_fn,
            num_workers=loader.num_workers,
            prefetch_factor=loader.prefetch_factor,
            persistent_workers=False,  # it is made for one evaluation
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

    It has the arguments below more than `Trainer`. The plan replaces what `TrainingArguments` say of training batches (their
    size, `drop_last`, sampling strategies); accumulation, workers and all other arguments stay. The batches come from
    `plan.loader`, which seeds the random numbers of each sample.

    Args:
        plan: the plan of the training batches.
        composition: makes, of the sampler, what to tell `Trainer.log`, and so all of `report_to`, of the batches, such as
            `functools.partial(batchwright.Composition, every=50)`; nothing if left out.
        seeded: see `plan.loader`.
        on_error: see `plan.loader`; every checkpoint names the samples that raised.
        max_errors: see `plan.loader`.
        mesh: see `plan.loader`; for models that are split over processes.
        dims: see `plan.loader`.
    """

    def __init__(
        self,
        *args: Any,
        plan: Plan,
        composition: Callable[[BatchSampler], Composition] | None = None,
        seeded: bool = True,
        on_error: OnError = "refuse",
        max_errors: int = 100,
        mesh: DeviceMesh | None = None,
        dims: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(plan, Plan):
            raise Infeasible(
                f"plan is {typed(plan)}",
                "pass the plan itself, such as bw.balanced(labels, 32); PlanTrainer makes its loader",
            )
        super().__init__(*args, **options)
        self._reading: dict[str, Any] = {"seeded": seeded, "on_error": on_error, "max_errors": max_errors}
        self._plan_loader: Loader | None = None  # the one that was made last
        self.plan_sampler = plan.sampler(accumulate=self.args.gradient_accumulation_steps, mesh=mesh, dims=dims)
        if hasattr(self, "num_generations"):
            raise Infeasible(
                f"{type(self).__name__} generates from each prompt several times and reuses the batch in several steps",
                "let it draw its prompts itself, without PlanTrainer",
            )
        self._split = self.plan_sampler.copies > 1
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
        """A loader of the micro-batches of this process."""
        loader = super().get_train_dataloader()
        self._plan_loader = Loader(
            self.plan_sampler,
            loader.dataset,
            num_workers=loader.num_workers,
            collate=loader.collate_fn,
            device=self.args.device,
            pin_memory=loader.pin_memory,
            persistent_workers=loader.persistent_workers,
            prefetch_factor=loader.prefetch_factor,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            **self._reading,
        )
        batches = _PlacedBatches(self._plan_loader, self.plan_progress)
        return DataLoader(batches, batch_size=None, collate_fn=_as_it_is)

    def num_examples(self, dataloader: DataLoader[Any]) -> int:
        """Samples of the data set."""
        placed = dataloader.dataset
        count: int = super().num_examples(placed.loader if isinstance(placed, _PlacedBatches) else dataloader)
        return count

    def _init_training_state(
        self, max_steps: int, num_update_steps_per_epoch: int, *others: Any, **named: Any
    ) -> tuple[int, int]:
        """Set where `Trainer` resumes: its own division by the steps of an epoch is wrong in another world size."""
        assert self._plan_loader is not None  # `Trainer` has just asked for it
        self.plan_progress.source = self._plan_loader
        epoch, step = super()._init_training_state(max_steps, num_update_steps_per_epoch, *others, **named)
        saved = self.state.stateful_callbacks.setdefault(PlanProgress.__name__, self.plan_progress.state())
        if self.state.global_step and not self.args.ignore_data_skip:
            self._plan_loader.load_state_dict(saved["attributes"]["position"])
            epoch, step = self.plan_sampler.epoch, self.plan_sampler.batches_done
            if self.args.max_steps <= 0:
                done = epoch * num_update_steps_per_epoch + step // self.args.gradient_accumulation_steps
                self.state.max_steps = self.state.global_step + max_steps - done
        else:
            self.plan_sampler.seek(0, epoch=epoch)
        self.plan_progress.epoch, self.plan_progress.step = epoch, step
        return epoch, step


class _RealFirst(torch.utils.data.BatchSampler):
    """A sampler's batches without fillers; a batch that has only fillers keeps them, so that every process has a batch.

    Attributes:
        batch_size: the size of the batches of all processes together: Accelerate needs it to cut its last gather to size.
        sizes: of the batches that were drawn and not yet evaluated: their size with fillers, and without.
    """

    def __init__(self, sampler: BatchSampler, batch_size: int) -> None:
        self.batch_sampler = sampler
        self.batch_size = batch_size * sampler.world_size
        self.sizes: deque[tuple[int, int]] = deque()

    @property
    def sampler(self) -> BatchSampler:  # type: ignore[override]  # the base class has an attribute; trainers only read it
        """The sampler to which trainers forward `set_epoch`."""
        return self.batch_sampler

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list[int]]:
        self.sizes.clear()
        for step, samples in enumerate(self.batch_sampler):
            given = samples[: self.batch_sampler.real(step, epoch=0)] or samples
            self.sizes.append((len(samples), len(given)))
            yield given


class _PlacedBatches(torch.utils.data.IterableDataset[Any]):
    """The batches of a plan's loader from where training stands, for the `DataLoader` that `Trainer` wants to have.

    `Trainer` resumes by making another loader of the same data set and dropping its first batches. It is given None for each
    of them, so that none is drawn: they would take time, and may not exist in another world size.
    """

    def __init__(self, loader: Loader, progress: PlanProgress) -> None:
        self.loader, self.progress = loader, progress

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        epoch, step = self.progress.epoch, self.progress.step
        yield from repeat(None, step)
        self.loader.seek(step, epoch=epoch)
        yield from self.loader


def _as_it_is(batch: Any) -> Any:
    return batch


class PlanProgress(TrainerCallback, ExportableState):
    """Counts the micro-batches of the training, and saves the position in `trainer_state.json` of every checkpoint."""

    def __init__(self, sampler: BatchSampler, composition: Composition | None, log: Log) -> None:
        # The loader, once there is one: its states name broken samples too.
        self.source: BatchSampler | Loader = sampler
        self.composition = composition
        self.log = log
        self.epoch = self.step = 0

    def state(self) -> dict[str, Any]:
        """The state that is saved."""
        return {"args": {}, "attributes": {"position": self.source.state_at(self.step, epoch=self.epoch)}}

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
