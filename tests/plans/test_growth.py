"""No builder takes more than n log n in its samples or groups: work is counted, and timed in the long version."""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
import pytest

import batchwright as bw

from . import differing


def labels(n):
    return np.repeat(np.arange(n), 2)


def lengths(n):
    return np.repeat(np.arange(1, n + 1), 2)


def shards(samples):
    return bw.Shards(np.bincount(np.arange(samples) // 20))


def square(n):
    """Two attributes of as many levels as the root of n, each cell once."""
    levels = int(n**0.5)
    return {"a": np.arange(levels**2) // levels, "b": np.arange(levels**2) % levels}


def proportional(counts, epoch):
    weights = np.arange(1, len(counts) + 1) + epoch
    return weights / weights.sum()


# by builder and what is many in it: a plan of n groups, or of 2n samples
MANY = {
    "balanced": lambda n: bw.balanced(labels(n), 16),
    "balanced by name": lambda n: bw.balanced(labels(n), 16, target=dict.fromkeys(range(n), 1 / n)),
    "balanced capped": lambda n: bw.balanced(labels(n), 16, target=bw.targets.capped(2)),
    "balanced in units": lambda n: bw.balanced(labels(n), 16, target=bw.targets.in_units("uniform", 7 + lengths(n))),
    "balanced by a function": lambda n: bw.balanced(labels(n), 16, target=proportional),
    "balanced on schedule": lambda n: bw.balanced(
        labels(n), 16, target=bw.targets.schedule("uniform", "natural", epochs=3)
    ),
    "balanced at random": lambda n: bw.balanced(labels(n), 16, draw="random"),
    "shuffled": lambda n: bw.shuffled(n, 16),
    "shuffled in shards": lambda n: bw.shuffled(2 * n, 16, local=shards(2 * n)),
    "balanced in shards": lambda n: bw.balanced(labels(n), 16, local=shards(2 * n)),
    "weighted in shards": lambda n: bw.weighted(lengths(n), 16, local=shards(2 * n)),
    "weighted": lambda n: bw.weighted(lengths(n), 16),
    "sequential": lambda n: bw.sequential(n, 16),
    "ordered": lambda n: bw.ordered(np.arange(n)[::-1], 16),
    "evaluation": lambda n: bw.evaluation(n, batch_size=16, order="shuffled"),
    "evaluation by tokens": lambda n: bw.evaluation(lengths(n), max_tokens=4 * n),
    "evaluation of packs": lambda n: bw.evaluation(lengths(n), capacity=4 * n, order="length"),
    "mixed": lambda n: bw.mixed(dict.fromkeys(range(n), 2), 16),
    "mixed of plans": lambda n: bw.mixed({source: bw.shuffled(3, 1) for source in range(n // 4)}, 16),
    "hierarchical": lambda n: bw.hierarchical([labels(n)], [4, 2]),
    "hierarchical of many branches": lambda n: bw.hierarchical([labels(n) // 4, labels(n)], [2, 3, 1]),
    "hierarchical by shares": lambda n: bw.hierarchical([labels(n), labels(n)], [2, 1, 2], target="natural"),
    "rotating": lambda n: bw.rotating(labels(n), n // 4, per_class=2),
    "rotating given cohorts": lambda n: bw.rotating(labels(n), [[i, i + 1] for i in range(0, n, 2)], per_class=2),
    "alternating": lambda n: bw.alternating({task: bw.shuffled(2 + task % 3, 2) for task in range(n // 4)}),
    "raked": lambda n: bw.raked(square(n), {"a": "uniform", "b": "natural"}, 16),
    "multilabel": lambda n: bw.multilabel([[i % 7, 7 + i % 11] for i in range(n)], 16, target=0.1),
    "budgeted": lambda n: bw.budgeted(lengths(n), 4 * n),
    "budgeted in small windows": lambda n: bw.budgeted(lengths(n), 4 * n, padded=False, window=8),
    "budgeted by a menu": lambda n: bw.budgeted(lengths(n), 4 * n, round_length=list(range(1, n + 1))),
    "grouped": lambda n: bw.grouped(lengths(n), 16, level=True),
    "hybrid": lambda n: bw.hybrid(lengths(n), ranks=4, tokens_per_rank=n, batch_size=16),
    "hybrid in one step": lambda n: bw.hybrid(lengths(n), ranks=n // 4, tokens_per_rank=n, batch_size=n),
    "bucketed": lambda n: bw.bucketed(np.stack([lengths(n), lengths(n)[::-1]], 1), 4, buckets=16),
    "bucketed in many": lambda n: bw.bucketed(np.stack([lengths(n), lengths(n)[::-1]], 1), 4, buckets=n // 8),
    "packed": lambda n: bw.packed(lengths(n), 4 * n),
    "packed together": lambda n: bw.packed(lengths(n), 4 * n, together=labels(n)),
    "packed by two": lambda n: bw.packed({"a": lengths(n), "b": lengths(n)[::-1]}, {"a": 4 * n, "b": 4 * n}, window=8),
    "packed, split": lambda n: bw.packed(lengths(n), n // 4, too_long="split"),
    "packed over an order": lambda n: bw.packed(lengths(n), 4 * n, order=bw.balanced(labels(n), 16), window=8),
}


def used(make, n):
    """What a run does first: build, compare, take a batch here and there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plan = make(n)
        plan.fingerprint, repr(plan), len(plan.sampler())
        plan.epoch(0)[0], plan.epoch(1)[0]


def calls(make, n):
    """How many functions are called, Python's own and those of C."""
    count = 0

    def counting(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counting)
    try:
        used(make, n)
    finally:
        sys.setprofile(before)
    return count


def seconds(make, n):
    found = []
    for _ in range(3):
        begun = time.process_time()
        used(make, n)
        found.append(time.process_time() - begun)
    return min(found)


def test_every_builder_is_here():
    assert {name.split()[0].strip(",") for name in MANY} == set(differing.builders())


@pytest.mark.parametrize("name", MANY)
def test_calls_grow_with_the_groups(name):
    make = MANY[name]
    used(make, 256)  # compiled, and what is imported with it
    assert calls(make, 1024) < 4.5 * calls(make, 256) + 2000


@pytest.mark.long
@pytest.mark.parametrize("name", MANY)
def test_time_grows_with_the_groups(name):
    make = MANY[name]
    used(make, 256)
    assert seconds(make, 16_000) < 8 * max(seconds(make, 4000), 0.02)  # squares take 16 times as long, n log n 5


@pytest.mark.filterwarnings("ignore:.* groups have one sample each:batchwright.PoorWarning")
@pytest.mark.parametrize(
    ("refused", "fact"),
    [
        (lambda: bw.bucketed(np.ones((9, 2)), 2, buckets=np.ones((4097, 2))), "there are 4097 buckets"),
        (lambda: bw.multilabel([[i] for i in range(4097)], 4), "there are 4097 labels, the most is 4096"),
        (lambda: bw.raked({"a": range(4100), "b": [0] * 4100}, {"a": "natural", "b": "natural"}, 4), "4101 levels"),
    ],
)
def test_what_would_take_the_cube_of_many_is_refused(refused, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        refused()


def test_shares_of_thousands_of_digits_are_rounded_and_told_apart():
    target = bw.targets.in_units("uniform", 7 + lengths(1500))
    plan = bw.balanced(labels(1500), 16, target=target)
    per_sample = 1 / (7 + lengths(1500)[::2])
    assert np.allclose(plan.shares(), per_sample / per_sample.sum(), rtol=1e-12)
    moved = bw.targets.schedule(target, "natural", epochs=2)
    assert bw.balanced(labels(1500), 16, target=moved).fingerprint != plan.fingerprint
