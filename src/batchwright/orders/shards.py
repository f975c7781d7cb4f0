"""What a plan is told of the shards that its samples lie in."""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from typing import Any

import numpy as np

from ..calls import MOST_VALUES, Call
from ..errors import Infeasible, check_integer, shown
from ..inputs.columns import numbers_within, sample_numbers, whole_numbers
from ..micro_batches import MOST_RANKS
from ..public import internal

__all__ = ["Shards"]


class Shards:
    """The shards that samples lie in: a plan with `local=` reads few of them at a time.

    A shard is what is cheap to read as a whole: a row group of Parquet, a tar file, a shard of MDS. Samples are numbered
    through all shards, one shard after the other.

    Args:
        sizes: array-like of shape (n_shards,), the samples in each shard, integers; or a `bw.Index`, whose shards are its
            files.
        open: the most shards that a rank reads from at the same time, int, 1 or more. More mix the samples better.
        ranks: the ranks that the shards are divided among, int, 1 or more: micro-batch t is read from the shards of rank
            `t % ranks`. It is a part of the plan, like the batch size: keep it when a run goes on with other hardware.

    Raises:
        Infeasible: there are no shards or no samples, a size is below 0, or there are fewer shards than ranks.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.shuffled(4000, batch_size=10, local=bw.Shards([1000] * 4, open=2))
        >>> len(set(plan[0] // 1000))
        2
    """

    def __init__(self, sizes: Any, open: int = 8, *, ranks: int = 1) -> None:
        held = getattr(sizes, "sizes", sizes) if hasattr(sizes, "files") else sizes
        counted = whole_numbers(held, called="sizes", least=0, each="shard")
        self.sizes: np.ndarray = counted.astype(np.int64)
        self.open = check_integer(open, "open", least=1)
        self.ranks = check_integer(ranks, "ranks", least=1, most=MOST_RANKS)
        filled = int(np.count_nonzero(self.sizes))
        if not filled:
            raise Infeasible(f"the {self.sizes.size} shards have 0 samples", "pass the number of samples of each shard")
        if filled < self.ranks:
            raise Infeasible(
                f"{filled} shards have samples, there are {self.ranks} ranks", f"pass ranks={filled} or fewer"
            )
        self._call = Call(
            "Shards",
            {"sizes": self.sizes.tolist(), "open": self.open, "ranks": self.ranks},
            f"sizes has {self.sizes.size} values, the most is {MOST_VALUES}" if self.sizes.size > MOST_VALUES else "",
        )

    @cached_property
    def starts(self) -> np.ndarray:
        """The number of the first sample of each shard, and behind the last shard the number of samples, int64."""
        found: np.ndarray = np.concatenate([[0], np.cumsum(self.sizes)])
        return found

    @property
    def identity(self) -> str:
        """Everything that can change a plan, as short text; fingerprints are made of it."""
        digest = hashlib.blake2b(np.ascontiguousarray(self.sizes).data, digest_size=8).hexdigest()
        return f"{self.sizes.size} shards {digest}, {self.open} open, {self.ranks} ranks"

    def of(self, samples: Any) -> np.ndarray:
        """The shard of each of these samples, from 0: an integer array.

        Raises:
            Infeasible: there is no such sample.

        Example:
            >>> Shards([3, 2]).of([0, 2, 3]).tolist()
            [0, 0, 1]
        """
        return self.around(numbers_within(samples, int(self.starts[-1]), "the set of shards"))

    @internal
    def around(self, samples: Any) -> np.ndarray:
        """The same of any numbers, as an audit meets them; those of no sample are of the shards -1 and `sizes.size`."""
        found: np.ndarray = np.searchsorted(self.starts, sample_numbers(samples), side="right") - 1
        return found

    def at_once(self, world_size: int = 1) -> int:
        """The most shards that a rank reads from at a time: how many a cache should hold, on each rank and in each worker.

        It is `open` if the shards are divided among as many ranks as the run has.

        Args:
            world_size: the ranks of the run, int, 1 or more.

        Raises:
            Infeasible: a world size below 1.

        Example:
            >>> shards = Shards([100] * 16, open=4, ranks=8)
            >>> shards.at_once(8), shards.at_once(2)
            (4, 16)
        """
        world_size = check_integer(world_size, "world_size", least=1)
        return self.open * self.ranks // math.gcd(self.ranks, world_size)

    def check_samples(self, count: int) -> None:
        """Refuse shards of another number of samples."""
        total = int(self.starts[-1])
        if total != count:
            raise Infeasible(
                f"the shards have {total} samples, the plan has {count}",
                "pass the sizes of the shards that these samples lie in",
            )

    def __repr__(self) -> str:
        return f"Shards({shown(self.sizes.tolist())}, open={self.open}, ranks={self.ranks})"
