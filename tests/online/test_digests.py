"""An audit compares samples by what they hold; what cannot be compared is said, and is not called broken."""

from __future__ import annotations

import datetime
import decimal
import enum
import random
import uuid
from collections import OrderedDict, UserDict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from batchwright import online
from batchwright.online.digests import Unlike, digested


class Colour(enum.Enum):
    RED = 1


@dataclass
class Clip:
    sound: np.ndarray
    rate: int


class Bare:
    def __init__(self, value):
        self.value = value


class Slotted:
    __slots__ = ("value",)


def image(seed, mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def shuffled(pairs, seed):
    pairs = list(pairs)
    random.Random(seed).shuffle(pairs)
    return pairs


# Each function makes a new value from a number. Values of the same number are equal, those of other numbers differ.
MAKE = {
    "image": image,
    "image with a palette": lambda n: image(n, "P"),
    "image of one channel": lambda n: image(n, "L"),
    "dictionary in another order": lambda n: dict(shuffled([("a", n), ("b", 2), ("c", 3)], random.random())),
    "set": lambda n: set(shuffled([n, "b", "c", "d"], random.random())),
    "ordered dictionary": lambda n: OrderedDict(a=n),
    "user dictionary": lambda n: UserDict(a=[n]),
    "large array": lambda n: np.arange(5000) + np.where(np.arange(5000) == 2500, n, 0),
    "large tensor": lambda n: torch.arange(5000) + n * (torch.arange(5000) == 2500),
    "strided tensor": lambda n: torch.arange(24).reshape(4, 6).T[1:] + n,
    "bfloat16": lambda n: torch.full((3,), float(n), dtype=torch.bfloat16),
    "sparse": lambda n: torch.eye(3).mul(n + 1).to_sparse(),
    "no dimensions": lambda n: torch.tensor(n),
    "booleans": lambda n: torch.arange(4) == n,
    "array of objects": lambda n: np.array([{"a": n}, [n]], dtype=object),
    "record": lambda n: np.array([(n, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "numpy number": np.float32,
    "dataclass": lambda n: Clip(np.full(3000, n), n),
    "object without a text": lambda n: Bare([Bare(n)]),
    "enum and class": lambda n: [Colour.RED, Clip, n],
    "nan": lambda n: [float("nan"), n],
    "number": lambda n: n,
    "text": str,
    "bytes": lambda n: bytearray([n]),
    "view": lambda n: memoryview(bytes([n])),
    "range": lambda n: range(n, n + 3),
    "path": lambda n: Path("a") / str(n),
    "uuid": lambda n: uuid.UUID(int=n),
    "date": lambda n: datetime.date(2020, 1, 1 + n),
    "decimal": decimal.Decimal,
    "fraction": lambda n: Fraction(n, 3),
}


@pytest.mark.parametrize("kind", sorted(MAKE))
def test_values_with_the_same_content_have_the_same_digest_and_others_do_not(kind):
    make = MAKE[kind]
    assert digested({"x": make(1)}) == digested({"x": make(1)}) != digested({"x": make(2)})
    assert isinstance(digested(make(1)), str)


def test_values_of_other_kinds_differ():
    values = [
        1,
        1.0,
        True,
        "1",
        b"1",
        None,
        [1],
        (1,),
        {1},
        {1: 1},
        np.int64(1),
        np.array(1),
        torch.tensor(1),
        [[1]],
        [1, 1],
    ]
    values += [[[1], 1], [1, [1]], ["ab", "c"], ["a", "bc"], image(1), image(1, "L")]
    assert len({digested(value) for value in values}) == len(values)


def test_what_cannot_be_compared_is_said_and_is_not_called_broken():
    endless = []
    endless.append(endless)
    for value in (object(), lambda: 0, iter([1]), Slotted(), endless):
        assert isinstance(digested([value]), Unlike), value

    def read(number):
        return [{"n": n, "handle": object()} for n in range(10)]

    found = online.budgeted(online.Sharded(range(3), read), length=lambda row: 1, max_tokens=5).audit()
    assert found.kept
    assert not found["G7"].promised
    assert found["G7"].where == "not measured, batch 0 has builtins.object, which cannot be compared"


def test_an_audit_of_images_keeps_what_is_the_same_and_finds_what_is_not():
    def read(seed):
        return [{"n": n, "image": image(n + seed)} for n in range(20)]

    def audit(read):
        return online.balanced(online.Sharded([0], read), key=lambda row: row["n"] % 2, batch_size=4, buffer=8).audit()

    assert audit(read)["G7"].kept
    assert audit(read)["G7"].promised
    passes = iter(range(100))
    assert not audit(lambda shard: read(next(passes)))["G7"].kept
