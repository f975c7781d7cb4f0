"""Samples longer than a pack, cut into pieces: nothing is lost, and nothing is cut that was not named."""

from __future__ import annotations

from collections import UserDict
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchwright as bw


@settings(max_examples=25)
@given(st.lists(st.integers(1, 200), min_size=30, max_size=120), st.integers(1, 2), st.integers(1, 6))
def test_pieces_of_split_samples_make_up_the_samples(lengths, packs, multiple):
    plan = bw.packed(lengths, 50, packs=packs, too_long="split", window="epoch")
    dataset = [[(sample, place) for place in range(length)] for sample, length in enumerate(lengths)]
    pieces = plan.pieces(dataset)
    tokens = []
    for batch in plan.epoch(0, multiple):
        for part in plan.packs(batch):
            inside = [token for item in part for token in pieces[item]]
            assert len(inside) <= 50
            tokens += inside
    assert sorted(tokens) == [token for sample in dataset for token in sample]


class Page(NamedTuple):
    ids: list[int]
    number: int


@dataclass(frozen=True)
class Leaf:
    ids: list[int]
    number: int


@pytest.mark.parametrize(
    ("make", "cut", "ids_of", "number_of"),
    [
        (lambda ids, n: {"ids": ids, "number": n}, ["ids"], itemgetter("ids"), itemgetter("number")),
        (lambda ids, n: UserDict(ids=ids, number=n), ["ids"], itemgetter("ids"), itemgetter("number")),
        (lambda ids, n: (n, ids), [1], itemgetter(1), itemgetter(0)),
        (lambda ids, n: (n, ids), [-1], itemgetter(1), itemgetter(0)),
        (lambda ids, n: [n, ids], [1], itemgetter(1), itemgetter(0)),
        (Page, ["ids"], attrgetter("ids"), attrgetter("number")),
        (Leaf, ["ids"], attrgetter("ids"), attrgetter("number")),
        (lambda ids, n: (n, ids), lambda sample, piece: (sample[0], sample[1][piece]), itemgetter(1), itemgetter(0)),
    ],
)
def test_pieces_keep_the_type_of_their_sample_and_what_is_not_cut(make, cut, ids_of, number_of):
    lengths = [3, 50, 7, 20]
    plan = bw.packed(lengths, 8, too_long="split")
    dataset = [make(list(range(length)), number) for number, length in enumerate(lengths)]
    pieces = plan.pieces(dataset, cut=cut)
    joined: list[list[int]] = [[] for _ in lengths]
    for item in range(len(pieces)):
        piece = pieces[item]
        assert type(piece) is type(dataset[0])
        assert 1 <= len(ids_of(piece)) <= 8
        joined[number_of(piece)] += ids_of(piece)
    assert joined == [list(range(length)) for length in lengths]
    assert [len(ids_of(sample)) for sample in dataset] == lengths
    with pytest.raises(IndexError):
        pieces[len(pieces)]


@pytest.mark.parametrize(
    ("sample", "cut", "said"),
    [
        ((list(range(9)), 1), None, "sample 0 is a tuple, and plan.pieces is not told"),
        ({"ids": list(range(9))}, None, "sample 0 is a dict"),
        (UserDict(ids=list(range(9))), None, "sample 0 is a UserDict"),
        (Page(list(range(9)), 1), None, "sample 0 is a Page"),
        (Leaf(list(range(9)), 1), None, "sample 0 is a Leaf"),
        (9, None, "sample 0 is a int"),
        ({"ids": list(range(9))}, ["labels"], r"sample 0, a dict, has no parts \['labels'\]"),
        ({"ids": list(range(9)), "n": 1}, ["ids", "n"], "no parts"),
        (Page(list(range(9)), 1), ["labels"], "a Page, has no parts"),
        ((list(range(9)), 1), [2], "a tuple, has no parts"),
        ({"ids": list(range(9))}, "ids", "cut is 'ids'; pass a list"),
    ],
)
def test_samples_that_cannot_be_cut_as_they_are_ask_what_to_cut(sample, cut, said):
    plan = bw.packed([9], 5, too_long="split")
    with pytest.raises(bw.Infeasible, match=said):
        plan.pieces([sample], cut=cut)[0]


def test_pieces_leave_alone_what_the_plan_does_not_cut():
    dataset = [(list(range(9)), 1), (list(range(3)), 2)]
    assert list(bw.packed([9, 3], 9, too_long="split").pieces(dataset)) == dataset
    assert bw.packed([9, 3], 5, too_long="truncate").pieces(dataset, cut=[0])[0] == (list(range(5)), 1)
    with pytest.raises(bw.Infeasible, match="the dataset has 2 samples, the plan was made for 3"):
        bw.packed([9, 3, 1], 5, too_long="split").pieces(dataset)
