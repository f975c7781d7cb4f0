from __future__ import annotations

import copy

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, library, nn
from torch.nn.modules._functions import SyncBatchNorm as SyncBatchNormFunction
from torch.nn.parallel import DistributedDataParallel

from batchwright.correct import synchronised
from batchwright.correct.batchnorm.layers import named_layers
from batchwright.correct.batchnorm.synchronised import GlobalBatchNorm
from batchwright.errors import Infeasible

from .ranks import Ranks

SHAPES = {1: (), 2: (3, 2), 3: (2, 1, 2)}
LAYERS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
CUTS = {2: [0, 7, 12], 4: [0, 1, 6, 6, 12]}  # ranks of unequal batches, one of a single sample, one of none


def layer_and_batch(dims: int, **options: object) -> tuple[nn.Module, Tensor]:
    generator = torch.Generator().manual_seed(dims)
    layer = LAYERS[dims](5, **options).double()
    if layer.affine:
        with torch.no_grad():
            layer.weight.uniform_(0.5, 2, generator=generator)
            layer.bias.normal_(generator=generator)
    offsets = torch.arange(12.0, dtype=torch.float64).view(12, 1, *(1,) * len(SHAPES[dims]))
    batch = torch.randn(12, 5, *SHAPES[dims], generator=generator, dtype=torch.float64) + offsets
    return layer, batch


def loss_of(output: Tensor, first: int) -> Tensor:
    weights = torch.linspace(-1, 2, 12, dtype=output.dtype)[first : first + len(output)]
    return (weights * output.flatten(1).sin().sum(1)).sum()


def one_rank(rank: int, group: dist.ProcessGroup, dims: int, world: int, options: dict) -> dict[str, Tensor | None]:
    layer, batch = layer_and_batch(dims, **options)
    model = synchronised(nn.Sequential(layer), process_group=group)
    low, high = CUTS[world][rank : rank + 2]
    part = batch[low:high].requires_grad_()
    outputs = [model(part) for _ in range(2)]
    loss_of(outputs[-1], low).backward()
    return {
        "output": outputs[-1].detach(),
        "input gradient": part.grad,
        **{f"{name} gradient": parameter.grad for name, parameter in model.named_parameters()},
        **dict(model.named_buffers()),
    }


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize(
    ("dims", "options"),
    [
        (1, {}),
        (2, {}),
        (3, {}),
        (2, {"affine": False}),
        (1, {"momentum": None}),
        (1, {"track_running_stats": False}),
    ],
)
def test_ranks_equal_one_process_on_the_global_batch(ranks: Ranks, dims: int, options: dict, world: int) -> None:
    layer, batch = layer_and_batch(dims, **options)
    batch.requires_grad_()
    outputs = [layer(batch) for _ in range(2)]
    loss_of(outputs[-1], 0).backward()

    parts = ranks.run(one_rank, dims, world, options, world=world)
    torch.testing.assert_close(torch.cat([part["output"] for part in parts]), outputs[-1].detach())
    torch.testing.assert_close(torch.cat([part["input gradient"] for part in parts]), batch.grad)
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(sum(part[f"0.{name} gradient"] for part in parts), parameter.grad)
    for name, buffer in layer.named_buffers():
        for part in parts:
            torch.testing.assert_close(part[f"0.{name}"], buffer)


def per_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.view(1, -1, *(1,) * (like.dim() - 2))


def other_dims(values: Tensor) -> list[int]:
    return [dim for dim in range(values.dim()) if dim != 1]


def stats(values: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(values, other_dims(values), correction=0)
    return mean, torch.rsqrt(variance + eps)


def gathered(
    _: Tensor, mean: Tensor, invstd: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float,
    counts: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    weights = counts.view(-1, 1) / counts.sum()
    pooled = (weights * mean).sum(0)
    variance = (weights * (invstd**-2 - eps + (mean - pooled).square())).sum(0)
    running_mean.lerp_(pooled, momentum)
    running_var.lerp_(variance * counts.sum() / (counts.sum() - 1), momentum)
    return pooled, torch.rsqrt(variance + eps)


def normalised(values: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, invstd: Tensor, _: float) -> Tensor:
    return (values - per_channel(mean, values)) * per_channel(invstd * weight, values) + per_channel(bias, values)


def reduced(
    gradient: Tensor, values: Tensor, mean: Tensor, invstd: Tensor, *_: object
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sum_dy = gradient.sum(other_dims(values))
    sum_dy_xmu = (gradient * (values - per_channel(mean, values))).sum(other_dims(values))
    return sum_dy, sum_dy_xmu, sum_dy_xmu * invstd, sum_dy.clone()


def propagated(
    gradient: Tensor, values: Tensor, mean: Tensor, invstd: Tensor, weight: Tensor, sum_dy: Tensor, sum_dy_xmu: Tensor,
    counts: Tensor,
) -> Tensor:  # fmt: skip
    count = counts.sum()
    centred = values - per_channel(mean, values)
    along = per_channel(invstd.square() * sum_dy_xmu / count, values)
    return (gradient - per_channel(sum_dy / count, values) - centred * along) * per_channel(invstd * weight, values)


def torchs_own(rank: int, group: dist.ProcessGroup, dims: int, world: int) -> dict[str, Tensor]:
    """`one_rank` through torch's SyncBatchNorm, its accelerator kernels given to the CPU by their formulas."""
    operators = library.Library("aten", "IMPL", "CPU")
    for name, kernel in {
        "batch_norm_stats": stats,
        "batch_norm_gather_stats_with_counts": gathered,
        "batch_norm_elemt": normalised,
        "batch_norm_backward_reduce": reduced,
        "batch_norm_backward_elemt": propagated,
    }.items():
        operators.impl(name, kernel)
    layer, batch = layer_and_batch(dims)
    low, high = CUTS[world][rank : rank + 2]
    part = batch[low:high].requires_grad_()
    buffers = layer.running_mean, layer.running_var
    for _ in range(2):
        output = SyncBatchNormFunction.apply(part, layer.weight, layer.bias, *buffers, layer.eps, 0.1, group, world)
    loss_of(output, low).backward()
    gradients = {f"0.{name} gradient": parameter.grad for name, parameter in layer.named_parameters()}
    running = {"0.running_mean": layer.running_mean, "0.running_var": layer.running_var}
    return {"output": output.detach(), "input gradient": part.grad, **gradients, **running}


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_every_rank_gets_what_torchs_synchronised_layer_gives_it(ranks: Ranks, dims: int, world: int) -> None:
    ours, torchs = ranks.run(one_rank, dims, world, {}, world=world), ranks.run(torchs_own, dims, world, world=world)
    for here, there in zip(ours, torchs, strict=True):
        for name, value in there.items():
            torch.testing.assert_close(here[name], torch.zeros_like(here[name]) if value is None else value)


def under_ddp(rank: int, group: dist.ProcessGroup) -> list[Tensor]:
    layer, batch = layer_and_batch(2)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(5, 5, 1).double(), layer, nn.Tanh())
    parallel = DistributedDataParallel(synchronised(model, process_group=group), process_group=group)
    parallel(batch[6 * rank : 6 * rank + 6]).square().mean().backward()
    return [parameter.grad for parameter in model.parameters()]


def test_under_ddp_gradients_are_those_of_one_process(ranks: Ranks) -> None:
    """The bias before a BatchNorm layer has gradient 0, and any error in the sums over ranks would show there."""
    layer, batch = layer_and_batch(2)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(5, 5, 1).double(), layer, nn.Tanh())
    model(batch).square().mean().backward()
    for of_rank in ranks.run(under_ddp, world=2):
        for gradient, parameter in zip(of_rank, model.parameters(), strict=True):
            torch.testing.assert_close(gradient, parameter.grad, rtol=1e-6, atol=1e-12)


def unsynchronised(rank: int, group: dist.ProcessGroup) -> Tensor:
    layer, batch = layer_and_batch(1)
    low, high = CUTS[2][rank : rank + 2]
    return layer(batch[low:high]).detach()


def test_without_it_ranks_differ_from_the_global_batch(ranks: Ranks) -> None:
    layer, batch = layer_and_batch(1)
    apart = torch.cat(ranks.run(unsynchronised, world=2))
    assert (apart - layer(batch)).abs().max() > 0.5


def too_small(rank: int, group: dist.ProcessGroup) -> str:
    model = synchronised(nn.BatchNorm1d(3), process_group=group)
    with pytest.raises(Infeasible) as refused:
        model(torch.ones(1 - rank, 3))
    return str(refused.value)


def test_one_value_per_channel_over_all_ranks_is_refused_on_every_rank(ranks: Ranks) -> None:
    messages = ranks.run(too_small, world=2)
    assert messages[0] == messages[1]
    assert "hold 1 value per channel" in messages[0]


def half_precision(rank: int, group: dist.ProcessGroup) -> Tensor:
    batch = torch.linspace(-1, 1, 12).view(6, 2)[3 * rank : 3 * rank + 3].bfloat16()
    output = synchronised(nn.BatchNorm1d(2), process_group=group)(batch)
    assert output.dtype is torch.bfloat16
    return output.detach()


def test_half_precision_keeps_its_dtype_and_is_computed_in_single(ranks: Ranks) -> None:
    batch = torch.linspace(-1, 1, 12).view(6, 2).bfloat16()
    expected = nn.BatchNorm1d(2)(batch.float()).bfloat16()
    assert torch.equal(torch.cat(ranks.run(half_precision, world=2)), expected)


def evaluated(rank: int, group: dist.ProcessGroup) -> Tensor:
    layer, batch = layer_and_batch(2)
    return synchronised(layer, process_group=group).eval()(batch).detach()


def test_evaluation_uses_running_statistics(ranks: Ranks) -> None:
    layer, batch = layer_and_batch(2)
    for output in ranks.run(evaluated, world=2):
        torch.testing.assert_close(output, layer.eval()(batch))


def test_without_a_process_group_it_is_plain_batchnorm() -> None:
    layer, batch = layer_and_batch(2)
    plain = copy.deepcopy(layer)
    assert torch.equal(synchronised(layer)(batch), plain(batch))


def test_parameters_buffers_mode_and_sharing_survive() -> None:
    shared = nn.BatchNorm1d(4).eval()
    model = nn.ModuleDict(
        {"first": shared, "second": nn.Sequential(nn.Linear(4, 4), shared), "none": nn.BatchNorm1d(4)}
    )
    before = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    changed = synchronised(model)
    assert changed is model
    after = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)
    assert model["first"] is model["second"][1]
    assert isinstance(model["first"], GlobalBatchNorm)
    assert not model["first"].training
    assert model["none"].training


def test_layers_on_an_accelerator_become_torchs_own() -> None:
    model = nn.Sequential(nn.Linear(2, 3, device="meta"), nn.BatchNorm1d(3, device="meta"), nn.BatchNorm1d(3))
    weight = model[1].weight
    kinds = [type(layer) for layer in named_layers(synchronised(model)).values()]
    assert kinds == [nn.SyncBatchNorm, GlobalBatchNorm]
    assert model[1].weight is weight


def test_a_model_without_batchnorm_is_refused() -> None:
    with pytest.raises(Infeasible, match="0 BatchNorm layers"):
        synchronised(nn.Linear(2, 2))
