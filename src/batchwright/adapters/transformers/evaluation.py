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
from transformers import Trainer
from transformers.trainer_utils import RemoveColumnsCollator

from ...collate.identity import Identity
from ...errors import Infeasible
from ...plans.evaluation import evaluation
from ...ranks import check_ranks
from ...sampler import BatchSampler

__all__ = ["ExactEvaluation"]

_GATHERING = ("DPOTrainer", "KTOTrainer", "RewardTrainer")


class ExactEvaluation(Trainer):
    """`transformers.Trainer` whose `evaluate` and `predict` take every sample exactly once on any number of processes.

    Use it if no plan is trained with; `PlanTrainer` does the same. For another trainer write
    `class Mine(ExactEvaluation, Seq2SeqTrainer)`. Predictions and labels come in the order of the dataset. `eval_loss` is
    the mean over samples of each process's mean loss of its samples, without fillers. For losses that are means over
    samples, one process gives the same. Batches have `per_device_eval_batch_size` samples. TRL's preference trainers, such
    as `DPOTrainer`, are the exception: on several processes they evaluate one sample at a time. Datasets without a length
    are left to `Trainer`, and trainers that generate to themselves.
    """

    _split = False  # whether several processes hold parts of one model
    _evaluated: deque[tuple[int, int]] | None = None  # while several processes evaluate: see `_RealFirst`

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


class _RemovingInside:
    """A collate function that removes columns of samples with ids too."""

    def __init__(self, collate: RemoveColumnsCollator) -> None:
        self.collate = collate

    def __call__(self, samples: list[Any]) -> Any:
        remove = self.collate._remove_columns
        return self.collate(
            [replace(row, sample=remove(row.sample)) if isinstance(row, Identity) else row for row in samples]
        )


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
