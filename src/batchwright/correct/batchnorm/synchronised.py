"""BatchNorm over ranks: one mean and one variance for the micro-batches of all ranks together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ...distributed import Over, over, process_groups, ranks
from ...errors import Infeasible
from .layers import BatchNorm, named_layers, replaced, track

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["GlobalBatchNorm", "synchronised"]


def synchronised(
    model: nn.Module,
    *,
    process_group: dist.ProcessGroup | None = None,
    mesh: DeviceMesh | None = None,
    dims: Sequence[str] | None = None,
) -> nn.Module:
    """Make BatchNorm layers normalise, in training, by the micro-batches of all ranks together.

    Layers with tensors on an accelerator become torch's `SyncBatchNorm`. That refuses tensors on the CPU; such layers
    become `GlobalBatchNorm`, which gives the same result over any process group. So move the model to its device first.
    Parameters and buffers are shared with the replaced layers, so optimizers and checkpoints stay valid. The model is
    changed in place; a model that is itself a BatchNorm layer is returned as a new layer.

    The micro-batches of all ranks, which a plan balances together, are then also normalised together, for any world
    size.

    Args:
        model: any module; wrap it in DistributedDataParallel afterwards.
        process_group: the ranks to synchronise over; None means all.
        mesh: a device mesh, in place of `process_group`: for models that are split over processes too.
        dims: names of its data-parallel dimensions, outermost first; may be left out if it has one dimension.

    Raises:
        Infeasible: the model has no BatchNorm layer.

    Example:
        >>> type(synchronised(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))[1]).__name__
        'GlobalBatchNorm'
    """
    if not named_layers(model):
        raise Infeasible("the model has 0 BatchNorm layers to synchronise", "pass a model with at least 1")

    processes = over(process_group, mesh, dims)
    if isinstance(processes, tuple) and len(processes) == 1:
        processes = processes[0]

    def substitute(layer: BatchNorm) -> nn.Module:
        # torch's own layer takes one group
        if isinstance(processes, tuple) or all(
            tensor.device.type == "cpu" for tensor in (*layer.parameters(), *layer.buffers())
        ):
            return GlobalBatchNorm(layer, process_group=processes)
        torchs_own: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(layer, processes)
        return torchs_own

    return replaced(model, substitute)


class GlobalBatchNorm(BatchNorm):
    """BatchNorm (Ioffe and Szegedy 2015) over the micro-batches of all ranks, on any device that the group can reduce.

    Without a process group, and in evaluation, it is plain BatchNorm. Ranks may have batches of different sizes, also
    empty ones. The variance is the mean square of deviations from the mean over all ranks: this takes two all-reduces
    in each direction, but loses no digits. Running statistics take the unbiased variance, as torch's do.

    Args:
        like: the layer whose parameters, buffers, options and mode are taken over; they are shared, not copied.
        process_group: the ranks to synchronise over: a group, one for each dimension of a mesh, or None for all.

    Raises:
        Infeasible: in training, all ranks together have fewer than two values per channel.
    """

    def __init__(self, like: BatchNorm, *, process_group: Over = None) -> None:
        super().__init__(like.num_features, like.eps, like.momentum, like.affine, like.track_running_stats)
        self.weight, self.bias = like.weight, like.bias
        self.running_mean, self.running_var = like.running_mean, like.running_var
        self.num_batches_tracked = like.num_batches_tracked
        self.training = like.training
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `input` (N, C, ...) over all dimensions but C and, in training, over all ranks."""
        if not self.training or ranks(self.process_group)[1] == 1:
            return super().forward(input)
        self._check_input_dim(input)
        shape = (1, -1, *(1,) * (input.dim() - 2))
        dims = [dim for dim in range(input.dim()) if dim != 1]
        # Sums in half precision would lose digits; torch's own layer also adds them in float32.
        values = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input

        local_count = values.new_tensor([values.numel() // self.num_features])
        sums = self._over_ranks(torch.cat([values.sum(dims), local_count]))
        count = sums[-1].detach()
        if count < 2:
            raise Infeasible(
                f"the batches of all ranks hold {int(count)} value per channel in training, BatchNorm needs 2",
                "pass larger batches",
            )
        mean = sums[:-1] / count
        centred = values - mean.view(shape)
        # A second communication, instead of the mean of squares in the first: their difference would lose digits.
        variance = self._over_ranks(centred.square().sum(dims)) / count
        seen = torch.ones((), dtype=torch.bool, device=values.device)
        track(self, mean, variance * (count / (count - 1)), seen=seen)

        # Written out, not `batch_norm`: the gradient has to go through the sums over all ranks.
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        output = centred * scale.view(shape)
        if self.bias is not None:
            output = output + self.bias.view(shape)
        return output.to(input.dtype)

    def _over_ranks(self, tensor: Tensor) -> Tensor:
        total: Tensor = _SumOverRanks.apply(tensor, self.process_group)  # type: ignore[no-untyped-call]  # torch leaves it so
        return total


class _SumOverRanks(torch.autograd.Function):
    """The sum over ranks. The loss of every rank depends on the input of every rank, so gradients are summed too."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, process_group: Over) -> Tensor:
        ctx.process_group = process_group
        return _added(tensor, process_group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _added(gradients[0], ctx.process_group), None


def _added(tensor: Tensor, process_group: Over) -> Tensor:
    total = tensor.clone(memory_format=torch.contiguous_format)
    for group in process_groups(process_group):
        dist.all_reduce(total, group=group)
    return total
