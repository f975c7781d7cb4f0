from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

import batchwright as bw
from batchwright.correct import LossScale, Weights, loss_scale
from batchwright.plans import FixedPlan

from .. import laws
from ..examples import examples
from .ranks import Ranks

SAMPLES = 60
LENGTHS = np.random.default_rng(0).geometric(0.1, SAMPLES)
TOKENS = [torch.sin(torch.arange(length * 3.0).view(length, 3) * (i + 1)) for i, length in enumerate(LENGTHS)]
TARGETS = [tokens.sum(1, keepdim=True).cos() * (i % 5) for i, tokens in enumerate(TOKENS)]
MICRO_BATCHES = 4  # in an optimizer step: world_size x accumulate


def ragged_plan() -> FixedPlan:
    return bw.balanced([int(i >= 50) for i in range(SAMPLES)], batch_size=3, seed=3)


def model_of() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def losses(model: nn.Module, indices: list[int]) -> Tensor:
    """A loss for every token of the samples."""
    outputs = model(torch.cat([TOKENS[index] for index in indices]).double())
    return (outputs - torch.cat([TARGETS[index] for index in indices]).double()).square().flatten()


def gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters()]


def over_everything(step: int) -> list[Tensor]:
    """One process, accumulate 1: the mean over all tokens of the step in one batch."""
    model, plan = model_of(), ragged_plan()
    epoch = plan.epoch(0, MICRO_BATCHES)
    micro_batches = [epoch[step * MICRO_BATCHES + number] for number in range(MICRO_BATCHES)]
    losses(model, np.concatenate(micro_batches).tolist()).mean().backward()
    return gradients(model)


def over_ranks(rank: int, group: dist.ProcessGroup, world: int, how: str) -> list[list[Tensor]]:
    """The gradients of the first two optimizer steps, under DistributedDataParallel with accumulation."""
    accumulate = MICRO_BATCHES // world
    sampler = ragged_plan().sampler(rank=rank, world_size=world, accumulate=accumulate)
    model = DistributedDataParallel(model_of(), process_group=group)
    steps: list[list[int]] = list(sampler)
    known = LossScale(sampler, counts=LENGTHS)
    found = []
    for first in range(0, 2 * accumulate, accumulate):
        counted = sum(int(LENGTHS[indices].sum()) for indices in steps[first : first + accumulate])
        asked = loss_scale(counted, process_group=group)
        model.zero_grad()
        for step in range(first, first + accumulate):
            last = step == first + accumulate - 1
            with nullcontext() if last else model.no_sync():
                of_tokens = losses(model, steps[step])
                if how == "naive":
                    (of_tokens.mean() / accumulate).backward()
                else:
                    (of_tokens.sum() * {"known": known.at(step, epoch=0), "asked": asked}[how]).backward()
        found.append(gradients(model))
    return found


@pytest.mark.parametrize("how", ["known", "asked"])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_gradients_are_the_same_however_the_step_is_split(ranks: Ranks, world: int, how: str) -> None:
    expected = [over_everything(step) for step in range(2)]
    for of_rank in ranks.run(over_ranks, world, how, world=world):
        for gradient, exact in zip(chain(*of_rank), chain(*expected), strict=True):
            torch.testing.assert_close(gradient, exact, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_mean_of_means_is_another_gradient(ranks: Ranks, world: int) -> None:
    exact = torch.cat([gradient.flatten() for gradient in over_everything(0)])
    naive = torch.cat([gradient.flatten() for gradient in ranks.run(over_ranks, world, "naive", world=world)[0][0]])
    assert (naive - exact).norm() > 0.01 * exact.norm()  # 2.8 %, where the right way agrees to a millionth


def asked_for_nothing(rank: int, group: dist.ProcessGroup) -> list[float]:
    return [loss_scale(0, process_group=group), loss_scale(torch.tensor([rank, 2]), process_group=group)]


def test_an_empty_step_scales_to_zero_and_tensors_are_counts(ranks: Ranks) -> None:
    assert ranks.run(asked_for_nothing, world=2) == [[0.0, 2 / 5]] * 2


@examples(40)
@given(world=st.integers(1, 4), accumulate=st.integers(1, 3), kind=st.sampled_from(["samples", "tokens", "weights"]))
def test_the_factor_is_world_size_over_everything_counted(world: int, accumulate: int, kind: str) -> None:
    plan = ragged_plan()
    counts = {"samples": None, "tokens": LENGTHS, "weights": Weights(plan)}[kind]
    amount = {"samples": len, "tokens": lambda batch: LENGTHS[batch].sum(), "weights": lambda b: plan.weights(b).sum()}
    samplers = [plan.sampler(rank=rank, world_size=world, accumulate=accumulate) for rank in range(world)]
    scales = [LossScale(sampler, counts) for sampler in samplers]
    for epoch in range(2):
        drawn = [list(sampler) for sampler in samplers]
        for first in range(0, len(samplers[0]), accumulate):
            total = sum(amount[kind](np.array(b)) for of_rank in drawn for b in of_rank[first : first + accumulate])
            for scale in scales:
                for step in range(first, first + accumulate):
                    assert scale.at(step, epoch=epoch) == pytest.approx(world / total, rel=1e-12)


@pytest.mark.parametrize("workers", [0, 1])
def test_over_a_loader_gives_each_batch_its_factor_also_when_resumed_or_broken_off(workers: int) -> None:
    plan = ragged_plan()
    sampler = plan.sampler(rank=1, world_size=2, accumulate=2)
    scale = LossScale(sampler, LENGTHS)
    loader = DataLoader(range(SAMPLES), batch_sampler=sampler, num_workers=workers, collate_fn=list)

    def expected(epoch: int) -> list[tuple[list[int], float]]:
        whole = [batch.tolist() for batch in plan.epoch(epoch, 4)]
        steps = [list(chain(*whole[low : low + 4])) for low in range(0, len(whole), 4)]
        return [(batch, 2 / LENGTHS[steps[number // 2]].sum()) for number, batch in enumerate(whole[1::2])]

    assert list(scale.over(loader)) == expected(0)
    broken_off = scale.over(loader)
    assert [next(broken_off), next(broken_off)] == expected(1)[:2]
    del broken_off
    assert list(scale.over(loader)) == expected(2)
    sampler.seek(3, epoch=1)
    assert list(scale.over(loader)) == expected(1)[3:]
    assert list(scale.over(loader)) == expected(2)


def test_at_is_of_the_epoch_that_the_loader_is_in() -> None:
    loader = ragged_plan().loader(range(SAMPLES), rank=1, world_size=2, accumulate=2, num_workers=2, collate=list)
    scale = LossScale(loader, LENGTHS)
    for epoch in range(2):
        for number, (_, factor) in enumerate(scale.over(loader)):
            assert scale.at(number) == scale.at(loader.batches_done - 1) == scale.at(number, epoch=epoch) == factor
    assert scale.at(0) == scale.at(0, epoch=1)  # as `loader.at` and `state_at`: until the next loop begins
    loader.set_epoch(2)
    assert scale.at(0) == scale.at(0, epoch=2) != scale.at(0, epoch=1)


def test_it_goes_on_with_another_world_size() -> None:
    plan = ragged_plan()
    before = plan.sampler(rank=0, world_size=2, accumulate=1)
    iterator = iter(before)
    seen = [next(iterator) for _ in range(3)]
    after = plan.sampler(rank=0, world_size=1, accumulate=2)
    after.load_state_dict(before.state_dict())
    pairs = list(LossScale(after, LENGTHS).over(DataLoader(range(SAMPLES), batch_sampler=after, collate_fn=list)))
    assert len(seen) * 2 + len(pairs) == len(after)
    for first in range(0, len(pairs), 2):
        total = LENGTHS[pairs[first][0] + pairs[first + 1][0]].sum()
        assert pairs[first][1] == pairs[first + 1][1] == 1 / total


KINDS = sorted(laws.EVERY_PLAN)


def counted(kind: str, world: int, accumulate: int, state: dict, counts: object) -> list[list[tuple[list, float]]]:
    """What `over` gives every rank for what is left of the epoch that a state is in, without fillers; `at` agrees."""
    plan = laws.EVERY_PLAN[kind](5)
    samplers = [plan.sampler(rank=rank, world_size=world, accumulate=accumulate) for rank in range(world)]
    for sampler in samplers:
        sampler.load_state_dict(state)
    found = []
    for sampler in samplers:
        begun, epoch = sampler.batches_done, sampler.epoch
        scale, pairs = LossScale(sampler, counts), []
        for number, (batch, factor) in enumerate(scale.over(iter(sampler)), begun):
            assert number >= begun + 3 or scale.at(number) == factor  # in the loop, of the epoch that runs
            pairs.append((batch, factor))
        if isinstance(plan, laws.EvaluationPlan):
            pairs = [
                (batch[: sampler.real(step, epoch=epoch)], scale) for step, (batch, scale) in enumerate(pairs, begun)
            ]
        found.append(pairs)
    return found


def assert_factors_are_of_whole_steps(ranks: list, accumulate: int, amount: Callable[[list], float]) -> None:
    assert len({len(rank) for rank in ranks}) == 1
    assert len(ranks[0]) % accumulate == 0  # the last step of an epoch is whole, too
    for first in range(0, len(ranks[0]), accumulate):
        step = [pair for rank in ranks for pair in rank[first : first + accumulate]]
        total = sum(amount(batch) for batch, _ in step)
        assert [factor for _, factor in step] == pytest.approx([len(ranks) / total] * len(step), rel=1e-12)


@pytest.mark.filterwarnings("ignore:the run goes on in steps:batchwright.PoorWarning")
@pytest.mark.filterwarnings("ignore:the shards are divided among:batchwright.PoorWarning")
@pytest.mark.parametrize("kind", KINDS)
@examples(4)
@given(
    worlds=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), min_size=2, max_size=2),
    taken=st.integers(1, 9),
    by_tokens=st.booleans(),
)
def test_of_every_plan_also_gone_on_with_in_another_world(
    kind: str, worlds: list[tuple[int, int]], taken: int, by_tokens: bool
) -> None:
    plan = laws.EVERY_PLAN[kind](5)
    tokens = np.arange(plan.groups.sample_count) * 7 % 11 + 1
    counts, amount = (tokens, lambda batch: tokens[batch].sum()) if by_tokens else (None, len)
    (world, accumulate), (other_world, other_accumulate) = worlds
    assert_factors_are_of_whole_steps(counted(kind, world, accumulate, {}, counts), accumulate, amount)
    sampler = plan.sampler(rank=0, world_size=world, accumulate=accumulate)
    for _ in zip(range(taken * accumulate), sampler, strict=False):
        pass
    ranks = counted(kind, other_world, other_accumulate, sampler.state_dict(), counts)
    assert_factors_are_of_whole_steps(ranks, other_accumulate, amount)


@pytest.mark.parametrize("read", [lambda counts: counts, lambda counts: lambda batch: torch.as_tensor(counts[batch])])
def test_counts_of_a_narrow_type_do_not_overflow(read: Any) -> None:
    sampler = bw.shuffled(SAMPLES, 3, seed=3).sampler(rank=0, world_size=1)
    assert LossScale(sampler, read(np.full(SAMPLES, 60_000, np.float16))).at(0) == pytest.approx(1 / (3 * 60_000), 1e-3)


@pytest.mark.parametrize("fetch", [1, 2, 4, "step"])
def test_lists_of_several_micro_batches(fetch: int | str) -> None:
    plan = ragged_plan()
    ranks = []
    for rank in range(2):
        sampler = plan.sampler(rank=rank, world_size=2, accumulate=4, fetch=fetch)
        ranks.append(list(LossScale(sampler, LENGTHS).over(iter(sampler))))
        assert [LossScale(sampler, LENGTHS).at(step, epoch=0) for step in range(len(sampler))] == [
            f for _, f in ranks[-1]
        ]
    lists_a_step = 4 if fetch == 1 else 4 // (4 if fetch == "step" else fetch)
    assert_factors_are_of_whole_steps(ranks, lists_a_step, lambda batch: LENGTHS[batch].sum())
    with pytest.raises(bw.Infeasible, match="holds 3 micro-batches, an optimizer step 2"):
        LossScale(plan.sampler(accumulate=2, fetch=3))


def test_shares_set_during_an_epoch_change_what_is_counted() -> None:
    lengths = np.repeat([1, 100], [500, 100])
    plan = bw.balanced([0] * 500 + [1] * 100, 10, target=bw.targets.moving("natural"), epoch=300)
    sampler = plan.sampler(rank=0, world_size=1, accumulate=2)
    pairs = []
    for pair in LossScale(sampler, lengths).over(iter(sampler)):
        pairs.append(pair)
        if len(pairs) == 10:
            sampler.retarget([0.1, 0.9])
    assert_factors_are_of_whole_steps([pairs], 2, lambda batch: lengths[batch].sum())


def test_refusals() -> None:
    schedule = bw.balanced([0] * 30 + [1] * 30, 4, target=bw.targets.schedule("natural", {0: 0.7, 1: 0.3}, epochs=2))
    with pytest.raises(bw.Infeasible, match="another weight in another epoch"):
        LossScale(schedule.sampler(), Weights(schedule))
    with pytest.raises(bw.Infeasible, match="there are 2 counts, the plan yields 60 numbers"):
        LossScale(schedule.sampler(), [1, 2])
    sampler = ragged_plan().sampler(rank=0, world_size=2)
    for loader in (DataLoader(range(60), batch_size=3), DataLoader(range(60), batch_sampler=ragged_plan().sampler())):
        with pytest.raises(bw.Infeasible, match=r"the loader draws from .*, the loss scale is of <rank 0 of 2"):
            next(LossScale(sampler).over(loader))
    with pytest.raises(bw.Infeasible, match="a sampler or a loader of a plan is needed, this is of type FixedPlan"):
        LossScale(ragged_plan())
    with pytest.raises(bw.Infeasible, match="batch 10 of an epoch of 10 batches"):
        LossScale(sampler).at(10)
    resumed = ragged_plan().sampler(rank=0, world_size=2)
    resumed.load_state_dict(sampler.state_at(3))
    with pytest.raises(bw.Infeasible, match="batch 2 of epoch 0 came before this run was resumed, at batch 3"):
        LossScale(resumed).at(2)
    with pytest.raises(bw.Infeasible, match="counts at sample 1 is -1"):
        LossScale(sampler, [1, -1, *range(58)])
    with pytest.raises(bw.Infeasible, match="one value a sample is needed"):
        LossScale(sampler, [[1, 2], [3, 4]])
    with pytest.raises(bw.Infeasible, match="sum to -1"):
        loss_scale(-1)
    with pytest.raises(bw.Infeasible, match="sum to nan"):
        loss_scale(float("nan"))
    assert loss_scale(0) == 0


def test_over_begins_where_the_next_loop_does_also_while_another_is_held() -> None:
    plan = bw.budgeted(np.random.default_rng(0).integers(1, 90, 60), 120)
    loader = plan.loader(range(60), collate=list, num_workers=0)
    held = iter(loader)
    next(held)  # a look
    scale = bw.correct.LossScale(loader.sampler)
    factors = [factor for _, factor in scale.over(loader)]
    assert factors == [1 / len(samples) for samples in plan.epoch(0)]
    del held
