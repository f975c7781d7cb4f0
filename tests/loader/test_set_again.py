"""Shares that are set several times: loader, sampler, plan and a resumed run give the same, for every kind of plan."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples
from .small import made

pytestmark = [
    pytest.mark.filterwarnings("ignore::batchwright.PoorWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
]

SIZES = {"web": 700, "code": 200, "books": 100}
GROUP = np.repeat(np.arange(3), [*SIZES.values()])
LENGTHS = np.random.default_rng(0).integers(20, 900, GROUP.size)
MOVING = bw.targets.moving([0.7, 0.2, 0.1])
SHARES = [[0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.3, 0.4, 0.3]]


def labelled() -> Any:
    return bw.balanced(GROUP, 4, target=MOVING)


def mixture() -> Any:
    return bw.mixed(SIZES, 4, target=MOVING)


ORDERS: dict[str, Callable[[], Any]] = {
    "labels": labelled,
    "groups together": lambda: bw.balanced(GROUP, 6, per_class=2, target=MOVING),
    "sources": mixture,
    "a source with labels": lambda: bw.mixed(
        {"web": bw.balanced(GROUP[:700] + np.arange(700) % 2, 3), "code": 200, "books": 100}, 4, target=MOVING
    ),
}
CUT = [*ORDERS.keys() - {"groups together"}]  # a cut would tear those apart
CUTS: dict[str, Callable[[Any], Any]] = {
    "packed": lambda order: bw.packed(LENGTHS, 8000, order=order, window=16),
    "packed by a search": lambda order: bw.packed(LENGTHS, 1000, order=order, window=4, solver="exact"),
    "packed in pieces": lambda order: bw.packed(LENGTHS, 800, order=order, window=24, too_long="split"),
    "budgeted": lambda order: bw.budgeted(LENGTHS, 8000, order=order, window=16),
    "budgeted sums": lambda order: bw.budgeted(LENGTHS, 6000, padded=False, order=order, window=16),
    "grouped": lambda order: bw.grouped(LENGTHS, 16, order=order, window=16),
    "bucketed": lambda order: bw.bucketed(np.stack([LENGTHS] * 2, 1), 16, buckets=2, order=order, window=16),
}
PLANS: dict[str, Callable[[], Any]] = {
    **ORDERS,
    **{f"{cut}, over {order}": lambda c=cut, o=order: CUTS[c](ORDERS[o]()) for cut in CUTS for order in CUT},
}
BATCHES = 180  # some epochs


def over_epochs(loop: Any) -> Iterator[list[int]]:
    while True:
        for batch in loop:
            yield [int(sample) for sample in batch]


def run(ranks: list[Any], steps: range, moves: dict[int, int]) -> tuple[list[list[int]], list[int]]:
    """The batches of all ranks in these steps, and where shares began that were set after some of them."""
    batches, begun = [], []
    for step, together in zip(steps, zip(*map(over_epochs, ranks), strict=True), strict=False):
        batches += together
        if step in moves:
            (first,) = {rank.retarget(SHARES[moves[step]]) for rank in ranks}
            begun.append(first)
    return batches, begun


def of_plan(plan: Any) -> list[list[int]]:
    return [plan[number].tolist() for number in range(BATCHES)]


def differ(found: list[list[int]], wanted: list[list[int]]) -> list[int]:
    """The numbers of the batches that are others."""
    return [number for number, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other]


def agree(kind: str, moves: dict[int, int], stop: int, world: int, workers: int) -> None:
    plan, steps = PLANS[kind](), BATCHES // world

    def loaders() -> list[Any]:
        return [made(plan, rank=rank, world_size=world, num_workers=workers) for rank in range(world)]

    samplers, loading = [plan.sampler(rank=rank, world_size=world) for rank in range(world)], loaders()
    given, begun = run(samplers, range(1, steps + 1), moves)
    loaded, loaded_begun = run(loading, range(1, steps + 1), moves)
    assert loaded_begun == begun
    assert differ(loaded, given) == []
    for one in (samplers[0], loading[0]):
        assert differ(of_plan(one.plan.stepped(world)), given) == []
    first = loaders()
    begin, _ = run(first, range(1, stop + 1), moves)
    state = json.loads(json.dumps(first[0].state_dict()))
    resumed = loaders()
    for loader in resumed:
        loader.load_state_dict(state)
    rest, _ = run(resumed, range(stop + 1, steps + 1), moves)
    assert differ(begin + rest, given) == []
    assert differ(of_plan(resumed[0].plan.stepped(world)), given) == []
    if not plan.splits and "a source" not in kind:  # else it visits pieces, and classes of a source
        visits = np.bincount(np.concatenate(loaded), minlength=GROUP.size)
        for number in range(3):
            assert np.ptp(visits[number == GROUP]) <= (2 if plan.cutter else 1)


@examples(15)
@given(
    kind=st.sampled_from(sorted(PLANS)),
    moves=st.dictionaries(st.integers(1, BATCHES - 20), st.integers(0, 3), min_size=2, max_size=6),
    stop=st.integers(1, BATCHES // 2 - 1),
    world=st.integers(1, 2),
)
@example(kind="packed, over labels", moves={60: 0, 87: 1}, stop=100, world=1)
@example(kind="budgeted, over labels", moves={75: 0, 117: 1}, stop=119, world=1)
@example(kind="packed, over sources", moves={30: 2, 60: 0, 90: 1}, stop=100, world=1)
@example(kind="packed, over sources", moves={15: 2, 30: 0, 45: 1}, stop=50, world=2)
def test_a_loader_gives_what_its_sampler_and_its_plan_say_and_what_it_gives_resumed(
    kind: str, moves: dict[int, int], stop: int, world: int
) -> None:
    agree(kind, moves, stop, world, 0)


@pytest.mark.parametrize(
    "kind", ["labels", *(f"{cut}, over labels" for cut in CUTS), "packed, over a source with labels"]
)
def test_neither_does_it_depend_on_workers(kind: str) -> None:
    agree(kind, {60: 0, 61: 2, 87: 1, 130: 3}, 100, 1, 2)


def test_a_plan_that_was_asked_before_it_takes_shares_from_a_state_says_what_the_run_gave() -> None:
    for make, order in itertools.product([CUTS["packed"], CUTS["budgeted"]], [labelled, mixture]):
        plan = make(order())
        given, _ = run([sampler := plan.sampler(rank=0, world_size=1)], range(1, BATCHES + 1), {30: 0, 60: 1, 90: 2})
        other = make(order())
        late, one = other[300].tolist(), other.sampler(rank=0, world_size=1)  # windows are kept that begin until there
        one.load_state_dict(sampler.state_dict())
        assert differ(of_plan(one.plan), given) == []
        one.load_state_dict(plan.sampler(rank=0, world_size=1).state_dict())
        assert one.plan[300].tolist() == late
        run([two := other.sampler(rank=0, world_size=1)], range(1, BATCHES + 1), {20: 3, 70: 0})
        two.load_state_dict(sampler.state_dict())  # of another run, whose shares were set elsewhere
        assert differ(of_plan(two.plan), given) == []
