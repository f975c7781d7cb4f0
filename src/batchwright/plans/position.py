"""Where a run stands in a plan, and the micro-batches of an epoch as it sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..errors import Infeasible, shown, whole
from ..orders.protocol import fingerprint_of

__all__ = ["AS_IT_WAS", "Epoch", "Position", "fingerprint_of", "number_of"]

AS_IT_WAS = "load what state_dict() gave, as it was"
LARGEST = (1 << 63) - 1
_HEX = re.compile("0x[0-9a-f]+")


def number_of(value: Any, called: str) -> int:
    """A whole number of a state.

    Raises:
        Infeasible: it is none, or one of more than 63 bits.
    """
    try:
        number = whole(value, called, most=None)
    except Infeasible:
        raise Infeasible(f"{called} is {shown(value)}, not a whole number", AS_IT_WAS) from None
    if abs(number) > LARGEST:
        raise Infeasible(f"{called} is {shown(number)}, which has more than 63 bits", AS_IT_WAS)
    return number


def _origin_of(value: Any) -> int:
    if isinstance(value, str) and _HEX.fullmatch(value):
        return int(value, 16)
    return number_of(value, "the state's origin")


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
        epoch, consumed, multiple = (number_of(state[name], f"the state's {name}") for name in cls._fields[:3])
        if epoch < 0 or consumed < 0 or multiple < 1:
            raise Infeasible(
                f"the state's epoch, consumed and multiple are {epoch}, {consumed} and {multiple}", AS_IT_WAS
            )
        trail = state.get("trail", ())
        if not isinstance(trail, list | tuple):
            raise Infeasible(f"the state's trail is {shown(trail)}", AS_IT_WAS)
        numbers = tuple(number_of(number, "the state's trail") for number in trail)
        return cls(epoch, consumed, multiple, _origin_of(state["origin"]), numbers)

    def as_state(self) -> dict[str, Any]:
        """The position as a dict of JSON types, the inverse of `of`."""
        state = self._asdict()
        state["trail"] = list(self.trail)
        if not -LARGEST <= self.origin <= LARGEST:  # Python and JSON read a number of many thousand digits only as hex
            state["origin"] = hex(self.origin)
        return state if self.trail else {name: value for name, value in state.items() if name != "trail"}


class Epoch(Protocol):
    """A sequence of micro-batches whose length is a multiple of `multiple`."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> np.ndarray:
        """The samples of a micro-batch, int64."""
        ...

    def lists(self, first: int, stride: int) -> Iterator[list[int]]:
        """Micro-batches first, first + stride, ... to the end, each a fresh list of Python integers."""
        ...
