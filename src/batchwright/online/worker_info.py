"""Calls a source with torch's `worker_info` hidden, so that it returns all samples and does not split itself.

Many iterable datasets split themselves over the workers of a loader. A stream splits them too; both together would lose
samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from typing import Any, TypeVar

import torch
from torch.utils.data._utils import worker as torch_worker

from .replicas import Replica

__all__ = ["Call", "as_worker", "call_directly", "caller_as", "caller_for", "stepped"]

Call = Callable[..., Any]

R = TypeVar("R")


def call_directly(function: Callable[..., R], *arguments: Any) -> R:
    """Call `function(*arguments)` unchanged."""
    return function(*arguments)


def _call_hidden(function: Callable[..., R], *arguments: Any) -> R:
    """Call `function(*arguments)`; torch's `get_worker_info` says meanwhile that this is the main process."""
    info, torch_worker._worker_info = torch_worker._worker_info, None
    try:
        return function(*arguments)
    finally:
        torch_worker._worker_info = info


@contextmanager
def as_worker(number: int, workers: int, dataset: Any) -> Iterator[None]:
    """Meanwhile torch's `get_worker_info` says that this process is this worker of a loader."""
    info = torch_worker._worker_info
    torch_worker._worker_info = torch_worker.WorkerInfo(
        id=number, num_workers=workers, seed=torch.initial_seed() + number, dataset=dataset
    )
    try:
        yield
    finally:
        torch_worker._worker_info = info


def caller_for(replica: Replica) -> Call:
    """The way in which this replica calls a source that must not split itself."""
    return _call_hidden if replica.workers > 1 else call_directly


def _call_as(number: int, workers: int, dataset: Any, function: Callable[..., R], *arguments: Any) -> R:
    """Call `function(*arguments)`; torch's `get_worker_info` says meanwhile that this is another worker of the loader."""
    with as_worker(number, workers, dataset):
        return function(*arguments)


def caller_as(replica: Replica) -> Call:
    """The way in which this replica calls a source that splits itself.

    The number of a worker may be that of another replica: torch asks its workers in turn, and a run may have stopped
    within a turn.
    """
    info = torch_worker._worker_info
    if info is None or info.id == replica.worker:
        return call_directly
    return partial(_call_as, replica.worker, info.num_workers, info.dataset)


def stepped(iterator: Iterator[Any], call: Call = call_directly) -> Iterator[Any]:
    """The rest of an iterator by `next` alone: some iterators start again when `iter` is called on them."""
    return map(next if call is call_directly else partial(call, next), repeat(iterator))
