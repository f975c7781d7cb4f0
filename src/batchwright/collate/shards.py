"""Divides a packed dimension among the ranks of a context-parallel group, so that causal attention is equal work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from torch import Tensor

from ..errors import check_integer, one_of
from ..kernels.array_types import Integers
from ..lengths.partition import partition

__all__ = ["How", "Shard", "rank_indices"]

How = Literal["blocks", "head_tail", "per_document"]

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


def rank_indices(starts: Sequence[int], size: int, how: How, block: int | None) -> list[Integers]:
    """The packed indices that each rank of a group holds, ascending; every rank computes the same.

    Args:
        starts: where each document starts, and the end.
        size: ranks in the group.
        how: see `Layout.shard`.
        block: see `Layout.shard`.
    """
    size = check_integer(size, "size", least=1)
    how = one_of(how, "how", get_args(How))
    borders = np.array(starts, np.int64)
    if how == "blocks":
        work = np.arange(1, starts[-1] + 1) - np.repeat(borders[:-1], np.diff(borders))
        if block is not None:
            return _by_blocks(work, size, check_integer(block, "block", least=1))
        return _by_level_blocks(work, size)
    if how == "head_tail":
        borders = borders[[0, -1]]
    begin, length = borders[:-1, None], np.diff(borders)[:, None]
    # Twice as many chunks as ranks; a rank has one from the front and the one as far from the end.
    edges = begin + np.arange(2 * size + 1) * length // (2 * size)
    chunk_of = np.repeat(np.tile(np.arange(2 * size), len(begin)), np.diff(edges, axis=1).reshape(-1))
    rank_of = np.minimum(chunk_of, 2 * size - 1 - chunk_of)
    return [np.flatnonzero(rank_of == rank) for rank in range(size)]


def _by_level_blocks(work: Integers, size: int) -> list[Integers]:
    """The largest blocks of a few that make causal work level; the most level ones if none do."""
    best, least = [], math.inf
    for block in _BLOCKS:
        found = _by_blocks(work, size, block)
        most = max(float(work[places].sum()) for places in found)
        if most < least:
            best, least = found, most
        if most * size <= _LEVEL * float(work.sum()):
            break
    return best


def _by_blocks(work: Integers, size: int, block: int) -> list[Integers]:
    """Blocks of neighbours, as many for every rank up to one, dealt so that causal work is alike."""
    costs = np.add.reduceat(work, np.arange(0, work.size, block)) if work.size else work
    descending = np.argsort(-costs, kind="stable")
    dealt, last = np.split(descending, [costs.size // size * size])
    split = partition(costs[dealt], size, equal_size=True)
    rank_of = np.empty(costs.size, np.int64)
    for rank, part in enumerate(split.parts):
        rank_of[dealt[part]] = rank
    rank_of[last] = np.argsort(split.costs, kind="stable")[: last.size]  # the cheapest blocks: one each, at most
    by_element = np.repeat(rank_of, block)[: work.size]
    return [np.flatnonzero(by_element == rank) for rank in range(size)]
