"""Calls a source with torch's `worker_info` hidden, so that the source is read whole and does not split itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from typing import Any, TypeVar

from torch.utils.data._utils import worker as torch_worker

from .replicas import Replica

__all__ = ["Call", "call_of", "stepped", "told"]

Call = Callable[..., Any]

R = TypeVar("R")


def told(function: Callable[..., R], *arguments: Any) -> R:
    """`function(*arguments)`."""
    return function(*arguments)


def _untold(function: Callable[..., R], *arguments: Any) -> R:
    """`function(*arguments)`, to which torch's `get_worker_info` says that this is the main process."""
    info, torch_worker._worker_info = torch_worker._worker_info, None
    try:
        return function(*arguments)
    finally:
        torch_worker._worker_info = info


def call_of(replica: Replica) -> Call:
    """How this replica calls a source that must not split itself."""
    return _untold if replica.workers > 1 else told


def stepped(iterator: Iterator[Any], call: Call = told) -> Iterator[Any]:
    """The rest of an iterator by `next` alone, because some iterators start again when `iter` is called on them."""
    return map(next if call is told else partial(call, next), repeat(iterator))
