"""Where a run stands in a plan, and what a sampler needs of a plan to go on from there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ..orders.protocol import fingerprint_of

if TYPE_CHECKING:
    from ..groups import Groups
    from ..sampler import BatchSampler, Fetch

__all__ = ["Epoch", "Plan", "Position", "fingerprint_of"]


class Position(NamedTuple):
    """How far a run has come; four whole numbers, nothing of ranks.

    Attributes:
        epoch: which epoch.
        consumed: micro-batches of the epoch that all ranks together have been given.
        multiple: what the epoch's length is a multiple of, world size x accumulate.
        origin: where in the plan's endless sequence of micro-batches the epoch began.
    """

    epoch: int
    consumed: int
    multiple: int
    origin: int


class Epoch(Protocol):
    """A sequence of micro-batches whose length is a multiple of `multiple`."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> np.ndarray:
        """The samples of a micro-batch, int64."""
        ...

    def lists(self, first: int, stride: int) -> Iterator[list[int]]:
        """Micro-batches first, first + stride, ... to the end, each a fresh list of Python integers."""
        ...


@runtime_checkable
class Plan(Protocol):
    """A pure rule that says what is in every micro-batch of every epoch.

    Everything depends on the plan's arguments alone: not on the process, the rank, or what was asked before.
    """

    @property
    def groups(self) -> Groups:
        """Which samples are in which group, of how many in all."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """Every argument that decides the plan, by name, as short text."""
        ...

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that two plans share exactly if their `identity` is the same."""
        ...

    def epoch_length(self, multiple: int = 1) -> int:
        """Micro-batches in an epoch, rounded up to a multiple."""
        ...

    def epoch(self, epoch: int, multiple: int = 1) -> Epoch:
        """The micro-batches of an epoch of a run that always had this multiple."""
        ...

    def epoch_at(self, position: Position) -> Epoch:
        """The whole epoch that a position lies in."""
        ...

    def started(self, epoch: int, multiple: int) -> Position:
        """The beginning of an epoch in a run that always had this multiple."""
        ...

    def moved(self, position: Position, epoch: int) -> Position:
        """The beginning of another epoch of the run that stands at `position`."""
        ...

    def refitted(self, position: Position, multiple: int) -> Position:
        """The same place for a run that goes on with another multiple: nothing lost, nothing repeated."""
        ...

    def sampler(
        self,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        accumulate: int = 1,
        fetch: Fetch = "micro",
    ) -> BatchSampler:
        """A batch sampler for a `torch.utils.data.DataLoader`."""
        ...
