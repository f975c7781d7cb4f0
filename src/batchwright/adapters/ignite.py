"""Ignite: a handler that keeps the position in `Checkpoint` and resumes there, in any world and any engine.

Without it a plan's loader is resumed in the same world by `Engine`, if `Checkpoint` saves it beside the engine.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import repeat
from typing import Any

from ignite.engine import DeterministicEngine, Engine, Events
from ignite.engine.deterministic import ReproducibleBatchSampler
from torch.utils.data import DataLoader

from ..composition import Composition
from ..errors import Infeasible
from ..loader import Loader
from ..ranks import check_ranks, sampler_of
from ..run.sampler import BatchSampler
from ..run.sampler_of import next_start

__all__ = ["PlanProgress"]


class PlanProgress:
    """Knows where an engine stands in a plan; put it into `Checkpoint`'s `to_save` beside the engine itself.

    Use it where a run may resume in another world, with `DeterministicEngine`, where evaluators run on the trainer's loader,
    or where a batch that failed is to come again. Ignite's epochs may be shorter or longer than the plan's
    (`epoch_length`): the plan continues where the epoch before ended, as Ignite does with any loader, and only
    `terminate_epoch` makes it begin its next epoch.

    Args:
        engine: the trainer; handlers are attached to it.
        loader: of the plan, that the engine runs on; or the batch sampler of another loader.
        composition: what to tell `engine.state.metrics` of the batches, from where Ignite's loggers take it
            (`attach_output_handler(..., metric_names="all")`); nothing if left out.

    Raises:
        Infeasible: when the engine starts, if the ranks do not share one plan (see `batchwright.check_ranks`) or it runs on
            another loader.
    """

    def __init__(
        self, engine: Engine, loader: Loader | BatchSampler, *, composition: Composition | None = None
    ) -> None:
        self.engine = engine
        self.composition = composition
        self.loader = loader
        self.sampler: BatchSampler = loader.sampler
        self._place = next_start(loader, self.sampler)  # in the plan, where counting begins
        self._counted = 0  # the engine's iterations before that place
        self._done = 0  # its iterations that were trained on
        self._lists_saved = 0  # of an epoch, where the state that was loaded was saved; 0 if none was loaded
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)
        engine.add_event_handler(Events.DATALOADER_STOP_ITERATION, self._seek)
        engine.add_event_handler(Events.TERMINATE_SINGLE_EPOCH, self._skip_rest)

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch that was trained on."""
        if self.engine.last_event_name == Events.ITERATION_COMPLETED:  # whichever handler asks first
            self._done = self.engine.state.iteration
        epoch, step = self._next_place()
        position = self.loader.state_at(step, epoch=epoch)
        return {**position, "lists": len(self.sampler), "iteration": self._done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the engine's next run continue from there."""
        own = ("lists", "iteration")
        self.loader.load_state_dict({name: value for name, value in state.items() if name not in own})
        self._place = (self.sampler.epoch, self.sampler.batches_done)
        self._lists_saved = state["lists"]
        self._counted = self._done = state["iteration"]

    def _begin(self, engine: Engine) -> None:
        self._take_loader(engine)
        if self._lists_saved:
            self._restore_counts(engine)
        elif engine.state.iteration:  # the same run continues
            self._place = self._next_place()
        else:
            self._place = next_start(self.loader, self.sampler)
        self._lists_saved = 0
        self._counted = self._done = engine.state.iteration
        self._seek()
        check_ranks(self.sampler)

    def _take_loader(self, engine: Engine) -> None:
        loader = engine.state.dataloader
        if not isinstance(loader, (DataLoader, Loader)):
            return  # something made of one: what it draws from cannot be seen
        if sampler_of(loader) is not self.sampler:
            raise Infeasible(
                f"the engine's loader draws from {sampler_of(loader) or loader.batch_sampler!r}, not from the sampler of "
                "what PlanProgress was given",
                "pass PlanProgress the loader that the engine runs on, or its batch sampler",
            )
        if isinstance(loader, Loader):
            engine.state.dataloader = _PlacedLoader(self, loader)
            return
        if isinstance(engine, DeterministicEngine) and loader.batch_sampler is None:
            raise Infeasible(
                "DeterministicEngine, when it resumes, drops batches of a loader with batch_size=None",
                "make the loader with batch_sampler=plan.sampler()",
            )
        # A copy: the loader of the user, which evaluators may share, keeps its own sampler.
        engine.state.dataloader = copy.copy(loader)
        inner = "sampler" if loader.batch_sampler is None else "batch_sampler"
        vars(engine.state.dataloader).update({inner: _Placed(self), "_iterator": None})  # torch refuses to set them

    def _restore_counts(self, engine: Engine) -> None:
        """The engine's count of iterations, in this world's terms: another has another number of them in an epoch."""
        state, lists = engine.state, len(self.sampler)
        state.iteration = self._done
        if state.epoch_length in (self._lists_saved, lists):  # an epoch of the engine's is one of the plan's
            state.epoch_length = lists
            if lists != self._lists_saved:
                epoch, step = self._place
                state.iteration = epoch * lists + step
        if state.epoch_length is not None:
            state.epoch = state.iteration // state.epoch_length

    def _count(self, engine: Engine) -> None:
        self._done = engine.state.iteration
        if self.composition is not None:
            epoch, step = self._next_place()
            epoch, step = (epoch, step) if step else (epoch - 1, len(self.sampler))  # the batch that was trained on
            self.composition.after(step, lambda values, _: engine.state.metrics.update(values), epoch=epoch)

    def _seek(self) -> None:
        epoch, step = self._next_place()
        if (self.sampler.epoch, self.sampler.batches_done) != (epoch, step):
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


class _PlacedLoader:
    """The plan's loader as the trainer's engine sees it: each loop begins where training continues.

    `DeterministicEngine` resumes by dropping as many batches of its first loop as came before; it is given None for each.
    """

    def __init__(self, progress: PlanProgress, loader: Loader) -> None:
        self.progress, self.loader = progress, loader
        engine = progress.engine
        self._drops = isinstance(engine, DeterministicEngine) and engine._dataloader_iter is None

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        dropped = self.progress.engine.state.iteration % len(self) if self._drops else 0
        self._drops = False
        yield from repeat(None, dropped)
        self.progress._seek()
        yield from self.loader


class _Placed(ReproducibleBatchSampler):
    """The sampler as the trainer's engine draws from it: from where training continues, whatever drew from it meanwhile.

    Evaluators often run on the loader of the trainer. `DeterministicEngine` sets `start_iteration` to leave out what came
    before a resumed run, which the plan has left out already.
    """

    def __init__(self, progress: PlanProgress) -> None:
        super().__init__(progress.sampler)
        self.progress = progress

    def __iter__(self) -> Iterator[list[int]]:
        self.progress._seek()
        yield from self.batch_sampler
