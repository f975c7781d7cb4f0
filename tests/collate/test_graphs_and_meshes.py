"""Graphs as torch_geometric collates them, meshes as PyTorch3D documents them, and both back."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import batchwright as bw
from batchwright.collate import Padding

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it calls torch.jit.script when it is imported
    from torch_geometric.data import Batch as GeometricBatch
    from torch_geometric.data import Data

GRAPH = bw.Collate(
    x=bw.ragged(also={"batch": "segments", "ptr": "offsets"}),
    edge_index=bw.ragged(dim=-1, shift_by="x"),
    edge_attr=bw.ragged(),
    face=bw.ragged(dim=-1, shift_by="x"),
    y=bw.ragged(),
    energy=bw.scalar(),
    name=bw.opaque(),
)


@st.composite
def graphs(draw: st.DrawFn) -> list[dict]:
    found = []
    for number in range(draw(st.integers(1, 5))):
        nodes, edges, faces = draw(st.integers(1, 6)), draw(st.integers(0, 8)), draw(st.integers(0, 3))
        generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
        found.append(
            {
                "x": torch.randn(nodes, 3, generator=generator),
                "edge_index": torch.randint(nodes, (2, edges), generator=generator),
                "edge_attr": torch.randn(edges, 2, generator=generator),
                "face": torch.randint(nodes, (3, faces), generator=generator),
                "y": torch.randn(1, 2, generator=generator),
                "energy": 0.5 * number,
                "name": f"graph {number}",
            }
        )
    return found


@settings(deadline=None)
@given(drawn=graphs())
def test_graphs_match_torch_geometric_field_by_field_and_come_back(drawn):
    data = [Data(**graph) for graph in drawn]
    peer = GeometricBatch.from_data_list(data)
    batch = GRAPH(data)
    assert set(batch) == set(peer.keys())
    for name, ours in batch.items():
        theirs = peer[name]
        if name == "name":
            assert ours == theirs
        elif name == "energy":
            assert ours.to(theirs.dtype).equal(theirs)  # Python floats: float64 here, as default_collate; float32 there
        else:
            assert ours.dtype is theirs.dtype
            assert ours.equal(theirs)
    for after, before in zip(batch.unbatch(), peer.to_data_list(), strict=True):
        assert type(after) is Data
        assert after.to_dict().keys() == before.to_dict().keys()
        for name, value in before.to_dict().items():
            assert value.equal(after[name]) if isinstance(value, Tensor) and name != "energy" else True
        assert after.name == before.name


@settings(deadline=None)
@given(drawn=graphs())
def test_block_diagonal_adjacency_is_the_shifted_edges(drawn):
    def adjacency(graph: dict) -> Tensor:
        nodes = len(graph["x"])
        ones = torch.ones(graph["edge_index"].shape[1])
        return torch.sparse_coo_tensor(graph["edge_index"], ones, (nodes, nodes), check_invariants=True)

    samples = [{"x": graph["x"], "edge_index": graph["edge_index"], "adjacency": adjacency(graph)} for graph in drawn]
    collate = bw.Collate(x=bw.ragged(), edge_index=bw.ragged(dim=-1, shift_by="x"), adjacency=bw.block_diagonal())
    batch = collate(samples)
    dense = torch.block_diag(*(sample["adjacency"].to_dense() for sample in samples))
    assert batch["adjacency"].to_dense().equal(dense)
    counted = torch.zeros_like(dense).index_put_(
        tuple(batch["edge_index"]), torch.ones(batch["edge_index"].shape[1]), accumulate=True
    )
    assert counted.equal(dense)
    for number, sample in enumerate(samples):
        assert batch[number]["adjacency"].to_dense().equal(sample["adjacency"].to_dense())


def test_edges_between_two_kinds_of_nodes_shift_each_row_by_its_own():
    collate = bw.Collate(users=bw.ragged(), items=bw.ragged(), bought=bw.ragged(dim=1, shift_by=("users", "items")))
    one = {"users": torch.ones(2), "items": torch.ones(3), "bought": torch.tensor([[0, 1, 1], [2, 0, 1]])}
    two = {"users": torch.ones(1), "items": torch.ones(1), "bought": torch.tensor([[0], [0]])}
    batch = collate([one, two, one])
    assert batch["bought"].tolist() == [[0, 1, 1, 2, 3, 4, 4], [2, 0, 1, 3, 6, 4, 5]]
    assert batch[2]["bought"].equal(one["bought"])
    with pytest.raises(bw.Infeasible, match=r"holds indices from 0 to 2, and that sample has 2 of 'users' and 3 of"):
        collate([one, {**one, "bought": torch.tensor([[2], [0]])}])


@st.composite
def meshes(draw: st.DrawFn) -> list[dict[str, Tensor]]:
    found = []
    for _ in range(draw(st.integers(1, 5))):
        verts, faces = draw(st.integers(3, 7)), draw(st.integers(0, 6))
        generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
        found.append(
            {
                "verts": torch.randn(verts, 3, generator=generator),
                "faces": torch.randint(verts, (faces, 3), generator=generator),
            }
        )
    return found


MESH = bw.Collate(verts=bw.ragged(), faces=bw.ragged(pad=-1, form="packed", shift_by="verts"))


@settings(deadline=None)
@given(drawn=meshes())
def test_meshes_have_every_form_and_table_that_pytorch3d_documents(drawn):
    """The three forms of `pytorch3d.structures.Meshes` (docs/notes/meshes_io and batching), rebuilt with slow loops."""
    batch = MESH(drawn)
    verts, faces = batch.fields["verts"], batch.fields["faces"]
    counts, face_counts = [len(mesh["verts"]) for mesh in drawn], [len(mesh["faces"]) for mesh in drawn]
    first = [sum(counts[:number]) for number in range(len(drawn))]

    assert verts.packed.equal(torch.cat([mesh["verts"] for mesh in drawn]))
    assert faces.packed.equal(torch.cat([mesh["faces"] + start for mesh, start in zip(drawn, first, strict=True)]))
    for number, mesh in enumerate(drawn):
        assert verts.list[number].equal(mesh["verts"])
        assert faces.list[number].equal(mesh["faces"])
        assert verts.padded[number, : counts[number]].equal(mesh["verts"])
        assert verts.padded[number, counts[number] :].eq(0).all()
        assert faces.padded[number, : face_counts[number]].equal(mesh["faces"])
        assert faces.padded[number, face_counts[number] :].eq(-1).all()
    assert verts.padded.shape == (len(drawn), max(counts), 3)
    assert faces.padded.shape == (len(drawn), max(face_counts), 3)

    assert verts.lengths.tolist() == counts  # num_verts_per_mesh
    assert verts.first.tolist() == first  # mesh_to_verts_packed_first_idx
    assert verts.segments.tolist() == [n for n, count in enumerate(counts) for _ in range(count)]  # ..._to_mesh_idx
    assert faces.segments.tolist() == [n for n, count in enumerate(face_counts) for _ in range(count)]
    flat = verts.padded.flatten(0, 1)
    assert flat[verts.packed_to_padded].equal(verts.packed)  # verts_padded_to_packed_idx


@settings(deadline=None)
@given(drawn=meshes())
def test_meshes_come_back_from_every_form(drawn):
    batch = MESH(drawn)
    for after, before in zip(batch.unbatch(), drawn, strict=True):
        assert after["verts"].equal(before["verts"])
        assert after["faces"].equal(before["faces"])
    faces = batch.fields["faces"]
    again = bw.Ragged.from_padded(faces.padded, faces.lengths, padding=Padding(value=-1))
    assert all(after.equal(mesh["faces"]) for after, mesh in zip(again.list, drawn, strict=True))
    chosen = batch.select([len(drawn) - 1, 0])
    assert chosen["faces"].equal(MESH([drawn[-1], drawn[0]])["faces"])
