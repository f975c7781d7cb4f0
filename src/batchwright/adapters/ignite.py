"""Ignite: a handler that keeps the position in `Checkpoint` and goes on from there.

The loader is an ordinary one, made with `batch_sampler=plan.sampler()`.
"""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

from ..ranks import check_ranks
from ..sampler import BatchSampler

__all__ = ["PlanProgress"]


class PlanProgress:
    """Knows where an engine stands in a plan; put it into `Checkpoint`'s `to_save` beside the engine itself.

    Ignite counts iterations but leaves it to the data to resume; a plain loader would begin the epoch anew.

    Args:
        engine: the trainer; handlers are attached to it.
        sampler: the batch sampler of its loader.

    Raises:
        Infeasible: when the engine starts, if the ranks do not share one plan (see `batchwright.check_ranks`).
    """

    def __init__(self, engine: Engine, sampler: BatchSampler) -> None:
        self.sampler = sampler
        self._state: dict[str, Any] = {}
        self._resumed = False
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch that was trained on."""
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the engine's next run go on from there."""
        self.sampler.load_state_dict(state)
        self._state = dict(state)
        self._resumed = True

    def _begin(self, engine: Engine) -> None:
        check_ranks(self.sampler)
        if self._resumed:  # in this world's terms: another has another number of iterations an epoch
            engine.state.epoch_length = len(self.sampler)
            engine.state.epoch = self.sampler.epoch
            engine.state.iteration = self.sampler.epoch * len(self.sampler) + self.sampler.step
            self._resumed = False

    def _count(self, engine: Engine) -> None:
        epoch, step = divmod(engine.state.iteration - 1, len(self.sampler))
        self._state = self.sampler.state_at(step + 1, epoch=epoch)
