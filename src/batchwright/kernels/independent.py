"""Independent draws: the group and the sample of every slot are found by hashes of its address."""

from __future__ import annotations

import numpy as np

from .compile import kernel
from .hashing import PURPOSE, child, stream

__all__ = ["LINE", "pick"]

LINE = 1 << 12  # tickets on the line: with its fraction bits 2^44 positions, a share is met to within 2^-44

_GROUP, _SAMPLE = np.uint64(PURPOSE.RANDOM_GROUP), np.uint64(PURPOSE.RANDOM_SAMPLE)
_SHIFT = np.uint64(64 - 12 - 32)  # leaves as many bits as the line has: 12 of LINE, 32 of the fraction


@kernel("void(int64[::1], int64, int64, uint64, int64[::1], int64[::1], int64[:, ::1], int64[:, ::1])", allocates=False)
def pick(batches, tickets, per_ticket, root, edges, starts, slots, groups):
    """Compute micro-batches; arguments as in `deal`, with `edges` on a line of `LINE` tickets."""
    group_key, sample_key = child(root, _GROUP), child(root, _SAMPLE)
    for row in range(slots.shape[0]):
        for ticket in range(tickets):
            address = batches[row] * tickets + ticket
            position = np.int64(stream(group_key, address) >> _SHIFT)
            low, high = 0, edges.size
            while low < high:
                middle = (low + high) >> 1
                if edges[middle] <= position:
                    low = middle + 1
                else:
                    high = middle
            g = low - 1
            groups[row, ticket] = g
            for i in range(per_ticket):
                slot = ticket * per_ticket + i
                if starts.size > 0:
                    size = np.uint64(starts[g + 1] - starts[g])
                    place = stream(sample_key, address * per_ticket + i) % size
                    slots[row, slot] = starts[g] + np.int64(place)
                else:
                    slots[row, slot] = g
