"""Lightning: whatever ends an epoch, touches a loader or saves, a resumed run sees what an unbroken one sees."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, LearningRateFinder
from lightning.pytorch.tuner import Tuner
from torch.utils.data import DataLoader

import batchwright as bw
from batchwright.adapters.lightning import PlanCallback

from .. import processes
from ..examples import examples
from .lightning_runs import QUIET, Module, Save, fit, run
from .places import LENGTH, epochs, made, place
from .programs import habits

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")


def resumed(tmp_path, hook, nth, options, until=None, **named):
    """What the whole run sees from the checkpoint on, and what a run sees that goes on from there."""
    saving = Save(hook, nth, tmp_path / "saved.ckpt")
    run(saving=[saving], **{**options, **(until or {})}, **named)
    return run(**options, **named)[saving.trained :], run(tmp_path / "saved.ckpt", **options, **named)


HOOKS = [
    "on_train_start", "on_train_epoch_start", "on_train_batch_start", "on_train_batch_end", "on_validation_end",
    "on_train_epoch_end", "on_train_end", "teardown",
]  # fmt: skip


every_loader = pytest.mark.parametrize(
    ("by", "workers"), [("loader", 0), ("loader", 2), ("sampler", 0), ("sampler", 2)]
)


@every_loader
def test_the_next_epoch_of_a_limited_run_begins_at_its_beginning(by, workers, tmp_path):
    limited = {"limit_train_batches": 7, "max_epochs": 3}
    whole, got = resumed(tmp_path, "on_train_epoch_end", 1, limited, by=by, workers=workers)
    assert whole == got == epochs((1, 0, 7), (2, 0, 7))


@every_loader
def test_an_epoch_that_max_steps_cut_is_gone_on_with(by, workers, tmp_path):
    more, until = {"max_steps": 30, "max_epochs": -1}, {"max_steps": 13}
    whole, got = resumed(tmp_path, "on_train_epoch_end", 2, more, until, by=by, workers=workers)
    assert whole == got == epochs((1, 3, 10), (2, 0, 10))


def test_steps_and_epochs_that_are_both_limited_lose_no_epoch(tmp_path):
    limits = {"max_steps": 1000, "max_epochs": 3}
    for hook in ("on_train_epoch_end", "on_train_end"):
        whole, got = resumed(tmp_path, hook, 1, limits, {"max_epochs": 1})
        assert whole == got == epochs((1, 0, 10), (2, 0, 10))


class Makes(Module):
    """Its hook makes a loader of a new sampler whenever it is asked."""

    def __init__(self, by, accumulate):
        super().__init__()
        self.by, self.accumulate = by, accumulate

    def train_dataloader(self):
        return made(self.by, accumulate=self.accumulate)


@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hook=st.sampled_from(HOOKS), nth=st.integers(1, 25), first=st.booleans(), accumulate=st.integers(1, 2),
    limit=st.sampled_from([{}, {"limit_train_batches": 7}, {"limit_train_batches": 0.5}, {"overfit_batches": 2}]),
    end=st.sampled_from([{"max_epochs": 3}, {"max_epochs": 3, "max_steps": 1000}, {"max_epochs": -1, "max_steps": 13}]),
    until=st.sampled_from([{}, {"max_epochs": 1}, {"max_steps": 4}]),
    validated=st.booleans(), reload=st.integers(0, 2), by=st.sampled_from(["loader", "sampler"]), hooked=st.booleans(),
)  # fmt: skip
def test_going_on_is_as_if_never_stopped(
    tmp_path, hook, nth, first, accumulate, limit, end, until, validated, reload, by, hooked
):
    """Whichever hook saves, in whichever place of the list of callbacks; validation may draw from the same loader.

    A hook makes a new loader of a new sampler whenever Lightning asks for one.
    """
    nth = 1 if hook in ("on_train_start", "on_train_end", "teardown") else nth
    options = {**limit, "reload_dataloaders_every_n_epochs": reload}
    saving = Save(hook, nth, tmp_path / "saved.ckpt")

    def once(end, checkpoint=None, saving=()):
        train, own = made(by, accumulate=accumulate), [PlanCallback()]
        callbacks = [*own, *saving] if first else [*saving, *own]
        more = {**options, **end, "accumulate_grad_batches": accumulate, "default_root_dir": tmp_path}
        if hooked:
            return fit(callbacks, None, module=Makes(by, accumulate), checkpoint=checkpoint, **more).seen
        return fit(callbacks, train, checkpoint=checkpoint, validate=train if validated else None, **more).seen

    begun = once({**end, **until}, saving=[saving])
    if saving.trained is None:
        return
    whole = once(end)
    assert begun[: len(whole)] == whole[: len(begun)]
    assert once(end, tmp_path / "saved.ckpt") == whole[saving.trained :]


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_train_batch_start"])
def test_runs_that_are_soon_stopped_again_lose_nothing(hook, tmp_path):
    """From the end of an epoch on, or from within, each next one from a checkpoint of the one before."""
    for first in (10, 3):
        path, seen = None, []
        for life, nth in enumerate((first, 5, 3, 4)):
            saving = Save(hook, nth, tmp_path / f"{first} {life}.ckpt")
            seen += run(path, saving=[saving], max_epochs=4)[: saving.trained]
            path = saving.path
        assert seen + run(path, max_epochs=4) == epochs(*((epoch, 0, 10) for epoch in range(4)))


def test_overfitting_sees_the_same_batches_in_every_epoch(tmp_path):
    assert run(overfit_batches=2, max_epochs=3) == epochs((0, 0, 2)) * 3
    whole, got = resumed(tmp_path, "on_train_batch_end", 3, {"overfit_batches": 2, "max_epochs": 3})
    assert whole == got == epochs((0, 1, 2), (0, 0, 2))


def test_an_epoch_that_a_hook_ends_is_over(tmp_path):
    class Ends(Module):
        def on_train_batch_start(self, batch, batch_idx):
            return -1 if batch_idx == 6 else None

    def once(checkpoint=None, saving=()):
        return fit([PlanCallback(), *saving], made(), checkpoint=checkpoint, module=Ends(), max_epochs=3).seen

    once(saving=[Save("on_train_epoch_end", 1, tmp_path / "saved.ckpt")])
    assert once(tmp_path / "saved.ckpt") == once()[6:] == epochs((1, 0, 6), (2, 0, 6))


@every_loader
@pytest.mark.parametrize("touch", ["peek", "dry run", "validate", "sanity check", "lr_find", "finder"])
def test_a_touched_loader_is_trained_on_from_its_beginning(touch, by, workers, tmp_path):
    train, callback, module = made(by, workers=workers), PlanCallback(), Module()
    callbacks, options = [callback], {"default_root_dir": tmp_path, "max_epochs": 2}
    if touch == "peek":
        next(iter(train))
    elif touch == "dry run":
        fit(callbacks, train, fast_dev_run=3)
    elif touch == "validate":
        Trainer(**QUIET).validate(Module(), train, verbose=False)
    elif touch == "lr_find":
        tuned = Trainer(**QUIET, callbacks=callbacks, default_root_dir=tmp_path, max_epochs=2)
        Tuner(tuned).lr_find(module, train, num_training=13)
        module.seen.clear()
        tuned.fit(module, train)
    elif touch == "finder":
        callbacks = [LearningRateFinder(num_training_steps=13), callback]
    if touch != "lr_find":
        fit(callbacks, train, validate=train if touch == "sanity check" else None, module=module, **options)
    assert module.seen[-2 * LENGTH :] == epochs((0, 0, 10), (1, 0, 10))


@pytest.mark.parametrize("by", ["loader", "sampler"])
@pytest.mark.parametrize("touch", ["peek", "dry run", "validate", "sanity check", "lr_find"])
def test_without_the_callback_a_touched_loader_is_too(touch, by, tmp_path):
    train, module = made(by), Module()
    if touch == "peek":
        next(iter(train))
    elif touch == "dry run":
        fit([], train, fast_dev_run=3)
    elif touch == "validate":
        Trainer(**QUIET).validate(Module(), train, verbose=False)
    elif touch == "lr_find":
        Tuner(Trainer(**QUIET, default_root_dir=tmp_path)).lr_find(Module(), train, num_training=13)
    fit([], train, validate=train if touch == "sanity check" else None, module=module, max_epochs=2)
    assert module.seen == epochs((0, 0, 10), (1, 0, 10))


@every_loader
def test_a_loader_that_was_placed_within_the_first_epoch_is_trained_on_from_there(by, workers):
    train = made(by, workers=workers)
    train.batch_sampler.seek(3, epoch=0)
    assert fit([PlanCallback()], train, max_epochs=2).seen == epochs((0, 3, 10), (1, 0, 10))


@every_loader
def test_fitting_again_goes_on(by, workers):
    train, module = made(by, workers=workers), Module()
    trainer = Trainer(**QUIET, max_epochs=1, callbacks=[PlanCallback()])
    trainer.fit(module, train)
    trainer.fit_loop.max_epochs = trainer.fit_loop.max_epochs + 1
    trainer.fit(module, train)
    assert module.seen == epochs((0, 0, 10), (1, 0, 10))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_exception_the_batch_that_failed_comes_again(error, tmp_path):
    """A checkpoint that is saved where training failed; without the callback the failed batch has been given."""

    class Fails(Module):
        def training_step(self, batch, batch_idx):
            if len(self.seen) == 13:
                raise error
            return super().training_step(batch, batch_idx)

    class SaveAfter(Callback):
        def on_exception(self, trainer, module, exception):
            trainer.save_checkpoint(tmp_path / "saved.ckpt")

    for alone, step in ((False, 3), (True, 4)):
        train, callbacks = made(), [SaveAfter(), *([] if alone else [PlanCallback()])]
        with pytest.raises((error, SystemExit)):
            fit(callbacks, train, module=Fails(), max_epochs=2)
        assert run(tmp_path / "saved.ckpt", alone=alone, max_epochs=2) == epochs((1, step, 10))


def test_a_checkpoint_of_another_plan_is_refused(tmp_path):
    run(saving=[Save("on_train_batch_end", 4, tmp_path / "saved.ckpt")], max_epochs=1)
    with pytest.raises(bw.Infeasible, match="build the plan with the arguments, labels and seed it had"):
        fit([PlanCallback()], made(seed=6), checkpoint=tmp_path / "saved.ckpt", max_epochs=1)


@every_loader
@pytest.mark.parametrize("nth", [4, 10, 13])
def test_a_checkpoint_that_was_saved_without_the_callback_is_gone_on_from(nth, by, workers, tmp_path):
    """By the state of a plan's loader, or by Lightning's count."""
    whole = fit([Save("on_train_batch_end", nth, tmp_path / "saved.ckpt")], made(by), max_epochs=2).seen
    assert run(tmp_path / "saved.ckpt", by=by, workers=workers, max_epochs=2) == whole[nth:]


ALONE = ["on_train_start", "on_train_batch_end", "on_validation_end", "on_train_epoch_end", "on_train_end"]


@examples(15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hook=st.sampled_from(ALONE), nth=st.integers(1, 25), accumulate=st.integers(1, 2),
    limit=st.sampled_from([{}, {"limit_train_batches": 7}]), until=st.sampled_from([{}, {"max_epochs": 1}]),
    validated=st.booleans(), reload=st.integers(0, 1), hooked=st.booleans(),
)  # fmt: skip
def test_without_the_callback_the_same_world_goes_on(
    tmp_path, hook, nth, accumulate, limit, until, validated, reload, hooked
):
    """From checkpoints of after a batch, a validation or an epoch, of runs that count epochs."""
    nth = 1 if hook in ("on_train_start", "on_train_end") else nth
    saving = Save(hook, nth, tmp_path / "saved.ckpt")

    def once(checkpoint=None, saving=(), **end):
        options = {**limit, "max_epochs": 3, "accumulate_grad_batches": accumulate, **end}
        if hooked:
            options |= {"module": Makes("loader", accumulate), "reload_dataloaders_every_n_epochs": reload}
        train, validate = None if hooked else made(accumulate=accumulate), DataLoader(range(4)) if validated else None
        return fit(saving, train, checkpoint=checkpoint, validate=validate, **options).seen

    once(saving=[saving], **until)
    if saving.trained is not None:
        assert once(tmp_path / "saved.ckpt") == once()[saving.trained :]


def test_validating_a_checkpoint_does_not_move_training(tmp_path):
    run(saving=[Save("on_train_batch_end", 4, tmp_path / "saved.ckpt")], max_epochs=1)
    callbacks, module = [PlanCallback()], Module()
    trainer = Trainer(**QUIET, max_epochs=1, callbacks=callbacks)
    trainer.validate(module, DataLoader(range(4)), ckpt_path=tmp_path / "saved.ckpt", verbose=False, weights_only=False)
    trainer.fit(module, made())
    assert module.seen == epochs((0, 0, 10))


def test_another_world_goes_on_within_the_limit_too(tmp_path):
    """One process, 6 of at most 8 batches; then two, which have 5 and stand at 3."""
    saved = str(tmp_path / "saved.ckpt")
    (alone,) = processes.run(habits.lightning_is_limited, 1, saved, False)
    assert [place(torch.tensor(batch)) for batch in alone][:6] == epochs((0, 0, 6))
    ranks = processes.run(habits.lightning_is_limited, 2, saved, True)
    got = [place(torch.tensor(batch)) for step in zip(*ranks, strict=True) for batch in step]
    assert got == epochs((0, 6, 10), (1, 0, 10))
