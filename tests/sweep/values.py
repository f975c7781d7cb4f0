"""Values that no argument expects: each is made anew for every call, and some of them raise, lie or never end."""

from __future__ import annotations

import array
import collections
import ctypes
import datetime
import decimal
import fractions
import functools
import io
import itertools
import pathlib
import sys
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import scipy.sparse
import torch


class Raises:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None

    def __repr__(self) -> str:
        raise RuntimeError("no text")


class Endless:
    """As long as nothing that can be walked through."""

    def __len__(self) -> int:
        return 10**12

    def __getitem__(self, place: int) -> int:
        return 1


class EndlessSequence(Endless, collections.abc.Sequence):
    """The same, and a sequence to Python."""


class Short:
    """Says that it has items which it does not have."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, place: int) -> int:
        raise KeyError(place)


class NegativeLength:
    def __len__(self) -> int:
        return -1


class IterationRaises:
    def __iter__(self) -> Iterator[int]:
        raise OSError("disk")


class SecondRaises:
    def __iter__(self) -> Iterator[int]:
        yield 1
        raise OSError("disk")


class MappingRaises(collections.abc.Mapping):
    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[str]:
        return iter("ab")

    def __getitem__(self, key: str) -> int:
        raise OSError("disk")


class Text(str):
    """Text that is not compared and not written."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = str.__hash__


def raising(*names: str) -> Any:
    """An object whose special methods of these names raise."""

    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        raise RuntimeError("this method raises")

    return type("Raising", (), dict.fromkeys(names, method))()


def recursive_list() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def recursive_dict() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["a"] = found
    return found


def deep_list() -> list[Any]:
    found: list[Any] = []
    for _ in range(20_000):
        found = [found]
    return found


def odd_objects() -> np.ndarray:
    found = np.empty(3, object)
    found[0], found[2] = Raises(), raising("__hash__")
    return found


def huge_interface() -> Any:
    class Interface:
        __array_interface__: ClassVar = {"shape": (10**12,), "typestr": "<f8", "data": (0, True), "version": 3}

    return Interface()


def interrupted() -> Iterator[int]:
    yield 1
    raise OSError("disk")


def fails(*arguments: Any, **named: Any) -> Any:
    return 1 / 0


def nested(**named: Any) -> torch.Tensor:
    return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], **named)


_NAN = float("nan")

VALUES: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "true": lambda: True,
    "zero": lambda: 0,
    "negative": lambda: -1,
    "2**63": lambda: 2**63,
    "2**64": lambda: 2**64,
    "10**400": lambda: 10**400,
    "infinity": lambda: float("inf"),
    "nan": lambda: _NAN,
    "1.5": lambda: 1.5,
    "complex": lambda: 1j,
    "decimal nan": lambda: decimal.Decimal("NaN"),
    "signalling nan": lambda: decimal.Decimal("sNaN"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "text": lambda: "x",
    "no text": lambda: "",
    "long text": lambda: "x" * 10**6,
    "nul": lambda: "\0",
    "surrogate": lambda: "\ud800",
    "odd text": lambda: Text("x"),
    "bytes": lambda: b"x",
    "bytearray": lambda: bytearray(b"abc"),
    "memoryview": lambda: memoryview(b"abc"),
    "path": lambda: pathlib.Path("nonexistent") / "file",
    "path outside": lambda: "../file",
    "file": lambda: io.StringIO("a"),
    "date": lambda: datetime.date(2020, 1, 1),
    "uuid": lambda: uuid.UUID(int=1),
    "list": lambda: [1, 2, 3],
    "empty list": list,
    "ragged list": lambda: [[1], [2, 3]],
    "mixed list": lambda: [1, "a", None],
    "list of nan": lambda: [_NAN] * 3,
    "list of huge": lambda: [10**400, 2**63],
    "list of surrogates": lambda: ["\ud800"] * 3,
    "recursive list": recursive_list,
    "recursive dict": recursive_dict,
    "deep list": deep_list,
    "tuple": lambda: (1, 2),
    "set": lambda: {1, 2},
    "frozenset": lambda: frozenset("ab"),
    "dict": lambda: {"a": 1},
    "empty dict": dict,
    "dict of nan": lambda: {_NAN: _NAN},
    "mapping raises": MappingRaises,
    "range": lambda: range(10**12),
    "range of 2**63": lambda: range(2**63),
    "count": itertools.count,
    "generator": lambda: (i for i in range(3)),
    "interrupted generator": interrupted,
    "map": lambda: map(int, "12"),
    "deque": lambda: collections.deque([1, 2]),
    "array": lambda: array.array("d", [1, 2]),
    "ctypes": lambda: (ctypes.c_int * 3)(1, 2, 3),
    "array 0d": lambda: np.array(3),
    "empty array": lambda: np.array([]),
    "array 2d": lambda: np.zeros((2, 2)),
    "array float16": lambda: np.zeros(3, np.float16),
    "array of nan": lambda: np.full(3, np.nan),
    "array of infinity": lambda: np.full(3, np.inf),
    "array of objects": odd_objects,
    "array of text": lambda: np.array(["a", "b"]),
    "array of NaT": lambda: np.array(["NaT"], "M8[s]"),
    "array of records": lambda: np.zeros(2, "i4,f8"),
    "array complex": lambda: np.zeros(3, complex),
    "array of 2**63": lambda: np.array([2**63 - 1] * 3),
    "array uint64": lambda: np.array([2**64 - 1] * 3, np.uint64),
    "array big-endian": lambda: np.array([1, 2], ">i4"),
    "array read-only": lambda: np.broadcast_to(np.int64(1), (3,)),
    "array of 10**12": lambda: np.broadcast_to(np.int64(1), (10**12,)),
    "void": lambda: np.void(b"ab"),
    "array masked": lambda: np.ma.masked_array([1, 2], [True, False]),
    "array long double": lambda: np.zeros(2, np.longdouble),
    "tensor 0d": lambda: torch.tensor(3),
    "tensor empty": lambda: torch.empty(0),
    "tensor bool": lambda: torch.tensor([True, False]),
    "tensor meta": lambda: torch.zeros(3, device="meta"),
    "tensor sparse": lambda: torch.eye(3).to_sparse(),
    "tensor csr": lambda: torch.eye(3).to_sparse_csr(),
    "tensor nested": nested,
    "tensor jagged": lambda: nested(layout=torch.jagged),
    "tensor quantised": lambda: torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8),
    "tensor conjugate": lambda: torch.zeros(3, dtype=torch.complex64).conj(),
    "tensor negative": lambda: torch._neg_view(torch.ones(3)),
    "tensor with gradient": lambda: torch.ones(3, requires_grad=True),
    "tensor bfloat16": lambda: torch.ones(3, dtype=torch.bfloat16),
    "tensor float8": lambda: torch.ones(3).to(torch.float8_e4m3fn),
    "tensor of 10**12": lambda: torch.ones(1).expand(10**12),
    "tensor uint64": lambda: torch.ones(3, dtype=torch.uint64),
    "tensor overlapping": lambda: torch.ones(3).as_strided((2, 2), (1, 1)),
    "series": lambda: pd.Series([1, None, 3]),
    "series Int64": lambda: pd.Series([1, None], dtype="Int64"),
    "series category": lambda: pd.Series(["a", None], dtype="category"),
    "series of one index": lambda: pd.Series([1, 2], index=[0, 0]),
    "series of times": lambda: pd.Series(pd.date_range("2020", periods=2, tz="UTC")),
    "series of intervals": lambda: pd.Series(pd.interval_range(0, 2)),
    "series of objects": lambda: pd.Series([raising("__hash__"), None], dtype=object),
    "series sparse": lambda: pd.Series([0, 1], dtype="Sparse[int]"),
    "series of arrow": lambda: pd.Series([1, None], dtype="int64[pyarrow]"),
    "frame": lambda: pd.DataFrame({"a": [1], "b": [2]}),
    "multi-index": lambda: pd.MultiIndex.from_tuples([(1, 2)]),
    "NA": lambda: pd.NA,
    "NaT": lambda: pd.NaT,
    "polars series": lambda: pl.Series([1, None]),
    "polars lists": lambda: pl.Series([[1], [2, 3]]),
    "polars objects": lambda: pl.Series([object()], dtype=pl.Object),
    "polars frame": lambda: pl.DataFrame({"a": [1]}),
    "polars lazy without column": lambda: pl.LazyFrame({"a": [1]}).select(pl.col("zz")),
    "polars decimals": lambda: pl.Series([decimal.Decimal("1.1")]),
    "arrow array": lambda: pa.array([1, None]),
    "arrow without chunks": lambda: pa.chunked_array([], pa.int64()),
    "arrow dictionary": lambda: pa.array(["a", None]).dictionary_encode(),
    "arrow lists": lambda: pa.array([[1], None]),
    "arrow nulls": lambda: pa.nulls(3),
    "arrow table": lambda: pa.table({"a": [1], "b": [2]}),
    "arrow decimals": lambda: pa.array([decimal.Decimal("1.5")]),
    "arrow union": lambda: pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array([1, 2])]),
    "arrow scalar": lambda: pa.scalar(1),
    "arrow run-end": lambda: pa.RunEndEncodedArray.from_arrays([2], [1]),
    "arrow view": lambda: pa.array(["a"], pa.string_view()),
    "arrow struct": lambda: pa.array([{"a": 1}]),
    "scipy sparse": lambda: scipy.sparse.csr_matrix(np.eye(2)),
    "type": lambda: str,
    "module": lambda: sys,
    "function": lambda: lambda *arguments, **named: None,
    "failing function": lambda: fails,
    "partial": lambda: functools.partial(fails, 1),
    "object": object,
    "looks like an array": lambda: types.SimpleNamespace(shape=(3,), dtype="x"),
    "raises": Raises,
    "endless": Endless,
    "endless sequence": EndlessSequence,
    "short": Short,
    "negative length": NegativeLength,
    "iteration raises": IterationRaises,
    "second raises": SecondRaises,
    "index raises": lambda: raising("__index__"),
    "float raises": lambda: raising("__float__"),
    "array raises": lambda: raising("__array__"),
    "array interface": huge_interface,
    "dlpack raises": lambda: raising("__dlpack__", "__dlpack_device__"),
    "arrow stream raises": lambda: raising("__arrow_c_stream__"),
    "hash raises": lambda: raising("__hash__"),
    "bool raises": lambda: raising("__bool__"),
    "length raises": lambda: raising("__len__"),
    "ellipsis": lambda: ...,
    "not implemented": lambda: NotImplemented,
    "exception": lambda: ValueError("x"),
    "dtype": lambda: torch.float32,
}

CALLED_BY_US = {
    *("failing function", "partial", "interrupted generator", "second raises", "iteration raises", "short", "raises"),
    *("mapping raises",),
}
"""Code of the user that is run for what it does: data sets, functions, streams. Their own errors are theirs to see."""
