"""The states that were loaded into a stream, and which of them each reader goes on from."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import Infeasible, listed
from . import states
from .redeal import redealt, runs_of
from .replicas import Replica
from .run import Recipe
from .sources import check_deal

__all__ = ["Begun", "Loaded"]


class Begun(NamedTuple):
    """Where the workers of a loader begin.

    Attributes:
        runs: the state of the pass of each worker; None at its start.
        epoch: its epoch.
        next: the epoch after it.
        first: the worker whose turn it is.
    """

    runs: list[dict[str, Any] | None]
    epoch: int
    next: int
    first: int

    @classmethod
    def of(cls, found: Sequence[Mapping[str, Any]]) -> Begun:
        """From where each worker goes on, as `Loaded.of_all` returns it."""
        runs = [one["run"] for one in found]
        last = next((worker for worker, run in enumerate(runs) if run is not None and run.get("last")), -1)
        epoch = found[0]["epoch"]
        return cls(runs, epoch, max(found[0]["next_epoch"], epoch + 1), (last + 1) % len(runs))


@dataclass(frozen=True, slots=True)
class Loaded:
    """States of readers of a stream that were checked, sorted by reader."""

    states: list[dict[str, Any]]

    @property
    def next(self) -> int:
        """The epoch that comes next."""
        return int(max(state["next"] for state in self.states))

    def state_dict(self) -> dict[str, Any]:
        """The same as one value."""
        return copy.deepcopy(self.states[0] if len(self.states) == 1 else states.together(self.states))

    def has(self, replica: Replica) -> bool:
        """Whether the state of this reader is among them.

        Raises:
            Infeasible: it is not, and they are not those of all readers either.
        """
        if any(_is_state_of(state, replica) for state in self.states):
            return True
        missing = states.lacking(self.states)
        if missing:
            index, count, world_size = self.states[0]["replica"]
            was, now = f"reader {index} of {count}", f"reader {replica.index} of {replica.count}"
            if count == replica.count and world_size != replica.world_size:
                was, now = f"{was} at world size {world_size}", f"{now} at world size {replica.world_size}"
            raise Infeasible(
                f"the state is of {was} and this is {now}; the states of readers {listed(missing)} are missing",
                "load the states of all readers, as a list or merged by online.merged, or resume with the ranks and "
                "workers it was stopped with",
            )
        return False

    def of(self, replica: Replica, recipe: Recipe, state_bytes: int) -> dict[str, Any]:
        """Where one reader goes on: the state of its pass, its epoch, and the epoch after it."""
        return self.of_all([replica], recipe, state_bytes)[0]

    def of_all(self, here: Sequence[Replica], recipe: Recipe, state_bytes: int) -> list[dict[str, Any]]:
        """The same for several readers; what is left is dealt once."""
        if all(map(self.has, here)):
            own = [next(state for state in self.states if _is_state_of(state, replica)) for replica in here]
            found = [one["run"] for one in own]
        else:
            runs = self._dealt(here[0], recipe, state_bytes)
            found = [None if runs is None else runs[it.index] for it in here]
        return [{"run": run, "epoch": self.states[0]["epoch"], "next_epoch": self.next} for run in found]

    def _dealt(self, replica: Replica, recipe: Recipe, state_bytes: int) -> list[dict[str, Any]] | None:
        """What is left to the readers of the states, dealt to as many as there are now; None if that is everything."""
        if all(state["run"] is None for state in self.states):
            return None
        check_deal(recipe.sources(), len(self.states), replica.count)
        runs = runs_of(recipe, self.states, state_bytes)
        # Ranks have made as many batches as each other; those of a rank are divided among its workers, as the stream does.
        per_rank = sum(run.steps for run in runs) // self.states[0]["replica"][2]
        steps = [
            per_rank // replica.workers + (reader % replica.workers < per_rank % replica.workers)
            for reader in range(replica.count)
        ]
        return redealt(runs, recipe, replica.count, self.states[0]["epoch"], state_bytes, steps)


def _is_state_of(state: Mapping[str, Any], replica: Replica) -> bool:
    """Whether it read the same part, and has the same part of the steps of its rank."""
    return bool(state["replica"] == [replica.index, replica.count, replica.world_size])
