"""Ray Train: loaders of torch workers that keep their plan, and checkpoints with the position.

By default, Ray's own `prepare_data_loader` replaces the batches of the plan by a `DistributedSampler`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
from torch.utils.data import DataLoader

from ..errors import Infeasible
from ..ranks import check_ranks, sampler_of
from ..sampler import BatchSampler

__all__ = ["load_position", "prepare", "save_position"]

_FILE = "batchwright.json"


def prepare(loader: DataLoader[Any]) -> DataLoader[Any]:
    """Prepare a loader: its batches are moved to the device of the worker, and divided over workers by the plan only.

    Args:
        loader: a loader with `batch_sampler=plan.sampler()`, made in the training function of a `TorchTrainer`.

    Raises:
        Infeasible: workers have different plans (see `batchwright.check_ranks`), or the rank of the sampler is not
            Ray's.
    """
    check_ranks(loader)
    context = ray.train.get_context()
    sampler = sampler_of(loader)
    here = (context.get_world_rank(), context.get_world_size())
    if sampler is None or (sampler.rank, sampler.world_size) != here:
        raise Infeasible(
            f"this is worker {here[0]} of {here[1]}, the loader's batches are shared by {sampler!r}",
            "pass a loader made with batch_sampler=plan.sampler()",
        )
    prepared: DataLoader[Any] = ray.train.torch.prepare_data_loader(loader, add_dist_sampler=False)
    return prepared


def save_position(sampler: BatchSampler, folder: str | Path, *, step: int, epoch: int | None = None) -> None:
    """Save the position after `step` batches of an epoch in the folder of a `ray.train.Checkpoint`.

    Args:
        sampler: the sampler of the training loader.
        folder: the folder that becomes the checkpoint.
        step: the number of batches of the epoch that this worker has trained on.
        epoch: the epoch; if left out, the one drawn from last. Pass it if other code draws from the sampler too.
    """
    Path(folder, _FILE).write_text(json.dumps(sampler.state_at(step, epoch=epoch)))


def load_position(sampler: BatchSampler, checkpoint: ray.train.Checkpoint | None) -> None:
    """Let the next `iter` resume from `ray.train.get_checkpoint()`, which is None in a new run."""
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            sampler.load_state_dict(json.loads(Path(folder, _FILE).read_text()))
