"""Graphs of torch_geometric that cannot be collated are refused by name, and the way out works."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import batchwright as bw

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it calls torch.jit.script when it is imported
    from torch_geometric.data import Batch, Data, HeteroData

COLLATE = bw.Collate()


def refused(collate: bw.Collate, drawn: list[Any]) -> str:
    with pytest.raises(bw.Infeasible) as caught:
        collate(drawn)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def four() -> list[Data]:
    return [Data(x=torch.ones(n, 1), edge_index=torch.full((2, n), n - 1)) for n in (2, 3, 4, 5)]


@pytest.mark.filterwarnings("ignore:field .* holds node numbers:batchwright.PoorWarning")
@pytest.mark.parametrize("field", [bw.ragged(dim=1), bw.ragged(dim=-1, pad=-1), bw.ragged(dim=1, form="list")])
def test_an_index_field_declared_without_a_shift_is_refused(field):
    message = refused(bw.Collate(edge_index=field), four())
    assert "'edge_index' of sample 0 of the batch holds indices, which its graph moves by 2" in message
    assert message.endswith(
        "leave 'edge_index' out of the declarations, and the graphs say themselves how it is joined; or name in shift_by "
        "the field that it indexes."
    )
    peer = Batch.from_data_list(four()).edge_index
    assert bw.Collate()(four())["edge_index"].equal(peer)
    assert bw.Collate(x=bw.ragged())(four())["edge_index"].equal(peer)
    assert bw.Collate(edge_index=bw.ragged(dim=1, shift_by="x"))(four())["edge_index"].equal(peer)
    counted = [Data(num_nodes=graph.num_nodes, **graph.to_dict()) for graph in four()]
    assert bw.Collate(edge_index=bw.ragged(dim=1, shift_by="num_nodes"))(counted)["edge_index"].equal(peer)


def test_an_index_field_of_a_type_of_edges_declared_without_a_shift_is_refused():
    graph = HeteroData()
    graph["paper"].x, graph["author"].x = torch.ones(2, 3), torch.ones(4, 3)
    graph["author", "writes", "paper"].edge_index = torch.tensor([[0, 3], [1, 0]])
    name = str(("author", "writes", "paper"))
    with pytest.warns(bw.PoorWarning, match="has no shift_by"):
        collate = bw.Collate({name: {"edge_index": bw.ragged(dim=1)}})
    message = refused(collate, [graph, graph])
    assert "shift_by" in message
    assert f"{name}.edge_index" in message
    by_hand = bw.ragged(dim=1, shift_by=("author.x", "paper.x"))
    batch = bw.Collate({name: {"edge_index": by_hand}, "paper": {"x": bw.ragged()}})([graph, graph])
    assert batch["author", "writes", "paper"]["edge_index"].tolist() == [[0, 3, 4, 7], [1, 0, 3, 2]]
    assert batch["paper"]["x"].shape == (4, 3)


def test_attributes_that_some_graphs_lack_are_refused():
    """torch_geometric drops what the first graph does not have, in silence, and raises a KeyError the other way round."""
    with_y, without = Data(x=torch.ones(2, 1), y=torch.ones(1)), Data(x=torch.ones(2, 1), y=None)
    for drawn in ([with_y, without], [without, with_y]):
        message = refused(bw.Collate(), drawn)
        assert "sample 1 of the batch has the attributes" in message
        assert message.endswith("give every graph the same attributes.")
    nested = [Data(num_nodes=1, tables={"a": torch.ones(2)}), Data(num_nodes=1, tables={"b": torch.ones(2)})]
    assert "in 'tables'" in refused(bw.Collate(), nested)
    lists = [Data(num_nodes=1, parts=[torch.ones(2)] * count) for count in (1, 2)]
    assert "in 'parts'" in refused(bw.Collate(), lists)
    assert bw.Collate(parts=bw.opaque())(lists).unbatch()[1].parts[1].equal(torch.ones(2))


def test_types_that_some_graphs_lack_are_refused():
    one, two = HeteroData(), HeteroData()
    one["paper"].x = two["paper"].x = two["author"].x = torch.ones(2, 1)
    assert "has the types paper, author of nodes and edges" in refused(bw.Collate(), [one, two])
    one["author"].x = torch.ones(0, 1)
    assert COLLATE([one, two])["author"]["x"].shape == (2, 1)
    assert "is of type HeteroData" in refused(bw.Collate(), [Data(x=torch.ones(1)), one])


def test_graphs_among_mappings_and_declared_attributes_that_no_store_has_are_refused():
    graph = Data(x=torch.ones(2, 1))
    assert "sample 1 of the batch is of type Data" in refused(bw.Collate(), [{"x": torch.ones(2, 1)}, graph])
    assert "sample 1 of the batch is of type dict" in refused(bw.Collate(), [graph, {"x": torch.ones(2, 1)}])
    typed_graph = HeteroData()
    typed_graph["paper"].x = torch.ones(2, 1)
    collate = bw.Collate({"paper": {"z": bw.ragged()}})
    assert "field 'paper.z' is missing in sample 0 of the batch" in refused(collate, [typed_graph])
    assert "field 'author' is missing" in refused(bw.Collate({"author": {"z": bw.ragged()}}), [typed_graph])


def test_edges_outside_their_own_graph_are_refused():
    good, bad = four()[0], Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0], [3]]))
    message = refused(bw.Collate(), [good, bad])
    assert "'edge_index' of sample 1 of the batch (shape (2, 1)) holds indices from 0 to 3" in message
    assert "3 of 'the nodes'" in message
    with pytest.raises(bw.Infeasible, match="from -1 to 0"):
        COLLATE([good, Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0], [-1]]))])


def test_an_index_that_would_overflow_its_dtype_is_refused_and_the_last_that_fits_is_not():
    """torch_geometric lets it wrap around."""

    def drawn(nodes: int) -> list[Data]:
        return [Data(x_index=torch.arange(n, dtype=torch.uint8), num_nodes=n) for n in (200, nodes)]

    assert COLLATE(drawn(56))["x_index"].max() == 255
    assert "holds 56 in torch.uint8, whose largest number is 255, and is moved by 200" in refused(COLLATE, drawn(57))


def test_values_of_several_types_are_refused():
    for values in ((torch.ones(1), 1.0), (1, "a"), (torch.ones(2), [1])):
        drawn = [Data(num_nodes=1, y=value) for value in values]
        assert "'y' of sample 1 of the batch is of type " in refused(COLLATE, drawn)
        assert bw.Collate(y=bw.opaque())(drawn)["y"][1] == values[1]


def test_tensors_that_do_not_fit_are_refused_by_name():
    drawn = [Data(x=torch.ones(2, width), pos=torch.ones(2, 1)) for width in (3, 4)]
    message = refused(COLLATE, drawn)
    assert "field 'x' of sample 1 of the batch has shape (2, 4)" in message
    assert message.endswith("declare it: x = bw.ragged(dim=(0, 1)).")
    assert bw.Collate(x=bw.ragged(dim=(0, 1)))(drawn).unbatch()[1].x.equal(drawn[1].x)


class Silent(Data):
    def __inc__(self, key, value, *others):
        raise RuntimeError("no rule")


def test_what_a_graphs_own_rules_raise_names_the_sample_and_the_field():
    with pytest.raises(RuntimeError, match="no rule") as caught:
        COLLATE([Silent(x=torch.ones(1, 1))])
    assert caught.value.__notes__ == ["__inc__ of sample 0 of the batch was asked of field 'x'"]


@pytest.mark.filterwarnings("ignore:field .* holds node numbers:batchwright.PoorWarning")
@pytest.mark.parametrize(
    "fields", [{}, {"edge_index": bw.ragged(dim=1, shift_by="num_nodes")}], ids=["own", "declared"]
)
def test_a_number_of_nodes_below_0_is_refused(fields):
    drawn = [Data(edge_index=torch.zeros(2, 1, dtype=torch.int64), num_nodes=count) for count in (2, -1)]
    assert refused(bw.Collate(fields), drawn).startswith("a length is -1, the least is 0")
