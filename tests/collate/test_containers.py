"""Samples of any container type: kept both ways, never touched, and refused in words where they cannot be made again."""

from __future__ import annotations

import array
import collections
import dataclasses
import shelve
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch.utils.data import default_collate
from transformers import BatchEncoding

import batchwright as bw


class Wrapper(MutableMapping):
    """Keeps its parts in a dict of its own, which a shallow copy shares."""

    def __init__(self, parts: Mapping = MappingProxyType({})) -> None:
        self._parts = dict(parts)

    def __getitem__(self, key: str) -> Any:
        return self._parts[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._parts[key] = value

    def __delitem__(self, key: str) -> None:
        del self._parts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


class Keywords(Wrapper):
    """Asks for its parts by keyword."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(parts)


class Attributes(dict):
    """Parts that are attributes too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.__dict__ = self


class Titled(dict):
    """A dict whose constructor takes no parts."""

    def __init__(self, title: str) -> None:
        self.title = title


class Cloned(collections.UserDict):
    """Keeps its parts elsewhere than a UserDict does."""

    def __init__(self, parts: Mapping = MappingProxyType({})) -> None:
        self._wrapped = Wrapper(parts)

    def __getitem__(self, key: str) -> Any:
        return self._wrapped[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._wrapped[key] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._wrapped)

    def __len__(self) -> int:
        return len(self._wrapped)


class Fresh(dict):
    """A dict that is not made of nothing."""

    def __new__(cls, parts: Mapping) -> Fresh:
        return super().__new__(cls, parts)


def titled(parts: Mapping) -> Titled:
    made = Titled("a title")
    made.update(parts)
    return made


KINDS = {
    "dict": dict,
    "OrderedDict": collections.OrderedDict,
    "defaultdict": lambda parts: collections.defaultdict(list, parts),
    "Counter": collections.Counter,
    "ChainMap": collections.ChainMap,
    "UserDict": collections.UserDict,
    "BatchEncoding": BatchEncoding,
    "MappingProxyType": MappingProxyType,
    "Wrapper": Wrapper,
    "Attributes": Attributes,
    "Titled": titled,
    "Fresh": Fresh,
    "Cloned": Cloned,
}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_mappings_keep_their_type_both_ways_and_are_not_touched(kind, nested):
    parts = [{"ids": list(range(n + 1)), "label": n} for n in range(3)]
    mappings = [kind(part) for part in parts]
    samples = [{"inner": mapping} for mapping in mappings] if nested else mappings
    batch = bw.Collate({"inner": {"ids": bw.ragged()}} if nested else {"ids": bw.ragged()})(samples)
    back, whole = batch.unbatch(), batch.data
    for before, part, after in zip(mappings, parts, back, strict=True):
        assert dict(before) == part
        after = after["inner"] if nested else after
        assert type(after) is type(before)
        assert list(after) == list(part)
        assert after["ids"].tolist() == part["ids"]
        assert after["label"] == part["label"]
        assert vars(after).keys() == vars(before).keys() if hasattr(before, "__dict__") else True
    whole = whole["inner"] if nested else whole
    assert type(whole) is type(mappings[0])
    assert whole["label"].tolist() == [0, 1, 2]


class Owned(dict):
    """A dict with an attribute that costs memory."""


def test_what_a_batch_was_made_of_is_forgotten_with_it():
    collate, owned = bw.Collate(), Owned(x=1.0)
    owned.whole = torch.zeros(3)
    kept = weakref.ref(owned.whole)
    batch = collate([owned, owned])
    assert batch.data.whole is owned.whole
    del owned, batch
    assert kept() is None


def test_attributes_that_are_parts_are_those_of_each_sample():
    batch = bw.Collate()([Attributes(label=n) for n in range(3)])
    assert [sample.label for sample in batch.unbatch()] == [0, 1, 2]


def test_a_shelf_is_read_and_left_alone(tmp_path):
    path = str(tmp_path / "shelf")
    with shelve.open(path) as shelf:
        shelf["x"] = 1
    with shelve.open(path) as shelf:
        batch = bw.Collate()([shelf])
        assert batch["x"].tolist() == [1]
        with pytest.raises(bw.Infeasible, match="cannot be made again of its parts x"):
            batch.unbatch()
    with shelve.open(path) as shelf:
        assert dict(shelf) == {"x": 1}


@dataclasses.dataclass
class Scaled:
    x: float
    factor: dataclasses.InitVar[float]

    def __post_init__(self, factor: float) -> None:
        self.x *= factor


@dataclasses.dataclass
class Checked:
    x: torch.Tensor

    def __post_init__(self) -> None:
        if self.x.ndim != 1:
            raise ValueError("x is no vector")


@pytest.mark.parametrize("sample", [Scaled(1.0, 2.0), Keywords(x=1.0)])
def test_what_cannot_be_made_of_its_parts_collates_and_is_refused_when_it_is_to_be_made(sample):
    batch = bw.Collate()([sample, sample])
    assert len(batch["x"]) == 2
    for make in (lambda: batch[0], lambda: batch.data, batch.unbatch):
        with pytest.raises(bw.Infeasible, match="cannot be made again of its parts x"):
            make()


def test_a_record_that_checks_itself_is_made_of_samples_and_not_of_batches():
    checked = bw.Collate()([Checked(torch.ones(2))] * 3)
    assert checked[2].x.tolist() == [1, 1]
    with pytest.raises(bw.Infeasible, match="x is no vector"):
        _ = checked.data


SEQUENCES = [
    collections.deque,
    collections.UserList,
    bytearray,
    range,
    lambda values: memoryview(bytes(values)),
    lambda values: array.array("b", values),
]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("make", SEQUENCES)
def test_sequences_that_torch_transposes_are_collated_and_no_column_is_given_as_a_sample(make, count):
    samples = [{"a": make(3 if make is range else [4 * n, 4 * n + 1, 4 * n + 2])} for n in range(count)]
    batch = bw.Collate()(samples)
    assert repr(list(batch["a"])) == repr(list(default_collate(samples)["a"]))
    for take in (lambda: batch[0], lambda: batch.select([0]), batch.unbatch):
        with pytest.raises(bw.Infeasible, match=r"declare the field: bw.opaque\(\) gives each sample back"):
            take()
    assert bw.Collate(a=bw.opaque())(samples).unbatch() == samples
