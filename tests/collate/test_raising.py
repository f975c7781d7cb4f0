"""Whatever goes wrong while a batch is collated, the loop over the DataLoader raises: no epoch ends in silence."""

from __future__ import annotations

import resource
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from torch.utils.data._utils.collate import default_collate_fn_map

import batchwright as bw

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it calls torch.jit.script when it is imported

ERRORS = [StopIteration, RuntimeError, KeyError, IndexError, TypeError, ValueError, AttributeError, MemoryError]


class Faulty:
    """A type that default_collate's extension table knows."""


class FaultyPart(Mapping):
    """One part, `x`, which raises `error` when it is read."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __getitem__(self, key: str) -> Any:
        raise self.error("the sample's")

    def __iter__(self) -> Iterator[str]:
        return iter("x")

    def __len__(self) -> int:
        return 1


def faulty(error: type[Exception]) -> Callable[..., Any]:
    def function(*_: object, **__: object) -> Any:
        raise error("the function's")

    return function


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("where", ["sample", "known", "table"])
def test_the_loop_raises_what_a_sample_or_a_function_raises(error, where):
    samples: list[Any] = [{"x": 1.0, "y": Faulty()}] * 2
    collate = bw.Collate()
    if where == "sample":
        samples = [FaultyPart(error)] * 2
    elif where == "known":
        collate = collate.knowing(split=faulty(error))
    default_collate_fn_map[Faulty] = faulty(error) if where == "table" else lambda batch, **_: batch
    try:
        for named in (collate, bw.Collate(x=bw.ragged()).knowing(**collate.known).packs()):
            with pytest.raises((error, bw.Infeasible)):
                list(DataLoader(bw.identified(samples), batch_size=2, collate_fn=named))
    finally:
        del default_collate_fn_map[Faulty]


def as_if_shared_memory_were_full(_: int) -> None:
    sys.dont_write_bytecode = True  # Python keeps a file of bytecode that was cut off, and later cannot read it
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))


@pytest.mark.parametrize("collate", [bw.Collate(x=bw.stack()), bw.Collate(), bw.Collate(x=bw.ragged())])
def test_the_loop_raises_where_a_worker_has_no_memory_for_a_stack(collate):
    samples = [{"x": torch.ones(100, 100)}] * 4
    loader = DataLoader(samples, 2, num_workers=1, collate_fn=collate, worker_init_fn=as_if_shared_memory_were_full)
    with pytest.raises(RuntimeError, match=r"File too large|unable to resize file|not enough|write"):
        list(loader)
