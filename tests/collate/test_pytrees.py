"""A batch as a node of torch's pytrees: what maps over it, takes derivatives of it, compiles and exports with it."""

from __future__ import annotations

import multiprocessing
import pickle
from typing import Any

import optree
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils import _cxx_pytree, _pytree
from torch.utils.data import DataLoader, default_collate

import batchwright as bw

from .test_mutable_batch import STEPS, changed

COLLATE = bw.Collate(
    ids=bw.ragged(pad=0, also={"mask": "mask", "offsets": "offsets"}),
    packed=bw.ragged(form="packed", also={"segments": "segments"}),
    edges=bw.ragged(dim=-1, shift_by="packed", form="packed"),
    jagged=bw.ragged(form="jagged"),
    listed=bw.ragged(form="list"),
    image=bw.resized(how="pad"),
    name=bw.opaque(),
    split=bw.aside(),
)
MAPS = {
    "torch": _pytree.tree_map,
    "C++": _cxx_pytree.tree_map,
    "optree": lambda *a: optree.tree_map(*a, namespace="torch"),
}


def sample(n: int) -> dict[str, Any]:
    return {
        "ids": torch.arange(n + 1),
        "packed": torch.full((n + 1, 2), float(n)),
        "edges": torch.tensor([[0], [n]]),
        "jagged": torch.ones(n + 2),
        "listed": torch.ones(n + 3),
        "image": torch.ones(1, n + 1, 2),
        "nested": {"a": torch.ones(2) * n, "b": (n, torch.zeros(1))},
        "name": str(n),
        "y": float(n),
        "split": "abc"[n],
    }


def made() -> bw.Batch:
    dataset = bw.identified([sample(n) for n in range(3)])
    return COLLATE([dataset[n] for n in range(3)]).scaled(0.5)


def keeps(batch: Any, numbers: tuple[int, ...] = (0, 1, 2)) -> None:
    """The side channel came along."""
    assert type(batch) is bw.Batch
    assert batch.aside.sample_ids.tolist() == [*numbers]
    assert batch.aside.columns["split"] == ["abc"[n] for n in numbers]
    assert batch.aside.loss_scale == 0.5


def doubled(value: Any) -> Any:
    return value * 2 if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("tree_map", MAPS.values(), ids=MAPS)
def test_a_map_changes_every_tensor_and_samples_and_side_channel_come_along(tree_map):
    batch, mapped = made(), tree_map(doubled, made())
    assert mapped == _pytree.tree_map(doubled, dict(batch))
    assert list(mapped) == list(batch)
    keeps(mapped)
    for before, after in zip(batch.unbatch(), mapped.unbatch(), strict=True):
        for name in ("ids", "packed", "jagged", "listed", "image"):
            assert after[name].equal(before[name] * 2), name
        assert after["nested"]["a"].equal(before["nested"]["a"] * 2)
        assert (after["name"], after["y"]) == (before["name"], before["y"] * 2)
    swapped = mapped.select([2, 0])
    keeps(swapped, (2, 0))
    assert swapped["ids"].tolist() == [[0, 2, 4], [0, 0, 0]]


@pytest.mark.parametrize("copied", [lambda t: t.clone(), lambda t: t.to("cpu", copy=True)])
def test_what_is_only_copied_or_moved_is_sorted_and_selected_as_before(copied):
    mapped = _pytree.tree_map(lambda one: copied(one) if isinstance(one, torch.Tensor) else one, made())
    assert mapped == made()
    assert mapped.select([1]) == made().select([1])
    assert mapped.select([2, 0, 2]).unbatch()[0]["edges"].equal(sample(2)["edges"])
    assert mapped.sorted_by("ids").restore() == made()
    moved = _pytree.tree_map(lambda one: one.to("meta") if isinstance(one, torch.Tensor) else one, made())
    assert moved.fields["ids"].lengths.is_meta
    keeps(moved)


@given(st.lists(STEPS, max_size=5))
def test_it_maps_as_the_dict_does_whatever_was_set_and_deleted(steps):
    batch = made()
    plain = dict(batch)
    for step in steps:
        changed(batch, step)
        changed(plain, step)
    mapped = _pytree.tree_map(doubled, batch)
    assert mapped == _pytree.tree_map(doubled, plain)
    assert list(mapped) == list(plain)
    assert all(a is b for a, b in zip(_pytree.tree_leaves(batch), _pytree.tree_leaves(plain), strict=True))
    assert [path for path, _ in _pytree.tree_leaves_with_path(batch)] == [
        path for path, _ in _pytree.tree_leaves_with_path(plain)
    ]
    keeps(mapped)
    assert len(mapped.unbatch()) == 3


@given(first=st.integers(0, 3), count=st.integers(0, 3))
def test_other_rows_are_other_samples(first, count):
    batch = bw.Collate(x=bw.stack(), split=bw.aside())([{"x": torch.ones(2) * n, "split": n} for n in range(3)])
    cut = _pytree.tree_map(lambda rows: rows[first : first + count], batch)
    assert cut["x"].equal(batch["x"][first : first + count])
    assert cut.sample_count == len(cut["x"])
    assert cut.aside.columns == ({"split": batch.aside.columns["split"]} if len(cut["x"]) == 3 else {})


def test_batches_of_the_same_names_have_the_same_structure():
    one, other = made(), _pytree.tree_map(doubled, made())
    added = _pytree.tree_map(lambda a, b: a + b if isinstance(a, torch.Tensor) and not a.is_nested else a, one, other)
    assert added["y"].tolist() == [0.0, 3.0, 6.0]
    keeps(added)
    leaves, structure = _pytree.tree_flatten(one)
    assert structure == _pytree.tree_structure(other) != _pytree.tree_structure(one | {"z": 1})
    again = _pytree.tree_unflatten(leaves, _pytree.treespec_loads(_pytree.treespec_dumps(structure)))
    assert again == one
    assert type(again) is bw.Batch
    marked = _pytree.tree_map(lambda _: True, one)
    assert all(_pytree.tree_leaves(marked))


def maps_what_arrives(sent: Any) -> None:
    """In a process that has imported nothing but what the batch brings."""
    batch = pickle.loads(sent.recv())
    sent.send((len(_pytree.tree_leaves(batch)), _pytree.tree_map(doubled, batch)["y"].tolist()))


def test_it_is_known_wherever_it_arrives():
    batch = made()
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=maps_what_arrives, args=(there,))
    process.start()
    here.send(pickle.dumps(batch))
    assert here.recv() == (len(_pytree.tree_leaves(dict(batch))), [0.0, 2.0, 4.0])
    process.join()
    (loaded,) = DataLoader([sample(n) for n in range(3)], 3, num_workers=1, collate_fn=COLLATE)
    assert _pytree.tree_map(doubled, loaded)["y"].tolist() == [0.0, 2.0, 4.0]


def loss(batch: bw.Batch) -> torch.Tensor:
    return (batch.x * batch["w"][:, None]).square().sum()


def plain() -> bw.Batch:
    collate = bw.Collate(x=bw.stack(), w=bw.scalar(), split=bw.aside())
    dataset = bw.identified([{"x": torch.ones(2) * n, "w": float(n), "split": "abc"[n]} for n in range(3)])
    return collate([dataset[n] for n in range(3)]).scaled(0.5)


def test_torch_func_takes_it():
    gradient = torch.func.grad(loss)(plain())
    assert gradient.x.equal(2 * plain().x * plain().w[:, None] ** 2)
    keeps(gradient)
    each = torch.func.vmap(lambda one: one["x"].sum() * one["w"])(plain())
    assert each.tolist() == [0.0, 2.0, 8.0]
    assert torch.func.vmap(lambda one: one)(plain()) == plain()


@pytest.mark.parametrize(
    "step", [loss, lambda batch: _pytree.tree_map(doubled, batch).x, lambda batch: batch.to("cpu").w]
)
def test_compiled_functions_take_it(step):
    torch._dynamo.reset()
    assert torch.compile(step, fullgraph=True, backend="aot_eager")(plain()).equal(step(plain()))


def test_compiled_functions_give_it():
    torch._dynamo.reset()
    given = torch.compile(lambda batch: _pytree.tree_map(doubled, batch), fullgraph=True, backend="eager")(plain())
    assert given == _pytree.tree_map(doubled, plain())
    keeps(given)


def test_exported_models_take_it():
    class Model(torch.nn.Module):
        def forward(self, batch: bw.Batch) -> torch.Tensor:
            return loss(batch)

    exported = torch.export.export(Model(), (plain(),))
    assert exported.module()(plain()).equal(loss(plain()))


def test_batches_stacked_by_torchs_default_collate_are_the_samples():
    joined = default_collate([plain(), plain().select([2, 1, 0])])
    assert joined.x.shape == (2, 3, 2)
    assert joined.sample_count == 2
    assert joined.aside.sample_ids is None
