"""Ray Train: torch workers whose loaders keep their plan, and checkpoints that keep the position.

Ray's own `prepare_data_loader` puts a `DistributedSampler` in place of the plan's batches unless it is told not to.
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
    """The loader with its batches moved to the worker's device, sharded by the plan alone.

    Args:
        loader: made with `batch_sampler=plan.sampler()`, inside a `TorchTrainer`'s training function.

    Raises:
        Infeasible: the workers do not share one plan (see `batchwright.check_ranks`), or the sampler's rank is not Ray's.
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
    """Put the position after `step` batches of an epoch into a folder that becomes a `ray.train.Checkpoint`.

    Args:
        sampler: of the training loader.
        folder: which becomes the checkpoint.
        step: batches of the epoch that this worker has trained on.
        epoch: which epoch; the one that was last drawn from if left out, which something else may have drawn from since.
    """
    Path(folder, _FILE).write_text(json.dumps(sampler.state_at(step, epoch=epoch)))


def load_position(sampler: BatchSampler, checkpoint: ray.train.Checkpoint | None) -> None:
    """Let the next `iter` go on from `ray.train.get_checkpoint()`, which is None at the beginning."""
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            sampler.load_state_dict(json.loads(Path(folder, _FILE).read_text()))
