"""Who has read an iterator: it can be read once, and what a loop that was left held in its buffer is lost."""

from __future__ import annotations

import mmap
from collections import abc
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from ..errors import Infeasible

__all__ = ["OneReading", "has_state", "once_only"]

_END = object()
_WAY_OUT = "pass what can be read again: a list, an object whose __iter__ makes the iterator, online.Sharded"


def has_state(value: Any) -> bool:
    """Whether a value has a position of its own, which it gives and takes."""
    return hasattr(value, "state_dict") and hasattr(value, "load_state_dict")


def once_only(iterable: Iterable[Any]) -> bool:
    """Whether it is an iterator. A torch dataset that is its own iterator is not: its `iter` starts the next epoch."""
    return isinstance(iterable, Iterator) and not isinstance(iterable, IterableDataset)


def _itself(iterator: Any) -> Any:
    return iterator


def _begins_again(iterator: Iterator[Any]) -> bool:
    """Whether `iter` may start it again: its `__iter__` does more than to return it."""
    method: Any = type(iterator).__iter__
    if not isinstance(method, FunctionType):  # generators, and all that is written in C
        return False
    return method is not abc.Iterator.__iter__ and method.__code__.co_code != _itself.__code__.co_code


class OneReading:
    """Refuses a second reading of an iterator, in this process and in the workers of later epochs.

    Forked workers of a loader each read a copy of the iterator, and the process that forks them does not see how far.
    """

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._again = _begins_again(iterator)
        self._stateful = has_state(iterator)
        self._begun = self._ended = False
        self._workers = mmap.mmap(-1, mmap.PAGESIZE)  # shared with forked workers: a byte for each, 1 if it has read

    def __getstate__(self) -> dict[str, Any]:
        """Shared memory of this kind cannot be sent to a spawned worker: what is in it is sent."""
        return {**self.__dict__, "_workers": bytes(self._workers)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _workers=mmap.mmap(-1, mmap.PAGESIZE))
        self._workers[:] = state["_workers"]

    def check(self, name: str) -> None:
        """Refuse another reading from the start, if this process, or the same worker of another epoch, has read it.

        Raises:
            Infeasible: it was read.
        """
        if self._ended:
            raise Infeasible(f"source {name!r} is an iterator, which was read to its end before", _WAY_OUT)
        info = get_worker_info()
        by_workers = self._workers.find(b"\1") >= 0 if info is None else self._workers[info.id % mmap.PAGESIZE]
        if (self._begun or by_workers) and not self._again:
            goes_on = "load the state of the loop before" if self._stateful else "go on with the iterator of that loop"
            raise Infeasible(
                f"source {name!r} is an iterator, which can be read once, and a loop before this one has read a part of it",
                f"{_WAY_OUT}; or {goes_on}",
            )

    def begin(self) -> None:
        """Note that a sample was asked for."""
        self._begun = True
        info = get_worker_info()
        if info is not None:
            self._workers[info.id % mmap.PAGESIZE] = 1

    def read(self, samples: Iterator[Any], name: str) -> Iterator[Any]:
        """The rest of the iterator; if it is empty from the start, that is an error and no end."""
        return _NonEmpty(samples, self._end, name)

    def _end(self) -> None:
        self._ended = not self._again


class _NonEmpty:
    """The rest of an iterator, which tells when it has ended."""

    def __init__(self, samples: Iterator[Any], end: Callable[[], None], name: str) -> None:
        self._samples, self._end, self._name = samples, end, name
        self._gave = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        sample = next(self._samples, _END)
        if sample is not _END:
            self._gave = True
            return sample
        if not self._gave:
            raise Infeasible(
                f"source {self._name!r} is an iterator, which has no sample left, or never had one", _WAY_OUT
            )
        self._end()
        raise StopIteration
