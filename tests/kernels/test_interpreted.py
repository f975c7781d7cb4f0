"""Kernels as plain Python functions, and the engine in plain Python: the same bits as the compiled kernels."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright import plain_engine
from batchwright.kernels.compile import interpreted
from batchwright.micro_batches import LAST

from .. import golden
from ..examples import examples

KEPT = json.loads(golden.FILE.read_text())["vectors"]


def test_interpreted_kernels_give_the_golden_vectors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plans = list(golden.plans())
        with interpreted():
            for name, plan in plans:
                for number in (1, 10**6 + 7):
                    assert plan[number].tolist() == KEPT[name][str(number)], (name, number)


def test_interpreted_kernels_need_no_numba():
    code = """
import sys, batchwright as bw
from batchwright.kernels.compile import interpreted
with interpreted():
    print(bw.balanced([0] * 70 + [1] * 20, 6, target="sqrt")[5].tolist(), "numba" in sys.modules)
"""
    printed = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert printed == f"{bw.balanced([0] * 70 + [1] * 20, 6, target='sqrt')[5].tolist()} False"


def test_the_last_micro_batch_is_known_in_two_places():
    assert plain_engine.LAST == LAST


sizes = st.lists(st.one_of(st.integers(1, 70), st.integers(60, 400)), min_size=1, max_size=60)
targets = st.sampled_from(["uniform", "natural", "sqrt", 0.3, "first"])


@examples(40)
@given(
    sizes, targets, st.integers(1, 40), st.sampled_from([1, 1, 2, 3]), st.integers(0, 2**64 - 1),
    st.lists(st.integers(0, 3000) | st.integers(0, LAST), min_size=1, max_size=12),
)  # fmt: skip
def test_the_plain_engine_deals_the_micro_batches_of_the_plan(sizes, target, tickets, per_class, seed, numbers):
    labels = np.random.default_rng(len(sizes)).permutation(np.repeat(np.arange(len(sizes)), sizes))
    if per_class > 1:
        tickets = 1 if target == "first" else min(tickets, len(sizes))
    target = {group: float(group == 0) for group in range(len(sizes))} if target == "first" else target
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plan = bw.balanced(labels, tickets * per_class, target=target, per_class=per_class, seed=seed)
    deal, index = plan.order.deal, plan.groups.index.tolist()
    if deal is None:
        assert not plan.order._spans[0].light.even
        return
    deal = plain_engine.Deal(*json.loads(json.dumps(deal)))
    for number in numbers:
        assert plain_engine.micro_batch(number, deal, index) == plan[number].tolist(), number


@pytest.mark.parametrize(
    "plan",
    [
        bw.balanced([0, 0, 0, 1, 1], 2, target=bw.targets.schedule("natural", "uniform", epochs=3)),
        bw.balanced(np.repeat(np.arange(300), np.arange(1, 301)), 4, target="sqrt"),
        bw.shuffled(100, 4),
    ],
)
def test_the_plain_engine_leaves_what_it_does_not_know(plan):
    assert plan.order.deal is None
