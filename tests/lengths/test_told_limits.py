"""Limits and policies that a refusal by length tells work, whatever the lengths are."""

from __future__ import annotations

import ast
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright import Infeasible

from ..examples import examples

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

LIMIT = re.compile(r"(max_tokens|capacity|max_cost)=(\{.*?\}|[\d.e+-]+)")
MENU = re.compile(r"round_length that ends with (\d+)")
POLICIES = re.compile(r"too_long=((?:'\w+'(?:, | or )?)+)")
FUNCTIONS = [None, lambda lengths: lengths**2 / 3, np.sqrt]


def followed(build, **arguments):
    """Every way out of a refusal is followed, each by itself."""
    try:
        build(**arguments)
    except Infeasible as refusal:
        said = refusal.way_out
    else:
        return
    ways = [
        {"too_long": policy}
        for found in POLICIES.findall(said)
        for policy in re.findall(r"\w+", found)
        if policy != "or"
    ]
    larger = {name: ast.literal_eval(value) for name, value in LIMIT.findall(said)}
    if ends_with := MENU.search(said):
        larger["round_length"] = [*arguments["round_length"], int(ends_with[1])]
    ways += [larger] if larger else []
    for way in ways:
        build(**arguments | way)
    assert ways


@examples(60)
@given(data=st.data(), names=st.sampled_from([None, ["a"], ["a", "b"]]), count=st.integers(1, 5))
def test_limits_and_policies_that_are_told_work_for_any_lengths(data, names, count):
    def by_name(values):
        return data.draw(values) if names is None else {name: data.draw(values) for name in names}

    menu = st.integers(1, 9) | st.lists(st.integers(1, 25), min_size=1, max_size=3)
    decimals = st.lists(st.floats(0, 30), min_size=count, max_size=count)
    followed(
        bw.budgeted,
        lengths=by_name(decimals),
        max_tokens=by_name(st.floats(0.25, 25)),
        round_length=data.draw(menu),
        cost=data.draw(st.sampled_from(FUNCTIONS)),
        too_long=data.draw(st.sampled_from(["refuse", "skip"])),
    )
    keys = st.lists(st.integers(0, 2), min_size=count, max_size=count)
    followed(
        bw.packed,
        lengths=by_name(st.lists(st.integers(1, 30), min_size=count, max_size=count)),
        capacity=by_name(st.integers(1, 25)),
        together=data.draw(st.none() | keys),
        balance=data.draw(st.none() | decimals),
        too_long=data.draw(st.sampled_from(["refuse", "skip"])),
    )
    parts = data.draw(st.integers(1, 4))
    costs = data.draw(decimals)
    followed(bw.partition, costs=costs, parts=parts, max_cost=data.draw(st.floats(0, 30)))
