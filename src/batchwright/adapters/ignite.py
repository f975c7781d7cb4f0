"""Ignite: a handler that saves the position in `Checkpoint`, and resumes from it.

The loader is an ordinary one, made with `batch_sampler=plan.sampler()`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from ignite.engine import DeterministicEngine, Engine, Events
from ignite.engine.deterministic import ReproducibleBatchSampler
from torch.utils.data import DataLoader

from ..errors import Infeasible
from ..ranks import check_ranks, sampler_of
from ..sampler import BatchSampler

__all__ = ["PlanProgress"]


class PlanProgress:
    """Keeps the position of an engine in a plan; put it into `to_save` of `Checkpoint`, beside the engine.

    Ignite counts iterations, but does not resume the data: a plain loader would begin the epoch again. Epochs of Ignite
    may be shorter or longer than those of the plan (`epoch_length`). As with any loader, the next epoch continues where
    the last one ended; only `terminate_epoch` starts the next epoch of the plan.

    Args:
        engine: the trainer; handlers are attached to it.
        sampler: the batch sampler of its loader.

    Raises:
        Infeasible: when the engine starts, ranks have different plans (see `batchwright.check_ranks`), or its loader
            has another sampler.
    """

    def __init__(self, engine: Engine, sampler: BatchSampler) -> None:
        self.engine = engine
        self.sampler = sampler
        self._place = (sampler.epoch, sampler.step)  # in the plan, where counting begins
        self._counted = 0  # the engine's iterations before that place
        self._done = 0  # its iterations that were trained on
        self._lists_saved = 0  # of an epoch, where the state that was loaded was saved; 0 if none was loaded
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)
        engine.add_event_handler(Events.DATALOADER_STOP_ITERATION, self._seek)
        engine.add_event_handler(Events.TERMINATE_SINGLE_EPOCH, self._skip_rest)

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch that was trained on."""
        if self.engine.last_event_name == Events.ITERATION_COMPLETED:  # in any order of handlers
            self._done = self.engine.state.iteration
        epoch, step = self._next_place()
        position = self.sampler.state_at(step, epoch=epoch)
        return {**position, "lists": len(self.sampler), "iteration": self._done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the engine's next run go on from there."""
        own = ("lists", "iteration")
        self.sampler.load_state_dict({name: value for name, value in state.items() if name not in own})
        self._place = (self.sampler.epoch, self.sampler.step)
        self._lists_saved = state["lists"]
        self._counted = self._done = state["iteration"]

    def _begin(self, engine: Engine) -> None:
        self._take_loader(engine)
        if self._lists_saved:
            self._restore_counts(engine)
        elif engine.state.iteration:  # the same run continues
            self._place = self._next_place()
        else:
            self._place = (self.sampler.epoch, self.sampler.step)
        self._lists_saved = 0
        self._counted = self._done = engine.state.iteration
        self._seek()
        check_ranks(self.sampler)

    def _take_loader(self, engine: Engine) -> None:
        loader = engine.state.dataloader
        if not isinstance(loader, DataLoader):
            return  # an iterable made from a loader: its sampler cannot be found
        if sampler_of(loader) is not self.sampler:
            raise Infeasible(
                f"the engine's loader draws from {sampler_of(loader) or loader.batch_sampler!r}, not from the sampler that "
                "PlanProgress was given",
                "pass PlanProgress the batch sampler of the loader that the engine runs on",
            )
        if isinstance(engine, DeterministicEngine) and loader.batch_sampler is None:
            raise Infeasible(
                "DeterministicEngine, when it resumes, drops batches of a loader with batch_size=None",
                "make the loader with batch_sampler=plan.sampler()",
            )
        # A copy: the loader of the user, which evaluators may share, keeps its own sampler.
        engine.state.dataloader = copy.copy(loader)
        inner = "sampler" if loader.batch_sampler is None else "batch_sampler"
        vars(engine.state.dataloader).update(
            {inner: _Placed(self), "_iterator": None}
        )  # torch forbids to set them as attributes

    def _restore_counts(self, engine: Engine) -> None:
        """Convert the engine's count of iterations to this world size, which has another number of them in an epoch."""
        state, lists = engine.state, len(self.sampler)
        state.iteration = self._done
        if state.epoch_length in (self._lists_saved, lists):  # an epoch of the engine is an epoch of the plan
            state.epoch_length = lists
            if lists != self._lists_saved:
                epoch, step = self._place
                state.iteration = epoch * lists + step
        if state.epoch_length is not None:
            state.epoch = state.iteration // state.epoch_length

    def _count(self, engine: Engine) -> None:
        self._done = engine.state.iteration

    def _seek(self) -> None:
        epoch, step = self._next_place()
        if (self.sampler.epoch, self.sampler.step) != (epoch, step):
            self.sampler.seek(step, epoch=epoch)

    def _skip_rest(self, *_: Any, **__: Any) -> None:
        epoch, step = self._next_place()
        self._place = (epoch + (step > 0), 0)  # at step 0 the next epoch of the plan begins anyway
        self._counted = self._done = self.engine.state.iteration
        self._seek()

    def _next_place(self) -> tuple[int, int]:
        epoch, step = self._place
        ended, step = divmod(step + self._done - self._counted, len(self.sampler))
        return epoch + ended, step


class _Placed(ReproducibleBatchSampler):
    """The sampler for the trainer's engine: sets the position of the training before it draws.

    Evaluators often draw from the loader of the trainer in between. `DeterministicEngine` sets `start_iteration` to
    skip the batches before a resume; here they are skipped already.
    """

    def __init__(self, progress: PlanProgress) -> None:
        super().__init__(progress.sampler)
        self.progress = progress

    def __iter__(self) -> Iterator[list[int]]:
        self.progress._seek()
        yield from self.batch_sampler
