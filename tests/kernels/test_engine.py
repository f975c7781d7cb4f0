"""The program at the head of docs/design.md gives what `balanced` gives, bit for bit."""

from __future__ import annotations

import itertools
import re
import warnings
from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples

PAGE = Path(__file__).parents[2] / "docs" / "design.md"
LINES = 60


def engine():
    """The first code block of the page, executed."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) <= LINES
    namespace = {}
    exec(code, namespace)
    return namespace["micro_batches"]


MICRO_BATCHES = engine()


@st.composite
def plans(draw):
    """Labels in any order, with shares that give every group at least one sample in a micro-batch on average."""
    weights = draw(st.lists(st.integers(1, 20), min_size=1, max_size=6))
    least = -(-sum(weights) // min(weights))
    batch_size = draw(st.integers(least, least + 30))
    sizes = draw(st.lists(st.integers(1, 20) | st.integers(60, 200), min_size=len(weights), max_size=len(weights)))
    labels = draw(st.permutations([*named(sizes)]))
    return labels, weights, batch_size, draw(st.integers(0, 2**64 - 1)), draw(st.integers(1, 1000))


def named(sizes):
    return itertools.chain.from_iterable([group] * size for group, size in enumerate(sizes))


@examples(25)
@given(plan=plans())
def test_the_program_of_the_design_page_is_the_engine(plan):
    labels, weights, batch_size, seed, epoch = plan
    target = {group: Fraction(weight, sum(weights)) for group, weight in enumerate(weights)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)  # groups smaller than their quota are part of the law
        plan = bw.balanced(labels, batch_size, target=target, seed=seed, epoch=epoch)
    groups = [[sample for sample, label in enumerate(labels) if label == group] for group in range(len(weights))]
    for number, batch in zip(range(2 * 89 + 5), MICRO_BATCHES(groups, weights, batch_size, seed), strict=False):
        assert plan[number].tolist() == batch
