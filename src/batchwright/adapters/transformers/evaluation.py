"""`evaluate` and `predict` of Hugging Face's Trainer, of every sample exactly once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch.utils.data
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import recursively_apply
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import RemoveColumnsCollator

from ...collate.identity import Identity
from ...errors import Infeasible
from ...plans.evaluation import evaluation
from ...ranks import check_ranks
from ...run.sampler import BatchSampler

__all__ = ["ExactEvaluation"]

_GATHERING = ("DPOTrainer", "KTOTrainer", "RewardTrainer")


class ExactEvaluation(Trainer):
    """`transformers.Trainer` whose `evaluate` and `predict` take every sample exactly once on any number of processes.

    Use it if no plan is trained with; `PlanTrainer` does the same. For another trainer write
    `class Mine(ExactEvaluation, Seq2SeqTrainer)`. Predictions and labels come in the order of the dataset. `eval_loss` is
    the one of `Trainer` on one process: the mean over samples of the mean loss of each batch. It is the same on any number
    of processes, since all of them together evaluate the batches of one. Where a loss is a mean over tokens, and samples
    differ in tokens, it depends on `per_device_eval_batch_size`. TRL's preference trainers, such as `DPOTrainer`, are the
    exception: on several processes they evaluate one sample at a time. Datasets without a length are left to `Trainer`,
    and trainers that generate to themselves.
    """

    _split = False  # whether several processes hold parts of one model
    _sizes: deque[tuple[int, int]] | None = None  # while several processes evaluate: see `_BatchesOfOneProcess`
    _rows = _given = 0  # of the batch that is evaluated: the two numbers of `_sizes`

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """A loader of this process's part of the evaluation data."""
        return self._exact(super().get_eval_dataloader(eval_dataset))

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """A loader of this process's part of the test data."""
        return self._exact(super().get_test_dataloader(test_dataset))

    def _get_collator_with_removed_columns(self, *others: Any, **named: Any) -> Any:
        """As `Trainer`'s, which leaves samples of `bw.identified` as they are."""
        collate = super()._get_collator_with_removed_columns(*others, **named)
        return _RemovingInside(collate) if isinstance(collate, RemoveColumnsCollator) else collate

    def _exact(self, loader: DataLoader[Any]) -> DataLoader[Any]:
        if isinstance(loader.dataset, torch.utils.data.IterableDataset) or hasattr(self, "num_generations"):
            return loader
        if self._split:
            raise Infeasible(
                "the model is split over processes, and Trainer gathers predictions from all of them, each sample several "
                "times",
                "loop over bw.evaluation(...).loader(dataset, mesh=..., dims=...), and use batchwright.correct.Means",
            )
        dataset: Any = loader.dataset  # of a type without a length, which all but iterable ones have
        size = self.args.eval_batch_size if self._takes_batches_of_any_size else 1
        return _prepared(self, loader, _BatchesOfOneProcess(evaluation(dataset, size).sampler(), size))

    @property
    def _takes_batches_of_any_size(self) -> bool:
        """Whether processes may evaluate batches of different sizes: not where a loss gathers one number a sample."""
        gathering = any(base.__module__.startswith("trl.") and base.__name__ in _GATHERING for base in type(self).mro())
        return self.args.world_size == 1 or not gathering

    def evaluation_loop(self, dataloader: DataLoader[Any], *others: Any, **named: Any) -> Any:
        """As `Trainer`'s, with the losses and the rows that one process would have."""
        batches = getattr(dataloader, "batch_sampler", None)
        if not isinstance(batches, _BatchesOfOneProcess):
            return super().evaluation_loop(dataloader, *others, **named)
        alone: dict[str, Any] = {}
        if batches.sampler.world_size > 1:
            self._sizes = batches.sizes
            alone = {
                "per_device_eval_batch_size": 1,  # `Trainer` repeats a loss so often; here there is one for each row
                "average_tokens_across_devices": False,  # else it divides a loss by the labels of all processes
            }
        before = {name: getattr(self.args, name) for name in alone}
        _set(self.args, alone)
        self.gather_function = self._gather
        try:
            return super().evaluation_loop(dataloader, *others, **named)
        finally:
            self._sizes, self.gather_function = None, self.accelerator.gather_for_metrics
            _set(self.args, before)

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Any, Any, Any]:
        """As `Trainer`'s, with a loss for every row."""
        loss, logits, labels = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        if self._sizes is not None:
            self._rows, self._given = self._sizes.popleft()
            loss = None if loss is None else loss.repeat(self._given)
        return loss, logits, labels

    def _gather(self, data: Any) -> Any:
        """What all processes have of a step, without fillers, which `Seq2SeqTrainer` would keep."""

        def filled(tensor: Tensor) -> Tensor:  # every process must gather as many rows, so the last is repeated
            more = (self._rows - self._given) * (len(tensor) // self._given) if tensor.dim() else 0
            return torch.cat([tensor, tensor[-1:].expand(more, *tensor.shape[1:])]) if more else tensor

        own = data if self._sizes is None else recursively_apply(filled, data)
        return self.accelerator.gather_for_metrics(own, use_gather_object=self.args.eval_use_gather_object)


def _set(arguments: TrainingArguments, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(arguments, name, value)


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


class _RemovingInside:
    """A collate function that removes columns of samples with ids too."""

    def __init__(self, collate: RemoveColumnsCollator) -> None:
        self.collate = collate

    def __call__(self, samples: list[Any]) -> Any:
        remove = self.collate._remove_columns
        return self.collate(
            [replace(row, sample=remove(row.sample)) if isinstance(row, Identity) else row for row in samples]
        )


class _BatchesOfOneProcess(torch.utils.data.BatchSampler):
    """The batches that one process would evaluate, which all processes take in turn, one each in a step.

    So a loss that is a mean over a batch is the same on any number of processes. In the last step the last batch may be
    short, and a process for which none is left has one sample, to have something to do.

    Attributes:
        batch_size: the size of the batches of all processes together: Accelerate needs it to cut its last gather to size.
        sizes: of the batches that were drawn and not yet evaluated: the rows that every process gathers, and those given.
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
        plan, rank, world_size = self.sampler.plan, self.sampler.rank, self.sampler.world_size
        for first in range(0, plan.epoch_batches, world_size):
            most = plan[first]
            given = plan[first + rank] if first + rank < plan.epoch_batches else most[-1:]
            self.sizes.append((len(most), len(given)))
            yield given.tolist()
