"""Samples longer than a pack, cut into pieces: nothing is lost, and nothing is cut that was not named."""

from __future__ import annotations

import pickle
from collections import UserDict
from collections.abc import MutableMapping
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import batchwright as bw

from ..examples import examples


@examples(25)
@given(st.lists(st.integers(1, 200), min_size=30, max_size=120), st.integers(1, 2), st.integers(1, 6))
def test_pieces_of_split_samples_make_up_the_samples(lengths, packs, step_size):
    plan = bw.packed(lengths, 50, packs=packs, too_long="split", window="epoch")
    dataset = [[(sample, place) for place in range(length)] for sample, length in enumerate(lengths)]
    pieces = plan.pieces(dataset)
    tokens = []
    for batch in plan.epoch(0, step_size):
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


class Stored(MutableMapping):
    """Keeps its parts in a store that copies of it share."""

    def __init__(self, parts):
        self.store = parts

    def __getitem__(self, name):
        return self.store[name]

    def __setitem__(self, name, part):
        self.store[name] = part

    def __delitem__(self, name):
        del self.store[name]

    def __iter__(self):
        return iter(self.store)

    def __len__(self):
        return len(self.store)


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
        ({"ids": list(range(9))}, [], r"cut is \[\]; pass a list"),
        ({"ids": list(range(9))}, [["ids"]], r"cut is \[\['ids'\]\]; pass a list"),
        (torch.arange(9), [0], "sample 0 is a Tensor, .* leave cut out"),
        (Stored({"ids": list(range(9))}), ["ids"], "sample 0 is a Stored, .* pass a function"),
        ([list(range(9)), 1], None, "sample 0 has length 2, the plan has it as 6 to 10"),
        (torch.zeros(3, 9), None, "sample 0 has length 3, the plan has it as 6 to 10"),
        (torch.tensor(9), None, "sample 0 is a Tensor, and plan.pieces is not told"),
        (list(range(11)), None, "sample 0 has length 11, the plan has it as 6 to 10"),
        ({"ids": []}, ["ids"], "sample 0, part 'ids', has length 0, the plan has it as 6 to 10"),
    ],
)
def test_samples_that_cannot_be_cut_as_they_are_ask_what_to_cut(sample, cut, said):
    plan = bw.packed([9], 5, too_long="split")
    with pytest.raises(bw.Infeasible, match=said):
        plan.pieces([sample], cut=cut)[0]


@pytest.mark.parametrize("make", [dict, UserDict, lambda parts: tuple(parts.values())])
@pytest.mark.parametrize("as_array", [list, np.array, torch.tensor])
def test_a_part_that_was_forgotten_is_named_at_the_first_sample_that_is_cut(make, as_array):
    def dataset(lengths):
        whole = [list(range(length)) for length in lengths]
        return [
            make({"ids": as_array(one), "mask": as_array(one), "box": as_array([1, 2]), "name": "n" * 9})
            for one in whole
        ]

    def named(*names):
        return list(names) if make is dict or make is UserDict else [("ids", "mask").index(name) for name in names]

    plan, samples = bw.packed([3, 9], 5, too_long="split"), dataset([3, 9])
    pieces = plan.pieces(samples, cut=named("ids"))
    pieces[0]  # it is one piece, so all of its parts come with it
    (mask,) = named("mask")
    with pytest.raises(
        bw.Infeasible, match=rf"sample 1, part {mask!r} is as long as part .*, 9, and cut does not name it"
    ):
        pieces[1]
    assert len(plan.pieces(samples, cut=named("ids", "mask"))[1][named("mask")[0]]) == 5
    kept = plan.pieces(samples, cut=lambda sample, piece: (sample[named("ids")[0]][piece], sample[named("mask")[0]]))[1]
    assert [len(part) for part in kept] == [5, 9]


def test_numbers_of_pieces_lead_back_to_rows():
    lengths = [3, 50, 7, 20] * 10
    plan = bw.packed(lengths, 8, too_long="split")
    dataset = [{"ids": torch.arange(length), "row": number} for number, length in enumerate(lengths)]
    pieces = bw.identified(plan.pieces(dataset, cut=["ids"]))
    collate = bw.Collate(ids=bw.ragged()).packs(packs=plan)
    loader = plan.loader(pieces, collate=collate, num_workers=0)
    for batch in loader:
        assert plan.rows(batch.aside.sample_ids).tolist() == batch["row"].tolist()
        told = loader.at()
        assert told.columns()["row"] == batch["row"].tolist()
        assert told.samples.tolist() == batch.aside.sample_ids.tolist()
        assert f"of rows {' '.join(map(str, batch['row'].tolist()[:12]))}" in str(told)
        assert "pieces" in str(told)
    whole = bw.packed(lengths, 50).at(0)
    assert "row" not in whole.columns()
    assert "rows" not in str(whole)
    assert bw.packed(lengths, 50).rows([5, 1]).tolist() == [5, 1]
    with pytest.raises(bw.Infeasible):
        plan.rows([plan.groups.sample_count])


def test_pieces_leave_alone_what_the_plan_does_not_cut():
    dataset = [(list(range(9)), 1), (list(range(3)), 2)]
    assert list(bw.packed([9, 3], 9, too_long="split").pieces(dataset)) == dataset
    assert bw.packed([9, 3], 5, too_long="truncate").pieces(dataset, cut=[0])[0] == (list(range(5)), 1)
    with pytest.raises(bw.Infeasible, match="the dataset has 2 samples, the plan was made for 3"):
        bw.packed([9, 3, 1], 5, too_long="split").pieces(dataset)


def test_pieces_of_an_identified_dataset_say_which_way_round():
    dataset = bw.identified([{"ids": list(range(9))}])
    with pytest.raises(bw.Infeasible, match=r"wrap the pieces: bw.identified\(plan.pieces\(dataset, cut=...\)\)"):
        bw.packed([9], 5, too_long="split").pieces(dataset, cut=["ids"])[0]


def test_a_truncated_sample_without_an_element_is_refused():
    pieces = bw.packed([9, 3], 5, too_long="truncate").pieces([list(range(9)), []])
    assert pieces[0] == list(range(5))
    with pytest.raises(bw.Infeasible, match="sample 1 has length 0, the plan has it as 1 or more"):
        pieces[1]


class Together(list):
    """Fetches whole batches."""

    def __getitems__(self, numbers):
        self.asked = numbers
        return [self[number] for number in numbers]


def test_batches_are_fetched_together_where_the_dataset_can():
    samples = Together([list(range(9)), list(range(3))])
    plan = bw.packed([9, 3], 5, too_long="split")
    pieces = pickle.loads(pickle.dumps(plan.pieces(samples)))
    loader = DataLoader(pieces, batch_size=3, collate_fn=list)
    assert list(loader) == [[[0, 1, 2, 3, 4], [5, 6, 7, 8], [0, 1, 2]]]
    assert pieces.dataset.asked == [0, 0, 1]
    assert not hasattr(plan.pieces(list(samples)), "__getitems__")
