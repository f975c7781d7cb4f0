"""Concatenates pieces to one tensor, makes torch's nested tensor of it, and takes the pieces out again."""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub
from typing import Any

import torch
from torch import Tensor

from ..errors import Infeasible
from . import memory
from .layout import Layout

__all__ = ["concatenated", "nest", "unnest", "unpack"]


def concatenated(pieces: memory.Pieces, dims: tuple[int, ...]) -> Tensor:
    """Concatenate the pieces along the first of `dims`, into which the others are flattened."""
    first, end = dims[0], dims[0] + len(dims)
    if len(dims) > 1:
        together = tuple(range(first, end))
        pieces = [piece.movedim(dims, together).flatten(first, end - 1) for piece in pieces]
    return memory.cat(pieces, first)


def unpack(
    packed: Tensor, layout: Layout, counts: Sequence[Sequence[int]], dims: tuple[int, ...]
) -> tuple[Tensor, ...]:
    """The pieces as views: the inverse of `concatenated`. `counts` has the lengths along each of `dims`."""
    first = dims[0]
    pieces = tuple(packed.split_with_sizes(layout.counts, first))
    if len(dims) == 1:
        return pieces
    together = tuple(range(first, first + len(dims)))
    return tuple(
        piece.reshape(*piece.shape[:first], *shape, *piece.shape[first + 1 :]).movedim(together, dims)
        for piece, shape in zip(pieces, zip(*counts, strict=True), strict=True)
    )


def nest(packed: Tensor, layout: Layout, dim: int) -> Tensor:
    """A `torch.nested` tensor that shares the packed memory, ragged along `dim` of a sample."""
    return torch.nested.nested_tensor_from_jagged(
        packed,
        layout.offsets,
        jagged_dim=dim + 1,
        min_seqlen=layout.min_length,
        max_seqlen=layout.max_length,
    )


def unnest(nested: Tensor) -> tuple[Tensor, Layout, int]:
    """The packed form of a jagged tensor, its layout, and the ragged dimension of a sample."""
    if not (isinstance(nested, Tensor) and nested.is_nested and nested.layout is torch.jagged):
        kind = f"a tensor of layout {nested.layout}" if isinstance(nested, Tensor) else f"a {type(nested).__name__}"
        unbound = isinstance(nested, Tensor) and nested.is_nested
        raise Infeasible(
            f"{kind} is no nested tensor of layout torch.jagged",
            f"use Ragged.from_list({'nested.unbind()' if unbound else 'pieces'})",
        )
    jagged: Any = nested
    dim: int = jagged._ragged_idx - 1
    if jagged.lengths() is None:
        starts = jagged.offsets().tolist()
        # Its memory may have more than the samples.
        shown = nested.values().narrow(dim, starts[0], starts[-1] - starts[0])
        return shown, Layout(map(sub, starts[1:], starts)), dim
    pieces = nested.unbind()  # its memory has gaps between the samples
    return torch.cat(pieces, dim), Layout(piece.shape[dim] for piece in pieces), dim


def values_at(nested: Any, layout: Layout, dim: int) -> Tensor | None:
    """The packed form of a jagged tensor; None unless it splits along `dim` of a sample as `layout` says."""
    if nested.layout is not torch.jagged or nested.is_meta or nested.lengths() is not None:
        return None
    offsets: Tensor = nested.offsets()
    if nested._ragged_idx != dim + 1:
        return None
    same = offsets is layout.on(offsets.device).offsets or tuple(offsets.tolist()) == layout.starts
    values: Tensor = nested.values()
    return values if same else None
