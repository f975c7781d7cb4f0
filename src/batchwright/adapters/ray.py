"""Ray Train: loaders on the worker's device, and checkpoints that keep the position.

Ray's own `prepare_data_loader` puts a `DistributedSampler` in the place of a sampler; a plan's loader is not given to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import ray.train
import ray.train.torch

from ..composition import Composition, Log
from ..errors import Infeasible, shown
from ..loader import Loader
from ..ranks import check_ranks
from ..run.sampler import BatchSampler

__all__ = ["load_position", "prepare", "save_position"]

_FILE = "batchwright.json"


def prepare(loader: Loader, *, composition: Composition | None = None, log: Log | None = None) -> Loader:
    """The loader, with its batches on the worker's device.

    Args:
        loader: of the plan, made inside a `TorchTrainer`'s training function.
        composition: what to tell `log` of the batches; nothing if left out.
        log: called by worker 0 with numbers by name and the step, such as those of `adapters.loggers`. If left out, every
            worker calls `ray.train.report` with the numbers and `step`, which callbacks of the run get
            (`ray.train.UserCallback.after_report`).

    Raises:
        Infeasible: the workers do not share one plan (see `batchwright.check_ranks`), or the loader's rank is not Ray's.
    """
    check_ranks(loader)
    context = ray.train.get_context()
    here = (context.get_world_rank(), context.get_world_size())
    if not loader.sampler.of_mesh and (loader.rank, loader.world_size) != here:
        raise Infeasible(
            f"this is worker {here[0]} of {here[1]}, the loader's batches are shared by {loader.sampler!r}",
            "pass plan.loader(dataset) without rank and world_size",
        )
    if loader.device is None:
        loader.device = ray.train.torch.get_device()
    if composition is not None:
        _watch(loader, composition, log or _report, here[0] == 0 or log is None)
    return loader


def _watch(loader: Loader, composition: Composition, log: Log, called: bool) -> None:
    """Tell a log of each batch of a loader that reaches the loop."""

    def watch(epoch: int, step: int, begins: bool) -> None:
        if called:
            composition.after(step, log, epoch=epoch)

    loader.watch = watch


def _report(values: Mapping[str, float], step: int, /) -> None:
    ray.train.report({**values, "step": step})


def save_position(
    loader: Loader | BatchSampler, folder: str | Path, *, step: int | None = None, epoch: int | None = None
) -> None:
    """Put the position into a folder that becomes a `ray.train.Checkpoint`.

    Args:
        loader: that trains; or the batch sampler of another loader, which does not know what its workers have read ahead.
        folder: which becomes the checkpoint.
        step: batches of the epoch that this worker has trained on; where the loader stands if left out.
        epoch: which epoch, together with `step`; the present one if left out.

    Raises:
        Infeasible: an epoch without a step of it.
    """
    if step is None and epoch is not None:
        raise Infeasible(
            f"epoch is {shown(epoch)} and step is None", "pass step= of that epoch too, or leave epoch out"
        )
    state = loader.state_dict() if step is None else loader.state_at(step, epoch=epoch)
    Path(folder, _FILE).write_text(json.dumps(state))


def load_position(loader: Loader | BatchSampler, checkpoint: ray.train.Checkpoint | None) -> None:
    """Let the next loop continue from `ray.train.get_checkpoint()`, which is None at the beginning."""
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            loader.load_state_dict(json.loads(Path(folder, _FILE).read_text()))
