"""Which dimensions of a sample are ragged, and how long each sample is along them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import Infeasible, shown, typed
from ..readings import reading
from .arguments import check_integers
from .layout import Layout

__all__ = ["Lengths", "asked_dims", "elements", "layouts", "matched", "normal_dims", "ragged_layouts"]

Lengths = Layout | Tensor | Sequence[int]


def asked_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """`normal_dims` for dimensions that a user passed, after a check that they are integers."""
    return normal_dims(check_integers(dim, "dim"), ndim)


@lru_cache
def normal_dims(dim: int | tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """The ragged dimensions of a sample with `ndim` dimensions: distinct, counted from the first, ascending."""
    asked = (dim,) if isinstance(dim, int) else dim
    dims = tuple(sorted(d + ndim if d < 0 else d for d in asked))
    if not dims or len(set(dims)) < len(dims) or dims[0] < 0 or dims[-1] >= ndim:
        raise Infeasible(
            f"dim={shown(dim)} does not name distinct dimensions of samples of {ndim} dimensions",
            f"pass one dimension or several distinct ones, each from {-ndim} to {ndim - 1}"
            if ndim
            else "give every sample one dimension or more",
        )
    return dims


def ragged_layouts(pieces: Sequence[Tensor], dim: int | tuple[int, ...]) -> tuple[tuple[int, ...], tuple[Layout, ...]]:
    """The ragged dimensions of tensors that are equal in all other sizes, and a layout for each."""
    if not isinstance(pieces, Sequence):
        raise Infeasible(f"pieces are {typed(pieces)}", "pass a list of tensors, one for each sample")
    if not pieces:
        raise Infeasible("there are 0 pieces, the least is 1", "pass at least one tensor")
    for piece in pieces:
        if not isinstance(piece, Tensor):
            raise Infeasible(f"a piece is {typed(piece)}", "pass tensors: torch.as_tensor(piece) for each")
    first = pieces[0]
    dims = asked_dims(dim, first.ndim)
    for piece in pieces:
        alike = piece.dtype is first.dtype and piece.ndim == first.ndim
        if not alike or any(piece.shape[d] != first.shape[d] for d in range(first.ndim) if d not in dims):
            raise Infeasible(
                f"a piece has shape {tuple(piece.shape)} and dtype {piece.dtype}, "
                f"the first {tuple(first.shape)} and {first.dtype}",
                f"pass pieces of one dtype that differ in size along dim {shown(dim)} alone",
            )
    return dims, tuple(Layout(piece.shape[d] for piece in pieces) for d in dims)


def elements(axes: tuple[Layout, ...]) -> Layout:
    """The number of elements of each sample: the product of its lengths along the ragged axes."""
    if len(axes) == 1:
        return axes[0]
    products = [1] * len(axes[0])
    for axis in axes:
        products = [product * count for product, count in zip(products, axis.counts, strict=True)]
    return Layout(products)


def layouts(lengths: Lengths | tuple[Lengths, ...]) -> tuple[Layout, ...]:
    """One layout for each ragged axis, from the lengths along one axis or a tuple of them."""
    if isinstance(lengths, tuple) and any(_is_axis(axis) for axis in lengths):
        axes = tuple(_one(axis) for axis in lengths)
    else:
        axes = (_one(lengths),)
    if any(len(axis) != len(axes[0]) for axis in axes):
        raise Infeasible(
            f"there are lengths of {' and '.join(str(len(axis)) for axis in axes)} samples",
            "pass one length for each sample along each ragged dimension",
        )
    return axes


def matched(dims: tuple[int, ...], axes: tuple[Layout, ...]) -> tuple[int, ...]:
    """Check that there are lengths along each of the dimensions."""
    if len(dims) != len(axes):
        raise Infeasible(
            f"dim names {len(dims)} ragged dimensions, and there are lengths along {len(axes)}",
            "pass dim=(...) and a tuple with the lengths along each",
        )
    return dims


def _is_axis(lengths: Any) -> bool:
    return isinstance(lengths, (Layout, Sequence, np.ndarray)) or (isinstance(lengths, Tensor) and lengths.ndim > 0)


def _one(lengths: Any) -> Layout:
    if isinstance(lengths, Layout):
        return lengths
    with reading(lengths, "lengths", "pass a list of whole numbers, one a sample"):
        counts = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    return Layout(counts)
