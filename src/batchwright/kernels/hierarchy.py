"""Goes down a tree of nested groups and takes the next few branches of every node on the way."""

from __future__ import annotations

import numpy as np

from .compile import inner, kernel
from .hashing import PURPOSE, child
from .passes import draw_run
from .permutation import TABLE_LIMIT, radices

__all__ = ["descend"]

_LEVEL = np.uint64(PURPOSE.LEVEL)


@inner
def _common(one, other):
    """The greatest common divisor."""
    while other:
        one, other = other, one % other
    return one


@kernel("void(int64[:, ::1], int64[:, ::1], int64, int64[::1], int64[::1], int64[::1], uint64, int64, int64[:, ::1])")
def descend(nodes, visits, level, per, firsts, offsets, root, apart, slots):
    """Fill each row of `slots` with the leaves under the nodes of that row.

    A node that is visited for the v-th time takes draws v * per .. v * per + per - 1 from its branches, pass after
    pass. Draw k of b branches is in pass k div b, and a pass visits each branch once: so that is also how often the
    branch came before.

    Args:
        nodes, visits: nodes of one level, and how often each came before; int64 (batches, nodes per batch).
        level: which level they are of.
        per: branches to take at each level.
        firsts: level by level the first branch of every node, as numbered in the level below, and the end of the last.
        offsets: where each level begins in `firsts`.
        root: the key.
        apart: this many consecutive leaves of a node are distinct, if it has as many; at least those of one visit.
        slots: out; int64 (batches, nodes a batch * product of per from `level` on).
    """
    scratch = max(TABLE_LIMIT, 2 * apart)
    for taken in per:
        scratch = max(scratch, 2 * taken)
    head, repeats = np.empty(scratch, np.int64), np.empty(scratch, np.uint8)
    run = np.empty(per.max(), np.int64)
    here, there = np.empty(slots.shape[1], np.int64), np.empty(slots.shape[1], np.int64)
    came, comes = np.empty(slots.shape[1], np.int64), np.empty(slots.shape[1], np.int64)
    keys = child(root, _LEVEL)
    for row in range(slots.shape[0]):
        count = nodes.shape[1]
        for i in range(count):
            here[i], came[i] = nodes[row, i], visits[row, i]
        for depth in range(level, per.size):
            taken = per[depth]
            key = child(keys, np.uint64(depth))
            for i in range(count):
                node = offsets[depth] + here[i]
                branches = firsts[node + 1] - firsts[node]
                draw, wide = came[i] * taken, taken - 1
                own, begin = child(key, np.uint64(here[i])), draw
                if depth == per.size - 1 and apart > taken:
                    # A node with few branches keeps one order: that too keeps neighbours distinct, see `passes`.
                    wide = apart - 1 if 3 * (apart - 1) <= branches else branches
                elif branches % taken == 0 or 3 * wide > branches:
                    # Few branches: one order for as many passes as it takes to end with a visit, then another order. So
                    # no visit takes from two different orders.
                    cycle = branches * taken // _common(branches, taken)
                    own, begin = child(own, np.uint64(draw // cycle)), draw % cycle
                    wide = branches
                left, right = radices(np.uint64(branches))
                draw_run(run, begin, taken, branches, wide, left, right, own, head, repeats)
                for j in range(taken):
                    there[i * taken + j] = firsts[node] + run[j]
                    comes[i * taken + j] = (draw + j) // branches
            count *= taken
            for i in range(count):
                here[i], came[i] = there[i], comes[i]
        for i in range(count):
            slots[row, i] = here[i]
