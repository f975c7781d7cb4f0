"""The small plans by lengths that the cases of refusals are made of, and what it means that a way out works."""

from __future__ import annotations

import ast
import re

import pytest

import batchwright as bw
from batchwright import Infeasible

L = [5, 6, 7, 8]
LABELS = ["cat"] * 6 + ["dog"] * 4
PAIR = {"a": L, "b": [1, 2, 3, 4]}
ROOM = {"a": 40, "b": 40}
LITTLE = {"a": 6, "b": 3}
NAME = "n" * 9999


def budget(lengths=L, max_tokens=40, **more):
    return bw.budgeted(lengths, max_tokens, **more)


def packs(lengths=L, capacity=40, **more):
    return bw.packed(lengths, capacity, **more)


def squared(lengths):
    return lengths**2


def ends(plan, epochs=2):
    """The plan is one that can be gone through."""
    assert all(batch.size for epoch in range(epochs) for batch in plan.epoch(epoch))
    return plan


def all_policies(make, *policies):
    """Each of the policies is one."""
    for policy in policies:
        ends(make(too_long=policy))


def enough(make):
    """A call made again with the limit that its refusal names."""
    with pytest.raises(Infeasible) as refusal:
        make()
    return make(ast.literal_eval(re.findall(r"(?:max_tokens|capacity)=(\{.*?\}|[\d.e+]+)", refusal.value.way_out)[0]))
