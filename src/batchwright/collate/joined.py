"""What graphs hold beside dense tensors, joined as PyTorch Geometric joins it, and kept as it was for the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, Self

import torch
from torch import Tensor
from typing_extensions import override

from .layout import Layout
from .memory import settle
from .values import Held, Transfer, Value

__all__ = ["Described", "Join", "Joined"]

How = Literal["frames", "nested", "numbers", "sparse", "sparse_tensors", "sum", "tensors"]


@dataclass(frozen=True)
class Join:
    """How the pieces of several graphs become one value; the arithmetic is torch_geometric's own, number for number.

    Args:
        how: what the pieces are.
        dim: what `__cat_dim__` says of them.
        moves: what `__inc__` says of each piece: how far it moves the pieces behind it.
    """

    how: How
    dim: Any = 0
    moves: tuple[Any, ...] = ()

    def __call__(self, pieces: Sequence[Any]) -> Any:
        """The one value."""
        match self.how:
            case "sum":
                return sum(pieces)
            case "numbers":
                return settle(self._numbers(pieces))
            case "sparse_tensors":
                import torch_sparse

                return torch_sparse.cat(list(pieces), dim=self.dim)
            case "frames":
                import torch_frame

                return torch_frame.cat(list(pieces), dim=0)
            case "sparse":
                from torch_geometric.utils.sparse import cat

                return cat(list(pieces), dim=self.dim)
        moved = self._moved(pieces)
        if self.how == "nested":
            return torch.nested.nested_tensor(list(chain.from_iterable(piece.unbind() for piece in moved)))
        return _marked(torch.cat(moved, dim=self.dim or 0), moved[0])

    def select(self, numbers: Sequence[int]) -> Join:
        """The same for the pieces `numbers`."""
        return Join(self.how, self.dim, tuple(self.moves[number] for number in numbers) if self.moves else ())

    def _numbers(self, pieces: Sequence[Any]) -> Tensor:
        numbers, starts = torch.tensor(list(pieces)), self._starts()
        return numbers if starts is None else numbers.add_(starts)

    def _moved(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        if self.dim is None or pieces[0].dim() == 0:
            pieces = [piece.unsqueeze(0) for piece in pieces]
        starts = self._starts()
        if starts is None:
            return list(pieces)
        return [piece + start.to(piece.device) for piece, start in zip(pieces, starts, strict=True)]

    def _starts(self) -> Tensor | None:
        """How far each piece is moved by those before it; None where none is."""
        if not self.moves:
            return None
        moves = torch.stack(self.moves) if isinstance(self.moves[0], Tensor) else torch.tensor(self.moves)
        starts = torch.cat([torch.zeros_like(moves[:1]), moves[:-1].cumsum(0)])
        # The condition of torch_geometric, so that its results are the same, types included.
        return starts if moves.dim() > 1 or int(starts[-1]) else None


def _marked(joined: Tensor, first: Tensor) -> Tensor:
    """The tensor, an `Index` or `EdgeIndex` of torch_geometric marked as sorted where all of it is."""
    if getattr(first, "is_sorted", False) is not True:
        return joined
    from torch_geometric import EdgeIndex, Index
    from torch_geometric.edge_index import SortOrder

    marked: Any = joined
    if isinstance(marked, Index) and bool((marked.diff() >= 0).all()):
        marked._is_sorted = True
    elif isinstance(marked, EdgeIndex):
        by = 0 if getattr(first, "is_sorted_by_row", False) else 1
        if bool((marked[by].diff() >= 0).all()):
            marked._sort_order = (SortOrder.ROW, SortOrder.COL)[by]
    return joined


@dataclass(slots=True, eq=False)
class Joined(Held):
    """One value made of the pieces of all graphs; the pieces are kept, since not every join can be undone."""

    pieces: tuple[Any, ...]
    join: Join

    @classmethod
    def of(cls, pieces: Sequence[Any], join: Join) -> Joined:
        """Join the pieces."""
        return cls(join(pieces), tuple(pieces), join)

    def __len__(self) -> int:
        return len(self.pieces)

    @override
    def sample(self, number: int) -> Any:
        return self.pieces[number]

    @override
    def transferred(self, transfer: Transfer) -> Self:
        pieces = tuple(_there(piece, transfer) for piece in self.pieces)
        return self._holding(_there(self.held, transfer), pieces=pieces)

    @override
    def select(self, numbers: Sequence[int]) -> Joined:
        return Joined.of([self.pieces[number] for number in numbers], self.join.select(numbers))


def _there(value: Any, transfer: Transfer) -> Any:
    if isinstance(value, Tensor):
        return transfer(value)
    return value.to(transfer(torch.empty(0)).device) if hasattr(value, "to") else value


@dataclass(slots=True, eq=False)
class Described(Value):
    """A tensor of a layout, which the model sees and no sample has: the graph of each node, where each graph begins."""

    layout: Layout
    what: str

    @property
    @override
    def model(self) -> Tensor:
        described: Tensor = getattr(self.layout, self.what)
        return described

    def __len__(self) -> int:
        return len(self.layout)

    @override
    def sample(self, number: int) -> None:
        return None

    @override
    def transferred(self, transfer: Transfer) -> Described:
        return Described(self.layout.on(transfer(torch.empty(0)).device), self.what)

    @override
    def select(self, numbers: Sequence[int]) -> Described:
        return Described(self.layout.select(numbers), self.what)
