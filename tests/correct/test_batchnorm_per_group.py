from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from batchwright.correct import per_group, without_running_stats
from batchwright.errors import Infeasible

from ..examples import examples

SHAPES = {1: (), 2: (3, 2), 3: (2, 1, 2)}
LAYERS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
NAMES = ["day", "night", "fog"]


def layer_of(dims: int, **options: object) -> nn.Module:
    layer = LAYERS[dims](3, **options).double()
    if layer.affine:
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
            layer.bias.copy_(torch.tensor([-1.0, 0.0, 3.0]))
    return layer


def batch_of(ids: list[int], dims: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    batch = torch.randn(len(ids), 3, *SHAPES[dims], generator=generator, dtype=torch.float64)
    return batch + 10 * torch.tensor(ids, dtype=torch.float64).view(-1, *(1,) * (batch.dim() - 1))


@st.composite
def batches_of_groups(draw: st.DrawFn) -> list[list[int]]:
    """Up to three batches in which a group is absent or comes at least twice."""
    batches = []
    for _ in range(draw(st.integers(1, 3))):
        counts = draw(st.lists(st.sampled_from([0, 2, 3, 5]), min_size=3, max_size=3).filter(any))
        batches.append(draw(st.permutations([g for g, n in enumerate(counts) for _ in range(n)])))
    return batches


@examples(40)
@given(
    batches=batches_of_groups(),
    dims=st.sampled_from([1, 2, 3]),
    options=st.sampled_from([{}, {"momentum": None}, {"momentum": 0.3}, {"affine": False}]),
    seed=st.integers(0, 1000),
)
def test_it_equals_one_layer_a_group(batches: list[list[int]], dims: int, options: dict, seed: int) -> None:
    model = per_group(nn.Sequential(layer_of(dims, **options)), NAMES)
    apart = [layer_of(dims, **options) for _ in NAMES]
    for ids in batches:
        of_group = torch.tensor(ids)
        for training in (True, False):
            batch = batch_of(ids, dims, seed)
            output = model.train(training)(batch, groups=of_group)
            for group, layer in enumerate(apart):
                if (of_group == group).any():
                    torch.testing.assert_close(
                        output[of_group == group], layer.train(training)(batch[of_group == group])
                    )
    for group, layer in enumerate(apart):
        for name, buffer in layer.named_buffers():
            torch.testing.assert_close(getattr(model.model[0], name)[group], buffer)


def test_gradients_equal_those_of_one_layer_a_group() -> None:
    ids = [0, 1, 1, 0, 2, 2, 2]
    of_group, batch = torch.tensor(ids), batch_of(ids, 2, 5).requires_grad_()
    shared = layer_of(2)
    twin, model = copy.deepcopy(shared), per_group(nn.Sequential(shared), NAMES)
    model(batch, groups=of_group).sin().sum().backward()
    of_model = [batch.grad.clone(), shared.weight.grad, shared.bias.grad]
    batch.grad = None
    sum(twin(batch[of_group == group]).sin().sum() for group in range(3)).backward()
    for gradient, expected in zip(of_model, [batch.grad, twin.weight.grad, twin.bias.grad], strict=True):
        torch.testing.assert_close(gradient, expected)


def test_every_group_starts_from_what_the_layer_has() -> None:
    layer = layer_of(1)
    batch = batch_of([0, 1, 2, 2], 1, 3)
    layer(batch)
    expected = copy.deepcopy(layer).eval()(batch)
    model = per_group(layer, NAMES).eval()
    torch.testing.assert_close(model(batch, groups=torch.tensor([2, 0, 1, 1])), expected)


def test_state_survives_saving_and_copies_are_apart() -> None:
    ids, batch = torch.tensor([0, 0, 1, 1]), batch_of([0, 0, 1, 1], 1, 1)
    model = per_group(nn.Sequential(layer_of(1)), NAMES)
    model(batch, groups=ids)
    restored = per_group(nn.Sequential(layer_of(1)), NAMES)
    restored.load_state_dict(model.state_dict())
    assert torch.equal(restored.eval()(batch, groups=ids), copy.deepcopy(model).eval()(batch, groups=ids))


def test_functional_transforms_work_after_without_running_stats() -> None:
    model = without_running_stats(per_group(nn.Sequential(layer_of(1)), NAMES))
    batch = batch_of([0, 0, 1, 1], 1, 1)
    assert list(model.named_buffers()) == []

    def loss(x: Tensor) -> Tensor:
        return model(x, groups=torch.tensor([0, 0, 1, 1])).sin().sum()

    expected = torch.autograd.grad(loss(batch.requires_grad_()), batch)[0]
    torch.testing.assert_close(torch.func.grad(loss)(batch.detach()), expected)


def test_half_precision_keeps_its_dtype() -> None:
    model = per_group(nn.BatchNorm1d(3), NAMES)
    assert model(torch.ones(4, 3).bfloat16(), groups=torch.tensor([0, 0, 1, 1])).dtype is torch.bfloat16


def test_refusals() -> None:
    model = per_group(nn.Sequential(layer_of(1)), NAMES)
    batch = batch_of([0, 0, 1], 1, 1)
    with pytest.raises(Infeasible, match="group 'night' has 1 value per channel"):
        model(batch, groups=torch.tensor([0, 0, 1]))
    with pytest.raises(Infeasible, match="ids from 0 to 3, the model knows 0 to 2"):
        model(batch, groups=torch.tensor([0, 0, 3]))
    with pytest.raises(Infeasible, match=r"groups has shape \(3,\) and dtype float32"):
        model(batch, groups=torch.zeros(3))
    with pytest.raises(Infeasible, match="3 samples and 2 group ids"):
        model(batch, groups=torch.tensor([0, 0]))
    with pytest.raises(Infeasible, match="3 samples and 0 group ids"):
        model.model(batch)
    with pytest.raises(Infeasible, match="2 names of which 1 differ"):
        per_group(layer_of(1), ["a", "a"])
    with pytest.raises(Infeasible, match="0 BatchNorm layers"):
        per_group(nn.Linear(1, 1), NAMES)
