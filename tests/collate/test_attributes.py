"""Entries of a batch read as attributes: by models and trainers that write `batch.input_ids`."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch

import batchwright as bw

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.data import Data, HeteroData
    from torch_geometric.nn import GCNConv, HeteroConv, SAGEConv, global_mean_pool

COLLATE = bw.Collate(ids=bw.ragged(pad=0, also={"mask": "mask"}), split=bw.aside())
PROTOCOLS = [
    *("__array__", "__array_interface__", "__cuda_array_interface__", "__dlpack__", "__torch_function__", "__dataframe__"),
    *("__deepcopy__", "__fspath__", "__index__", "__jax_array__", "_repr_html_", "_ipython_display_", "_asdict"),
]  # fmt: skip
OWN = [name for name in dir(bw.Batch) if not name.startswith("_")]


def made(**more: object) -> bw.Batch:
    return COLLATE([{"ids": torch.arange(n + 1), "y": n, "split": "a", **more} for n in range(3)])


def test_an_entry_is_read_as_an_attribute():
    batch = made()
    assert batch.ids is batch["ids"]
    assert batch.mask is batch["mask"]
    assert getattr(batch, "split", None) is None
    assert {"ids", "mask", "y", "select"} <= set(dir(batch))
    batch["weight"] = weight = torch.ones(3)
    assert batch.weight is weight
    del batch["weight"]
    assert not hasattr(batch, "weight")


def test_a_missing_attribute_says_which_entries_there_are():
    with pytest.raises(
        AttributeError, match=r"^'labels' is no attribute of a batch, nor one of its keys ids, y, mask$"
    ):
        _ = made().labels
    many = bw.Batch({f"{n}" * 1000: 1 for n in range(1000)})
    with pytest.raises(AttributeError) as refusal:
        _ = many.labels
    assert len(str(refusal.value)) < 2500


@pytest.mark.parametrize("name", OWN)
def test_entries_named_like_what_a_batch_has_itself_are_read_by_their_names(name):
    batch = made(**{name: 7.0})
    assert type(getattr(batch, name)) is type(getattr(made(), name))
    assert batch[name].tolist() == [7.0] * 3
    for other in (batch.to("cpu"), copy.copy(batch), pickle.loads(pickle.dumps(batch)), batch | {"z": 1}):
        assert other[name].tolist() == [7.0] * 3


def test_libraries_that_look_for_protocols_find_none():
    assert [name for name in PROTOCOLS if hasattr(made(), name)] == []
    assert not hasattr(bw.Batch.__new__(bw.Batch), "anything_")
    assert not hasattr(made(__array__=1.0), "__array__")


def test_attributes_are_not_set_beside_the_entries():
    batch = made()
    for name in ("y", "labels", "data", "to"):
        with pytest.raises(AttributeError, match=f"read only; set the entry: batch.'{name}'. = "):
            setattr(batch, name, torch.zeros(3))
        batch[name] = torch.zeros(3)
        assert batch[name].tolist() == [0.0] * 3


def test_a_property_that_fails_says_why():
    batch = bw.Batch({"x": torch.ones(2)})
    batch._root = None
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute"):
        _ = batch.data


class Network(torch.nn.Module):
    """As written for batches of torch_geometric: it never heard of this library."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = GCNConv(4, 5)

    def forward(self, x, edge_index, batch):
        return global_mean_pool(self.conv(x, edge_index).relu(), batch)


def graphs() -> list[Data]:
    generator = torch.Generator().manual_seed(1)
    return [
        Data(
            x=torch.rand(n, 4, generator=generator),
            edge_index=torch.randint(n, (2, n + 2), generator=generator),
            edge_attr=torch.rand(n + 2, 2, generator=generator),
        )
        for n in (2, 5, 3)
    ]


def test_models_of_torch_geometric_read_graphs_as_they_read_its_own_batches():
    batch, peer = bw.Collate()(graphs()), bw.Collate()(graphs()).data
    for name in ("x", "edge_index", "edge_attr", "batch", "ptr"):
        assert getattr(batch, name).equal(getattr(peer, name)), name
    for name in ("num_graphs", "num_nodes", "num_edges", "num_features", "num_node_features", "num_edge_features"):
        assert getattr(batch, name) == getattr(peer, name), name
    model = Network()
    assert model(batch.x, batch.edge_index, batch.batch).equal(model(peer.x, peer.edge_index, peer.batch))
    assert batch.select([2, 0]).num_graphs == 2
    with pytest.raises(AttributeError, match="'num_nodes' is no attribute of a batch"):
        _ = made().num_nodes


def test_models_of_several_types_of_nodes_read_the_dicts_of_types():
    def graph(n: int) -> HeteroData:
        made = HeteroData()
        made["paper"].x, made["author"].x = torch.ones(n, 2), torch.ones(n + 1, 2)
        made["author", "writes", "paper"].edge_index = torch.tensor([[0, n], [0, n - 1]])
        return made

    batch, peer = bw.Collate()([graph(1), graph(3)]), bw.Collate()([graph(1), graph(3)]).data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no edge leads to an author
        model = HeteroConv({("author", "writes", "paper"): SAGEConv((2, 2), 3)})
    found, wanted = (model(one.x_dict, one.edge_index_dict) for one in (batch, peer))
    assert found["paper"].equal(wanted["paper"])
    assert batch.num_nodes == peer.num_nodes == 10
