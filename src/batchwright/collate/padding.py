"""Pads tensors of different lengths to one tensor, and takes them out again; for any dtype, differentiable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import Infeasible, check_integer, listed, one_of, shown
from ..readings import as_list
from . import memory
from .layout import SIDES, Layout, Side

__all__ = [
    "Padding",
    "Side",
    "are_short",
    "fill_value",
    "joined_with_padding",
    "pad",
    "pad_grid",
    "unpad",
    "unpad_grid",
]

_BOUNDS = {dtype: (torch.iinfo(dtype).min, torch.iinfo(dtype).max) for dtype in memory.INTEGERS} | {torch.bool: (0, 1)}

_POWERS = getattr(torch, "float8_e8m0fnu", None)
"""A dtype with powers of two only, without 0 and sign; older versions of torch do not have it."""

_SHORT = 1 << 15
"""Bytes of a piece, on average, up to which a call of `torch.cat` takes less than numpy's writing; chosen by trial."""

_KEPT = 1024  # lengths of padding that are kept, with a tensor of half a kilobyte each, besides its memory

_COMPLEX: tuple[Any, ...] = (complex, np.complexfloating)  # not all of numpy's are Python's


@dataclass(frozen=True)
class Padding:
    """How the padded form of a ragged field is made.

    Args:
        value: the value of padding. A floating dtype takes its nearest number, finite if this one is; any other dtype
            must have it exactly.
        side: the side of each sample that is padded.
        multiple: the padded length is rounded up to a multiple of this; every length of a menu must be one.
        menu: the padded lengths that may occur (for several ragged axes: tuples of lengths); the smallest that fits is
            used. With a short menu, compiled models and CUDA graphs see few shapes.
    """

    value: float | complex | bool = 0
    side: Side = "right"
    multiple: int = 1
    menu: tuple[int | tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        one_of(self.side, "side", SIDES)
        multiple = check_integer(self.multiple, "multiple", least=1)
        for entry in as_list(self.menu, "menu"):
            for length in _shape(entry):
                if check_integer(length, "a length of menu", least=0) % multiple:
                    raise Infeasible(
                        f"menu has the length {length} and multiple is {multiple}",
                        "leave multiple out, or give a menu of its multiples",
                    )
        if not isinstance(self.value, Number):
            raise Infeasible(f"the pad value is {shown(self.value)}", "pass a number")

    def extents(self, longest: Sequence[int]) -> tuple[int, ...]:
        """The padded length of each ragged axis, given the longest sample along each."""
        wanted = tuple(longest)
        if not self.menu:
            return tuple(map(self._extent, wanted))
        shapes = [_shape(entry) for entry in self.menu]
        large_enough = [
            shape
            for shape in shapes
            if len(shape) == len(wanted) and all(size >= least for size, least in zip(shape, wanted, strict=True))
        ]
        if not large_enough:
            raise Infeasible(
                f"the longest sample needs {wanted}, the menu offers [{listed(shapes)}]",
                "add a longer entry to menu, or cut the samples",
            )
        # The least memory; of equal ones always the same, so that all ranks and runs choose alike.
        return min(large_enough, key=lambda shape: (_volume(shape), shape))

    def _extent(self, longest: int) -> int:
        """The padded length of a single ragged axis, given the longest sample."""
        if self.menu:
            return self.extents((longest,))[0]
        return longest if self.multiple == 1 else -(-longest // self.multiple) * self.multiple


def _shape(entry: int | tuple[int, ...]) -> tuple[int, ...]:
    return entry if isinstance(entry, tuple) else (entry,)


def _volume(shape: Sequence[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def fill_value(value: float | complex | bool, dtype: torch.dtype) -> float | complex | bool:
    """Check that `dtype` has `value`: exactly, or for floating dtypes a number near it."""
    bounds = _BOUNDS.get(dtype)
    if isinstance(value, _COMPLEX):
        value = complex(value)
    if bounds is not None:
        # 3.0 counts as 3; for NaN and infinity, `value // 1` is NaN, which equals nothing.
        if not isinstance(value, complex) and value == value // 1 and bounds[0] <= value <= bounds[1]:
            return int(value)
    elif dtype.is_complex:
        if _near(value.real, dtype) and _near(value.imag, dtype):
            return complex(value)
    elif not isinstance(value, complex) and _near(value, dtype):
        return float(value) if value == value else math.nan  # the same object each time: padding of it is kept
    raise Infeasible(
        f"the pad value {shown(value)} does not exist in {dtype}",
        "pass a pad value that the field's dtype has, or form='packed' and no pad",
    )


def _near(value: float, dtype: torch.dtype) -> bool:
    """Whether a floating dtype has a number near `value`; infinity and NaN must be in it."""
    if dtype.itemsize == 1:
        try:  # kinds of bits that are no numbers, and two numbers in a byte, cannot be filled in
            torch.empty(0, dtype=dtype, device="cpu").new_full((1,), 1.0)
            torch.finfo(dtype)
        except (NotImplementedError, RuntimeError, TypeError):
            return False
        if dtype is _POWERS and not value > 0:
            return False
    if abs(value) == math.inf:
        return dtype.itemsize > 1 or dtype is torch.float8_e5m2  # the other eight-bit floats have none
    return abs(value) <= torch.finfo(dtype).max or value != value


def pad(
    pieces: memory.Pieces,
    layout: Layout,
    *,
    dim: int,
    length: int,
    value: float | complex | bool,
    side: Side = "right",
) -> Tensor:
    """Pad N pieces, ragged along `dim` with the lengths of `layout`, to one tensor N x ... x `length` x ...

    Short pieces are concatenated with padding between them, which is kept. If no gradient is needed, numpy writes others
    sample by sample into padded memory. Otherwise they are concatenated too.
    """
    first = pieces[0]
    value = fill_value(value, first.dtype)
    plain = first.is_cpu and memory.are_calls_plain()
    if plain and dim == 0 and are_short(pieces, layout.total * math.prod(first.shape[1:])):
        return joined_with_padding(pieces, layout.counts, length, value, side)
    numpy_can = plain and first.dtype in memory.NUMPY_DTYPES
    if numpy_can and layout.total:  # numpy and torch differ in the strides of empty arrays
        try:
            return _written(pieces, layout, dim, length, value, side)
        except RuntimeError:  # numpy refuses gradients, derived types, and lazy conjugation or negation
            if all(type(piece) is Tensor and not _has_to_be_asked(piece) for piece in pieces):
                raise
    gaps = [length - count for count in layout.counts]
    shape = list(first.shape)
    shape[dim] = sum(gaps)
    filler = first.new_full(shape, value).split_with_sizes(gaps, dim)
    pairs = zip(pieces, filler, strict=True) if side == "right" else zip(filler, pieces, strict=True)
    joined = list(chain.from_iterable(pairs))
    if dim == 0:
        return memory.cat(joined).view(len(pieces), length, *shape[1:])
    flat = torch.cat(joined, dim)
    rows = flat.reshape(*shape[:dim], len(pieces), length, *shape[dim + 1 :])
    return memory.settle(rows.movedim(dim, 0).contiguous())


def _has_to_be_asked(piece: Tensor) -> bool:
    """Whether numpy cannot read the piece: it has a gradient, or torch conjugates or negates it lazily."""
    return piece.requires_grad or piece.is_conj() or piece.is_neg()


def _written(
    pieces: memory.Pieces, layout: Layout, dim: int, length: int, value: float | complex | bool, side: Side
) -> Tensor:
    """Implement `pad` sample by sample."""
    first = pieces[0]
    shape = [len(pieces), *first.shape]
    shape[dim + 1] = length
    # Each place is written once: wide rows take as long as their memory.
    padded, tensor = memory.unfilled(shape, first.dtype)
    before = (slice(None),) * dim
    for row, piece, count in zip(padded, pieces, layout.counts, strict=True):
        gap = length - count
        own, rest = (slice(count), slice(count, None)) if side == "right" else (slice(gap, None), slice(gap))
        row[(*before, own)] = piece.numpy()
        row[(*before, rest)] = value
    return tensor


def are_short(pieces: memory.Pieces, total: int) -> bool:
    """Whether pieces with so many numbers in all are joined before they are padded; `torch.cat` compares their shapes."""
    return total * pieces[0].itemsize <= len(pieces) * _SHORT


def joined_with_padding(
    pieces: memory.Pieces,
    counts: Sequence[int],
    length: int,
    value: float | complex | bool,
    side: Side = "right",
) -> Tensor:
    """Pieces on the CPU, ragged along dim 0, and padding between them in one call of `torch.cat`, where calls are plain."""
    first, parts = pieces[0], []
    shape = () if first.ndim == 1 else tuple(first.shape[1:])
    padding = _padding(first.dtype, shape, repr(value), value)  # 0.0 == -0.0, and their texts differ
    if side == "right":
        for piece, count in zip(pieces, counts, strict=True):
            parts.append(piece)
            if count < length:  # with one empty part, `torch.cat` takes three times as long
                parts.append(padding[length - count])
    else:
        for piece, count in zip(pieces, counts, strict=True):
            if count < length:
                parts.append(padding[length - count])
            parts.append(piece)
    joined = memory.cat(parts, 0, len(pieces) * length)
    if shape or joined.requires_grad or type(joined) is not Tensor:
        return joined.view(len(pieces), length, *shape)
    return joined.resize_(len(pieces), length)  # half the time of a view, which is a second tensor


@lru_cache(maxsize=64)
def _padding(dtype: torch.dtype, shape: tuple[int, ...], text: str, value: float | complex | bool) -> _KeptPadding:
    """Padding of this value, after `fill_value` has checked it; `text` is its `repr`."""
    return _KeptPadding(dtype, shape, fill_value(value, dtype))


class _KeptPadding(dict[int, Tensor]):
    """Padding by its length along dim 0: views of one tensor, which are kept, as making one takes as long as a copy."""

    def __init__(self, dtype: torch.dtype, shape: tuple[int, ...], value: float | complex | bool) -> None:
        longest = max(1, _SHORT // max(1, math.prod(shape) * dtype.itemsize))
        self._all = memory.lasting(lambda: torch.full((longest, *shape), value, dtype=dtype, device="cpu"))
        self._value = value

    def __missing__(self, length: int) -> Tensor:
        if length > len(self._all):
            return self._all.new_full((length, *self._all.shape[1:]), self._value)
        made = self._all[:length]
        if len(self) < _KEPT:
            self[length] = made
        return made


def unpad(padded: Tensor, counts: Sequence[int], *, dim: int, side: Side = "right") -> Sequence[Tensor]:
    """The pieces of a padded tensor, as views if its memory allows it: the inverse of `pad`."""
    length = padded.shape[dim + 1]
    flat = padded.movedim(0, dim).flatten(dim, dim + 1)
    # One split for all pieces; every second part of it is padding. A `narrow` for each piece would be a call each.
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
            last_first = 2 * (piece.ndim - 1 - dim)  # torch lists the amounts from the last dimension to the first
            amounts[last_first + (side == "right")] = extent - piece.shape[dim]
        padded.append(torch.constant_pad_nd(piece, amounts, value))
    return torch.stack(padded) if torch.compiler.is_compiling() else memory.stack(padded)


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
