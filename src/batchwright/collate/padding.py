"""From pieces of unequal length to one rectangle and back, for any dtype, in few calls that autograd can follow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Literal

import torch
from torch import Tensor

from ..errors import Infeasible
from .layout import Layout
from .memory import destination, settle

__all__ = ["Padding", "Side", "fill_value", "pad", "pad_grid", "unpad", "unpad_grid"]

Side = Literal["right", "left"]

_NUMPY_DTYPES = frozenset(
    {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
    | {torch.float16, torch.float32, torch.float64}
)


@dataclass(frozen=True)
class Padding:
    """How a ragged field is padded when its padded form is asked for.

    Args:
        value: what the padding holds; must be exact in the field's dtype.
        side: the side of each sample that is padded.
        multiple: the padded length is rounded up to a multiple of this.
        menu: the padded lengths that may occur (for several ragged axes: tuples of lengths); the smallest that fits is
            taken. A short menu keeps compiled models and CUDA graphs to few shapes.
    """

    value: float | complex | bool = 0
    side: Side = "right"
    multiple: int = 1
    menu: tuple[int, ...] | tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.side not in ("right", "left"):
            raise Infeasible(f"side is {self.side!r}", "pass side='right' or side='left'")
        if self.multiple < 1:
            raise Infeasible(f"multiple is {self.multiple}, the least is 1", "pass multiple=1 or more")

    def extents(self, longest: Sequence[int]) -> tuple[int, ...]:
        """The padded length of each ragged axis, given the longest sample along each."""
        wanted = tuple(-(-length // self.multiple) * self.multiple for length in longest)
        if not self.menu:
            return wanted
        shapes = [entry if isinstance(entry, tuple) else (entry,) for entry in self.menu]
        fitting = [
            shape
            for shape in shapes
            if len(shape) == len(wanted) and all(size >= least for size, least in zip(shape, wanted, strict=True))
        ]
        if not fitting:
            raise Infeasible(
                f"the longest sample needs {wanted}, the menu offers {shapes}",
                "add a longer entry to menu, or cut the samples",
            )
        return min(fitting, key=lambda shape: (_volume(shape), shape))


def _volume(shape: Sequence[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


@lru_cache
def fill_value(value: float | complex | bool, dtype: torch.dtype) -> float | complex | bool:
    """`value`, once it is known that `dtype` holds it exactly or, for floating dtypes, as near as that dtype can."""
    if dtype.is_complex:
        return value
    if isinstance(value, complex):
        exact = False
    elif dtype.is_floating_point:
        exact = True
    elif dtype is torch.bool:
        exact = value in (0, 1)
    else:
        limits = torch.iinfo(dtype)
        exact = value == value // 1 and limits.min <= value <= limits.max
    if not exact:
        raise Infeasible(f"the pad value {value} does not exist in {dtype}", "pass a pad value of the field's dtype")
    return value


def pad(
    pieces: Sequence[Tensor],
    layout: Layout,
    *,
    dim: int,
    length: int,
    value: float | complex | bool,
    side: Side = "right",
) -> Tensor:
    """N pieces, ragged along `dim` by `layout` and alike elsewhere, as one N x ... x `length` x ... tensor.

    In general pieces and stretches of padding are concatenated in turn: one call, whatever N is. Where numpy can write
    the rows, which asks for no gradient, that is several times as fast.
    """
    first = pieces[0]
    value = fill_value(value, first.dtype)
    if dim == 0 and first.dtype in _NUMPY_DTYPES and first.device.type == "cpu":
        with suppress(RuntimeError):  # numpy refuses tensors with a gradient
            return _rows_written(pieces, layout, length, value, side)
    gaps = [length - count for count in layout.counts]
    shape = list(first.shape)
    shape[dim] = sum(gaps)
    filler = first.new_full(shape, value).split_with_sizes(gaps, dim)
    pairs = zip(pieces, filler, strict=True) if side == "right" else zip(filler, pieces, strict=True)
    shape[dim] = len(pieces) * length
    flat = torch.cat(list(chain.from_iterable(pairs)), dim, out=None if dim else destination(pieces, shape))
    rows = flat.reshape(*shape[:dim], len(pieces), length, *shape[dim + 1 :])
    return settle(rows.movedim(dim, 0).contiguous()) if dim else rows


def _rows_written(
    pieces: Sequence[Tensor], layout: Layout, length: int, value: float | complex | bool, side: Side
) -> Tensor:
    """`pad` along dim 0, sample by sample."""
    first = pieces[0]
    shape = [len(pieces), length, *first.shape[1:]]
    padded = destination(pieces, shape)
    padded = first.new_empty(shape) if padded is None else padded
    rows = padded.view(len(pieces) * length, *shape[2:]).numpy()
    begins = [number * length for number in range(len(pieces))]
    if side == "left":
        begins = [begin + length - count for begin, count in zip(begins, layout.counts, strict=True)]
    if first.ndim == 1:  # short pieces: one concatenation costs less than a numpy array of each
        padded.fill_(value)
        packed = torch.cat(tuple(pieces)).numpy()
        for begin, start, end in zip(begins, layout.starts, layout.starts[1:], strict=False):
            rows[begin : begin + end - start] = packed[start:end]
    else:  # long ones: every element is written once
        for number, (begin, count, piece) in enumerate(zip(begins, layout.counts, pieces, strict=True)):
            rows[begin : begin + count] = piece.numpy()
            rows[number * length : begin].fill(value)
            rows[begin + count : (number + 1) * length].fill(value)
    return padded


def unpad(padded: Tensor, counts: Sequence[int], *, dim: int, side: Side = "right") -> Sequence[Tensor]:
    """The pieces of a padded tensor, as views where its memory allows: the inverse of `pad`."""
    length = padded.shape[dim + 1]
    flat = padded.movedim(0, dim).flatten(dim, dim + 1)
    if side == "right":
        cuts = chain.from_iterable((count, length - count) for count in counts)
        return flat.split_with_sizes(list(cuts), dim)[::2]
    cuts = chain.from_iterable((length - count, count) for count in counts)
    return flat.split_with_sizes(list(cuts), dim)[1::2]


def pad_grid(
    pieces: Sequence[Tensor],
    *,
    dims: Sequence[int],
    extents: Sequence[int],
    value: float | complex | bool,
    side: Side = "right",
) -> Tensor:
    """N pieces that are ragged along several dimensions as one tensor, N x ... with `extents` at `dims`."""
    first = pieces[0]
    value = fill_value(value, first.dtype)
    padded = []
    for piece in pieces:
        amounts = [0] * (2 * piece.ndim)
        for dim, extent in zip(dims, extents, strict=True):
            last_first = 2 * (piece.ndim - 1 - dim)  # torch counts the amounts from the last dimension on
            amounts[last_first + (side == "right")] = extent - piece.shape[dim]
        padded.append(torch.constant_pad_nd(piece, amounts, value))
    return torch.stack(padded, out=destination(pieces, [len(pieces), *padded[0].shape]))


def unpad_grid(
    padded: Tensor, counts: Sequence[Sequence[int]], *, dims: Sequence[int], side: Side = "right"
) -> tuple[Tensor, ...]:
    """The pieces of a tensor padded along several dimensions; `counts` holds one sequence of N lengths a dimension."""
    pieces = []
    for number, piece in enumerate(padded.unbind()):
        for dim, lengths in zip(dims, counts, strict=True):
            start = piece.shape[dim] - lengths[number] if side == "left" else 0
            piece = piece.narrow(dim, start, lengths[number])
        pieces.append(piece)
    return tuple(pieces)
