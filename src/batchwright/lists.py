"""What a sampler's `iter` returns: lists of samples that know, for loaders that ask, whether their epoch has ended."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch.utils.data

from .errors import Infeasible

__all__ = ["Lists", "for_a_node"]

_DRAWS = "_BaseDataLoaderIter._next_index"
_DEEPEST = 8  # frames between it and the sampler: accelerate puts up to four there
_NODE = ("torchdata.nodes.adapters", "SamplerWrapper.reset")


class Lists(Iterator[list[int]]):
    """A rank's lists of an epoch, or of what is left of one; which epoch that is, the first `next` decides.

    torchdata's `StatefulDataLoader` keeps the state of the iterator beside that of the sampler. It goes on from a state by
    a new iterator, and where an epoch had ended it draws from that one, finds that nothing is left, and makes another for
    the next epoch. So an iterator that goes on where the epoch had ended yields nothing, and leaves the sampler as it is.

    Attributes:
        ended: whether the last list of the epoch has come.

    Args:
        begin: makes the iterator over the lists of the epoch that is next when it is called, and tells this object when
            the last of them has come.
        ended: whether nothing is left from the start.
    """

    def __init__(self, begin: Callable[[Lists], Iterator[list[int]]], *, ended: bool = False) -> None:
        self._begin = begin
        self._lists: Iterator[list[int]] | None = iter(()) if ended else None
        self.ended = ended
        self._reader: weakref.ref[Any] | None = None

    def __next__(self) -> list[int]:
        if self._lists is None:
            self._lists = self._begin(self)
            self._reader = _reader_with_workers()
        return next(self._lists)

    def ahead(self) -> int:
        """Lists that the workers of a plain `DataLoader` have drawn and its loop has not seen; 0 where none reads."""
        reader = None if self._reader is None else self._reader()
        if reader is None:  # no workers, or the loop is over
            return 0
        return int(reader._send_idx - reader._rcvd_idx)

    def state_dict(self) -> dict[str, Any]:
        """Whether the epoch has ended; where it stands is in the sampler's state."""
        return {"ended": self.ended}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, beside the sampler's own; before the first `next`.

        Raises:
            Infeasible: it is no state of an iterator.
        """
        if not isinstance(state, Mapping) or not isinstance(state.get("ended"), bool):
            raise Infeasible(
                "the state of the sampler's iterator does not say whether the epoch has ended",
                "load what the loader's state_dict() gave, as it was",
            )
        self.ended = state["ended"]
        self._lists = iter(()) if self.ended else None


def for_a_node() -> bool:
    """Whether it is torchdata's `SamplerWrapper` that calls `iter`.

    With a state of an ended epoch it looks for what is left of that, finds nothing, and calls `set_epoch` for the next one.
    A plain loop goes on with the next epoch, by the very same calls: only the caller tells which of the two it is.
    """
    caller = sys._getframe(2)
    return (caller.f_globals.get("__name__"), caller.f_code.co_qualname) == _NODE


def _reader_with_workers() -> weakref.ref[Any] | None:
    """The iterator of a plain `DataLoader` with workers that draws, through wrappers of a trainer or not.

    `StatefulDataLoader` keeps its own account of what its workers have drawn; its iterator is of another module.
    """
    frame = sys._getframe(2)
    for _ in range(_DEEPEST):
        if frame.f_code.co_qualname == _DRAWS:
            reader = frame.f_locals["self"]
            workers = type(reader).__module__ == torch.utils.data.dataloader.__name__ and reader._num_workers
            return weakref.ref(reader) if workers else None
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None
