"""The way out that a refusal of samples, images, media or of a batch's values names is followed, and it passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch.utils.data._utils.collate import default_collate_fn_map

import batchwright as bw

from ..refusals import cases, told_and_followed

ONES = torch.ones
ROWS = [{"x": ONES(n)} for n in (2, 3)]
IMAGES = [{"x": ONES(1, n, 2)} for n in (2, 3)]
RESIZED = "pass a pad value that the field's dtype has, or how='resize' and mode='nearest'"
ITEMS = "declare items as bw.stack() or bw.resized(...)"
SIZE = "pass size=(height, width), each 1 or more, or size='largest'"
DESCRIBED = bw.Collate(x=bw.ragged(also={"label": "lengths"}))


@dataclasses.dataclass
class Text:
    x: Any


@dataclasses.dataclass
class Longer(Text):
    y: Any = 0


class Growing(dict):
    """A dict whose length is another than the number of its keys."""

    def __len__(self) -> int:
        return 7


class Endless:
    """Keys and what they find, without a length."""

    def keys(self) -> list[str]:
        return ["x"]

    def __getitem__(self, key: str) -> float:
        return 1.0


class Named(Mapping):
    """A mapping that asks for a name when it is made."""

    def __init__(self, parts: dict[str, Any], name: str) -> None:
        self.parts = parts

    def __getitem__(self, key: str) -> Any:
        return self.parts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


class Sum(int):
    """A number that is added up where it is collated."""


def summed() -> Any:
    """A batch of a field that torch's extension table joins to one number."""
    default_collate_fn_map[Sum] = lambda batch, **_: float(sum(batch))
    try:
        return bw.Collate()([{"x": Sum(1)}, {"x": Sum(2)}])
    finally:
        del default_collate_fn_map[Sum]


def rebuilt() -> Any:
    """A batch as a trainer rebuilds it, with a mapping among its values."""
    return bw.Batch({"x": ONES(2), "y": {"a": 1}})


def nested() -> list[dict[str, Any]]:
    """Samples with a list in a list in a list, and so on, deeper than Python calls functions."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return [{"x": deep, "y": number} for number in range(2)]


def images(field: Any, dtype: torch.dtype = torch.float32) -> Any:
    return bw.Collate(x=field)([{"x": row["x"].to(dtype)} for row in IMAGES])["x"]


TABLE = {
    "containers that never end": (
        lambda: bw.Collate()(nested()),
        "leave such fields out, or declare them as bw.opaque()",
        lambda: bw.Collate(x=bw.opaque())(nested()),
    ),
    "a declared field that no sample has": (
        lambda: bw.Collate(x=bw.ragged(), z=bw.stack())(ROWS),
        "give every sample the declared fields, or do not declare it",
        lambda: (
            bw.Collate(x=bw.ragged(), z=bw.stack())([{**row, "z": ONES(1)} for row in ROWS]),
            bw.Collate(x=bw.ragged())(ROWS),
        ),
    ),
    "a field that one sample lacks": (
        lambda: bw.Collate()([{"x": 1}, {"y": 1}]),
        "give every sample the same fields",
        lambda: bw.Collate()([{"x": 1}, {"x": 1}]),
    ),
    "a field that one sample has too many": (
        lambda: bw.Collate()([{"x": 1}, {"x": 1, "y": 1}]),
        "give every sample the same fields",
        lambda: bw.Collate()([{"x": 1}, {"x": 1}]),
    ),
    "tuples of several lengths": (
        lambda: bw.Collate()([{"x": (1, 2)}, {"x": (1,)}]),
        "declare it: x = bw.ragged()",
        lambda: bw.Collate(x=bw.ragged())([{"x": (1, 2)}, {"x": (1,)}]),
    ),
    "lists of images of several lengths": (
        lambda: bw.Collate()([{"x": [ONES(2)]}, {"x": [ONES(2), ONES(2)]}]),
        "declare it: x = bw.media()",
        lambda: bw.Collate(x=bw.media())([{"x": [ONES(2)]}, {"x": [ONES(2), ONES(2)]}]),
    ),
    "lists of words of several lengths": (
        lambda: bw.Collate()([{"x": ["a"]}, {"x": ["a", "b"]}]),
        "declare it: x = bw.opaque()",
        lambda: bw.Collate(x=bw.opaque())([{"x": ["a"]}, {"x": ["a", "b"]}]),
    ),
    "keys of one name": (
        lambda: bw.Collate()([{1: 1.0, "1": 2.0}]),
        "rename one",
        lambda: bw.Collate()([{1: 1.0, "one": 2.0}]),
    ),
    "a field under a further key's name": (
        lambda: DESCRIBED([{"x": [1, 2], "label": 7}]),
        "rename the key in the `also` that declares it, or put the samples' own aside; declare it: label = bw.aside()",
        lambda: (
            bw.Collate(x=bw.ragged(also={"lengths": "lengths"}))([{"x": [1, 2], "label": 7}]),
            bw.Collate(x=bw.ragged(also={"label": "lengths"}), label=bw.aside())([{"x": [1, 2], "label": 7}]),
        ),
    ),
    "a field under a further key's name of packs": (
        lambda: bw.Collate(x=bw.ragged()).packs(also={"label": "lengths"})([{"x": [1, 2], "label": 7}]),
        "rename the key in the `also` that declares it, or put the samples' own aside; declare it: label = bw.aside()",
        lambda: (
            bw.Collate(x=bw.ragged()).packs(also={"lengths": "lengths"})([{"x": [1, 2], "label": 7}]),
            bw.Collate(x=bw.ragged(), label=bw.aside()).packs(also={"label": "lengths"})([{"x": [1, 2], "label": 7}]),
        ),
    ),
    "an object": (
        lambda: bw.Collate()([{"x": object()}]),
        "declare it: x = bw.opaque()",
        lambda: bw.Collate(x=bw.opaque())([{"x": object()}]),
    ),
    "an object within": (
        lambda: bw.Collate()([{"a": {"x": object()}}]),
        "declare it: a = {'x': bw.opaque()}",
        lambda: bw.Collate(a={"x": bw.opaque()})([{"a": {"x": object()}}]),
    ),
    "an empty sample": (
        lambda: bw.Collate()([{}, {}]),
        "leave empty samples out",
        lambda: bw.Collate()([sample for sample in [{}, {"x": 1}] if sample]),
    ),
    "an empty list within": (
        lambda: bw.Collate()([{"x": []}, {"x": [1]}]),
        "declare it: x = bw.ragged()",
        lambda: bw.Collate(x=bw.ragged())([{"x": []}, {"x": [1]}]),
    ),
    "a dict of another length than its keys": (
        lambda: bw.Collate()([Growing(x=1.0)]),
        "let the dataset return a dict",
        lambda: bw.Collate()([dict(Growing(x=1.0))]),
    ),
    "keys without a length": (
        lambda: bw.Collate()([Endless()]),
        "let the dataset return a dict",
        lambda: bw.Collate()([dict(Endless())]),
    ),
    "records of several types": (
        lambda: bw.Collate()([Text(1), Longer(1)]),
        "give every sample the same type",
        lambda: bw.Collate()([Longer(1), Longer(1)]),
    ),
    "a container that cannot be made again": (
        lambda: bw.Collate()([Named({"x": 1}, "a")]).unbatch(),
        "let the dataset return a dict of them",
        lambda: bw.Collate()([dict(Named({"x": 1}, "a"))]).unbatch(),
    ),
    "further keys of a container": (
        lambda: container().also("lengths"),
        "declare `also` at a field inside it",
        lambda: bw.Collate(a={"x": bw.ragged(also={"n": "lengths"})})([{"a": ROWS[0]}])["n"],
    ),
    "numbers on the meta device": (
        lambda: bw.Collate()([{"x": 1.0}]).to("meta")[0],
        "take samples of it before it is moved there",
        lambda: (batch := bw.Collate()([{"x": 1.0}]))[0] and batch.to("meta"),
    ),
    "lengths of a stack": (
        lambda: bw.Collate(x=bw.stack())(ROWS[:1]).fields["x"].also("lengths"),
        "declare the field as bw.ragged()",
        lambda: bw.Collate(x=bw.ragged())(ROWS[:1]).fields["x"].also("lengths"),
    ),
    "a sample of a sum": (
        lambda: summed()[0],
        "declare the field: bw.opaque() gives each sample back",
        lambda: bw.Collate(x=bw.opaque())([{"x": Sum(1)}, {"x": Sum(2)}])[0],
    ),
    "a sample of a batch that was rebuilt": (
        lambda: rebuilt()[0],
        "take samples of the batch that bw.Collate made, not of one made of a mapping",
        lambda: bw.Collate()([{"x": ONES(1), "y": {"a": 1}}] * 2)[0],
    ),
    "media declared as a mapping": (lambda: bw.media({"image": bw.stack()}), ITEMS, lambda: bw.media(bw.stack())),
    "media of media": (lambda: bw.media(bw.media()), ITEMS, lambda: (bw.media(bw.stack()), bw.media(bw.resized()))),
    "media of indices": (lambda: bw.media(bw.ragged(shift_by="x")), ITEMS, lambda: bw.media(bw.stack())),
    "a description that images lack": (
        lambda: bw.Collate(x=bw.resized())(IMAGES).fields["x"].also("lengths"),
        "ask for 'sizes' or 'mask'",
        lambda: [bw.Collate(x=bw.resized())(IMAGES).fields["x"].also(what) for what in ("sizes", "mask")],
    ),
    "a size of 0": (
        lambda: bw.resized((0, 4)),
        SIZE,
        lambda: (images(bw.resized((1, 4))), images(bw.resized(size="largest"))),
    ),
    "a size of three": (lambda: bw.resized((1, 2, 3)), SIZE, lambda: images(bw.resized((2, 3)))),
    "one number as a size": (
        lambda: bw.resized(224),
        "pass size=(height, width), or size='largest'",
        lambda: (images(bw.resized(size=(4, 4))), images(bw.resized(size="largest"))),
    ),
    "an image without a width": (
        lambda: bw.Collate(x=bw.resized())([{"x": ONES(3)}]),
        "give every image as ... x height x width",
        lambda: bw.Collate(x=bw.resized())([{"x": ONES(3)[None]}]),
    ),
    "images of halves": (
        lambda: images(bw.resized(), torch.float16),
        "convert the image to float32 in the dataset, or pass mode='nearest'",
        lambda: (images(bw.resized(), torch.float32), images(bw.resized(mode="nearest"), torch.float16)),
    ),
    "images whose dtype lacks the pad value": (
        lambda: images(bw.resized(how="pad", pad=-1), torch.uint8),
        RESIZED,
        lambda: (
            images(bw.resized(how="pad", pad=255), torch.uint8),
            images(bw.resized(how="resize", mode="nearest", pad=-1), torch.uint8),
        ),
    ),
}
CASES = cases("refuse way_out follow", TABLE)


def container() -> Any:
    """A container of fields, as what collating gathers is one."""
    return bw.Collate().gathered(ROWS[:1])[0]


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_of_samples_works(name):
    told_and_followed(CASES[name])
