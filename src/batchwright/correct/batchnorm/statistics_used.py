"""Sets which statistics BatchNorm layers use: always those of the batch, or the running ones without updates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from ...errors import Infeasible
from .layers import BatchNorm, named_layers, tracking_layers

__all__ = ["frozen", "without_running_stats"]

Model = TypeVar("Model", bound=nn.Module)


def without_running_stats(model: Model) -> Model:
    """Make BatchNorm layers normalise by the batch in training and in evaluation; `model` is changed in place.

    No layer writes to a buffer any more, so `torch.func.vmap`, `grad` and `jvp` accept the model
    (`torch.func.replace_all_batch_norm_modules_` makes the change). The output for a sample then depends on the other
    samples of its batch, also in evaluation.

    Raises:
        Infeasible: the model has no BatchNorm layer.

    Example:
        >>> model = without_running_stats(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
        >>> model[1].running_mean is None, model.eval()(torch.eye(2)).mean().abs().item() < 1e-6
        (True, True)
    """
    if not named_layers(model):
        raise Infeasible("the model has 0 BatchNorm layers", "pass a model with at least 1")
    torch.func.replace_all_batch_norm_modules_(model)
    return model


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """A context in which BatchNorm layers normalise by their running statistics and do not update them.

    `model.train()` and `model.eval()` within the context do not change that; the `training` flags stay as the caller
    sets them. Contexts may be nested. Weights and biases of the layers are still trained. Layers without running
    statistics do not change.

    Raises:
        Infeasible: no BatchNorm layer of the model keeps running statistics.

    Example:
        >>> model = nn.BatchNorm1d(2)
        >>> with frozen(model):
        ...     _ = model.train()(torch.randn(4, 2))
        >>> model.running_mean.tolist(), model.training
        ([0.0, 0.0], True)
    """
    flags: dict[BatchNorm, bool] = {}

    # At each call of a layer, and not once by `eval()`: a `train()` within the context would undo that.
    def freeze(layer: BatchNorm, _inputs: Any) -> None:
        flags[layer] = layer.training
        layer.training = False

    def thaw(layer: BatchNorm, _inputs: Any, _output: Any) -> None:
        layer.training = flags.pop(layer)

    handles = []
    try:
        for layer in tracking_layers(model).values():
            handles.append(layer.register_forward_pre_hook(freeze))
            handles.append(layer.register_forward_hook(thaw, prepend=True, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
