"""Lightning: a callback that puts the position into the checkpoints, for other worlds and for epochs that are cut too.

Without it a plan's loader is resumed in the same world, by Lightning's own protocol of stateful loaders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch.utils.data import DataLoader

from ..accumulation import check_accumulation
from ..composition import Composition
from ..errors import Infeasible
from ..loader import Loader
from ..loader.trainers import of_lightning
from ..ranks import check_ranks, sampler_of
from ..run.sampler import BatchSampler

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError:  # the same under its older name
    from pytorch_lightning import Callback, LightningModule, Trainer

__all__ = ["PlanCallback"]


class _Place(NamedTuple):
    """After `step` batches of an epoch of the plan, in an epoch of Lightning's that began with the plan's epoch `first`."""

    epoch: int
    step: int
    first: int


@dataclass
class _Trained:
    """A training loader of a plan.

    Attributes:
        loader: a `Loader`, or another that draws from a batchwright sampler.
        sampler: what it draws from.
        composition: of its batches, if it is told to loggers.
        place: where counting begins.
    """

    loader: Any
    sampler: BatchSampler
    composition: Composition | None
    place: _Place

    @property
    def begun(self) -> tuple[int, int]:
        """Epoch and step where the latest iterator over the sampler began, or where the next one will."""
        run, start = self.sampler.run, self.sampler.run.start
        if start is not None and run.batch_returned and run.requested is None:
            return start.epoch, start.consumed // self.sampler.fetched_by_all
        return self.sampler.epoch, self.sampler.batches_done

    @property
    def workers_are_at_place(self) -> bool:
        """Whether workers have begun to draw, and where they should; other loaders wait for the first batch."""
        works, run = isinstance(self.loader, DataLoader) and self.loader.num_workers > 0, self.sampler.run
        return works and run.batch_returned and run.requested is None and self.begun == self.place[:2]

    def seek(self) -> None:
        """Let the next iterator begin at the place."""
        self.sampler.seek(self.place.step, epoch=self.place.epoch)

    def load(self, state: dict[str, Any]) -> None:
        """Take the place from a state."""
        own = {name: value for name, value in state.items() if name != "first"}
        self._stateful.load_state_dict(own)
        self.place = _Place(self.sampler.epoch, self.sampler.batches_done, state["first"])

    def state_at(self, place: _Place) -> dict[str, Any]:
        """The state at a place."""
        return {**self._stateful.state_at(place.step, epoch=place.epoch), "first": place.first}

    @property
    def _stateful(self) -> Loader | BatchSampler:
        """What has the states: a `Loader`, whose states name broken samples too; for other loaders the sampler."""
        return self.loader if isinstance(self.loader, Loader) else self.sampler


class PlanCallback(Callback):
    """Saves where training stands in its plans with every checkpoint, and resumes there.

    Use it where a run may resume in another world, or be cut by `max_steps` within an epoch; its place among the callbacks
    does not matter. It finds the plans in the trainer's loader, which may stand alone, in a list, a dict or a
    `CombinedLoader`, be made by a hook, and be a `Loader` or any other over `plan.sampler()`. Where training stands follows
    from the trainer's own counts.
    An epoch that Lightning ends early (`limit_train_batches`, -1 from `on_train_batch_start`) is over: the next one begins
    at its own beginning. An epoch that `max_steps` or `should_stop` cut is continued. With `overfit_batches` every epoch has
    the same batches.

    Args:
        composition: makes, of a loader's sampler, what to tell the trainer's loggers of it, such as
            `functools.partial(batchwright.Composition, every=50)`; nothing if left out. Of several plans, the names in the
            logs begin with the number of the loader.

    Raises:
        Infeasible: when training starts, if the ranks do not share one plan (see `batchwright.check_ranks`), no training
            loader has a plan, two share a sampler, the checkpoint is of other plans, or `accumulate_grad_batches` is not
            what they accumulate.
    """

    def __init__(self, *, composition: Callable[[BatchSampler], Composition] | None = None) -> None:
        self._composition = composition
        self._plans: list[_Trained] = []  # in the order of the trainer's loaders
        self._loaded: list[dict[str, Any]] | None = None  # of a checkpoint, until the loaders are there
        self._trainer: Trainer | None = None  # while it fits
        self._ignores_states = False  # while it validates a checkpoint, which does not move training
        self._counted = 0  # batches that Lightning had counted where counting begins
        self._started: int | None = None  # epochs that Lightning had started when the next was to begin there

    def state_dict(self) -> dict[str, Any]:
        """The positions after the last batch that was trained on."""
        if self._loaded is not None:
            return {"plans": self._loaded}
        return {"plans": [plan.state_at(self._next_place(plan)) for plan in self._plans]} if self._plans else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let training resume there."""
        if not self._ignores_states:
            self._loaded = state_dict["plans"]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Before the states and Lightning's counts are loaded."""
        if self._ignores_states:
            return
        for state in checkpoint["callbacks"].get(self.state_key, {}).get("plans", ()):
            if (state["epoch"], state["consumed"]) != (state["first"], 0):
                _mark_last_epoch_begun(checkpoint["loops"]["fit_loop"]["epoch_progress"])

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before a checkpoint is loaded and before anything asks for a loader."""
        self._ignores_states = stage != "fit"
        if self._ignores_states:
            return
        self._settle()  # an earlier fit that was interrupted
        self._loaded = None
        self._trainer = trainer
        if not trainer.fit_loop.epoch_progress.current.started:  # another trainer's plans, or a dry run's
            self._plans = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Once the loaders are there and a checkpoint's counters are loaded."""
        self._find(trainer)
        for plan in self._plans:
            check_ranks(plan.sampler)
            if pl_module.automatic_optimization:
                _check_accumulation(plan, trainer)
        if trainer.fit_loop.is_resuming:
            self._resume(trainer)
        self._loaded = None
        self._move_iterators(trainer)
        loop = trainer.fit_loop
        epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
        within = epochs.processed < epochs.started
        self._started = epochs.started - within
        self._counted = batches.processed if within else 0
        for plan in self._plans:  # Lightning is about to name the epoch by its own count
            vars(plan.sampler)["set_epoch"] = lambda epoch: None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before an epoch's first batch is drawn."""
        before = [plan.sampler for plan in self._plans]
        for plan in self._plans:
            epoch, step, _ = self._next_place(plan)
            plan.place = _Place(epoch, step, epoch)
        self._counted = 0
        self._started = trainer.fit_loop.epoch_progress.current.started
        self._find(trainer)  # the hook may have made others
        begun = any("set_epoch" in vars(sampler) for sampler in before)
        if not begun or (trainer.current_epoch > 0 and not trainer.fit_loop.is_resuming):
            for plan in self._plans:
                plan.seek()
        elif before != [plan.sampler for plan in self._plans]:
            self._move_iterators(trainer)
        # Else the iterators are there, and their workers have drawn.

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Once the first batch is drawn."""
        self._release()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After each micro-batch."""
        for number, plan in enumerate(self._plans):
            if plan.composition is None:
                continue
            prefix = f"{number}/" if len(self._plans) > 1 else ""
            ended, before = divmod(plan.place.step + self._taken() - 1, len(plan.sampler))

            def log(values: Mapping[str, float], step: int, prefix: str = prefix) -> None:
                for logger in trainer.loggers:
                    logger.log_metrics({f"{prefix}{name}": value for name, value in values.items()}, step)

            plan.composition.after(before + 1, log, epoch=plan.place.epoch + ended, at=trainer.global_step)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Training has stopped, perhaps before its first batch."""
        self._release()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """After training, where a checkpoint may still be saved."""
        self._ignores_states = False
        if stage == "fit":
            self._settle()

    def _settle(self) -> None:
        """Count from where training stands."""
        for plan in self._plans:
            plan.place = self._next_place(plan)
        self._release()
        self._trainer = self._started = None

    def _find(self, trainer: Trainer) -> None:
        """The plans of the trainer's loaders, at the places of those that stood there before."""
        combined = trainer.fit_loop._combined_loader
        assert combined is not None
        found = [(loader, sampler) for loader in combined.flattened if (sampler := sampler_of(loader)) is not None]
        samplers = [sampler for _, sampler in found]
        if not found:
            raise Infeasible("no training loader has a plan", "pass plan.loader(dataset), or leave the callback out")
        if len({id(sampler) for sampler in samplers}) < len(samplers):
            raise Infeasible("two training loaders draw from one sampler", "give each of them a plan.loader(dataset)")
        for sampler in samplers:
            if combined._mode == "max_size" and len(sampler) < trainer.num_training_batches:
                raise Infeasible(
                    f"a plan has {len(sampler)} batches for {trainer.num_training_batches} batches, and 'max_size' yields "
                    "None after them",
                    "pass CombinedLoader(loaders, 'max_size_cycle') or 'min_size'",
                )
        if [plan.sampler for plan in self._plans] == samplers:
            for plan, (loader, _) in zip(self._plans, found, strict=True):
                plan.loader = loader
            return
        places = [plan.place for plan in self._plans]
        self._plans = [
            _Trained(loader, sampler, self._composition and self._composition(sampler), _Place(0, 0, 0))
            for loader, sampler in found
        ]
        if not places:  # an epoch that something else has drawn from begins at its beginning, or where it was placed
            places = [_Place(0, step if epoch == 0 else 0, 0) for epoch, step in (plan.begun for plan in self._plans)]
        self._check_count(len(places))
        for plan, place in zip(self._plans, places, strict=True):
            plan.place = place

    def _check_count(self, before: int) -> None:
        if before != len(self._plans):
            raise Infeasible(
                f"the training loaders have {len(self._plans)} plans, they had {before} before",
                "pass the loaders of the run that is resumed",
            )

    def _resume(self, trainer: Trainer) -> None:
        if self._loaded is None:
            self._adopt_counts(trainer)
        else:
            self._check_count(len(self._loaded))
            for plan, state in zip(self._plans, self._loaded, strict=True):
                plan.load(state)
        _go_on_after(trainer, self._came_before(trainer))

    def _move_iterators(self, trainer: Trainer) -> None:
        """Let the iterators that the trainer has begin at the places; workers may have drawn already."""
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        if fetcher.fetched or not all(plan.workers_are_at_place for plan in self._plans):
            for plan in self._plans:
                plan.seek()
            iter(fetcher)

    def _taken(self) -> int:
        """Lists trained on since counting began, by Lightning's count: right wherever this callback stands in the list."""
        if self._trainer is None or self._started is None:
            return 0
        loop = self._trainer.fit_loop
        if loop.epoch_progress.current.started == self._started:  # the batches counted are those of the epoch before
            return 0
        processed: int = loop.epoch_loop.batch_progress.current.processed
        return processed - self._counted

    def _next_place(self, plan: _Trained) -> _Place:
        """Where training continues."""
        taken, (epoch, step, first) = self._taken(), plan.place
        if not taken:
            return plan.place
        assert self._trainer is not None
        over = _epoch_is_over(self._trainer)
        if self._trainer.overfit_batches:
            return _Place(epoch, 0, epoch) if over else _Place(epoch, step + taken, first)
        ended, step = divmod(step + taken, len(plan.sampler))  # of several loaders a short one begins again on the way
        here = _Place(epoch + ended, step, first)
        return _next_beginning(here) if over else here

    def _release(self) -> None:
        for plan in self._plans:
            vars(plan.sampler).pop("set_epoch", None)

    def _came_before(self, trainer: Trainer) -> int:
        """Batches of Lightning's epoch, in this world, before the places to resume from; 0 between two epochs."""
        combined = trainer.fit_loop._combined_loader
        assert combined is not None
        longest = (min if combined._mode == "min_size" else max)(self._plans, key=lambda plan: len(plan.sampler))
        epoch, step, first = longest.place
        came = (epoch - first) * len(longest.sampler) + step
        if came < trainer.num_training_batches:
            return came
        for plan in self._plans:  # in this world that is all of Lightning's epoch
            plan.place = _next_beginning(plan.place)
        return 0

    def _adopt_counts(self, trainer: Trainer) -> None:
        """A checkpoint without this callback's state: Lightning has loaded a stateful loader's, or its count says it."""
        loop = trainer.fit_loop
        epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
        within, over = epochs.processed < epochs.started, _took_last(trainer)  # in the world that saved
        for plan in self._plans:
            epoch, step = epochs.processed + (within and over), batches.processed if within and not over else 0
            if step and isinstance(plan.loader, Loader):
                epoch, step = plan.begun
            plan.place = _Place(epoch, step, epoch)


def _next_beginning(place: _Place) -> _Place:
    """Where Lightning's next epoch begins: at the start of the first epoch of the plan of which nothing was taken."""
    epoch = place.epoch + (place.step > 0)
    return _Place(epoch, 0, epoch)


def _check_accumulation(plan: _Trained, trainer: Trainer) -> None:
    told = of_lightning(trainer)
    if isinstance(plan.loader, Loader):
        plan.loader.compare_accumulation(told)
    else:
        plan.sampler.trainer = told
        check_accumulation(plan.sampler, told)


def _epoch_is_over(trainer: Trainer) -> bool:
    """Whether Lightning takes no more batches in the epoch that it counts, whether or not the loader has more."""
    done = trainer.fit_loop.epoch_loop.batch_progress.current.processed
    return bool(done >= trainer.num_training_batches) or _took_last(trainer)


def _took_last(trainer: Trainer) -> bool:
    """Whether Lightning has said of the last batch that it was the last, and is done with it."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    return bool(progress.is_last_batch) and progress.current.processed == progress.current.ready


def _mark_last_epoch_begun(progress: dict[str, dict[str, int]]) -> None:
    """Lightning's saved count of epochs with the last as begun, not done: it counts one that `max_steps` cut as done."""
    if progress["current"]["processed"] == progress["current"]["started"]:
        for counts in progress.values():
            counts["processed"] = counts["completed"] = counts["started"] - 1


def _go_on_after(trainer: Trainer, came: int) -> None:
    """Let Lightning continue after some batches of an epoch, or between two epochs if there are none.

    It counts in the terms of the world that saved the checkpoint; and with `max_steps` it ends an epoch that was done again.
    """
    loop = trainer.fit_loop
    epochs, batches = loop.epoch_progress, loop.epoch_loop.batch_progress
    done = epochs.current.processed == epochs.current.started
    if done:
        loop._restarting = loop.epoch_loop.restarting = False
        loop.reset_restart_stage()
        loop.epoch_loop.reset_restart_stage()
    elif came or batches.current.processed:  # else the checkpoint is from right before the first batch
        change = (came or trainer.num_training_batches) - batches.current.processed
        for name in ("ready", "started", "processed", "completed"):
            setattr(batches.current, name, getattr(batches.current, name) + change)
    # Lightning tells by the totals where the next checkpoint stands, and leaves them as the last one interrupted them
    for counts in (epochs.current, epochs.total) if done else (epochs.total,):
        counts.ready = counts.started = counts.processed + (not done)
        counts.completed = counts.processed
    total = batches.total
    total.ready = total.started = total.processed
    total.completed = total.processed - (0 if done else batches.current.processed - batches.current.completed)
