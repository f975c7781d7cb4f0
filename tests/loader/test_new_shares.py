"""Shares that are set during a loop: neither they nor the batches depend on how far the workers of a rank have read."""

from __future__ import annotations

from collections import deque
from itertools import chain, islice, repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import batchwright as bw

from ..examples import examples
from .datasets import Numbers
from .small import made

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores

LABELS = [0] * 300 + [1] * 100
SHARES = [{0: 0.5, 1: 0.5}, {0: 0.2, 1: 0.8}, {0: 0.9, 1: 0.1}]


def plan(epoch: int = 120) -> Any:
    return bw.balanced(LABELS, 8, target=bw.targets.moving("natural", floor=0.05), epoch=epoch, seed=2)


def by_lengths() -> Any:
    order = bw.balanced(LABELS, 4, target=bw.targets.moving("natural", floor=0.05), seed=2)
    return bw.budgeted([8 + i % 5 for i in range(400)], 80, order=order, window=12)


def run(loader: Any, moves: dict[int, int], epochs: int = 2) -> tuple[list[Any], list[Any], list[Any]]:
    """The batches, the states after each, and where shares began that were set after so many batches of an epoch."""
    given, states, begun = [], [], []
    for epoch in loader.epochs(epochs):
        for number, batch in enumerate(epoch, 1):
            given.append(batch.tolist())
            if number in moves:
                begun.append(loader.retarget(SHARES[moves[number]]))
                loader.peek()  # a look in between changes nothing
            states.append(loader.state_dict())
    return given, states, begun


def expected(world: int, accumulate: int, fetch: int, moves: dict[int, int], make: Any = plan) -> list[tuple[Any, ...]]:
    """The same from samplers, where nothing is read ahead."""
    ranks = []
    for rank in range(world):
        sampler = make().sampler(rank=rank, world_size=world, accumulate=accumulate, fetch=fetch)
        given, states, begun = [], [], []
        for _ in range(2):
            for number, batch in enumerate(sampler, 1):
                given.append(batch)
                if number in moves:
                    begun.append(sampler.retarget(SHARES[moves[number]]))
                states.append(sampler.state_dict())
        ranks.append((given, states, begun))
    return ranks


@examples(8)
@given(
    moves=st.dictionaries(st.integers(1, 60), st.integers(0, 2), max_size=3),
    world=st.integers(1, 3),
    accumulate=st.integers(1, 2),
)
def test_without_workers_a_loader_is_as_its_sampler(moves: dict[int, int], world: int, accumulate: int) -> None:
    for rank, (wanted, _, begun) in enumerate(expected(world, accumulate, 1, moves)):
        loader = made(plan(), rank=rank, world_size=world, accumulate=accumulate)
        found = run(loader, moves)
        assert (found[0], found[2]) == (wanted, begun)


@pytest.mark.parametrize(
    ("make", "world", "fetch", "moves"),
    [
        (plan, 1, 1, {80: 0}),  # what 4 x 8 batches ahead have read of the next round, from 89 on, is of the old shares
        (plan, 1, 1, {70: 0, 85: 1, 100: 2}),  # set again before they begin, and soon after
        (plan, 3, 1, {25: 0, 29: 2}),  # a batch of the three ranks lies on the border
        (plan, 2, 2, {21: 1}),
        (by_lengths, 2, 1, {5: 0, 9: 1}),
    ],
)
@pytest.mark.parametrize("options", [{}, {"persistent_workers": True}], ids=["workers that end", "workers that stay"])
def test_ranks_with_different_workers_take_the_same_batches(
    make: Any, world: int, fetch: int, moves: dict[int, int], options: dict[str, Any]
) -> None:
    for rank, (wanted, states, begun) in enumerate(expected(world, fetch, fetch, moves, make)):
        workers = {} if rank == 2 else {"num_workers": 3 - rank, "prefetch_factor": 8, **options}
        loader = made(make(), rank=rank, world_size=world, accumulate=fetch, fetch=fetch, **workers)
        found = run(loader, moves)
        assert (found[0], found[2]) == (wanted, begun)
        assert [without_end(state) for state in found[1]] == [without_end(state) for state in states]


def without_end(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name != "ended"}


def test_a_plain_loader_whose_workers_read_ahead_is_warned_of() -> None:
    sampler = plan().sampler()
    loop = iter(DataLoader(Numbers(400), batch_sampler=sampler, num_workers=1))
    next(loop)
    with pytest.warns(bw.PoorWarning, match="have read 2 batches that the loop has not seen, and the new shares begin"):
        sampler.retarget("uniform")


@given(
    at=st.integers(0, 200),
    world=st.sampled_from([1, 2, 8]),
    fetch=st.sampled_from([1, 2]),
    make=st.sampled_from([plan, by_lengths]),
)
def test_progress_says_in_how_many_batches_new_shares_begin(at, world, fetch, make):
    sampler = make().sampler(rank=world - 1, world_size=world, fetch=fetch)
    assert sampler.new_shares_in is None
    sampler.seek(at % (len(sampler) + 1), epoch=at % 3)
    first, here, left = sampler.retarget(SHARES[0]), sampler.position().micro_batch, sampler.new_shares_in or 0
    assert here + left * world * fetch >= first
    assert left == 0 or here + (left - 1) * world * fetch < first


def test_progress_counts_down_to_new_shares():
    loader = plan().loader(range(400), num_workers=0)
    for batch, _ in enumerate(loader, 1):
        if batch == 3:
            assert loader.retarget(SHARES[1]) == 89
            assert str(loader.progress()).endswith("in all), the shares that were set begin in 86 batches")
        if batch >= 88:
            assert loader.progress().new_shares_in == {88: 1}.get(batch)


@pytest.mark.filterwarnings("ignore:the run goes on in steps of 8:batchwright.PoorWarning")
@examples(15)
@given(
    at=st.integers(0, 200),
    moves=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 2)), min_size=1, max_size=3),
    steps=st.integers(0, 60),
    world=st.sampled_from([1, 2, 8]),
    make=st.sampled_from([plan, by_lengths]),
)
def test_a_resumed_run_counts_down_to_the_shares_that_were_set_before(at, moves, steps, world, make):
    built, first = make(), 0
    sampler = built.sampler(rank=0, world_size=2)
    sampler.seek(at % len(sampler), epoch=at % 3)
    batches = chain.from_iterable(repeat(sampler))  # over the ends of epochs
    for count, share in moves:
        deque(islice(batches, count), maxlen=0)
        first = sampler.retarget(SHARES[share])
    deque(islice(batches, steps), maxlen=0)
    same, other = built.sampler(rank=1, world_size=2), built.sampler(rank=0, world_size=world)
    same.load_state_dict(sampler.state_dict())
    other.load_state_dict(sampler.state_dict())
    here = same.position().micro_batch
    assert sampler.new_shares_in == same.new_shares_in == (-(-(first - here) // 2) if first > here else None)
    left, begins = other.new_shares_in, new_round(other)
    if make is plan or world < 8:  # windows of a plan by lengths hold as much in steps of 1 and 2, not of 8
        assert left == (-(-(first - here) // world) if first > here else None)
    batches = chain.from_iterable(repeat(other))
    if left is not None:
        deque(islice(batches, left - 1), maxlen=0)
        assert other.new_shares_in == 1
        next(batches)
    assert other.new_shares_in is None
    assert places(other) >= begins


def new_round(sampler: Any) -> int:
    """The place of the order where the round begins that has the shares that were set last."""
    plan = sampler.plan
    changed = [one.change for one in plan.set_shares] if plan.set_shares else plan.share_changes
    return changed[-1].first * plan.order_plan.batch_size


def places(sampler: Any) -> int:
    """The places of the order that the run has come past: exact where a window begins."""
    plan = sampler.plan.order_plan
    return round(sampler.epochs_done * plan.epoch_batches * plan.batch_size)
