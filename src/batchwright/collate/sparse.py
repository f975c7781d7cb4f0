"""Sparse matrices, one for each sample, as one block-diagonal matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from typing_extensions import override

from ..errors import Infeasible
from . import memory
from .column import FieldValues, described, is_sparse_matrix
from .fields import Context, Field
from .layout import Layout
from .values import Held, Transfer

__all__ = ["BlockDiagonal", "BlockDiagonalField", "block_diagonal"]


@dataclass(slots=True, eq=False)
class BlockDiagonal(Held):
    """One sparse COO matrix whose diagonal blocks are the samples' matrices, and the size of each block."""

    held: Tensor
    rows: Layout
    columns: Layout
    entries: Layout

    def __len__(self) -> int:
        return len(self.rows)

    @override
    def sample(self, number: int) -> Tensor:
        row, column = self.rows.starts[number], self.columns.starts[number]
        start, count = self.entries.starts[number], self.entries.counts[number]
        corner = torch.tensor([[row], [column]], device=self.held.device)
        return _sparse(
            self.held.indices().narrow(1, start, count) - corner,
            self.held.values().narrow(0, start, count),
            (self.rows.counts[number], self.columns.counts[number]),
        )

    @override
    def transferred(self, transfer: Transfer) -> Self:
        indices, values = transfer(self.held.indices()), transfer(self.held.values())
        return self._holding(_sparse(indices, values, tuple(self.held.shape)))

    @override
    def select(self, numbers: Sequence[int]) -> BlockDiagonal:
        return joined([self.sample(number) for number in numbers])


def joined(matrices: Sequence[Tensor]) -> BlockDiagonal:
    """The block-diagonal matrix of coalesced COO matrices: their entries concatenated, with shifted indices."""
    rows, columns = Layout(m.shape[0] for m in matrices), Layout(m.shape[1] for m in matrices)
    entries = Layout(m.values().shape[0] for m in matrices)
    corners = torch.stack([rows.first, columns.first]).to(matrices[0].device)
    indices = memory.cat([m.indices() for m in matrices], 1).add_(corners[:, entries.segments])
    values = memory.cat([m.values() for m in matrices])
    return BlockDiagonal(_sparse(indices, values, (rows.total, columns.total)), rows, columns, entries)


def _sparse(indices: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.sparse_coo_tensor(indices, values, shape, is_coalesced=True, check_invariants=False)


@dataclass(frozen=True)
class BlockDiagonalField(Field):
    """See `block_diagonal`."""

    @override
    def gather(self, column: FieldValues, context: Context) -> BlockDiagonal:
        matrices = column.tensors()
        for number, matrix in enumerate(matrices):
            if not is_sparse_matrix(matrix):
                other = matrix.is_nested or matrix.is_quantized or matrix.is_mkldnn or matrix.is_sparse
                makes_one = matrix.ndim == 2 and not other
                raise Infeasible(
                    f"{column.at(number)} has {described(matrix)}, a block is a sparse COO matrix",
                    "make it one in the dataset: matrix.to_sparse_coo()"
                    if makes_one
                    else column.declared("bw.opaque()"),
                )
        return joined([matrix.coalesce() for matrix in matrices])


def block_diagonal() -> BlockDiagonalField:
    """Sparse COO matrices of any shapes as the blocks of one sparse COO matrix: adjacency matrices of a batch of graphs.

    Example:
        >>> import torch, batchwright as bw
        >>> edge = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).to_sparse_coo()
        >>> bw.Collate(adjacency=bw.block_diagonal())([{"adjacency": edge}, {"adjacency": edge}])["adjacency"].to_dense()
        tensor([[0., 1., 0., 0.],
                [1., 0., 0., 0.],
                [0., 0., 0., 1.],
                [0., 0., 1., 0.]])
    """
    return BlockDiagonalField()
