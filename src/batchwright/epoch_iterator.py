"""The iterator of a sampler: batches of samples, and a state for loaders that says whether the epoch has ended."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import torch.utils.data

from .errors import Infeasible, warn

__all__ = ["EpochIterator", "for_a_node"]

_DRAWS = "_BaseDataLoaderIter._next_index"  # the function of torch that draws from a sampler
_DEEPEST = 8  # frames between that function and the sampler; accelerate puts up to four there
_BATCHES_AGAIN = ("torch.utils.data.sampler", "BatchSampler.__iter__")
_NODE = ("torchdata.nodes.adapters", "SamplerWrapper.reset")


class EpochIterator(Iterator[list[int]]):
    """The batches of a rank in an epoch, or in the rest of one; the first `next` decides which epoch that is.

    torchdata's `StatefulDataLoader` keeps the state of the iterator beside that of the sampler. To resume it makes a
    new iterator. If the epoch had ended, it draws from this iterator, finds nothing, and makes another one for the next
    epoch. So an iterator that resumes at the end of an epoch yields nothing, and does not change the sampler.

    Attributes:
        ended: whether the last batch of the epoch was returned.

    Args:
        begin: a function that makes the iterator over the batches, each as its micro-batches, of the epoch that is next when
            it is called; that iterator sets `ended` before it returns the last batch.
        ended: whether nothing of the epoch is left at the start.
    """

    def __init__(self, begin: Callable[[EpochIterator], Iterator[list[list[int]]]], *, ended: bool = False) -> None:
        self._begin = begin
        self._batches: Iterator[list[list[int]]] | None = iter(()) if ended else None
        self.ended = ended
        self._reader: weakref.ref[Any] | None = None

    def __next__(self) -> list[int]:
        if self._batches is None:
            caller = sys._getframe(1)
            if (caller.f_globals.get("__name__"), caller.f_code.co_qualname) == _BATCHES_AGAIN:
                raise Infeasible(
                    "a plan's sampler was passed as sampler=, so each of its batches would be one sample of a batch",
                    "pass batch_sampler=plan.sampler(), or use plan.loader(dataset)",
                )
            self._batches = self._begin(self)
            self._reader = _reader_with_workers()
        fetched = next(self._batches)
        return fetched[0] if len(fetched) == 1 else list(chain.from_iterable(fetched))

    def warn_if_read_ahead(self, so: str) -> None:
        """Give a `PoorWarning` if workers of a plain `DataLoader` have read batches that its loop has not seen.

        Args:
            so: what follows from it, and a way out.
        """
        reader = None if self._reader is None else self._reader()
        ahead = (
            0 if reader is None else int(reader._send_idx - reader._rcvd_idx)
        )  # None: no workers, or the loop is over
        if ahead:
            warn(f"the loader's workers have read {ahead} batches that the loop has not seen, and {so}.")

    def state_dict(self) -> dict[str, Any]:
        """Whether the epoch has ended; the position is in the sampler's state."""
        return {"ended": self.ended}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a state, before the first `next`; the sampler loads its own.

        Raises:
            Infeasible: `state` is not the state of an iterator.
        """
        if not isinstance(state, Mapping) or not isinstance(state.get("ended"), bool):
            raise Infeasible(
                "the state of the sampler's iterator does not say whether the epoch has ended",
                "load what the loader's state_dict() gave, as it was",
            )
        self.ended = state["ended"]
        self._batches = iter(()) if self.ended else None


def for_a_node() -> bool:
    """Whether torchdata's `SamplerWrapper` is the caller of `iter`.

    With the state of an ended epoch, it expects an empty iterator, and then calls `set_epoch` for the next epoch. A
    plain loop expects the next epoch. Both make exactly the same calls, so only the caller's name shows which of the
    two it is.
    """
    caller = sys._getframe(2)
    return (caller.f_globals.get("__name__"), caller.f_code.co_qualname) == _NODE


def _reader_with_workers() -> weakref.ref[Any] | None:
    """The iterator of the plain `DataLoader` with workers that draws now, also through a trainer's wrappers; else None.

    `StatefulDataLoader` counts itself what its workers have read. Its iterator is of another module, and left out.
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
