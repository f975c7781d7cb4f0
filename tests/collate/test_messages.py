"""Refusals have bounded length whatever they speak of, and what a user's own code raises names its sample."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import batchwright as bw

LONG = "k" * 50_000
MANY: dict[Any, Any] = {f"field_{number}": 1 for number in range(3000)}
NUMBERS = list(range(50_000))
ONES = torch.ones
BATCH = bw.Collate(x=bw.ragged(), y=bw.stack())([{"x": ONES(n % 3 + 1), "y": ONES(1)} for n in range(2000)])
WIDE = bw.Collate({name: bw.ragged() for name in MANY})


class Wordy(dict):
    def __init__(self, parts: Any, must: int) -> None:
        super().__init__(parts)

    def __repr__(self) -> str:
        return "r" * 100_000


REFUSED = {
    "name": lambda: bw.Collate()([{LONG: ONES(2)}, {LONG: ONES(3)}]),
    "nested name": lambda: bw.Collate()([{"a": {LONG: ONES(2)}}, {"a": {LONG: ONES(3)}}]),
    "more fields": lambda: bw.Collate()([MANY, {**MANY, "z": 1}]),
    "fewer fields": lambda: bw.Collate()([{**MANY, "z": 1}, MANY]),
    "other fields": lambda: bw.Collate()([{**MANY, "z": 1}, {**MANY, "y": 1}]),
    "missing field": lambda: bw.Collate(z=bw.stack())([MANY]),
    "long list": lambda: bw.Collate()([{"x": NUMBERS}, {"x": NUMBERS[:3]}]),
    "id": lambda: bw.Collate(sample_id=bw.aside())([{"sample_id": LONG, "x": ONES(n)} for n in (2, 3)]),
    "declared as": lambda: bw.Collate(LONG),
    "a field declared as": lambda: bw.Collate(x=LONG),
    "tensor as a name": lambda: bw.Collate({ONES(1000, 1000): bw.stack()}),
    "tuple as a name": lambda: bw.Collate({tuple(NUMBERS): bw.stack()}),
    "form": lambda: bw.ragged(form=LONG),
    "side": lambda: bw.ragged(side=LONG),
    "pad": lambda: bw.ragged(pad=NUMBERS),
    "menu": lambda: bw.Collate(x=bw.ragged(menu=NUMBERS, pad=0))([{"x": ONES(60_000)}]),
    "dim": lambda: bw.ragged(dim=NUMBERS, shift_by="x"),
    "truncate_to": lambda: bw.ragged(dim=tuple(NUMBERS), truncate_to=3),
    "also": lambda: bw.Collate(x=bw.ragged(also={"a": LONG})),
    "also as a number": lambda: bw.ragged(also=3),
    "shift_by": lambda: bw.Collate(x=bw.ragged(shift_by=LONG))([{**MANY, "x": torch.zeros(3, dtype=torch.int64)}]),
    "shift_by as None": lambda: bw.ragged(shift_by=None),
    "media": lambda: bw.media(LONG),
    "media's also": lambda: bw.media(bw.ragged(also={LONG: "mask"})),
    "size": lambda: bw.resized(size=NUMBERS),
    "size in words": lambda: bw.resized(size=LONG),
    "how": lambda: bw.resized(how=LONG),
    "knowing": lambda: bw.Collate().knowing(**{LONG: 3}),
    "column": lambda: bw.identified([1, 2], **{LONG: [1]}),
    "order": lambda: BATCH.select([0] * 2000).restore(),
    "sorted_by": lambda: BATCH.sorted_by(LONG),
    "along": lambda: WIDE.packs(along=[LONG]),
    "seams": lambda: WIDE.packs(seams=[LONG]),
    "packs' also": lambda: WIDE.packs(also={LONG: "q"}),
    "packs' also in words": lambda: WIDE.packs(also=LONG),
    "packs as None": lambda: WIDE.packs(packs=None),
    "room": lambda: WIDE.packs(fill=LONG),
    "lengths": lambda: bw.Ragged.from_packed(ONES(3), LONG),
    "lengths of several types": lambda: bw.collate.Layout([*NUMBERS, "a"]),
    "records": lambda: bw.Collate()([_record("D"), _record("E")]),
    "not made again": lambda: bw.Collate()([{"a": Wordy(MANY, 1)}]).unbatch() and bw.Collate()([Wordy({}, 1)]),
    "a number past 64 bits": lambda: bw.Collate()([{"x": 2**70_000}]),
}


def _record(name: str) -> Any:
    return dataclasses.make_dataclass(name, list(MANY))(**MANY)


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_have_bounded_length(case):
    with pytest.raises(bw.Infeasible) as caught:
        REFUSED[case]()
    assert 20 < len(str(caught.value)) < 900


@pytest.mark.parametrize("key", [LONG, "z"])
def test_a_key_that_is_not_there_is_a_short_error_too(key):
    with pytest.raises(KeyError) as caught:
        bw.Collate()([MANY, MANY])[key]
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "refuse",
    [
        lambda: bw.Collate()(None),
        lambda: bw.Collate()([None]),
        lambda: bw.Collate()([{"x": 1}, None]),
        lambda: bw.Collate()([{"x": None}]),
        lambda: bw.Collate()([{"x": {"a": 1}}, {"x": None}]),
        lambda: bw.Collate(x=bw.ragged())([{"x": None}]),
        lambda: bw.Collate(x=bw.ragged()).packs()([[{"x": ONES(1)}], None]),
        lambda: bw.Collate(x=bw.ragged()).packs(packs=None),
        lambda: bw.Collate(x=None),
        lambda: bw.Collate().knowing(x=None),
        lambda: bw.ragged(dim=None),
        lambda: bw.ragged(shift_by=None),
        lambda: bw.ragged(side=None),
        lambda: bw.resized(None),
    ],
)
def test_none_is_called_none(refuse):
    with pytest.raises(bw.Infeasible) as caught:
        refuse()
    assert "None" in str(caught.value)
    assert "NoneType" not in caught.value.fact.partition("default_collate")[0]


class Broken:
    """A dataset of which one sample cannot be read."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> dict[str, float]:
        if index == 17:
            raise OSError("the file is gone")
        return {"x": float(index)}


class BrokenTogether(Broken):
    def __getitems__(self, indices: list[int]) -> list[dict[str, float]]:
        return [self[index] for index in indices]


def notes(dataset: Any, collate: Any = None) -> list[str]:
    with pytest.raises(OSError, match="the file is gone") as caught:
        list(DataLoader(dataset, 4, collate_fn=collate or bw.Collate()))
    return caught.value.__notes__


def test_what_a_dataset_raises_names_the_sample():
    assert notes(bw.identified(Broken())) == ["sample 17 of Broken was read"]
    assert notes(bw.identified(BrokenTogether())) == ["samples 16, 17, 18, 19 of BrokenTogether were read together"]


class Indexed:
    """A column that is read sample by sample."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        if index == 2:
            raise OSError("the file is gone")
        return index


def _gone(ids: np.ndarray) -> Any:
    raise OSError("the file is gone")


def test_what_columns_and_look_ups_raise_names_the_samples():
    rows = [{"x": float(n)} for n in range(4)]
    assert notes(bw.identified(rows, group=Indexed())) == ["'group' of sample 2 was read"]
    assert notes(bw.identified(rows), bw.Collate().knowing(weight=_gone)) == [
        "'weight' was looked up for samples 0, 1, 2, 3"
    ]


def test_edges_of_samples_that_are_mappings_need_a_shift():
    with pytest.warns(bw.PoorWarning, match="'edge_index' holds node numbers.*has no shift_by.*pass bw.ragged"):
        bw.Collate(x=bw.ragged(), edge_index=bw.ragged(dim=1))
    graphs = [{"x": torch.ones(n, 1), "edge_index": torch.tensor([[0, n - 1], [n - 1, 0]])} for n in (2, 3)]
    batch = bw.Collate(x=bw.ragged(), edge_index=bw.ragged(dim=1, shift_by="x"))(graphs)
    assert batch["edge_index"].tolist() == [[0, 1, 2, 4], [1, 0, 4, 2]]
    bw.Collate(x=bw.ragged(pad=0), edge_index=bw.ragged(dim=1, pad=-1))(graphs)  # each sample keeps its own numbers
