from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from batchwright.correct import frozen, per_group, without_running_stats
from batchwright.errors import Infeasible

BATCH = torch.arange(24.0).view(6, 4).sin()


def small_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2), nn.BatchNorm1d(2))


def buffers_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def assert_buffers(model: nn.Module, expected: dict[str, Tensor]) -> None:
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, expected[name]), name


def test_without_running_stats_evaluation_is_training() -> None:
    model = without_running_stats(small_model())
    assert list(model.named_buffers()) == []
    assert torch.equal(model.train()(BATCH), model.eval()(BATCH))


def test_without_running_stats_admits_functional_transforms() -> None:
    model = without_running_stats(small_model()).double()
    parameters = dict(model.named_parameters())
    halves = torch.stack([BATCH[:3], BATCH[3:]]).double()

    def loss(values: dict[str, Tensor], batch: Tensor) -> Tensor:
        return torch.func.functional_call(model, values, (batch,)).square().sum()

    mapped = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, halves)
    for index, half in enumerate(halves):
        alone = torch.autograd.grad(loss(parameters, half), list(parameters.values()))
        for gradients, gradient in zip(mapped.values(), alone, strict=True):
            torch.testing.assert_close(gradients[index], gradient)


def test_with_running_stats_the_same_transform_fails() -> None:
    model = small_model()
    parameters = dict(model.named_parameters())
    halves = torch.stack([BATCH[:3], BATCH[3:]])
    with pytest.raises(RuntimeError, match="running_mean"):
        torch.func.vmap(lambda batch: torch.func.functional_call(model, parameters, (batch,)))(halves)


@pytest.mark.parametrize("training", [True, False])
def test_frozen_normalises_as_evaluation_does_and_updates_nothing(training: bool) -> None:
    model = small_model()
    model(BATCH * 3 + 1)
    expected, before = copy.deepcopy(model).eval()(BATCH), buffers_of(model)
    model.train(training)
    with frozen(model):
        output = model(BATCH)
    assert torch.equal(output, expected)
    assert_buffers(model, before)
    assert all(module.training == training for module in model.modules())


def test_frozen_holds_through_train_called_inside_and_leaves_that_mode() -> None:
    model = small_model().eval()
    before = buffers_of(model)
    with frozen(model):
        model.train()
        model(BATCH)
    assert_buffers(model, before)
    assert all(module.training for module in model.modules())


def test_frozen_nests_and_ends() -> None:
    model = small_model()
    before = buffers_of(model)
    with frozen(model):
        with frozen(model):
            model(BATCH)
        model(BATCH)
    assert_buffers(model, before)
    assert all(module.training for module in model.modules())
    model(BATCH)
    assert model[1].num_batches_tracked == 1


def test_frozen_layers_go_on_learning() -> None:
    model = small_model()
    with frozen(model):
        model(BATCH).square().sum().backward()
    assert model[1].weight.grad.abs().sum() > 0


def test_frozen_is_undone_when_the_model_raises() -> None:
    model = small_model()
    with frozen(model):
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            model(torch.ones(2, 5))
        with pytest.raises(ValueError, match="expected 2D or 3D input"):
            model[1](torch.ones(3))
    assert all(module.training for module in model.modules())
    model(BATCH)
    assert model[1].num_batches_tracked == 1


def test_frozen_per_group_uses_each_groups_running_statistics() -> None:
    model = per_group(nn.Sequential(nn.BatchNorm1d(4)), ["a", "b"])
    ids = torch.tensor([0, 0, 0, 1, 1, 1])
    model(BATCH, groups=ids)
    expected = copy.deepcopy(model).eval()(BATCH, groups=ids)
    with frozen(model):
        assert torch.equal(model(BATCH, groups=ids), expected)


@pytest.mark.parametrize("model", [nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)])
def test_nothing_to_freeze_is_refused(model: nn.Module) -> None:
    with pytest.raises(Infeasible, match="0 keep running statistics"), frozen(model):
        pass


def test_without_running_stats_refuses_a_model_without_batchnorm() -> None:
    with pytest.raises(Infeasible, match="0 BatchNorm layers"):
        without_running_stats(nn.Linear(2, 2))
