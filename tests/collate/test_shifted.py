"""Fields that index others: what of them cannot be right is refused, or warned of, and the advice leads to a batch."""

from __future__ import annotations

import re

import pytest
import torch

import batchwright as bw

SIZES = (3, 5, 2)
GRAPHS = [
    {
        "x": torch.arange(n) + 10 * n,
        "edge_index": torch.stack([torch.arange(n + 1) % n, torch.zeros(n + 1, dtype=torch.int64)]),
        "root": torch.tensor(n - 1),
    }
    for n in SIZES
]


def ends(batch: bw.Batch) -> list[int]:
    """The nodes at which the edges begin, looked up in the batch."""
    return batch["x"].flatten()[batch["edge_index"][0]].tolist()


WANTED = [int(graph["x"][node]) for graph in GRAPHS for node in graph["edge_index"][0]]


def test_indices_are_never_into_padding() -> None:
    edges = {"edge_index": bw.ragged(dim=-1, shift_by="x")}
    for nested in (False, True):
        fields = {"x": bw.ragged(pad=0), **edges}
        with pytest.raises(
            bw.Infeasible, match="count the elements of 'x' end to end, and the batch has that field padded"
        ):
            bw.Collate({"graph": fields} if nested else fields)
    assert ends(bw.Collate(x=bw.ragged(), **edges)(GRAPHS)) == WANTED
    local = bw.Collate(x=bw.ragged(pad=0), edge_index=bw.ragged(dim=-1, shift_by="x", form="list"))(GRAPHS)
    found = [local["x"][number][pair[0]].tolist() for number, pair in enumerate(local["edge_index"])]
    assert [node for nodes in found for node in nodes] == WANTED


def test_the_declaration_that_is_advised_shifts_too() -> None:
    with pytest.raises(bw.Infeasible, match=re.escape("declare it: edge_index = bw.ragged(dim=1, shift_by='x')")):
        bw.Collate(x=bw.ragged(), edge_index=bw.ragged(shift_by="x"))(GRAPHS)
    assert ends(bw.Collate(x=bw.ragged(), edge_index=bw.ragged(dim=1, shift_by="x"))(GRAPHS)) == WANTED
    wide = [
        {"x": graph["x"], "edge_index": torch.zeros(n, n, dtype=torch.int64)}
        for n, graph in zip(SIZES, GRAPHS, strict=True)
    ]
    with pytest.raises(bw.Infeasible, match="so that one dimension differs: an index field is ragged along one"):
        bw.Collate(x=bw.ragged(), edge_index=bw.ragged(shift_by="x"))(wide)


def test_one_index_of_a_sample_is_shifted_where_it_has_a_dimension() -> None:
    collate = bw.Collate(x=bw.ragged(), root=bw.ragged(shift_by="x"))
    with pytest.raises(bw.Infeasible, match=re.escape("give it shape (1,) in the dataset, as torch.tensor([index])")):
        collate([{"x": graph["x"], "root": graph["root"]} for graph in GRAPHS])
    batch = collate([{"x": graph["x"], "root": graph["root"].reshape(1)} for graph in GRAPHS])
    assert batch["x"][batch["root"]].tolist() == [int(graph["x"][-1]) for graph in GRAPHS]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("edge_index", 'bw.ragged(dim=1, shift_by="x")'),
        ("face", 'bw.ragged(dim=1, shift_by="pos")'),
        ("faces", 'bw.ragged(shift_by="verts")'),
        ("senders", 'bw.ragged(shift_by="nodes")'),
        ("receivers", 'bw.ragged(shift_by="nodes")'),
    ],
)
def test_node_numbers_without_a_shift_are_warned_of(name: str, advice: str) -> None:
    with pytest.warns(bw.PoorWarning, match=rf"field '{name}' holds node numbers.*{re.escape(advice)}"):
        bw.Collate({name: bw.ragged()})
    bw.Collate({name: bw.stack()})  # it is not joined to one graph
