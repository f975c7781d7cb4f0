"""A loader compares how its collate function pads with what the budget of the plan counts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples

OTHER_LENGTHS = "and the budget of the plan counts other lengths"


class Sequences(torch.utils.data.Dataset):
    """Sample i has `lengths[i]` elements."""

    def __init__(self, lengths: Any) -> None:
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": torch.ones(int(self.lengths[index]))}


def told(plan: Any, lengths: Any, **padding: Any) -> tuple[bool, int]:
    """Whether the loader warned, and the elements of its largest batch."""
    collate = bw.Collate(x=bw.ragged(pad=0, **padding))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loader = plan.loader(Sequences(lengths), collate=collate, num_workers=0, seeded=False)
    return any(OTHER_LENGTHS in str(entry.message) for entry in caught), max(batch["x"].numel() for batch in loader)


ROUNDINGS = st.one_of(st.integers(1, 40), st.lists(st.integers(1, 200), min_size=1, max_size=4, unique=True))


@pytest.mark.filterwarnings("ignore:samples repeat within:batchwright.PoorWarning")
@examples(60)
@given(
    lengths=st.lists(st.integers(1, 100), min_size=1, max_size=60),
    budget=st.integers(100, 400),
    rounding=ROUNDINGS,
    kind=st.sampled_from(["plain", "order", "tasks", "evaluation"]),
)
def test_a_budget_that_padding_exceeds_is_warned_of(lengths: list[int], budget: int, rounding: Any, kind: str) -> None:
    padding = {"multiple": rounding} if isinstance(rounding, int) else {"menu": [*rounding, 100]}
    plan = bw.evaluation(lengths, max_tokens=budget)
    if kind != "evaluation":
        order = bw.shuffled(len(lengths), 4) if kind == "order" else None
        plan = bw.budgeted(lengths, budget, order=order)
        if kind == "tasks":
            plan = bw.alternating({"only": plan})
    warned, largest = told(plan, lengths, **padding)
    assert warned or largest <= budget


@given(lengths=st.lists(st.integers(1, 100), min_size=1, max_size=60), multiple=st.integers(1, 40))
def test_a_plan_that_rounds_in_the_same_way_keeps_its_budget_and_is_not_warned_of(
    lengths: list[int], multiple: int
) -> None:
    rounded = -(-np.array(lengths) // multiple) * multiple
    budget = int(rounded.max()) * 3
    menu = [*sorted({*rounded.tolist()})[::3], int(rounded.max())]
    for padding, rounding in [({"multiple": multiple}, multiple), ({"menu": menu}, menu)]:
        plan = bw.budgeted(lengths, budget, round_length=rounding)
        warned, largest = told(plan, lengths, **padding)
        assert not warned
        assert largest <= budget
    assert not told(bw.evaluation(rounded.tolist(), max_tokens=budget), lengths, multiple=multiple)[0]


def test_what_is_said_and_when_nothing_is() -> None:
    lengths = np.arange(1, 101)
    plan = bw.budgeted(lengths, 300)
    with pytest.warns(
        bw.PoorWarning, match=r"field 'x' to multiple=64, .* 17 samples of length 17 .* 64, 1088 .* round_length=64"
    ):
        plan.loader(Sequences(lengths), collate=bw.Collate(x=bw.ragged(pad=0, multiple=64)), num_workers=0)
    with pytest.warns(bw.PoorWarning, match=r"menu=\[70, 100\], .* round_length=\[70, 100\]"):
        plan.loader(Sequences(lengths), collate_fn=bw.Collate(x=bw.ragged(pad=0, menu=[70, 100])), num_workers=0)
    collate = bw.Collate(x=bw.ragged(pad=0, multiple=64))
    plan.loader(Sequences(lengths), collate=collate, num_workers=0, check_data=False)
    for other in (
        bw.budgeted(lengths, 300, padded=False),  # it counts no padding
        bw.budgeted(lengths / 7, 300),  # in seconds, of which it is not known how many elements they are
        bw.shuffled(100, 4),
    ):
        other.loader(Sequences(lengths), collate=collate, num_workers=0)
