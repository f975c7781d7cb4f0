"""What no stream can be made of is refused when it is built."""

from __future__ import annotations

import pytest

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
        (lambda: online.budgeted([], length=len, max_tokens=9, seed=None), "seed is None, not a whole number"),
        (lambda: online.mixed([[1], [2]]), "sources is of type list; pass sources by name"),
        (lambda: online.mixed({}), "there are 0 sources"),
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
