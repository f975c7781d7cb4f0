"""Checks that the batches of a plan are large and mixed enough for a model's BatchNorm layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import Infeasible, typed, warn
from ..class_priors import class_groups
from ..modes import modes_kept
from .layers import BatchNorm, named_layers
from .population import Forward, first_field
from .synchronised import GlobalBatchNorm

if TYPE_CHECKING:
    from ...base_plan import BasePlan

__all__ = ["check"]

_LOOKED_AT = 64  # micro-batches of the first epoch that are checked, for each rank
_SYNCHRONISED = (GlobalBatchNorm, nn.SyncBatchNorm)


def check(
    plan: BasePlan,
    model: nn.Module,
    *,
    example: Any = None,
    classes: Any = None,
    world_size: int = 1,
    forward: Forward = first_field,
) -> None:
    """Refuse a plan whose batches are too small for a BatchNorm layer; warn of batches of one class.

    A layer needs two values per channel: two samples, or one sample with several positions. The first 64 micro-batches
    of every rank are checked. For layers of `synchronised`, the micro-batches of all ranks together count.

    Args:
        plan: the plan for the training of the model.
        model: any module; one without BatchNorm layers always passes.
        example: one batch, as `forward` takes it: shows how many positions a sample has at each layer. Without it,
            BatchNorm1d layers are assumed to have one; for other layers there is a warning if a batch has one sample.
        classes: the class of every sample, array-like of shape (n_samples,), or `Groups`; needed if the groups of the
            plan are not classes, for example tasks.
        world_size: the number of ranks.
        forward: runs the model on the example.

    Raises:
        Infeasible: a layer would get one value per channel, or `classes` is of other samples than the plan.

    Warns:
        PoorWarning: in at least half of the batches all samples are of one class (or one task, if the groups of the
            plan are its tasks) although there are several, so the statistics of a layer do not contain the differences
            between them; or a layer may get one value per channel.

    Example:
        >>> import batchwright as bw
        >>> check(bw.shuffled(10, batch_size=1), nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
        Traceback (most recent call last):
        ...
        batchwright.errors.Infeasible: BatchNorm layer '1' sees 1 value per channel in a micro-batch of 1 samples, it \
needs 2; pass larger batches, or synchronise the layers over ranks.
    """
    if not isinstance(model, nn.Module):
        raise Infeasible(f"the model is {typed(model)}", "pass the torch.nn.Module that will be trained")
    groups = class_groups(classes, plan)
    layers = named_layers(model)
    if not layers:
        return
    epoch = plan.epoch(0, world_size)
    batches = [epoch[number] for number in range(min(len(epoch), _LOOKED_AT * world_size))]
    steps = [np.concatenate(batches[first : first + world_size]) for first in range(0, len(batches), world_size)]
    positions = {} if example is None else _positions(model, layers, example, forward)

    for name, layer in layers.items():
        together = steps if isinstance(layer, _SYNCHRONISED) else batches
        _check_size(name, layer, min(map(len, together)), positions.get(name))
    kind = "task" if groups is plan.groups and list(groups.names) == getattr(plan, "names", None) else "class"
    codes = [np.asarray(groups.group_of(batch)) for batch in batches]
    if len(np.unique(np.concatenate(codes))) > 1:
        _check_mixed(kind, [name for name, layer in layers.items() if not isinstance(layer, _SYNCHRONISED)], codes)
        of_steps = [np.concatenate(codes[first : first + world_size]) for first in range(0, len(codes), world_size)]
        _check_mixed(kind, [name for name, layer in layers.items() if isinstance(layer, _SYNCHRONISED)], of_steps)


def _check_size(name: str, layer: BatchNorm, samples: int, positions: int | None) -> None:
    if positions is None and samples == 1 and not isinstance(layer, nn.BatchNorm1d):
        _warn(f"BatchNorm layer {name!r} normalises 1 sample at a time; pass example= to see whether it can")
    elif samples * (positions or 1) == 1:
        raise Infeasible(
            f"BatchNorm layer {name!r} sees 1 value per channel in a micro-batch of 1 samples, it needs 2",
            "pass larger batches, or train on more ranks (world_size=...)"
            if isinstance(layer, _SYNCHRONISED)
            else "pass larger batches, or synchronise the layers over ranks",
        )


def _check_mixed(kind: str, layers: list[str], batches: list[np.ndarray]) -> None:
    single = sum(len(codes) > 1 and len(np.unique(codes)) == 1 for codes in batches)
    # Some such batches occur by chance and do little; that half of them are too many is a choice.
    if layers and 2 * single >= len(batches):
        several = {"class": "classes", "task": "tasks"}[kind]
        _warn(
            f"{single} of {len(batches)} batches hold one {kind} only, so the statistics of BatchNorm layers "
            f"{', '.join(map(repr, layers))} never hold what tells {several} apart; mix {several} in a batch, synchronise "
            "the layers over ranks, or keep statistics per group"
        )


def _positions(model: nn.Module, layers: dict[str, BatchNorm], example: Any, forward: Forward) -> dict[str, int]:
    """The number of values per sample and channel at each layer that the example reaches."""
    found: dict[str, int] = {}
    handles = []

    def look_as(name: str) -> Any:
        def look(_layer: nn.Module, inputs: tuple[Tensor, ...], keywords: dict[str, Tensor]) -> None:
            found[name] = (inputs[0] if inputs else keywords["input"])[0, 0].numel()

        return look

    try:
        handles = [layer.register_forward_pre_hook(look_as(name), with_kwargs=True) for name, layer in layers.items()]
        with modes_kept(model), torch.no_grad():
            model.eval()
            forward(model, example)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _warn(message: str) -> None:
    warn(message)
