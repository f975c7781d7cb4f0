"""Finds and replaces BatchNorm layers, and updates running statistics."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from ...errors import Infeasible, typed

__all__ = ["BatchNorm", "named_layers", "replaced", "track", "tracking_layers"]


def named_layers(model: nn.Module) -> dict[str, BatchNorm]:
    """All BatchNorm layers of `model` by dotted name, each once: 1d, 2d, 3d, synchronised, per group."""
    if not isinstance(model, nn.Module):
        raise Infeasible(f"model is {typed(model)}", "pass a torch.nn.Module")
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, BatchNorm)}


def tracking_layers(model: nn.Module) -> dict[str, BatchNorm]:
    """The layers of `model` that keep running statistics.

    Raises:
        Infeasible: there is none.
    """
    layers = named_layers(model)
    tracking = {name: layer for name, layer in layers.items() if layer.running_mean is not None}
    if not tracking:
        raise Infeasible(
            f"of the model's {len(layers)} BatchNorm layers 0 keep running statistics, at least 1 must",
            "pass a model with BatchNorm layers built with track_running_stats=True",
        )
    return tracking


def replaced(model: nn.Module, substitute: Callable[[BatchNorm], nn.Module]) -> nn.Module:
    """Replace every BatchNorm layer of `model` by `substitute(layer)`; in place, unless `model` is itself such a layer.

    A layer that is used in two places is replaced by one layer.
    """
    substitutes: dict[BatchNorm, nn.Module] = {}

    def visit(module: nn.Module) -> nn.Module:
        if isinstance(module, BatchNorm):
            if module not in substitutes:
                substitutes[module] = substitute(module)
            return substitutes[module]
        for name, child in list(module._modules.items()):
            if child is not None:
                module._modules[name] = visit(child)
        return module

    return visit(model)


@torch.no_grad()
def track(layer: BatchNorm, mean: Tensor, variance: Tensor, *, seen: Tensor) -> None:
    """Update the running statistics of `layer` with `mean` and the unbiased `variance`, where `seen` is true.

    The weight of the new values is `momentum`, or 1 / (batches so far) if momentum is None, as in
    `torch.nn.BatchNorm1d`. `seen` is a boolean tensor of the shape of `num_batches_tracked`.
    """
    if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
        return
    layer.num_batches_tracked += seen
    if layer.momentum is None:
        step = 1.0 / layer.num_batches_tracked.clamp(min=1)
    else:
        step = torch.full_like(layer.num_batches_tracked, layer.momentum, dtype=layer.running_mean.dtype)
    step = torch.where(seen, step, 0.0).to(layer.running_mean.dtype).unsqueeze(-1)
    layer.running_mean.lerp_(mean.detach().to(step.dtype), step)
    layer.running_var.lerp_(variance.detach().to(step.dtype), step)
