"""The laws every plan must keep, and the list of every kind of plan.

A new kind of plan is added to `EVERY_PLAN`; `test_laws.py` then holds it to all of them. Each law takes the plan and numbers
that hypothesis draws.
"""

from __future__ import annotations

import itertools
import pickle
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import batchwright as bw
from batchwright.plans.by_length import LengthPlan
from batchwright.plans.evaluation import EvaluationPlan
from batchwright.targets import Active, Filler, Fixed

LABELS = np.repeat(np.arange(12), [400, 250, 130, 90, 60, 41, 30, 17, 9, 5, 2, 1])
SPREAD = np.arange(1035) * 7 % 12  # every shard has every group, or shares are not those asked for
LENGTHS = np.clip(np.random.default_rng(0).lognormal(4, 1, 900), 4, 512).astype(int)
SHAPES = np.random.default_rng(1).choice([256, 320, 384, 512], (900, 2))
TWO_BUDGETS = {"text": 3000, "image": 2500}
CATEGORIES = np.searchsorted([8, 14, 26, 34], np.arange(800) % 40, side="right")
HALVES = np.arange(LABELS.size) % 2
WEIGHTS = np.linspace(0, 3, 800) ** 2


def quietly(build: Callable[..., Any]) -> Any:
    """A plan whose poorness is known (groups smaller than their quota, samples that hardly ever come), or uneven steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        return build()


EVERY_PLAN: dict[str, Callable[[int], Any]] = {
    "balanced": lambda seed: quietly(lambda: bw.balanced(LABELS, 32, seed=seed)),
    "natural": lambda seed: bw.balanced(LABELS, 32, target="natural", seed=seed),
    "blend": lambda seed: quietly(lambda: bw.balanced(LABELS, 48, target=0.3, seed=seed)),
    "per class": lambda seed: quietly(lambda: bw.balanced(LABELS, 32, target="sqrt", per_class=4, seed=seed)),
    "many groups": lambda seed: bw.balanced(np.arange(3000) // 2, 16, seed=seed),
    "schedule": lambda seed: quietly(
        lambda: bw.balanced(LABELS, 32, target=bw.targets.schedule("natural", "uniform", epochs=3), seed=seed)
    ),
    "function of the epoch": lambda seed: quietly(
        lambda: bw.balanced([0] * 70 + [1] * 30, 8, target=lambda counts, epoch: swinging(epoch), seed=seed)
    ),
    "random draws": lambda seed: quietly(lambda: bw.balanced(LABELS, 32, draw="random", seed=seed)),
    "weighted": lambda seed: quietly(lambda: bw.weighted(WEIGHTS, 32, seed=seed)),
    "random weights": lambda seed: quietly(lambda: bw.weighted(WEIGHTS, 32, draw="random", seed=seed)),
    "shuffled": lambda seed: bw.shuffled(1000, 32, seed=seed),
    "shuffled in shards": lambda seed: bw.shuffled(1000, 16, local=bw.Shards([100] * 10, open=4), seed=seed),
    "shuffled in shards of ranks": lambda seed: bw.shuffled(
        1000, 16, local=bw.Shards([70, 130, 90, 110] * 2 + [200], open=4, ranks=3), seed=seed
    ),
    "balanced in shards": lambda seed: quietly(
        lambda: bw.balanced(SPREAD, 16, local=bw.Shards([100] * 10 + [35], open=3, ranks=2), seed=seed)
    ),
    "weighted in shards": lambda seed: quietly(
        lambda: bw.weighted(WEIGHTS, 16, local=bw.Shards([100] * 8, open=3, ranks=2), seed=seed)
    ),
    "budgeted": lambda seed: bw.budgeted(LENGTHS, 2048, window=8, seed=seed),
    "budgeted epoch": lambda seed: bw.budgeted(LENGTHS, 2048, window="epoch", padded=False, seed=seed),
    "two budgets": lambda seed: bw.budgeted(
        {"text": LENGTHS, "image": LENGTHS[::-1]}, TWO_BUDGETS, window=8, seed=seed
    ),
    "grouped": lambda seed: bw.grouped(LENGTHS, 12, window=8, seed=seed),
    "grouped level": lambda seed: bw.grouped(LENGTHS, 12, window=8, level=True, seed=seed),
    "bucketed": lambda seed: bw.bucketed(SHAPES, 12, buckets=4, seed=seed),
    "packed": lambda seed: bw.packed(LENGTHS, 512, window=16, seed=seed),
    "packed in fours": lambda seed: bw.packed(LENGTHS, 300, packs=4, window=8, too_long="split", seed=seed),
    "packed in shards": lambda seed: bw.packed(
        LENGTHS[:450], 512, window=4, local=bw.Shards([45] * 10, open=6), seed=seed
    ),
    "mixed in shards": lambda seed: bw.mixed(
        {"web": 350, "books": 45, "code": 105},
        16,
        target="sqrt",
        local={"web": bw.Shards([50] * 7, open=6), "code": bw.Shards([35] * 3, open=4)},
        seed=seed,
    ),
    "balanced and packed": lambda seed: bw.packed(
        LENGTHS[:450], 512, packs=2, window=8, order=bw.balanced(np.arange(450) % 7, 28, seed=seed), seed=seed
    ),
    "mixed": lambda seed: bw.mixed({"web": 700, "books": 90, "code": 210}, 32, target="sqrt", seed=seed),
    "nested mixture": lambda seed: quietly(lambda: nested(seed)),
    "moving": lambda seed: quietly(lambda: moving(seed)),
    "moved": lambda seed: quietly(lambda: moved(seed)),
    "hierarchical": lambda seed: bw.hierarchical([CATEGORIES, np.arange(800) % 40], per=[3, 4, 2], seed=seed),
    "hierarchical by shares": lambda seed: bw.hierarchical(
        [CATEGORIES, np.arange(800) % 40], per=[2, 3, 2], target="natural", seed=seed
    ),
    "rotating": lambda seed: quietly(
        lambda: bw.rotating(LABELS, [[0, 1, 2], [3, 4], [2, 5, 6, 7]], per_class=4, seed=seed)
    ),
    "drawn cohorts": lambda seed: quietly(lambda: bw.rotating(LABELS, 4, per_class=5, seed=seed)),
    "raked": lambda seed: quietly(
        lambda: bw.raked(
            {"class": LABELS > 1, "half": HALVES}, {"class": "uniform", "half": {0: 0.3, 1: 0.7}}, 24, seed=seed
        )
    ),
    "multilabel": lambda seed: bw.multilabel(np.stack([LABELS > 1, HALVES], axis=1), 24, target=0.5, seed=seed),
    "tasks": lambda seed: tasks(seed, unit="batch"),
    "tasks by step": lambda seed: tasks(seed, unit="step"),
    "mixture of compositions": lambda seed: quietly(lambda: composed(seed)),
    "mixture in tokens, packed": lambda seed: bw.packed(LENGTHS, 512, window=8, order=in_tokens(seed), seed=seed),
    "tasks of many kinds": lambda seed: quietly(lambda: many_kinds(seed)),
    "one sample": lambda seed: bw.shuffled(1, 1, seed=seed),
    "sequential": lambda seed: bw.sequential(100 + seed % 50, 32),
    "ordered": lambda seed: bw.ordered(np.random.default_rng(seed).integers(0, 500, 900), 32),
    "evaluation": lambda seed: bw.evaluation(1 + seed % 300, 1 + seed % 7),
    "shuffled evaluation": lambda seed: bw.evaluation(1000, 32, order="shuffled", seed=seed),
    "longest first": lambda seed: bw.evaluation(LENGTHS[: 1 + seed % 50], 8, order="length"),
    "evaluation in tokens": lambda seed: bw.evaluation(LENGTHS[: 1 + seed % 900], max_tokens=2048),
    "evaluation of a sum": lambda seed: bw.evaluation(LENGTHS, capacity=2048, order="shuffled", seed=seed),
    "evaluation of packs": lambda seed: bw.evaluation(LENGTHS[: 1 + seed % 900], capacity=512, order="length"),
}
CANNOT_BE_PICKLED = {"function of the epoch"}  # a lambda cannot


def nested(seed: int) -> Any:
    """A mixture of a plain source, a class-balanced one, a weighted one on schedule, and a mixture."""
    inner = bw.mixed({"a": 120, "b": bw.balanced(LABELS, 8, seed=seed)}, 6, target="uniform", seed=seed)
    return bw.mixed(
        {
            "plain": 300,
            "balanced": bw.balanced(LABELS, 16, seed=seed),
            "weighted": bw.weighted(WEIGHTS, 8),
            "inner": inner,
        },
        24,
        target=bw.targets.schedule("natural", "uniform", epochs=2),
        epoch=40,
        seed=seed,
    )


def composed(seed: int) -> Any:
    """A recipe of a hierarchy, a raked plan, drawn cohorts and samples with several labels, the last in a mixture itself."""
    raked = {"class": LABELS > 1, "half": HALVES}, {"class": {False: 0.4, True: 0.6}, "half": "uniform"}
    several = bw.multilabel(np.stack([LABELS > 1, HALVES], axis=1), 6, target=0.5, seed=seed)
    lines = [
        Fixed("hierarchy", 6),
        Active("raked", 5, target_strength=3, strength=4),
        Fixed("cohorts", 3),
        Filler("inner"),
    ]
    return bw.mixed(
        {
            "hierarchy": bw.hierarchical([CATEGORIES, np.arange(800) % 40], per=[3, 2, 1], seed=seed),
            "raked": bw.raked(*raked, 4, seed=seed),
            "cohorts": bw.rotating(LABELS, 4, per_class=1, seed=seed),
            "inner": bw.mixed({"several": several, "plain": 90}, 8, seed=seed),
        },
        20,
        target=bw.targets.formula(lines, 20),
        epoch=50,
        seed=seed,
    )


def in_tokens(seed: int) -> Any:
    """Three sources whose tokens are mixed as asked."""
    shares = {"short": 0.5, "middle": 0.3, "long": 0.2}
    return bw.mixed(
        {"short": 500, "middle": 300, "long": 100}, 24, target=bw.targets.in_units(shares, LENGTHS), epoch=30, seed=seed
    )


def many_kinds(seed: int) -> Any:
    """Tasks of sizes far apart: one cut by budget, one of tasks, one of cohorts given; turns with no short period."""
    inner = bw.alternating({"a": bw.shuffled(60, 4, seed=seed), "b": bw.shuffled(40, 5, seed=seed)}, target="uniform")
    return bw.alternating(
        {
            "budgeted": bw.budgeted(LENGTHS, 2048, window=8, seed=seed),
            "tasks": inner,
            "cohorts": bw.rotating(LABELS, [[0, 1], [2, 3, 4]], per_class=3, seed=seed),
            "rare": bw.shuffled(70, 7, seed=seed),
        },
        target=bw.targets.temperature(1.3),
        epoch=60,
    )


def moving(seed: int) -> Any:
    """A plan whose shares may be set while it runs."""
    return bw.balanced(LABELS, 32, target=bw.targets.moving("sqrt", ceiling=0.5), seed=seed)


def moved(seed: int) -> Any:
    """A plan whose shares were set twice."""
    plan = moving(seed)
    one = plan.share_change_after(20, [1 / 12] * 12)
    other = plan.with_share_changes([one]).share_change_after(150, plan.natural_prior)
    return plan.with_share_changes([one, other])


def tasks(seed: int, unit: Any) -> Any:
    """Three tasks with batch sizes of their own, one of them a mixture."""
    plans = {
        "tag": bw.balanced(np.arange(300) % 5, 10, seed=seed),
        "parse": bw.shuffled(150, 7, seed=seed),
        "rank": bw.mixed({"web": 200, "books": 40}, 12, seed=seed),
    }
    return bw.alternating(plans, target=bw.targets.temperature(1.7), unit=unit)


def swinging(epoch: int) -> list[float]:
    """Shares that never settle."""
    share = 0.25 + 0.5 * (epoch % 3) / 2
    return [share, 1 - share]


def steps(plan: Any, rank: int, world: int, accumulate: int, epochs: int) -> list[list[list[int]]]:
    """What a rank is given, epoch by epoch, through the sampler."""
    sampler = plan.sampler(rank=rank, world_size=world, accumulate=accumulate)
    return [list(sampler) for _ in range(epochs)]


def pure(make: Callable[[int], Any], seed: int, batches: list[int]) -> None:
    """G7: a micro-batch depends on the arguments and its number alone; not on the order of calls or any global state."""
    one, other = make(seed), make(seed)
    length = one.epoch_length()
    forwards = [one.epoch(b // length)[b % length] for b in batches]
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  # the global state, which must not be read
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002  # the global state, which must not change
    backwards = [other.epoch(b // length)[b % length] for b in reversed(batches)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert one.fingerprint == other.fingerprint
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002  # the global state, which did not change
    assert torch.equal(torch.get_rng_state(), before[2])


def pickles(make: Callable[[int], Any], seed: int, batch: int) -> None:
    """A plan that went through a pickle, before or after it was used, is the same plan."""
    plan = make(seed)
    fresh = pickle.loads(pickle.dumps(plan))
    expected = plan.epoch(0)[batch % plan.epoch_length()]
    used = pickle.loads(pickle.dumps(plan))
    for copy in (fresh, used):
        assert np.array_equal(copy.epoch(0)[batch % plan.epoch_length()], expected)
        assert copy.fingerprint == plan.fingerprint


def ranks_share_the_plan(make: Callable[[int], Any], seed: int, world: int, accumulate: int, epochs: int) -> None:
    """G8: the ranks' micro-batches, taken in turn, are the plan's, in order; all have as many, a multiple of accumulate."""
    plan = make(seed)
    ranks = [steps(plan, rank, world, accumulate, epochs) for rank in range(world)]
    for epoch in range(epochs):
        counts = {len(rank[epoch]) for rank in ranks}
        assert len(counts) == 1
        assert counts.pop() % accumulate == 0
        in_turn = [ranks[i % world][epoch][i // world] for i in range(world * len(ranks[0][epoch]))]
        whole = plan.epoch(epoch, world * accumulate)
        assert in_turn == [whole[i].tolist() for i in range(len(whole))]
    assert len(plan.sampler(rank=0, world_size=world, accumulate=accumulate)) == len(ranks[0][0])


def resumes(make: Callable[[int], Any], seed: int, world: int, rank: int, stops: list[int]) -> None:
    """G9: stopping and going on from a state, again and again, gives what never stopping gives."""
    never = make(seed).sampler(rank=rank, world_size=world)
    expected = [batch for _ in range(3) for batch in never]
    got: list[list[int]] = []
    state: dict[str, Any] = {}
    for stop in [*stops, 10**9]:
        sampler = make(seed).sampler(rank=rank, world_size=world)
        kept = dict(state)
        sampler.load_state_dict(state)
        assert state == kept
        while len(got) < len(expected):
            ended = False
            for batch in sampler:
                got.append(batch)
                state = sampler.state_dict()
                stop -= 1
                if not stop or len(got) == len(expected):
                    ended = True
                    break
            if ended:
                break
    assert got == expected


def keeps_its_guarantees(make: Callable[[int], Any], seed: int, first: int) -> None:
    """G1 to G6: an audit is kept from the beginning on and from anywhere."""
    plan = make(seed)
    for begin in (0, first):
        if isinstance(plan, (LengthPlan, EvaluationPlan)):  # it promises whole epochs
            audit = plan.audit(step_size=1 + seed % 5, first=begin % 50)
        else:
            audit = plan.audit(batches=100, first=begin)
        assert audit.kept, f"{plan!r}\n{audit}"


def breaks_off_and_begins_anew(make: Callable[[int], Any], seed: int, after: int) -> None:
    """An epoch broken off is over: the next `iter` is the next epoch from its beginning; `iter` alone changes nothing."""
    plan = make(seed)
    sampler = plan.sampler()
    for _ in range(3):
        iter(sampler)
    for _, _batch in zip(range(after), sampler, strict=False):
        pass
    following = next(iter(sampler))
    assert following == plan.epoch(1)[0].tolist()
    sampler.set_epoch(5)
    assert next(iter(sampler)) == plan.epoch(5)[0].tolist()
    sampler.set_epoch(2)
    assert next(iter(sampler)) == plan.epoch(2)[0].tolist()


def yields_fresh_lists(make: Callable[[int], Any], seed: int) -> None:
    """G10: what is handed out is the caller's own list of Python integers; changing it changes nothing."""
    sampler = make(seed).sampler()
    first = [list(batch) for batch in sampler]
    sampler.set_epoch(0)
    for batch, known in zip(sampler, first, strict=True):
        assert type(batch) is list
        assert all(type(index) is int for index in batch)
        assert batch == known
        batch.append(-1)
    sampler.set_epoch(0)
    assert list(sampler) == first


def slices_are_what_is_asked_for_one_by_one(make: Callable[[int], Any], seed: int, number: int, part: slice) -> None:
    """A slice of an epoch, and a walk through it, give what `epoch[n]` gives, each micro-batch in memory of its own."""
    epoch = make(seed).epoch(number)
    one_by_one = [epoch[place] for place in range(len(epoch))]
    for found, expected in ((epoch[part], one_by_one[part]), (list(epoch), one_by_one)):
        assert [batch.tolist() for batch in found] == [batch.tolist() for batch in expected]
        assert not any(np.shares_memory(one, other) for one, other in itertools.pairwise(found))
