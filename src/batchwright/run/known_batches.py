"""Which batches of a run are known: those since the number of ranks last changed.

A state does not say which rank had the earlier ones.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import Infeasible
from ..position import Position

__all__ = ["KnownBatches"]


class KnownBatches(NamedTuple):
    """From where on the batches of a run are known.

    Attributes:
        since: where the run was resumed or its ranks changed, in steps of the ranks since; None if it began on them.
        fetched_by_all: micro-batches that those ranks together take for one batch each; None if no loop began yet.
    """

    since: Position | None = None
    fetched_by_all: int | None = None

    def at(self, here: Position, fetched_by_all: int) -> KnownBatches:
        """What is known where the run is `here`, on ranks that take so many micro-batches for one batch each."""
        changed = self.fetched_by_all not in (None, fetched_by_all)  # while the process ran
        back = self.since is not None and (here.epoch, here.consumed) < (self.since.epoch, self.since.consumed)
        return KnownBatches(here if changed or back else self.since, fetched_by_all)

    def before(self, number: int, epoch: int, start_of_run: Position) -> Position:
        """The position before batch `number` of an epoch.

        Raises:
            Infeasible: an epoch has fewer batches, or it is not known which micro-batches the batch had.
        """
        assert self.fetched_by_all is not None
        since = start_of_run if self.since is None else self.since
        count = since.epoch_length // self.fetched_by_all
        if not 0 <= number < count:
            raise Infeasible(f"batch {number} of an epoch of {count} batches", f"pass 0 to {count - 1}")
        first, offset = divmod(since.consumed, self.fetched_by_all)
        if (epoch, number) < (since.epoch, first):
            raise Infeasible(
                f"batch {number} of epoch {epoch} came before this run was resumed, at batch {first} of epoch "
                f"{since.epoch}, and its state does not say what each rank had before",
                "if the number of ranks never changed, plan.at(step, world_size=..., accumulate=...) says it",
            )
        start, skipped = (since, offset) if epoch == since.epoch else (since.in_epoch(epoch), 0)
        position = start.after(skipped + number * self.fetched_by_all)
        position.check()
        return position
