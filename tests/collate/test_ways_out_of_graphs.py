"""The way out that a refusal of graphs names is followed, and what was refused passes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import batchwright as bw

from ..refusals import cases, told_and_followed

pytestmark = pytest.mark.filterwarnings("ignore:field 'edge_index' holds node numbers")  # graphs are refused too

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it calls torch.jit.script when it is imported
    from torch_geometric.data import Data, HeteroData

ONES = torch.ones
EDGE = torch.zeros(2, 1, dtype=torch.int64)
WRITES = ("author", "writes", "paper")


class Unfit(Data):
    """A graph whose attributes go into no batch."""

    def stores_as(self, data: Any) -> Any:
        raise RuntimeError("no stores")


class Unjoined(torch.Tensor):
    """Tensors that refuse to be joined, and do not say why."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.cat:
            raise RuntimeError
        return super().__torch_function__(function, types, args, kwargs)


def graph(**attributes: Any) -> Data:
    return Data(x=ONES(2, 1), **attributes)


def authors(written: bool = True) -> HeteroData:
    one = HeteroData()
    one["author"].x = ONES(1, 1)
    if written:
        one["paper"].x = ONES(1, 1)
        one[WRITES].edge_index = EDGE
    return one


def without_papers() -> HeteroData:
    one = authors(written=False)
    one["paper"].x, one[WRITES].edge_index = ONES(0, 1), EDGE[:, :0]
    return one


def pair(*values: Any, **fields: Any) -> Any:
    """Graphs with these values of `y`, collated."""
    return bw.Collate(fields)([graph(y=value) for value in values])


def with_edges(**fields: Any) -> Any:
    return bw.Collate(fields)([graph(edge_index=EDGE), graph(edge_index=EDGE)])


NO_JOIN = ONES(2).as_subclass(Unjoined)
TABLE = {
    "graphs and others": (
        lambda: bw.Collate()([graph(), {"x": ONES(2, 1)}]),
        "give every sample the same type",
        lambda: bw.Collate()([graph(), Data.from_dict({"x": ONES(2, 1)})]),
    ),
    "other types of nodes": (
        lambda: bw.Collate()([authors(), authors(written=False)]),
        "give every graph the same types; of those that it has none of, store tensors of length 0",
        lambda: bw.Collate()([authors(), without_papers()]),
    ),
    "a type of nodes as a field": (
        lambda: bw.Collate(paper=bw.ragged())([authors()]),
        "leave 'paper' out of the declarations, or declare its attributes by name in a mapping",
        lambda: (bw.Collate()([authors()]), bw.Collate(paper={"x": bw.ragged()})([authors()])),
    ),
    "a type of edges as a field": (
        lambda: bw.Collate({str(WRITES): bw.ragged()})([authors()]),
        f"""leave "{WRITES}" out of the declarations, or declare its attributes by name in a mapping""",
        lambda: (
            bw.Collate()([authors()]),
            bw.Collate(
                {
                    str(WRITES): {"edge_index": bw.ragged(dim=1, shift_by=("author.x", "paper.x"))},
                    "author": {"x": bw.ragged()},
                    "paper": {"x": bw.ragged()},
                }
            )([authors()]),
        ),
    ),
    "a graph that makes no batch": (
        lambda: bw.Collate()([Unfit(x=ONES(2, 1))]).data,
        "take the batch as a mapping: batch['x'], or model(**batch)",
        lambda: (bw.Collate()([Unfit(x=ONES(2, 1))])["x"], dict(**bw.Collate()([Unfit(x=ONES(2, 1))]))),
    ),
    "a tensor as a container": (
        lambda: pair(ONES(2), y={"a": bw.stack()}),
        "declare it: y = bw.opaque()",
        lambda: pair(ONES(2), y=bw.opaque()),
    ),
    "indices without a shift": (
        lambda: with_edges(edge_index=bw.ragged(dim=1)),
        "leave 'edge_index' out of the declarations, and the graphs say themselves how it is joined; or name in shift_by "
        "the field that it indexes",
        lambda: (with_edges(), with_edges(edge_index=bw.ragged(dim=1, shift_by="x"), x=bw.ragged())),
    ),
    "an attribute of several types": (
        lambda: pair(1, "a"),
        "give every graph the same type, or declare it: y = bw.opaque()",
        lambda: (pair(1, 2), pair(1, "a", y=bw.opaque())),
    ),
    "an attribute that some have": (
        lambda: bw.Collate()([graph(y=1), graph()]),
        "give every graph the same attributes",
        lambda: bw.Collate()([graph(y=1), graph(y=0)]),
    ),
    "many attributes that some have": (
        lambda: bw.Collate()([graph(), graph(**{f"{'y' * 1000}_{number}": 1 for number in range(100)})]),
        "give every graph the same attributes",
        lambda: bw.Collate()([graph(**{f"{'y' * 1000}_{number}": 1 for number in range(100)})] * 2),
    ),
    "parts of an attribute that some have": (
        lambda: pair({"a": ONES(1)}, {"b": ONES(1)}),
        "give every graph the same attributes",
        lambda: pair({"a": ONES(1)}, {"a": ONES(1)}),
    ),
    "an attribute that cannot be joined": (
        lambda: pair(2**70, 1),
        "declare it: y = bw.opaque()",
        lambda: pair(2**70, 1, y=bw.opaque()),
    ),
    "an attribute whose error has no words": (
        lambda: pair(NO_JOIN, NO_JOIN),
        "declare it: y = bw.opaque()",
        lambda: pair(NO_JOIN, NO_JOIN, y=bw.opaque()),
    ),
}
CASES = cases("refuse way_out follow", TABLE)


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name):
    told_and_followed(CASES[name])
