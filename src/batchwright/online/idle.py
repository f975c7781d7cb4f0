"""A warning of workers that have nothing to read, given once by all workers of all epochs."""

from __future__ import annotations

import mmap

from ..errors import warn
from .replicas import Replica

__all__ = ["Idle"]


class Idle:
    """Warns once that some workers of a loader have nothing to read; copies in forked workers know if it has warned."""

    def __init__(self) -> None:
        # Memory shared with forked workers: every epoch forks new ones, and they would warn again.
        self._said = mmap.mmap(-1, 1)

    def __getstate__(self) -> None:
        """Nothing: shared memory of this kind cannot be sent to a spawned worker."""

    def __setstate__(self, state: None) -> None:
        self._said = mmap.mmap(-1, 1)

    def say(self, name: str, replica: Replica, reading: int, why: str, way_out: str) -> None:
        """Warn, in the first worker, that only `reading` of the workers have something to read."""
        if replica.worker or replica.past or replica.workers <= reading or self._said[0]:
            return
        self._said[0] = 1
        warn(
            f"{reading} of {replica.workers} workers read{'s' if reading == 1 else ''} source {name!r} and "
            f"{replica.workers - reading} of them idle, since it {why}; {way_out}"
        )
