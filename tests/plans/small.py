"""The small plans that the cases of refusals are made of."""

from __future__ import annotations

import re

import pytest

import batchwright as bw
from batchwright import Infeasible

LABELS = ["cat"] * 6 + ["dog"] * 4
LEVELS = [list("aaaabbbbcccc"), list("xxyyxxyyxxyy")]
MOVES = bw.targets.schedule("natural", "uniform", epochs=3)
WANDERS = bw.targets.moving("uniform", floor=0.2, ceiling=0.7)
EMPTY = bw.Groups.from_sizes({"cat": 6, "dog": 4, "owl": 0})


def balanced(*, labels=LABELS, batch_size=4, **more):
    return bw.balanced(labels, batch_size, **more)


def tasks(**more):
    return bw.alternating({"a": bw.shuffled(8, 4), "b": bw.shuffled(8, 4)}, **more)


def levels(per, columns=LEVELS, **more):
    return bw.hierarchical(columns, per, **more)


def lengths(numbers=40):
    return bw.budgeted([1 + number % 3 for number in range(numbers)], 9)


def numbers_of(refused):
    """The numbers in the way out of a refusal, as they are written."""
    with pytest.raises(Infeasible) as refusal:
        refused()
    return [int(number) for number in re.findall(r"\d+", refusal.value.way_out)]
