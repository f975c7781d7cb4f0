from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader

import batchwright as bw
from batchwright.correct import per_group, recalibrate, report
from batchwright.errors import Infeasible, PoorWarning

from ..examples import examples
from .ranks import Ranks

STREAM = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * 5 + 100


def cut(sizes: list[int]) -> list[Tensor]:
    return list(STREAM[: sum(sizes)].split(sizes))


def deep_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.BatchNorm1d(3), nn.Linear(3, 4), nn.Dropout(0.5), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2)
    )


def buffers_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


sizes = st.lists(st.integers(2, 9), min_size=1, max_size=4)


@examples(40)
@given(sizes=sizes)
def test_first_layer_gets_mean_and_variance_of_all_values(sizes: list[int]) -> None:
    model = nn.Sequential(nn.BatchNorm1d(3))
    recalibrate(model, cut(sizes))
    variance, mean = torch.var_mean(torch.cat(cut(sizes)).double(), 0, correction=1)
    torch.testing.assert_close(model[0].running_mean, mean.float())
    torch.testing.assert_close(model[0].running_var, variance.float())
    assert model[0].num_batches_tracked == len(sizes)


def test_deeper_layer_gets_what_it_meets_when_the_first_normalises_by_the_batch() -> None:
    model = deep_model()
    batches = cut([5, 9, 3])
    met = [model[3](model[1](copy.deepcopy(model[0]).train()(batch))) for batch in batches]
    variance, mean = torch.var_mean(torch.cat(met).double(), 0, correction=1)
    recalibrate(model, batches)
    torch.testing.assert_close(model[4].running_mean, mean.float())
    torch.testing.assert_close(model[4].running_var, variance.float())


def test_torchs_average_over_unequal_batches_is_another_number() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3))
    torch.optim.swa_utils.update_bn([STREAM[:2], STREAM[2:]], model)
    truth = STREAM.mean(0)
    of_torch = (model[0].running_mean - truth).abs().max()
    recalibrate(model, [STREAM[:2], STREAM[2:]])
    assert (model[0].running_mean - truth).abs().max() < 1e-4 < 0.1 < of_torch


@pytest.mark.parametrize(("kind", "shape"), [(nn.BatchNorm2d, (4, 3, 2, 5)), (nn.BatchNorm3d, (4, 3, 2, 1, 3))])
def test_positions_count_as_values(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    batch = torch.arange(float(torch.Size(shape).numel())).view(shape).sin()
    model = kind(3)
    recalibrate(model, [batch])
    values = batch.transpose(0, 1).flatten(1)
    torch.testing.assert_close(model.running_mean, values.mean(1))
    torch.testing.assert_close(model.running_var, values.var(1))


@examples(25)
@given(before=sizes, after=sizes)
def test_stopping_and_resuming_equals_never_stopping(before: list[int], after: list[int]) -> None:
    whole, halves = deep_model(), deep_model()
    batches = [STREAM[i : i + size] for i, size in enumerate(before + after)]
    state = recalibrate(whole, batches)
    file = io.BytesIO()
    torch.save(recalibrate(halves, batches[: len(before)]), file)
    file.seek(0)
    resumed = recalibrate(halves, batches[len(before) :], resume=torch.load(file, weights_only=True))
    assert state["batches"] == resumed["batches"] == len(batches)
    for name, buffer in buffers_of(halves).items():
        assert torch.equal(buffer, buffers_of(whole)[name])


def test_only_as_many_batches_as_asked_for() -> None:
    model, fewer = deep_model(), deep_model()
    recalibrate(model, iter(cut([5, 5, 5])), batches=2)
    recalibrate(fewer, cut([5, 5]))
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), fewer.buffers(), strict=True))
    with pytest.warns(PoorWarning, match="gave 2 batches, 3 were asked"):
        recalibrate(model, cut([5, 5]), batches=3)


def test_modes_momentum_parameters_and_global_generator_are_left_alone() -> None:
    model = deep_model().eval()
    model[4].train()
    modes = [module.training for module in model.modules()]
    parameters = [parameter.clone() for parameter in model.parameters()]
    generator = torch.get_rng_state()
    recalibrate(model, cut([5, 5]))
    assert modes == [module.training for module in model.modules()]
    assert model[0].momentum == 0.1
    assert all(torch.equal(a, b) for a, b in zip(parameters, model.parameters(), strict=True))
    assert torch.equal(generator, torch.get_rng_state())
    assert torch.is_grad_enabled()


def test_an_error_midway_leaves_the_model_as_it_was() -> None:
    model = deep_model()
    model(STREAM)
    before, modes = buffers_of(model), [module.training for module in model.modules()]
    with pytest.raises(RuntimeError):
        recalibrate(model, [STREAM[:5], torch.ones(5, 7)])
    with pytest.raises(Infeasible, match="got 1 value per channel"):
        recalibrate(model, [STREAM[:5], STREAM[:1]])
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert modes == [module.training for module in model.modules()]
    assert not model[0]._forward_pre_hooks


def test_each_group_gets_its_own_population() -> None:
    model = per_group(nn.Sequential(nn.BatchNorm1d(3)), ["a", "b", "never"])
    model.model[0].running_mean[2] = 7.0
    ids = (torch.arange(40) % 3 > 0).long()
    batches = [(STREAM[low : low + 20], ids[low : low + 20]) for low in (0, 20)]
    recalibrate(model, batches, forward=lambda model, batch: model(batch[0], groups=batch[1]))
    for group in (0, 1):
        torch.testing.assert_close(model.model[0].running_mean[group], STREAM[ids == group].mean(0))
        torch.testing.assert_close(model.model[0].running_var[group], STREAM[ids == group].var(0))
    assert model.model[0].running_mean[2].tolist() == [7.0] * 3


def pooled(rank: int, group: dist.ProcessGroup, world: int) -> list[Tensor]:
    model = deep_model()
    recalibrate(model, cut([5, 7, 3, 9])[rank::world], process_group=group)
    return list(model.buffers())


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_pool_their_streams(ranks: Ranks, world: int) -> None:
    model = deep_model()
    recalibrate(model, cut([5, 7, 3, 9]))
    of_ranks = ranks.run(pooled, world, world=world)
    for buffers in of_ranks:
        assert all(torch.equal(a, b) for a, b in zip(buffers, of_ranks[0], strict=True))
        for buffer, expected in zip(buffers, model.buffers(), strict=True):
            torch.testing.assert_close(buffer, expected)


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main, self.helper = nn.BatchNorm1d(3), nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + (self.helper(x) if self.training else 0)


def of_all_ranks(rank: int, group: dist.ProcessGroup) -> list[Tensor]:
    model = deep_model()
    recalibrate(model, cut([4, 6])[rank % 2 :])
    return [model[0].running_mean, model[0].running_var, model[0].num_batches_tracked, model[4].running_var]


def test_without_a_process_group_named_all_ranks_are_pooled(ranks: Ranks) -> None:
    """As `loss_scale` and `synchronised` take None; under DDP each rank had statistics of its own."""
    of_ranks = ranks.run(of_all_ranks, world=4)
    for buffers in of_ranks:
        assert all(torch.equal(a, b) for a, b in zip(buffers, of_ranks[0], strict=True))
    streams = [cut([4, 6])[rank % 2 :] for rank in range(4)]
    variance, mean = torch.var_mean(
        torch.cat([batch for stream in streams for batch in stream]).double(), 0, correction=1
    )
    torch.testing.assert_close(of_ranks[0][0], mean.float())
    torch.testing.assert_close(of_ranks[0][1], variance.float())
    assert of_ranks[0][2] == 6


def one_has_nothing(rank: int, group: dist.ProcessGroup) -> tuple[str, bool]:
    model = deep_model()
    before = buffers_of(model)
    with pytest.raises(Infeasible) as caught:
        recalibrate(model, [] if rank == 1 else cut([4, 6]))
    return str(caught.value), all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_what_one_rank_raises_every_rank_raises(ranks: Ranks) -> None:
    answers = ranks.run(one_has_nothing, world=4)
    assert all(unchanged for _, unchanged in answers)
    assert answers[1][0].startswith("the loader gave 0 batches")
    for rank in (0, 2, 3):
        assert answers[rank][0].startswith("rank 1 of 4 raised Infeasible: the loader gave 0 batches")
    assert len(ranks.run(of_all_ranks, world=4)) == 4  # nothing is left behind that a later call would meet


def test_layers_not_reached_keep_what_they_have_with_a_warning() -> None:
    model = TwoHeads()
    with pytest.warns(PoorWarning, match=r"1 of 2 BatchNorm layers \(helper\)"):
        recalibrate(model, [STREAM])
    assert model.helper.running_mean.tolist() == [0, 0, 0]
    assert model.main.running_mean.min() > 90


def test_the_natural_stream_is_taken_only_on_request_and_warned_of() -> None:
    with pytest.warns(PoorWarning, match="the weights fit the sampled one"):
        recalibrate(nn.BatchNorm1d(3), [STREAM], stream="natural")
    with pytest.raises(Infeasible, match="stream is 'balanced'"):
        recalibrate(nn.BatchNorm1d(3), [STREAM], stream="balanced")


def test_a_loader_of_another_stream_than_the_plans_is_refused() -> None:
    dataset, labels = [(row,) for row in STREAM], [0] * 30 + [1] * 10
    balanced, natural = (bw.balanced(labels, batch_size=4, target=target) for target in ("uniform", "natural"))
    model = nn.BatchNorm1d(3)
    for loader in (DataLoader(dataset, batch_sampler=natural.sampler()), DataLoader(dataset, batch_size=4)):
        with pytest.raises(Infeasible, match=r"the loader draws from .*, the model was trained on <plan"):
            recalibrate(model, loader, plan=balanced)
        with pytest.warns(PoorWarning, match="natural stream"):
            recalibrate(model, loader, plan=balanced, stream="natural")
    state = recalibrate(model, DataLoader(dataset, batch_sampler=balanced.sampler()), plan=balanced)
    recalibrate(model, DataLoader(dataset, batch_sampler=bw.balanced(labels, 4, seed=1).sampler()), plan=balanced)
    recalibrate(model, [STREAM], plan=balanced)
    assert state["batches"] == 10


def test_streams_are_told_apart_by_what_they_draw() -> None:
    dataset, labels = [(row,) for row in STREAM], [0] * 30 + [1] * 10
    moving = bw.balanced(labels, 4, target=bw.targets.moving("uniform"))
    sampler = moving.sampler()
    next(iter(sampler))
    sampler.retarget([0.7, 0.3])
    model = nn.BatchNorm1d(3)
    recalibrate(model, DataLoader(dataset, batch_sampler=sampler), plan=moving)
    tasks = bw.alternating({"a": bw.balanced(labels, 4), "b": bw.shuffled(40, 4)}, same_dataset=True)
    recalibrate(model, DataLoader(dataset, batch_sampler=tasks.sampler()), plan=tasks)
    others = [bw.balanced(np.arange(40) % 4, 4), bw.balanced(labels, 4, target=lambda counts, epoch: [0.5, 0.5]), tasks]
    for other in others:
        with pytest.raises(Infeasible, match="the model was trained on <plan"):
            recalibrate(model, DataLoader(dataset, batch_sampler=other.sampler()), plan=moving)


def test_a_state_of_another_model_is_refused() -> None:
    state = recalibrate(nn.Sequential(nn.BatchNorm1d(3)), [STREAM])
    with pytest.raises(Infeasible, match=r"BatchNorm layer '0' of 3 channels, this one has one of 2"):
        recalibrate(nn.Sequential(nn.BatchNorm1d(2)), [STREAM[:, :2]], resume=state)
    with pytest.raises(Infeasible, match=r"layer '0' of 3 channels, this one has none of that name"):
        recalibrate(nn.BatchNorm1d(3), [STREAM], resume=state)
    with pytest.raises(Infeasible, match="the state has no 'batches'"):
        recalibrate(nn.BatchNorm1d(3), [STREAM], resume={"epoch": 1})


def test_values_that_are_not_finite_are_refused_and_change_nothing() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3))
    with pytest.raises(Infeasible, match="BatchNorm layer '0' met values that are not finite"):
        recalibrate(model, [STREAM, STREAM * float("nan")])
    assert model[0].running_mean.tolist() == [0, 0, 0]


def test_batches_that_are_no_tensors_need_a_forward() -> None:
    with pytest.raises(Infeasible, match=r"is of type dict, no tensor; say how to run it: forward="):
        recalibrate(nn.BatchNorm1d(3), [{"input": STREAM}])
    model = nn.BatchNorm1d(3)
    recalibrate(model, [{"input": STREAM}], forward=lambda model, batch: model(**batch))
    assert model.num_batches_tracked == 1


def test_no_batch_and_no_layer_are_refused() -> None:
    with pytest.raises(Infeasible, match="gave 0 batches"):
        recalibrate(nn.BatchNorm1d(3), [])
    with pytest.raises(Infeasible, match="of the model's 1 BatchNorm layers 0 keep"):
        recalibrate(nn.BatchNorm1d(3, track_running_stats=False), [STREAM])


def test_report_matches_its_definition_and_changes_nothing() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3, eps=0.5), nn.Linear(3, 2), nn.BatchNorm1d(2))
    before = buffers_of(model)
    a, b = STREAM[:20], STREAM[20:] * 2 - 90
    told = report(model, a.split(5), b.split([8, 12]))
    std_a = (a.var(0, correction=0) + 0.5).sqrt()
    std_b = (b.var(0, correction=0) + 0.5).sqrt()
    shift, ratio = ((b.mean(0) - a.mean(0)) / std_a).abs(), (std_b / std_a).log().abs()
    first = told.layers[0]
    assert (first.layer, first.channels) == ("0", 3)
    assert first.mean_shift == pytest.approx(shift.square().mean().sqrt().item(), rel=1e-5)
    assert first.worst_mean_shift == pytest.approx(shift.max().item(), rel=1e-5)
    assert first.log_std_ratio == pytest.approx(ratio.square().mean().sqrt().item(), rel=1e-5)
    assert first.worst_log_std_ratio == pytest.approx(ratio.max().item(), rel=1e-5)
    assert [layer.layer for layer in told.layers] == ["0", "2"]
    assert len(str(told).splitlines()) == 3
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_report_of_a_stream_beside_itself_is_zero() -> None:
    told = report(deep_model(), cut([5, 5]), cut([5, 5]))
    assert all(layer.worst_mean_shift == layer.worst_log_std_ratio == 0 for layer in told.layers)
