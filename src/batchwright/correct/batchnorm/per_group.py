"""BatchNorm with separate statistics for each group in a batch."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import Infeasible, shown, typed
from ...readings import as_list, reading
from .layers import BatchNorm, named_layers, replaced, track
from .moments import Moments

__all__ = ["GroupBatchNorm", "PerGroup", "per_group"]


def per_group(model: nn.Module, groups: Sequence[Hashable]) -> PerGroup:
    """Make BatchNorm layers keep statistics per group; the model is then called as `model(x, groups=ids)`.

    Each group in a batch is normalised by its own mean and variance, and scaled by a shared weight and bias. This is
    domain-specific BatchNorm (Chang et al. 2019), without separate batches for each domain. Every group starts from the
    running statistics of the layer. The layers are replaced in place.

    Args:
        model: any module with BatchNorm layers.
        groups: the names of the groups in the order of their ids, such as `plan.groups.names`.

    Raises:
        Infeasible: the model has no BatchNorm layer, or `groups` is empty, a text, or has a name twice.

    Example:
        >>> model = per_group(nn.Sequential(nn.BatchNorm1d(1)), ["day", "night"])
        >>> x = torch.tensor([[0.0], [10.0], [2.0], [14.0]])
        >>> model(x, groups=torch.tensor([0, 1, 0, 1])).flatten().round().tolist()
        [-1.0, -1.0, 1.0, 1.0]
    """
    if isinstance(groups, (str, bytes)):  # its letters would be the names
        raise Infeasible(f"groups is {shown(groups)}, {typed(groups)}", "pass the names of the groups in a list")
    with reading(groups, "groups", "pass the names of the groups, each once"):
        names = as_list(groups, "groups")
        differing = len(set(names))
    if not named_layers(model):
        raise Infeasible("the model has 0 BatchNorm layers to split by group", "pass a model with at least 1")
    if not names or differing < len(names):
        raise Infeasible(
            f"groups has {len(names)} names of which {differing} differ",
            "name every group exactly once",
        )
    routing = _Routing(names)
    return PerGroup(replaced(model, lambda layer: GroupBatchNorm(layer, routing)), routing)


class PerGroup(nn.Module):
    """A model with `GroupBatchNorm` layers; it is called with the group of each sample."""

    def __init__(self, model: nn.Module, routing: _Routing) -> None:
        super().__init__()
        self.model = model
        self.routing = routing

    def forward(self, *inputs: Any, groups: Tensor, **keywords: Any) -> Any:
        """Run the model on `inputs`; `groups` is an integer tensor (N,), the group id of each sample.

        Raises:
            Infeasible: an id is outside 0..G-1, or ids are no integers.
        """
        self.routing.open(groups)
        try:
            return self.model(*inputs, **keywords)
        finally:
            self.routing.close()


class _Routing:
    """The group of each sample in the present batch, shared by all layers of a model.

    Layers are called by code that knows nothing of groups, so the ids cannot be passed to them as an argument.
    """

    def __init__(self, names: list[Hashable]) -> None:
        self.names = names
        self.ids: Tensor | None = None
        self.samples: list[int] = []

    def open(self, ids: Any) -> None:
        if not isinstance(ids, Tensor):
            with reading(ids, "groups", "pass one whole id a sample"):
                ids = torch.as_tensor(ids)
        if ids.dim() != 1 or ids.is_floating_point() or ids.is_complex() or ids.dtype is torch.bool:
            raise Infeasible(
                f"groups has shape {tuple(ids.shape)} and dtype {str(ids.dtype).removeprefix('torch.')}",
                "pass one whole id a sample",
            )
        low, high = (int(ids.min()), int(ids.max())) if len(ids) else (0, 0)
        if low < 0 or high >= len(self.names):
            raise Infeasible(
                f"the batch has group ids from {low} to {high}, the model knows 0 to {len(self.names) - 1}",
                "pass ids in the order of the names given to per_group",
            )
        self.ids = ids.to(torch.int64)
        self.samples = torch.bincount(self.ids, minlength=len(self.names)).tolist()

    def close(self) -> None:
        self.ids = None
        self.samples = []


class GroupBatchNorm(BatchNorm):
    """A BatchNorm layer whose running statistics have shape (groups, channels); weight and bias are shared.

    Args:
        like: the layer whose parameters, options, mode and running statistics are taken over.
        routing: the group of each sample in the present batch.

    Raises:
        Infeasible: in training, a group of the batch has one value per channel, or the batch size differs from the
            number of ids.
    """

    def __init__(self, like: BatchNorm, routing: _Routing) -> None:
        super().__init__(like.num_features, like.eps, like.momentum, like.affine, track_running_stats=False)
        self.weight, self.bias = like.weight, like.bias
        self.track_running_stats = like.track_running_stats
        self.training = like.training
        self.routing = routing
        if like.running_mean is not None and like.running_var is not None:
            groups = len(routing.names)
            self.running_mean = like.running_mean.repeat(groups, 1)
            self.running_var = like.running_var.repeat(groups, 1)
            self.num_batches_tracked = torch.zeros(groups, dtype=torch.int64, device=like.running_mean.device)

    def reset_running_stats(self) -> None:
        """Set every group's running mean to 0, variance to 1 and count of batches to 0."""
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def group_moments(self, values: Tensor) -> Moments:
        """The moments of `values` (N, C, ...) by the groups of the present batch."""
        return Moments.of(values, self._ids(values), len(self.routing.names))

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `input` (N, C, ...) by the statistics of each sample's own group."""
        ids = self._ids(input)
        # Half precision has too few digits for variances: torch's own layers compute in float32 too.
        values = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        if self.training or self.running_mean is None or self.running_var is None:
            mean, variance = self._batch_statistics(values)
        else:
            mean, variance = self.running_mean, self.running_var
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        shape = (*input.shape[:2], *(1,) * (input.dim() - 2))
        output = (values - mean[ids].view(shape)) * scale[ids].view(shape)
        if self.bias is not None:
            output = output + self.bias.view(1, *shape[1:])
        return output.to(input.dtype)

    def _batch_statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        positions = values[0, 0].numel() if len(values) else 0
        for name, samples in zip(self.routing.names, self.routing.samples, strict=True):
            if self.training and samples * positions == 1:
                raise Infeasible(
                    f"group {shown(name)} has 1 value per channel in the batch, BatchNorm needs 2 in training",
                    f"draw at least 2 samples of {shown(name)} into each batch",
                )
        moments = self.group_moments(values)
        seen = moments.count.squeeze(-1) > 0
        if self.training:
            track(self, moments.mean, moments.variance(unbiased=True), seen=seen)
        return moments.mean, moments.variance(unbiased=False)

    def _ids(self, values: Tensor) -> Tensor:
        ids = self.routing.ids
        given = 0 if ids is None else len(ids)
        if ids is None or given != len(values):
            raise Infeasible(
                f"a BatchNorm layer per group got {len(values)} samples and {given} group ids",
                "call the PerGroup model with groups=ids, one id a sample",
            )
        return ids.to(values.device)
