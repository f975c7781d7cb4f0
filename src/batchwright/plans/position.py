"""Where a run stands in a plan, and the micro-batches of an epoch as it sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..errors import Infeasible, whole
from ..orders.protocol import fingerprint_of

__all__ = ["Epoch", "Position", "fingerprint_of"]


class Position(NamedTuple):
    """How far a run has come; whole numbers, nothing of ranks.

    Attributes:
        epoch: which epoch.
        consumed: micro-batches of the epoch that all ranks together have been given.
        multiple: what the epoch's length is a multiple of, world size x accumulate.
        origin: where in the plan's endless sequence of micro-batches the epoch began.
        trail: how the run came here, for plans where that matters; what it says is theirs.
    """

    epoch: int
    consumed: int
    multiple: int
    origin: int
    trail: tuple[int, ...] = ()

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Position:
        """The position in a state of JSON types.

        Raises:
            Infeasible: a number that is missing, not whole or too small.
        """
        missing = [name for name in cls._fields[:4] if name not in state]
        if missing:
            raise Infeasible(f"the state has no {missing[0]!r}", "load what state_dict() gave")
        epoch, consumed, multiple, origin = (
            whole(state[name], f"the state's {name}", most=None) for name in cls._fields[:4]
        )
        if epoch < 0 or consumed < 0 or multiple < 1:
            raise Infeasible(
                f"the state's epoch, consumed and multiple are {epoch}, {consumed} and {multiple}",
                "load what state_dict() gave, as it was",
            )
        trail = tuple(whole(number, "the state's trail", most=None) for number in state.get("trail", ()))
        return cls(epoch, consumed, multiple, origin, trail)

    def as_state(self) -> dict[str, Any]:
        """The position as a dict of JSON types, the inverse of `of`."""
        state = self._asdict()
        return {**state, "trail": list(self.trail)} if self.trail else {n: v for n, v in state.items() if n != "trail"}


class Epoch(Protocol):
    """A sequence of micro-batches whose length is a multiple of `multiple`."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> np.ndarray:
        """The samples of a micro-batch, int64."""
        ...

    def lists(self, first: int, stride: int) -> Iterator[list[int]]:
        """Micro-batches first, first + stride, ... to the end, each a fresh list of Python integers."""
        ...
