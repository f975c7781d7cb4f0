"""Divides a packed dimension among the ranks of a context-parallel group, so that causal attention is equal work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import Infeasible, check_integer, one_of
from ..lengths.partition import partition
from .layout import Layout

__all__ = ["How", "Shard", "shard", "unshard"]

How = Literal["blocks", "head_tail", "per_document"]
Integers = NDArray[np.int64]

_BLOCKS = (128, 64, 32, 16, 8, 4, 2, 1)  # attention kernels work in blocks of 64 or 128, so larger ones are tried first
_LEVEL = 1.01  # work of the rank that has most over the mean


@dataclass(frozen=True)
class Shard:
    """The elements of a packed dimension that one rank holds.

    Attributes:
        places: the packed index of each, ascending, int64: `packed[places]` are the rank's own.
        positions: the index of each within its document, int64: position ids.
        segments: the document of each, int64.
        cu_seqlens: where each run of neighbouring elements of one document starts among those of the rank, and the end,
            int32 (runs + 1): the borders of its queries.
        cu_seqlens_all: where each document starts in the whole packed dimension, and the end, int32: the borders of keys
            that are gathered from all ranks and put in order with `Layout.unshard`.
        work: pairs of elements that attend, causally and within documents, of which the rank has the query.
    """

    places: Tensor
    positions: Tensor
    segments: Tensor
    cu_seqlens: Tensor
    cu_seqlens_all: Tensor
    work: int


def shard(layout: Layout, rank: int, size: int, how: How, block: int | None) -> Shard:
    """See `Layout.shard`."""
    size = check_integer(size, "size", least=1)
    rank = check_integer(rank, "rank", least=0)
    if rank >= size:
        raise Infeasible(f"rank is {rank} in a group of {size}", f"pass a rank of 0 to {size - 1}")
    places = _places(layout, size, how, block)[rank]
    at = torch.from_numpy(places).to(layout.device)
    positions, segments = layout.positions[at], layout.segments[at]
    own = segments.cpu().numpy()
    begins = (np.diff(places, prepend=-2) != 1) | (np.diff(own, prepend=-1) != 0)
    borders = np.append(np.flatnonzero(begins), places.size).astype(np.int32)
    return Shard(
        at,
        positions,
        segments,
        torch.from_numpy(borders).to(layout.device),
        layout.cu_seqlens,
        int(positions.sum()) + places.size,
    )


def unshard(layout: Layout, size: int, how: How, block: int | None) -> Tensor:
    """See `Layout.unshard`."""
    gathered = np.concatenate(_places(layout, check_integer(size, "size", least=1), how, block))
    inverse = np.empty(gathered.size, np.int64)
    inverse[gathered] = np.arange(gathered.size)
    return torch.from_numpy(inverse).to(layout.device)


def _places(layout: Layout, size: int, how: How, block: int | None) -> list[Integers]:
    """The packed indices of all ranks, each ascending; every rank computes the same."""
    how = one_of(how, "how", get_args(How))
    if how == "blocks":
        if block is not None:
            return _by_blocks(layout, size, check_integer(block, "block", least=1))
        return _by_level_blocks(layout, size)
    borders = np.array([0, layout.total] if how == "head_tail" else layout.starts, np.int64)
    begin, length = borders[:-1, None], np.diff(borders)[:, None]
    # Twice as many chunks as ranks; a rank has one from the front and the one as far from the end.
    edges = begin + np.arange(2 * size + 1) * length // (2 * size)
    chunk_of = np.repeat(np.tile(np.arange(2 * size), len(begin)), np.diff(edges, axis=1).reshape(-1))
    rank_of = np.minimum(chunk_of, 2 * size - 1 - chunk_of)
    return [np.flatnonzero(rank_of == rank) for rank in range(size)]


def _by_level_blocks(layout: Layout, size: int) -> list[Integers]:
    """The largest blocks of a few that make causal work level; the most level ones if none do."""
    work = layout.positions.cpu().numpy() + 1
    best, least = [], math.inf
    for block in _BLOCKS:
        found = _by_blocks(layout, size, block)
        most = max(float(work[places].sum()) for places in found)
        if most < least:
            best, least = found, most
        if most * size <= _LEVEL * float(work.sum()):
            break
    return best


def _by_blocks(layout: Layout, size: int, block: int) -> list[Integers]:
    """Blocks of neighbours, as many for every rank up to one, dealt so that causal work is alike."""
    work = layout.positions.cpu().numpy() + 1
    costs = np.add.reduceat(work, np.arange(0, layout.total, block)) if layout.total else work
    falling = np.argsort(-costs, kind="stable")
    dealt, last = np.split(falling, [costs.size // size * size])
    split = partition(costs[dealt], size, equal_size=True)
    rank_of = np.empty(costs.size, np.int64)
    for rank, part in enumerate(split.parts):
        rank_of[dealt[part]] = rank
    rank_of[last] = np.argsort(split.costs, kind="stable")[: last.size]  # the cheapest blocks: one each, at most
    by_element = np.repeat(rank_of, block)[: layout.total]
    return [np.flatnonzero(by_element == rank) for rank in range(size)]
