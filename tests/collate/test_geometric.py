"""Graphs of torch_geometric, of which nothing is declared, collate as its own batches do, and come back."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader

import batchwright as bw

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it calls torch.jit.script when it is imported
    from torch_geometric import EdgeIndex, Index
    from torch_geometric.data import Batch, Data, HeteroData, TemporalData
    from torch_geometric.data.hypergraph_data import HyperGraphData

COLLATE = bw.Collate()

# torch's own warnings, once a process, of what torch_geometric makes
TORCH_WARNS = pytest.mark.filterwarnings(
    "ignore:Sparse CSR tensor support", "ignore:The PyTorch API of nested tensors", "ignore:Sparse invariant checks"
)


def same(one: Any, other: Any) -> bool:
    """Whether they are equal in types, dtypes, shapes and numbers."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Tensor):
        if type(one) is not type(other) or one.dtype is not other.dtype or one.layout is not other.layout:
            return False
        if one.is_nested:
            return same(list(one.unbind()), list(other.unbind()))
        if one.layout is not torch.strided:
            return one.shape == other.shape and one.to_dense().equal(other.to_dense())
        if isinstance(one, EdgeIndex) and (one.sparse_size(), one.sort_order) != (
            other.sparse_size(),
            other.sort_order,
        ):
            return False
        if isinstance(one, Index) and (one.dim_size, one.is_sorted) != (other.dim_size, other.is_sorted):
            return False
        return one.shape == other.shape and bool(torch.equal(one, other))
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and one == other


def held(graph: Any) -> dict[Any, dict[str, Any]]:
    return {store._key: dict(store.items()) for store in graph.stores}


def check(graphs: list[Any]) -> bw.collate.Batch:
    """Collate by both; the batch, once it is known to be torch_geometric's and to give the graphs back."""
    before = [pickle.loads(pickle.dumps(held(graph))) for graph in graphs]
    peer = Batch.from_data_list(graphs)
    batch = COLLATE(graphs)
    whole = batch.data
    assert type(whole) is type(peer)
    assert whole.num_graphs == peer.num_graphs == batch.sample_count
    for key, attributes in held(peer).items():
        ours = batch if key is None else batch[key]
        for name, value in attributes.items():
            assert same(ours[name], value), (key, name, ours[name], value)
        if key is not None:
            assert ours.keys() == attributes.keys()
    assert set(batch) == {*held(peer).get(None, {}), *(str(key) for key in held(peer) if key is not None)}
    assert held(whole).keys() == held(peer).keys()
    assert all(same(held(whole)[key], held(peer)[key]) for key in held(peer))
    assert whole.num_nodes == peer.num_nodes
    for after, graph, was in zip(batch.unbatch(), graphs, before, strict=True):
        assert type(after) is type(graph)
        assert same(held(after), was)
        assert same(held(graph), was)  # nothing was written into the samples
        assert all(store._parent() is after for store in after.stores)
    backwards = list(reversed(range(len(graphs))))
    assert same(held(batch.select(backwards).data), held(Batch.from_data_list([graphs[n] for n in backwards])))
    twice = pickle.loads(pickle.dumps(batch))
    assert same(held(twice.data), held(peer))
    assert same([held(graph) for graph in twice.unbatch()], before)
    return batch


@st.composite
def graphs(draw: st.DrawFn, least_edges: int = 0) -> list[Data]:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    chosen = draw(st.sets(st.sampled_from(sorted(ATTRIBUTES))))
    positions = draw(st.booleans())
    found = []
    for number in range(draw(st.integers(1, 5))):
        nodes, edges = draw(st.integers(0, 6)), draw(st.integers(least_edges, 8))
        edges = edges if nodes else 0
        graph = Data(edge_index=torch.randint(max(nodes, 1), (2, edges), generator=generator), num_nodes=nodes)
        if positions:
            graph.pos = torch.randn(nodes, 3, generator=generator)
        for name in sorted(chosen):
            graph[name] = ATTRIBUTES[name](nodes, edges, number, generator)
        found.append(graph)
    return found


Maker = Callable[[int, int, int, torch.Generator], Any]
ATTRIBUTES: dict[str, Maker] = {
    "x": lambda nodes, edges, number, g: torch.randn(nodes, 4, generator=g),
    "edge_attr": lambda nodes, edges, number, g: torch.randn(edges, 2, generator=g, dtype=torch.float64),
    "face": lambda nodes, edges, number, g: torch.randint(max(nodes, 1), (3, edges if nodes else 0), generator=g),
    "train_mask": lambda nodes, edges, number, g: torch.rand(nodes, generator=g) > 0.5,
    "node_index": lambda nodes, edges, number, g: torch.arange(nodes),
    "narrow_index": lambda nodes, edges, number, g: torch.arange(nodes, dtype=torch.int16),
    "real_index": lambda nodes, edges, number, g: torch.arange(nodes, dtype=torch.float32),
    "sample_index": lambda nodes, edges, number, g: 100 + number,
    "scalar_index": lambda nodes, edges, number, g: torch.tensor(100 + number),
    "y": lambda nodes, edges, number, g: torch.randn(1, 2, generator=g),
    "label": lambda nodes, edges, number, g: number,
    "energy": lambda nodes, edges, number, g: 0.1 * number,
    "flag": lambda nodes, edges, number, g: number % 2 == 0,
    "zero_dim": lambda nodes, edges, number, g: torch.tensor(float(number)),
    "name": lambda nodes, edges, number, g: f"graph {number}",
    "names": lambda nodes, edges, number, g: [f"node {n}" for n in range(nodes)],
    "array": lambda nodes, edges, number, g: np.arange(nodes),
    "nothing": lambda nodes, edges, number, g: [],
    "by_name": lambda nodes, edges, number, g: {"a": torch.ones(nodes), "b_index": torch.arange(nodes)},
    "listed": lambda nodes, edges, number, g: [torch.ones(nodes, 2), torch.ones(number, 3)],
    "index_lists": lambda nodes, edges, number, g: [torch.arange(nodes), torch.arange(nodes)],
    "adj": lambda nodes, edges, number, g: torch.eye(nodes).to_sparse_coo(),
    "adj_t": lambda nodes, edges, number, g: torch.eye(nodes).to_sparse_csr(),
    "tall": lambda nodes, edges, number, g: torch.ones(nodes, 2).to_sparse_coo(),
    "nested": lambda nodes, edges, number, g: torch.nested.nested_tensor([torch.ones(number + 1), torch.ones(2)]),
    "half": lambda nodes, edges, number, g: torch.ones(nodes, dtype=torch.bfloat16),
}


@settings(deadline=None)
@given(drawn=graphs())
@TORCH_WARNS
def test_graphs_of_any_attributes_collate_as_torch_geometric_does_and_come_back(drawn):
    check(drawn)


@TORCH_WARNS
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_each_attribute_by_itself(name):
    generator = torch.Generator().manual_seed(1)
    drawn = [
        Data(num_nodes=nodes, **{name: ATTRIBUTES[name](nodes, edges, number, generator)})
        for number, (nodes, edges) in enumerate([(3, 2), (1, 1), (4, 0), (2, 5)])
    ]
    check(drawn)
    check(drawn[:1])


@st.composite
def typed(draw: st.DrawFn) -> list[HeteroData]:
    found = []
    dtype = draw(st.sampled_from([torch.int64, torch.int32]))
    for number in range(draw(st.integers(1, 4))):
        papers, authors, edges = draw(st.integers(0, 4)), draw(st.integers(0, 4)), draw(st.integers(0, 5))
        edges = edges if papers and authors else 0
        graph = HeteroData(y=torch.tensor([number]), name=f"graph {number}")
        graph["paper"].x = torch.randn(papers, 3)
        graph["author"].num_nodes = authors
        rows = torch.randint(max(authors, 1), (edges,)), torch.randint(max(papers, 1), (edges,))
        graph["author", "writes", "paper"].edge_index = torch.stack(rows).to(dtype)
        graph["author", "writes", "paper"].edge_attr = torch.randn(edges, 2)
        graph["paper", "cites", "paper"].edge_index = torch.randint(max(papers, 1), (2, papers), dtype=dtype)
        found.append(graph)
    return found


@settings(deadline=None)
@given(drawn=typed())
def test_graphs_of_several_types_collate_as_torch_geometric_does_and_come_back(drawn):
    batch = check(drawn)
    edges = batch.fields["('author', 'writes', 'paper').edge_index"]
    if isinstance(edges, bw.Ragged):
        assert same(list(edges.list), [graph["author", "writes", "paper"].edge_index for graph in drawn])


class Pair(Data):
    """Two graphs in one, each with nodes of its own."""

    def __inc__(self, key, value, *others):
        return {"edge_index_s": len(self.x_s), "edge_index_t": len(self.x_t)}.get(key) or super().__inc__(key, value)


class Bipartite(Data):
    def __inc__(self, key, value, *others):
        if key == "edge_index":
            return torch.tensor([[len(self.x_s)], [len(self.x_t)]])
        return super().__inc__(key, value)


class Fancy(Data):
    """Rules of every odd kind."""

    def __cat_dim__(self, key, value, *others):
        return {"new": None, "new_moved": None, "wide": 1, "late": -2}.get(key, super().__cat_dim__(key, value))

    def __inc__(self, key, value, *others):
        moves = {"new_moved": 10, "back": -3, "wide": torch.tensor(7), "back_again": (5, -5)[self.odd], "real": 0.5}
        return moves.get(key, super().__inc__(key, value))


class Molecule(Data):
    """A graph whose constructor takes something else than its attributes."""

    def __init__(self, formula: str | None) -> None:
        super().__init__(z=torch.tensor([ord(atom) for atom in formula or ""]), num_nodes=len(formula or ""))


def pair(number: int) -> Data:
    s, t = 2 + number, 3
    rows = {"edge_index_s": torch.tensor([[0, 1], [1, 0]]), "edge_index_t": torch.tensor([[0, 2, 1], [2, 0, 1]])}
    return Pair(x_s=torch.ones(s, 2), x_t=torch.ones(t, 2), num_nodes=s + t, **rows)


def bipartite(number: int) -> Data:
    edges = torch.tensor([[0, 1, 1], [0, 0, 2 + number]])
    return Bipartite(x_s=torch.ones(2, 2), x_t=torch.ones(3 + number, 2), edge_index=edges, num_nodes=5 + number)


def fancy(number: int) -> Data:
    return Fancy(
        odd=number % 2,
        new=torch.arange(4) + number,
        new_moved=torch.arange(3),
        back=torch.arange(3) + 20,
        back_again=torch.arange(2),
        wide=torch.arange(2 * (number + 1)).view(2, number + 1),
        late=torch.ones(2, number + 1, 3),
        real=torch.ones(2),
        num_nodes=3,
    )


def hypergraph(number: int) -> Data:
    return HyperGraphData(x=torch.ones(4 + number, 2), edge_index=torch.tensor([[0, 1, 2, 3], [0, 0, 1, 1 + number]]))


def temporal(number: int) -> TemporalData:
    events = torch.arange(3 + number)
    return TemporalData(src=events, dst=events + 1, t=events, msg=torch.ones(3 + number, 2))


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("make", [pair, bipartite, fancy, hypergraph, temporal, lambda n: Molecule("CO" * (n + 1))])
def test_subclasses_collate_by_their_own_rules(make, count):
    check([make(number) for number in range(count)])


def batches() -> list[Any]:
    whole = [
        Data(
            x=torch.rand(n, 2, generator=torch.Generator().manual_seed(n)),
            edge_index=torch.zeros(2, n, dtype=torch.int64),
        )
        for n in (1, 2, 3)
    ]
    return [Batch.from_data_list(whole), Batch.from_data_list(whole[1:])]


def test_batches_of_batches_collate_as_graphs():
    peer, batch = Batch.from_data_list(batches()), COLLATE(batches())
    assert set(batch) == set(peer.keys())
    assert all(same(batch[name], peer[name]) for name in batch)
    assert batch["batch"].tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4]
    for after, before in zip(batch.unbatch(), batches(), strict=True):
        assert after.batch.equal(before.batch)
        assert after.ptr.equal(before.ptr)
        assert after.num_graphs == before.num_graphs


def indexed(sizes: tuple[int, ...]) -> Iterator[Data]:
    for size in sizes:
        rows = torch.stack([torch.arange(size), torch.arange(size).flip(0)])
        yield Data(
            x=torch.ones(size, 2),
            edge_index=EdgeIndex(rows, sparse_size=(size, size), sort_order="row"),
            node_index=Index(torch.arange(size), dim_size=size, is_sorted=True),
        )


@pytest.mark.parametrize("sizes", [(2,), (2, 3, 4), (3, 2)])
def test_edge_index_and_index_keep_their_kind_and_what_they_know(sizes):
    drawn = list(indexed(sizes))
    peer, batch = Batch.from_data_list(drawn), COLLATE(drawn)
    assert all(same(batch[name], peer[name]) for name in ("x", "edge_index", "node_index", "batch", "ptr"))
    for after, before in zip(batch.unbatch(), drawn, strict=True):
        assert all(same(after[name], before[name]) for name in ("edge_index", "node_index"))


def test_what_graphs_are_nested_in_collates_them_alike():
    one, two = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]])), Data(x=torch.ones(3, 1))
    two.edge_index = torch.tensor([[2], [0]])
    pairs = COLLATE([(one, 5), (two, 6)])
    assert pairs["0"].edge_index.tolist() == [[0, 4], [1, 2]]
    assert pairs["1"].tolist() == [5, 6]
    assert pairs[1][0].edge_index.tolist() == [[2], [0]]
    assert COLLATE([{"graph": one}, {"graph": two}])["graph"].batch.tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("workers", [0, 1])
def test_graphs_collate_in_a_loader_with_their_ids(workers):
    drawn = [
        Data(x=torch.ones(n, 2), edge_index=torch.zeros(2, n, dtype=torch.int64), y=float(n)) for n in (1, 2, 3, 4)
    ]
    loader = DataLoader(bw.identified(drawn), 2, num_workers=workers, collate_fn=bw.Collate())
    for number, batch in enumerate(loader):
        peer = Batch.from_data_list(drawn[2 * number : 2 * number + 2])
        assert same(held(batch.data), held(peer))
        assert batch.aside.sample_ids.tolist() == [2 * number, 2 * number + 1]
        assert same(
            [held(graph) for graph in batch.unbatch()],
            [held(graph) for graph in peer.to_data_list()]
            and [held(graph) for graph in drawn[2 * number : 2 * number + 2]],
        )


def test_fields_that_no_graph_moves_may_be_declared_as_ever():
    collate = bw.Collate(x=bw.ragged(also={"nodes": "segments"}), edge_index=bw.stack())
    drawn = [Data(x=torch.ones(n, 1), edge_index=torch.zeros(2, 2, dtype=torch.int64)) for n in (1, 2)]
    batch = collate(drawn)
    assert batch["nodes"].equal(batch["batch"])
    assert batch["edge_index"].shape == (2, 2, 2)


def test_a_batch_with_edge_index_travels():
    batch = COLLATE(list(indexed((2, 3))))
    assert batch.share_memory_()["edge_index"].is_shared()
    assert type(batch.to("cpu")["edge_index"]) is EdgeIndex


def test_every_form_of_a_graphs_fields_is_there():
    drawn = [Data(x=torch.ones(n, 2), edge_index=torch.full((2, n), n - 1)) for n in (1, 3)]
    edges = COLLATE(drawn).fields["edge_index"]
    assert edges.packed.tolist() == [[0, 3, 3, 3]] * 2
    assert edges.padded[1].tolist() == [[2, 2, 2]] * 2
    assert edges.lengths.tolist() == [1, 3]
    moved = COLLATE(drawn).to("meta")
    assert moved["batch"].is_meta
    assert moved["edge_index"].is_meta
