"""What no stream can be made of is refused when it is built."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from batchwright import Infeasible, online


def balanced(**arguments):
    return online.balanced([0, 1] * 50, **{"key": int, "batch_size": 4, "buffer": 40} | arguments)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: balanced(batch_size=2.5), "batch_size is 2.5, not a whole number"),
        (lambda: balanced(batch_size=0), "batch_size is 0, the least is 1; pass batch_size=1 or more"),
        (lambda: balanced(buffer="40"), "buffer is '40', not a whole number"),
        (lambda: balanced(seed="x"), "seed is 'x', not a whole number"),
        (lambda: balanced(steps=1.5), "steps is 1.5, not a whole number"),
        (
            lambda: balanced(batch_size=500, buffer=10),
            "buffer is 10 and batch_size is 500: when_short='wait' needs 500 places; pass buffer=500 or more",
        ),
        (
            lambda: balanced(batch_size=500, buffer=999, when_short="repeat"),
            "when_short='repeat' needs 1,000 places; pass buffer=1000 or more",
        ),
        (lambda: online.packed([], length=len, capacity=9, packs=1.5), "packs is 1.5, not a whole number"),
        (lambda: online.packed([], length=len, capacity=9, packs=0), "packs is 0, the least is 1"),
        (lambda: online.packed([], length=len, capacity=0.5), "capacity is 0.5, the least is 1"),
        (lambda: online.budgeted([], length=len, max_samples=0.5), "max_samples is 0.5, not a whole number"),
        (lambda: online.budgeted([], length=len, max_tokens=math.inf), "neither max_tokens nor max_samples is a limit"),
        (lambda: online.budgeted([], length=len, max_tokens=math.nan), "max_tokens is nan, not a number"),
        (lambda: online.packed([], length=len, capacity=np.ones(2)), "not a number; pass capacity as a finite number"),
        (lambda: balanced(patience=-1), "patience is -1, the least is 0"),
        (lambda: online.budgeted([], length=len, max_tokens=9, seed=None), "seed is None, not a whole number"),
        (lambda: online.mixed([[1], [2]]), "sources is of type list; pass sources by name"),
        (lambda: online.mixed({}), "sources has 0 entries"),
        (lambda: online.mixed({"a": [1]}, batch_size=1.5), "batch_size is 1.5, not a whole number"),
    ],
)
def test_what_no_stream_can_be_made_of_is_refused_when_built(build, said):
    with pytest.raises(Infeasible, match=said):
        build()


@pytest.mark.parametrize("when_short", ["wait", "repeat", "redistribute"])
def test_the_buffer_that_is_asked_for_is_enough(when_short):
    needed = 2 * 8 if when_short == "repeat" else 8
    with pytest.raises(Infeasible, match=f"pass buffer={needed} or more"):
        balanced(batch_size=8, buffer=needed - 1, when_short=when_short)
    assert list(balanced(batch_size=8, buffer=needed, when_short=when_short))


SAMPLES = [1 + n % 3 for n in range(500)]
STREAMS = {
    "balanced": lambda number: balanced_of(batch_size=number(200), buffer=number(250)),
    "steps": lambda number: balanced_of(batch_size=10, steps=number(7)),
    "debt": lambda number: balanced_of(
        batch_size=8, when_short="redistribute", patience=number(9), max_deficit=number(3)
    ),
    "budgeted": lambda number: online.budgeted(
        SAMPLES, length=int, max_tokens=number(100), max_samples=number(90), buffer=number(200)
    ),
    "packed": lambda number: online.packed(
        SAMPLES, length=int, capacity=number(100), packs=number(2), buffer=number(200)
    ),
    "mixed": lambda number: online.mixed({"a": SAMPLES, "b": SAMPLES}, batch_size=number(200)),
}


def balanced_of(**arguments):
    return online.balanced(SAMPLES, **{"key": int, "when_short": "wait", "buffer": 300} | arguments)


@pytest.mark.filterwarnings(
    "ignore:waiting gave|group .* slots due to it|samples repeat within:batchwright.PoorWarning"
)
@pytest.mark.parametrize("number", [np.uint8, np.int64, torch.tensor])
@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_whole_numbers_of_any_library_are_those_of_python(kind, number):
    stream, plain = STREAMS[kind](number), STREAMS[kind](int)
    assert list(stream) == list(plain)
    assert stream.arguments() == plain.arguments()


@pytest.mark.parametrize("when_short", ["wait", "redistribute"])
def test_infinity_is_no_limit(when_short):
    def batches(limit):
        return list(balanced_of(batch_size=8, when_short=when_short, patience=limit, max_deficit=limit))

    assert batches(math.inf) == batches(10**6)
    for lengths in ({"max_tokens": math.inf, "max_samples": 4}, {"max_tokens": 9, "max_samples": math.inf}):
        finite = {argument: limit for argument, limit in lengths.items() if limit < math.inf}
        unlimited = online.budgeted(SAMPLES, length=int, **lengths)
        assert list(unlimited) == list(online.budgeted(SAMPLES, length=int, **finite))
    assert sum(map(len, online.packed(SAMPLES, length=int, capacity=math.inf, buffer=500))) == 500
