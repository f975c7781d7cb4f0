"""Fields whose values index another field: finds what they are shifted by, and checks that indices are within the sample."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..errors import Infeasible, shown, typed
from .column import FieldValues
from .joined import Joined
from .layout import Layout
from .ragged_value import Ragged
from .values import Scalars, Stacked, Value

__all__ = ["ADDED", "elements_of", "refuse_outside", "refuse_overflow", "refuse_unfit"]

ADDED = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_NAMES = ", ".join(str(dtype).removeprefix("torch.") for dtype in ADDED)


def elements_of(column: FieldValues, name: str, target: Value, layout: Callable[[tuple[int, ...]], Layout]) -> Layout:
    """The number of elements of each sample in the field `target`, called `name`, which `column` indexes."""
    if isinstance(target, Ragged):
        if len(target.axes) > 1:
            raise Infeasible(
                f"field {shown(column.name)} is shifted by {shown(name)}, which is ragged along the dimensions "
                f"{target.dims}",
                "shift by a field that is ragged along one, or by a field of whole numbers",
            )
        return target.axes[0]
    if isinstance(target, Joined) and all(type(piece) is int for piece in target.pieces):  # a graph's num_nodes
        return layout(Layout(target.pieces).counts)  # refuses one below 0
    if not (isinstance(target, (Scalars, Stacked)) and target.held.dtype in ADDED and target.held.ndim == 1):
        raise Infeasible(
            f"field {shown(column.name)} is shifted by {shown(name)}, a field {typed(target)}",
            f"shift by a field of whole numbers, or declare {shown(name)} as bw.ragged()",
        )
    counts = tuple(target.held.tolist())
    least = min(counts)
    if least < 0:
        raise Infeasible(
            f"field {shown(name)} of {column.called(counts.index(least))} is {least}, and {shown(column.name)} is "
            "shifted by it",
            "give counts of 0 or more",
        )
    return layout(counts)


def refuse_unfit(column: FieldValues, indices: Ragged, shift: tuple[Layout, ...]) -> None:
    """Refuse fields that cannot be shifted: no integers, or another number of rows."""
    dtype = indices.dtype
    if dtype not in ADDED:
        raise Infeasible(
            f"{column.at(0)} holds {dtype}, an index holds integers that torch can add: {_NAMES}",
            "convert it in the dataset",
        )
    if len(shift) > 1 and (indices.dims != (1,) or indices.sample(0).shape[0] != len(shift)):
        raise Infeasible(
            f"{column.at(0)} has shape {tuple(indices.sample(0).shape)} and is ragged along "
            f"dim {indices.dims[0]}, and it is shifted by {len(shift)} fields",
            "give one field for each row of dim 0, and let dim 1 be the ragged one",
        )


def refuse_overflow(column: FieldValues, indices: Ragged, shift: tuple[Layout, ...]) -> None:
    """Refuse numbers that are past their dtype once they are moved; those of int64 are as wide as the moves."""
    if indices.dtype is torch.int64:
        return
    most = torch.iinfo(indices.dtype).max
    starts = [max(target.starts[number] for target in shift) for number in range(len(indices))]
    for number, (piece, start) in enumerate(zip(indices.list, starts, strict=True)):
        if piece.numel() and int(piece.max()) + start > most:
            raise Infeasible(
                f"{column.at(number)} holds {piece.max().item()} in {indices.dtype}, whose "
                f"largest number is {most}, and is moved by {start}",
                "convert it to a wider integer in the dataset",
            )


def refuse_outside(column: FieldValues, indices: Ragged, shift: tuple[Layout, ...], targets: tuple[str, ...]) -> None:
    """Refuse indices outside their own sample; read end to end, as collating makes them anyway."""
    dtype = indices.dtype
    # Before the sums are looked at: an index that wrapped around could seem to be inside.
    for target, name in zip(shift, targets, strict=True):
        if target.total - 1 > torch.iinfo(dtype).max:
            raise Infeasible(
                f"field {shown(column.name)} holds {dtype}, whose largest index is {torch.iinfo(dtype).max}, and the "
                f"batch has {target.total} of {shown(name)}",
                "convert it to a wider integer in the dataset",
            )
    local = indices.local()
    if not local.numel():
        return
    if int(local.min()) >= 0 and not (local >= indices.spread([target.counts for target in shift])).any():
        return
    number = next(n for n in range(len(indices)) if _outside(indices, shift, n))
    piece, held_counts = indices.sample(number), [target.counts[number] for target in shift]
    held = " and ".join(f"{count} of {shown(target)}" for count, target in zip(held_counts, targets, strict=True))
    raise Infeasible(
        f"{column.at(number)} (shape {tuple(piece.shape)}) holds indices from "
        f"{piece.min().item()} to {piece.max().item()}, and that sample has {held}",
        "index within the sample, from 0",
    )


def _outside(indices: Ragged, shift: tuple[Layout, ...], number: int) -> bool:
    rows = indices.sample(number).unsqueeze(0) if len(shift) == 1 else indices.sample(number)
    return any(
        bool(((row < 0) | (row >= target.counts[number])).any()) for row, target in zip(rows, shift, strict=True)
    )
