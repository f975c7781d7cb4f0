"""A batch as a mapping that can be changed: it does what a dict does, and is still a batch."""

from __future__ import annotations

import copy
import pickle
from collections.abc import MutableMapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.collate.entries import equal

COLLATE = bw.Collate(
    ids=bw.ragged(pad=0, also={"attention_mask": "mask"}),
    image=bw.resized(how="pad"),
    label=bw.scalar(),
    name=bw.opaque(),
    split=bw.aside(),
)
SAMPLES = [
    {
        "ids": torch.arange(n + 1),
        "image": torch.ones(1, n + 1, 2),
        "label": n,
        "name": str(n),
        "x": torch.ones(2) * n,
        "split": "a",
    }
    for n in range(3)
]
NAMES = ("ids", "attention_mask", "image", "label", "name", "x", "split", "loss", "new")
VALUES = (torch.zeros(3), torch.zeros(3, 3), torch.tensor(1.0), None, 7, ["a", "b", "c"], {"a": torch.ones(1)}, "text")
STEPS = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(NAMES), st.sampled_from(VALUES)),
    st.tuples(
        st.sampled_from(["pop", "delete", "setdefault", "popitem", "update", "|", "|=", "get", "clear", "copy"]),
        st.sampled_from(NAMES),
        st.just(9),
    ),
)


def made() -> bw.Batch:
    return COLLATE(SAMPLES)


def changed(mapping, step) -> object:
    what, name, value = step
    match what:
        case "set":
            mapping[name] = value
        case "pop":
            return mapping.pop(name, value)
        case "delete":
            try:
                del mapping[name]
            except KeyError:
                return "KeyError"
        case "setdefault":
            return mapping.setdefault(name, value)
        case "popitem":
            try:
                return mapping.popitem()
            except KeyError:
                return "KeyError"
        case "update":
            mapping.update({name: value}, other=value)
        case "|":
            return [mapping | {name: value}, {name: value, "other": 1} | mapping]
        case "|=":
            mapping |= {name: value}
        case "get":
            return mapping.get(name, value)
        case "clear":
            mapping.clear()
        case "copy":
            copied = mapping.copy()
            copied[name] = value
            return copied
    return None


@given(st.lists(STEPS, max_size=8))
def test_it_does_what_a_dict_does(steps):
    batch = made()
    plain = dict(batch)
    keys = batch.keys()
    for step in steps:
        mine, wanted = changed(batch, step), changed(plain, step)
        assert equal(mine, wanted)
        assert list(batch) == list(plain) == list(keys) == list({**batch}) == list(dict(batch))
        assert all(getattr(batch, name) is value for name, value in plain.items())
        assert list(reversed(batch)) == list(reversed(plain))
        assert all(batch[name] is value for name, value in plain.items())
        assert [*batch.values()] == [*plain.values()] or all(map(lambda a, b: a is b, batch.values(), plain.values()))
    assert batch == plain
    for other in (
        batch.to("cpu"),
        copy.copy(batch),
        copy.deepcopy(batch),
        pickle.loads(pickle.dumps(batch)),
        batch.select(range(3)),
    ):
        assert other == batch
        assert list(other) == list(plain)
        assert len(other.unbatch()) == 3
        assert other.aside.columns["split"] == ["a"] * 3


def test_it_is_a_mutable_mapping_and_has_no_hash():
    batch = made()
    assert isinstance(batch, MutableMapping)
    with pytest.raises(TypeError, match="unhashable"):
        hash(batch)
    batch.clear()
    assert not batch
    assert batch.unbatch()[2]["ids"].tolist() == [0, 1, 2]
    with pytest.raises(KeyError):
        batch.popitem()
    with pytest.raises(bw.Infeasible, match="set under 0, which is no string; set entries by their names"):
        batch[0] = 1


def test_samples_follow_what_is_set_where_they_can_be_told_from_it():
    batch = made()
    masked = batch["ids"].clone()
    masked[2, 2] = -5
    batch["ids"], batch["label"], batch["name"] = masked, torch.tensor([5, 6, 7]), ["x", "y", "z"]
    batch["image"] = batch["image"] * 2
    assert batch["ids"] is masked
    assert batch[2]["ids"].tolist() == [0, 1, -5]
    assert batch["attention_mask"].tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert [sample["label"] for sample in batch.unbatch()] == [5, 6, 7]
    assert batch.data["name"] == ["x", "y", "z"]
    assert batch[0]["image"].tolist() == [[[2.0, 2.0]]]
    assert batch.fields["ids"].packed.tolist() == [0, 0, 1, 0, 1, -5]
    swapped = batch.select([2, 0])
    assert swapped["ids"].tolist() == [[0, 1, -5], [0, 0, 0]]
    assert swapped["label"].tolist() == [7, 5]
    assert batch.sorted_by("ids").restore() == batch


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 7), (3, 2, 2)])
def test_rows_of_a_stacked_field_may_have_another_shape(shape):
    batch = made()
    batch["x"] = torch.arange(float(np.prod(shape))).reshape(shape)
    assert [sample["x"].tolist() for sample in batch.unbatch()] == batch["x"].tolist()
    batch["x"] = torch.ones(2, 2)  # not a row for each sample: those that were collated
    assert [sample["x"].tolist() for sample in batch.unbatch()] == [[n, n] for n in range(3)]


def test_samples_keep_their_field_where_they_cannot_be_told_from_what_is_set():
    batch = made()
    batch["ids"] = torch.zeros(3, 9)
    batch["x"] = None
    batch["weights"] = torch.ones(3)
    batch["temperature"] = torch.tensor(0.5)
    assert [sample["ids"].tolist() for sample in batch.unbatch()] == [[0], [0, 1], [0, 1, 2]]
    assert batch[1]["x"].tolist() == [1.0, 1.0]
    assert batch[1].keys() == SAMPLES[1].keys()
    assert batch.select([0])["weights"].shape == (1,)
    assert batch.select([0])["temperature"].item() == 0.5


def test_what_is_deleted_is_hidden_from_the_model_and_still_there_for_samples_and_further_keys():
    batch = made()
    ids = batch.pop("ids")
    assert ids.shape == (3, 3)
    assert "ids" not in batch
    assert batch["attention_mask"].sum() == 6
    assert batch[2]["ids"].tolist() == [0, 1, 2]
    assert "ids" not in batch.to("cpu").scaled(2.0)


def test_a_copy_is_changed_apart():
    batch = made()
    other = batch | {"loss": 1.0, "label": None}
    del other["x"]
    assert list(batch) == list(made())
    assert batch["label"].tolist() == [0, 1, 2]
    assert list(other) == ["ids", "image", "label", "name", "attention_mask", "loss"]
    assert list({"first": 0, "label": 8} | batch) == ["first", "label", "ids", "image", "name", "x", "attention_mask"]
    assert isinstance({"first": 0} | batch, bw.Batch)
    assert ({"label": 8} | batch)["label"].tolist() == [0, 1, 2]
    batch |= {"loss": 2.0}
    assert isinstance(batch, bw.Batch)
    assert batch["loss"] == 2.0


def test_batches_are_equal_where_every_number_and_dtype_is():
    batch = made()
    assert batch == made() == dict(made())
    assert batch != {**batch, "label": batch["label"].float()}
    assert batch != {**batch, "x": batch["x"] + 1}
    assert batch != {**batch, "label": [0, 1, 2]}
    assert batch != [*batch]
    assert made() | {"a": np.arange(2)} == made() | {"a": np.arange(2)} != made() | {"a": np.arange(3)}
    jagged = bw.Collate(x=bw.ragged(form="jagged"), m=bw.block_diagonal())
    rows = [{"x": torch.arange(n + 1), "m": torch.ones(1, n + 1).to_sparse()} for n in range(2)]
    assert jagged(rows) == jagged(rows)
    assert jagged(rows) != jagged(rows[::-1])
