"""Lightning: a callback that saves the position in checkpoints; also for loaders with workers, and other world sizes.

The loader is an ordinary one, made with `batch_sampler=plan.sampler()`; the trainer needs
`use_distributed_sampler=False`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..accumulation import check_accumulation
from ..composition import Composition
from ..errors import Infeasible
from ..ranks import check_ranks, sampler_of
from ..sampler import BatchSampler

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.callbacks import GradientAccumulationScheduler
except ModuleNotFoundError:  # the older name of the package
    from pytorch_lightning import Callback, LightningModule, Trainer
    from pytorch_lightning.callbacks import GradientAccumulationScheduler

__all__ = ["PlanCallback"]


class _Place(NamedTuple):
    """A position: `step` lists of an epoch of the plan; the epoch of Lightning began with epoch `first` of the plan."""

    epoch: int
    step: int
    first: int


class PlanCallback(Callback):
    """Saves the position of the training in the plan with every checkpoint, and resumes from it.

    The training loader may be the only one, or one of several in a list, a dictionary or a `CombinedLoader`; every plan
    needs its own callback.

    An epoch that Lightning ends early (`limit_train_batches`, -1 from `on_train_batch_start`) is over: the next epoch
    of the plan follows. An epoch that `max_steps` or `should_stop` ended is continued. With `overfit_batches`, every
    epoch has the same batches.

    Args:
        sampler: the batch sampler of the training loader.
        composition: logs the composition of batches to the loggers of the trainer; nothing if left out.
        name: distinguishes the state of this callback from that of another one with the same plan.

    Raises:
        Infeasible: when training starts, ranks have different plans (see `batchwright.check_ranks`), no training loader
            has this sampler, or `accumulate_grad_batches` differs from its `accumulate`; when a checkpoint is loaded,
            it is of another plan.
    """

    def __init__(self, sampler: BatchSampler, *, composition: Composition | None = None, name: str = "") -> None:
        self.sampler = sampler
        self.composition = composition
        named = {"name": name} if name else {}
        self._key: str = self._generate_state_key(plan=sampler.plan.fingerprint, **named)
        self._trainer: Trainer | None = None  # while it fits
        self._ignores_states = False  # while it validates a checkpoint, which does not move training
        self._loaded = False
        self._place = _Place(sampler.epoch, sampler.step, sampler.epoch)  # where counting begins
        self._counted = 0  # batches that Lightning had counted at that place
        self._started: int | None = None  # epochs that Lightning had started when the next was to begin there

    @property
    def state_key(self) -> str:
        """What the state is called in a checkpoint."""
        return self._key

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch that was trained on."""
        place = self._next_place()
        return {**self.sampler.state_at(place.step, epoch=place.epoch), "first": place.first}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let training go on from there."""
        if self._ignores_states:
            return
        self.sampler.load_state_dict({name: value for name, value in state_dict.items() if name != "first"})
        self._place = _Place(self.sampler.epoch, self.sampler.step, state_dict["first"])
        self._loaded = True

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Before the states and Lightning's counts are loaded."""
        if self._ignores_states:
            return
        # Lightning leaves states of unknown callbacks out in silence. Training would begin again at the first batch.
        held = {key for key in checkpoint["callbacks"] if str(key).startswith(type(self).__qualname__)}
        unclaimed = held - {callback.state_key for callback in trainer.callbacks}
        if self.state_key not in held and unclaimed:
            raise Infeasible(
                f"the checkpoint has the position of {min(unclaimed)}, and none of {self.state_key}",
                "build the plan with the arguments, labels and seed it had, and give the callback the name it had",
            )
        state = checkpoint["callbacks"].get(self.state_key)
        if state is not None and (state["epoch"], state["consumed"]) != (state["first"], 0):
            _count_as_begun(checkpoint["loops"]["fit_loop"]["epoch_progress"])

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called before a checkpoint is loaded, and before a loader is made."""
        self._ignores_states = stage != "fit"
        if self._ignores_states:
            return
        place = self._next_place()  # of an earlier fit
        self._release()
        self._trainer, self._started, self._loaded = trainer, None, False
        if trainer.fit_loop.epoch_progress.current.started:
            self._place = place
        else:  # other trainers, a dry run, or validation may have drawn from the sampler
            self.sampler.set_epoch(0)
            self._place = _Place(self.sampler.epoch, self.sampler.step, 0)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before Lightning makes the loader."""
        self._seek()
        check_ranks(self.sampler)

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the position again: validation may have drawn from the same sampler."""
        self._seek()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called when the loader is made and the counters of a checkpoint are loaded."""
        self._check_loaders(trainer)
        if pl_module.automatic_optimization:
            schedules = [c.scheduling for c in trainer.callbacks if isinstance(c, GradientAccumulationScheduler)]
            accumulates = [number for schedule in schedules for number in schedule.values()]
            check_accumulation(
                self.sampler,
                math.lcm(*accumulates) if accumulates else trainer.accumulate_grad_batches,
                "Trainer(accumulate_grad_batches)",
            )
        loop = trainer.fit_loop
        if loop.is_resuming:
            if not self._loaded:
                self._adopt_count(trainer)
            came = self._came_before(trainer)
            _go_on_after(trainer, came)
            if not came and any(hasattr(loader, "load_state_dict") for loader in loop._combined_loader.flattened):
                self._draw_anew(trainer)  # Lightning has resumed it within the epoch that has ended
        epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
        within = epochs.processed < epochs.started
        self._started = epochs.started - within
        self._counted = batches.processed if within else 0
        # Lightning calls `set_epoch` next, with its own count of epochs, which is not the one of the plan.
        vars(self.sampler)["set_epoch"] = lambda epoch: None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before the first batch of an epoch is drawn."""
        self._check_loaders(trainer)  # a hook may have made another loader
        epoch, step, _ = self._next_place()
        self._place = _Place(epoch, step, epoch)
        self._counted = 0
        self._started = trainer.fit_loop.epoch_progress.current.started
        begun = "set_epoch" in vars(self.sampler) and (trainer.current_epoch == 0 or trainer.fit_loop.is_resuming)
        if not begun:  # else the iterator exists already, and its workers have drawn
            self._seek()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Called when the first batch is drawn."""
        self._release()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Called after each micro-batch."""
        if self.composition is not None:
            ended, before = divmod(self._place.step + self._taken() - 1, len(self.sampler))
            epoch = self._place.epoch + ended
            for logger in trainer.loggers:
                self.composition.after(before + 1, logger.log_metrics, epoch=epoch, at=trainer.global_step)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called after training; a checkpoint may still be saved later."""
        self._ignores_states = False
        if stage == "fit":
            self._place = self._next_place()
            self._release()
            self._trainer = self._started = None

    def _taken(self) -> int:
        """The lists trained on since counting began, by Lightning's count: it does not depend on the order of callbacks."""
        if self._trainer is None or self._started is None:
            return 0
        loop = self._trainer.fit_loop
        if loop.epoch_progress.current.started == self._started:  # the counted batches are those of the epoch before
            return 0
        processed: int = loop.epoch_loop.batch_progress.current.processed
        return processed - self._counted

    def _next_place(self) -> _Place:
        """The position from which training continues."""
        taken, (epoch, step, first) = self._taken(), self._place
        if not taken:
            return self._place
        assert self._trainer is not None
        over = _is_over(self._trainer)
        if self._trainer.overfit_batches:
            return _Place(epoch, 0, epoch) if over else _Place(epoch, step + taken, first)
        ended, step = divmod(
            step + taken, len(self.sampler)
        )  # with several loaders, a short one begins again within an epoch
        epoch += ended
        return _Place(epoch, step, first) if not over else _Place(epoch + (step > 0), 0, epoch + (step > 0))

    def _seek(self) -> None:
        if (self.sampler.epoch, self.sampler.step) != self._place[:2]:
            self.sampler.seek(self._place.step, epoch=self._place.epoch)

    def _draw_anew(self, trainer: Trainer) -> None:
        self._seek()
        iter(trainer.fit_loop._data_fetcher)

    def _release(self) -> None:
        vars(self.sampler).pop("set_epoch", None)

    def _came_before(self, trainer: Trainer) -> int:
        """The batches of Lightning's epoch before the position, in this world size; 0 between two epochs."""
        epoch, step, first = self._place
        came = (epoch - first) * len(self.sampler) + step
        if came < trainer.num_training_batches:
            return came
        # In this world size, that is all of Lightning's epoch.
        self._place = _Place(epoch + (step > 0), 0, epoch + (step > 0))
        self._seek()
        return 0

    def _adopt_count(self, trainer: Trainer) -> None:
        """Take the position from Lightning's count, for a checkpoint without a state of this callback."""
        loop = trainer.fit_loop
        epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
        within, over = epochs.processed < epochs.started, _is_over(trainer)
        epoch = epochs.processed + (within and over)
        self._place = _Place(epoch, batches.processed if within and not over else 0, epoch)
        self._draw_anew(trainer)  # workers have drawn already

    def _check_loaders(self, trainer: Trainer) -> None:
        combined = trainer.fit_loop._combined_loader
        assert combined is not None
        samplers = [sampler_of(loader) for loader in combined.flattened]
        own = sum(sampler is self.sampler for sampler in samplers)
        if own == 0:
            draws = (
                f"the training loader's batch sampler is {samplers[0]!r}, not"
                if len(samplers) == 1
                else (f"the batch sampler of none of {len(samplers)} training loaders is")
            )
            raise Infeasible(
                f"{draws} the one this callback was given",
                "make the sampler once, outside of hooks, pass it to the loader and to the callback, and set "
                "Trainer(use_distributed_sampler=False)",
            )
        if own > 1:
            raise Infeasible(
                f"{own} training loaders draw from one sampler", "give each of them a plan.sampler() and a callback"
            )
        batches = trainer.num_training_batches
        if combined._mode == "max_size" and len(self.sampler) < batches:
            raise Infeasible(
                f"the sampler has {len(self.sampler)} lists for {batches} batches, and 'max_size' yields None after them",
                "pass CombinedLoader(loaders, 'max_size_cycle') or 'min_size'",
            )


def _is_over(trainer: Trainer) -> bool:
    """Whether Lightning takes no more batches in its epoch, even if the loader has more."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    counts = progress.current
    if counts.processed >= trainer.num_training_batches:
        return True
    return bool(progress.is_last_batch) and counts.processed == counts.ready


def _count_as_begun(progress: dict[str, dict[str, int]]) -> None:
    """Mark the last epoch in a saved count as not finished: Lightning counts one that `max_steps` ended as finished."""
    if progress["current"]["processed"] == progress["current"]["started"]:
        for counts in progress.values():
            counts["processed"] = counts["completed"] = counts["started"] - 1


def _go_on_after(trainer: Trainer, came: int) -> None:
    """Let Lightning continue after some batches of an epoch, or between two epochs if there are none.

    Its counts are those of the world size that saved the checkpoint; and with `max_steps` it would end a finished epoch
    again.
    """
    loop = trainer.fit_loop
    epochs, batches = loop.epoch_progress, loop.epoch_loop.batch_progress
    done = epochs.current.processed == epochs.current.started
    if done:
        loop._restarting = loop.epoch_loop.restarting = False
        loop.reset_restart_stage()
        loop.epoch_loop.reset_restart_stage()
    elif came or batches.current.processed:  # else the checkpoint was saved before the first batch
        change = (came or trainer.num_training_batches) - batches.current.processed
        for name in ("ready", "started", "processed", "completed"):
            setattr(batches.current, name, getattr(batches.current, name) + change)
    # Lightning takes the position of the next checkpoint from the totals, and does not repair interrupted ones.
    for counts in (epochs.current, epochs.total) if done else (epochs.total,):
        counts.ready = counts.started = counts.processed + (not done)
        counts.completed = counts.processed
    total = batches.total
    total.ready = total.started = total.processed
    total.completed = total.processed - (0 if done else batches.current.processed - batches.current.completed)
