"""Arguments of the wrong kind are refused by name; errors of the user's own code and of this package stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import batchwright as bw
from batchwright.public import public
from batchwright.readings import as_list, check_count, reading

from .refusals import cases, told_and_followed

LAYOUT = bw.Layout([1, 2])
PLAN = bw.balanced(list("aab"), 2)

CASES = cases(
    "refuse follow in_fact way_out",
    {
        "a number for text": (
            lambda: bw.attention.keywords(LAYOUT, names=3),
            lambda: bw.attention.keywords(LAYOUT, names={"n": "total"}),
            "^names is 3, of type int",
            "pass names as a dictionary",
        ),
        "an item of a list": (
            lambda: LAYOUT.repeated([1, "x"]),
            lambda: LAYOUT.repeated([1, 2]),
            "^values is ",
            "pass values as a list",
        ),
        "a list in place of a model": (
            lambda: bw.correct.synchronised([1]),
            lambda: bw.correct.synchronised(torch.nn.BatchNorm1d(1)),
            "^model is of type list",
            "pass a torch.nn.Module",
        ),
        "no function": (
            lambda: bw.correct.evaluate(torch.nn.Linear(1, 2), [(torch.zeros(2, 1), torch.tensor([0, 1]))], forward=3),
            lambda: (),
            "^forward is 3",
            "pass forward as a function",
        ),
        "a list without end": (
            lambda: bw.hierarchical([list("ab")], range(10**12)),
            lambda: bw.hierarchical([list("ab")], [1, 1]),
            "^per has 1000000000000 items$",
            f"pass per of at most {1 << 32} items",
        ),
        "a device": (
            lambda: bw.Layout([1], device="gpu 7"),
            lambda: bw.Layout([1], device="cpu"),
            "^device is 'gpu 7', of type str",
            "pass a device of torch, such as 'cpu' or 'cuda:0'",
        ),
    },
)


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_fit_is_refused_by_name(name):
    told_and_followed(CASES[name])


def test_a_refusal_keeps_its_cause_and_ends_at_the_line_of_the_user():
    with pytest.raises(bw.Infeasible) as refused:
        bw.attention.values("x")
    assert isinstance(refused.value.__cause__, AttributeError)
    assert refused.traceback[-1].path == refused.traceback[0].path


def failing(*arguments):
    raise KeyError("mine")


def raising():
    yield 1
    raise OSError("disk")


class Labelled:
    def __len__(self):
        return 3

    @property
    def targets(self):
        raise KeyError("mine")


OWN = {
    "a function of costs": (KeyError, lambda: bw.packed([1, 2], 4, cost=failing)[0]),
    "a target": (KeyError, lambda: bw.balanced(list("aab"), 2, target=lambda counts, epoch: failing())),
    "a data set": (KeyError, lambda: bw.balanced(Labelled(), 2)),
    "a collate function": (KeyError, lambda: list(PLAN.loader([1, 2, 3], num_workers=0, collate=failing))),
    "a stream": (OSError, lambda: list(bw.online.balanced(raising(), key=bool, batch_size=1, steps=9))),
    "a function of classes": (KeyError, lambda: bw.correct.LogitAdjustment.from_plan(PLAN, class_of=failing)),
    "a model": (KeyError, lambda: bw.correct.evaluate(torch.nn.Identity(), raising_model(), PLAN, forward=failing)),
}


def raising_model():
    return [(torch.zeros(2, 1), torch.tensor([0, 1]))]


@pytest.mark.parametrize("name", OWN)
def test_an_error_of_the_users_own_code_stays_as_it_is(name):
    kind, call = OWN[name]
    with pytest.raises(kind) as own:
        call()
    assert own.value.__cause__ is None


def test_an_error_of_this_package_is_not_hidden_where_all_arguments_fit():
    def broken(size: int, names: list[str], rest: object = None) -> int:
        return size // 0

    broken.__module__ = "batchwright.broken"
    call = public(broken)
    with pytest.raises(ZeroDivisionError):
        call(3, ["a"])
    with pytest.raises(bw.Infeasible, match=r"^size is 'x', of type str"):
        call("x", ["a"])
    with pytest.raises(bw.Infeasible, match=r"^names is \[1\]"):
        call(3, [1])
    with pytest.raises(bw.Infeasible, match=r"^size is a number of 1329 bits"):
        call(10**400, ["a"])
    for names in ({"a"}, {"a": "b"}, iter("a"), np.void(b"ab")):  # without an order, read once, of no type
        with pytest.raises(bw.Infeasible, match=r"^names is "):
            call(3, names)
    with pytest.raises(bw.Infeasible, match=r"^rest has 1000000000000 items"):
        call(3, ["a"], range(10**12))
    with pytest.raises(TypeError, match="missing"):
        call(3)


@pytest.mark.parametrize("value", [[1, 2], (1,), {1: 2}, iter([1]), range(3), object(), "text", 3])
def test_what_can_be_counted_is_not_refused(value):
    check_count(value, "values")


def test_few_items_are_taken_and_no_more():
    assert as_list(iter("ab"), "names") == ["a", "b"]
    with pytest.raises(bw.Infeasible, match=r"^names has more than 1048576 items; pass names of at most as many"):
        as_list(iter(lambda: 0, 1), "names")


def test_reading_lets_a_refusal_through():
    with pytest.raises(bw.Infeasible, match=r"^one; two\.$"), reading(1, "number", "pass another"):
        raise bw.Infeasible("one", "two")
