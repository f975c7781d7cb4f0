"""Compares the statistics of two streams of batches, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

from torch import nn

from ...aligned import aligned
from .layers import tracking_layers
from .population import Forward, Population, first_field, observe

__all__ = ["BatchNormReport", "LayerDifference", "report"]


@dataclass(frozen=True)
class LayerDifference:
    """The difference between streams a and b at one layer. Standard deviations include the layer's eps.

    Attributes:
        layer: the name of the layer.
        channels: its number of channels.
        mean_shift: the root mean square over channels of (mean_b - mean_a) / std_a.
        worst_mean_shift: the largest absolute value of it.
        log_std_ratio: the root mean square over channels of log(std_b / std_a).
        worst_log_std_ratio: the largest absolute value of it.
    """

    layer: str
    channels: int
    mean_shift: float
    worst_mean_shift: float
    log_std_ratio: float
    worst_log_std_ratio: float


@dataclass(frozen=True)
class BatchNormReport:
    """A `LayerDifference` for each layer, in the order of the model; prints as a table."""

    layers: tuple[LayerDifference, ...]

    def __str__(self) -> str:
        head = ["layer", "channels", "mean shift (std)", "worst", "log std ratio", "worst"]
        return "\n".join(aligned([head, *map(astuple, self.layers)]))


def report(
    model: nn.Module,
    loader_a: Iterable[Any],
    loader_b: Iterable[Any],
    *,
    batches: int | None = None,
    forward: Forward = first_field,
) -> BatchNormReport:
    """Measure how much the statistics at each BatchNorm layer differ between two streams; the model does not change.

    Each stream is measured as by `recalibrate`: normalised by its own batches, without dropout, beside the training, whose
    run does not move. With natural batches as
    a and balanced ones as b, it shows the effect of balancing on normalisation. Only layers that both streams reach are
    listed.

    Args:
        model: a model with BatchNorm layers.
        loader_a: the batches of stream a.
        loader_b: the batches of stream b.
        batches: the number of batches of each to use; all if None.
        forward: runs the model on a batch; by default on its first field.

    Raises:
        Infeasible: no layer keeps running statistics, a loader has no batch, or a layer gets one value per channel or
            values that are no finite floating-point numbers.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.BatchNorm1d(1))
        >>> low, high = torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]])
        >>> round(report(model, [low], [high]).layers[0].mean_shift, 2)
        3.0
    """
    a = observe(model, loader_a, batches=batches, forward=forward, population=Population())
    b = observe(model, loader_b, batches=batches, forward=forward, population=Population())
    differences = []
    for name, layer in tracking_layers(model).items():
        if name in a.moments and name in b.moments:
            std_a = (a.moments[name].variance(unbiased=False) + layer.eps).sqrt()
            std_b = (b.moments[name].variance(unbiased=False) + layer.eps).sqrt()
            shift = ((b.moments[name].mean - a.moments[name].mean) / std_a).abs()
            ratio = (std_b / std_a).log().abs()
            differences.append(
                LayerDifference(
                    layer=name,
                    channels=layer.num_features,
                    mean_shift=shift.square().mean().sqrt().item(),
                    worst_mean_shift=shift.max().item(),
                    log_std_ratio=ratio.square().mean().sqrt().item(),
                    worst_log_std_ratio=ratio.max().item(),
                )
            )
    return BatchNormReport(tuple(differences))
