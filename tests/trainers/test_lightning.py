"""Lightning: whatever ends an epoch, touches a loader or saves, a resumed run sees what an unbroken one sees."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.tuner import Tuner
from torch.utils.data import DataLoader

import batchwright as bw
from batchwright.adapters.lightning import PlanCallback

from .. import processes
from .lightning_runs import QUIET, Module, Save, fit, run
from .places import LENGTH, epochs, loader, place, plan
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


@pytest.mark.parametrize("workers", [0, 2])
def test_the_next_epoch_of_a_limited_run_begins_at_its_beginning(workers, tmp_path):
    limited = {"limit_train_batches": 7, "max_epochs": 3}
    whole, got = resumed(tmp_path, "on_train_epoch_end", 1, limited, workers=workers)
    assert whole == got == epochs((1, 0, 7), (2, 0, 7))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_that_max_steps_cut_is_gone_on_with(workers, tmp_path):
    more, until = {"max_steps": 30, "max_epochs": -1}, {"max_steps": 13}
    whole, got = resumed(tmp_path, "on_train_epoch_end", 2, more, until, workers=workers)
    assert whole == got == epochs((1, 3, 10), (2, 0, 10))


def test_steps_and_epochs_that_are_both_limited_lose_no_epoch(tmp_path):
    limits = {"max_steps": 1000, "max_epochs": 3}
    for hook in ("on_train_epoch_end", "on_train_end"):
        whole, got = resumed(tmp_path, hook, 1, limits, {"max_epochs": 1})
        assert whole == got == epochs((1, 0, 10), (2, 0, 10))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hook=st.sampled_from(HOOKS), nth=st.integers(1, 25), first=st.booleans(), accumulate=st.integers(1, 2),
    limit=st.sampled_from([{}, {"limit_train_batches": 7}, {"limit_train_batches": 0.5}, {"overfit_batches": 2}]),
    end=st.sampled_from([{"max_epochs": 3}, {"max_epochs": 3, "max_steps": 1000}, {"max_epochs": -1, "max_steps": 13}]),
    until=st.sampled_from([{}, {"max_epochs": 1}, {"max_steps": 4}]),
    validated=st.booleans(), reload=st.integers(0, 2),
)  # fmt: skip
def test_going_on_is_as_if_never_stopped(tmp_path, hook, nth, first, accumulate, limit, end, until, validated, reload):
    """Whichever hook saves, in whichever place of the list of callbacks; validation may draw from the same loader."""
    nth = 1 if hook in ("on_train_start", "on_train_end", "teardown") else nth
    options = {**limit, "reload_dataloaders_every_n_epochs": reload}
    saving = Save(hook, nth, tmp_path / "saved.ckpt")

    def once(end, checkpoint=None, saving=()):
        sampler = plan().sampler(accumulate=accumulate)
        train, own = loader(sampler), [PlanCallback()]
        callbacks = [*own, *saving] if first else [*saving, *own]
        validate = train if validated else None
        more = {**options, **end, "accumulate_grad_batches": accumulate, "default_root_dir": tmp_path}
        return fit(callbacks, train, checkpoint=checkpoint, validate=validate, **more).seen

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
        sampler = plan().sampler()
        return fit(
            [PlanCallback(), *saving], loader(sampler), checkpoint=checkpoint, module=Ends(), max_epochs=3
        ).seen

    once(saving=[Save("on_train_epoch_end", 1, tmp_path / "saved.ckpt")])
    assert once(tmp_path / "saved.ckpt") == once()[6:] == epochs((1, 0, 6), (2, 0, 6))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("touch", ["peek", "dry run", "validate", "sanity check", "lr_find", "finder"])
def test_a_touched_loader_is_trained_on_from_its_beginning(touch, workers, tmp_path):
    sampler = plan().sampler()
    train, callback, module = loader(sampler, num_workers=workers), PlanCallback(), Module()
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


@pytest.mark.parametrize("touch", ["peek", "validate"])
def test_without_the_callback_a_touched_loader_is_too(touch):
    sampler = plan().sampler()
    train = loader(sampler)
    if touch == "peek":
        next(iter(train))
    else:
        Trainer(**QUIET).validate(Module(), train, verbose=False)
    assert fit([], train, max_epochs=2).seen == epochs((0, 0, 10), (1, 0, 10))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sampler_that_was_placed_within_the_first_epoch_is_trained_on_from_there(workers):
    sampler = plan().sampler()
    sampler.seek(3, epoch=0)
    train = loader(sampler, num_workers=workers)
    assert fit([PlanCallback()], train, max_epochs=2).seen == epochs((0, 3, 10), (1, 0, 10))


@pytest.mark.parametrize("workers", [0, 2])
def test_fitting_again_goes_on(workers):
    sampler = plan().sampler()
    train, module = loader(sampler, num_workers=workers), Module()
    trainer = Trainer(**QUIET, max_epochs=1, callbacks=[PlanCallback()])
    trainer.fit(module, train)
    trainer.fit_loop.max_epochs = trainer.fit_loop.max_epochs + 1
    trainer.fit(module, train)
    assert module.seen == epochs((0, 0, 10), (1, 0, 10))


def test_a_checkpoint_of_another_plan_is_refused(tmp_path):
    run(saving=[Save("on_train_batch_end", 4, tmp_path / "saved.ckpt")], max_epochs=1)
    sampler = plan(6).sampler()
    with pytest.raises(bw.Infeasible, match="build the plan with the arguments, labels and seed it had"):
        fit([PlanCallback()], loader(sampler), checkpoint=tmp_path / "saved.ckpt", max_epochs=1)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("nth", [4, 10, 13])
def test_a_checkpoint_that_was_saved_without_the_callback_is_gone_on_from_by_lightnings_count(nth, workers, tmp_path):
    sampler = plan().sampler()
    whole = fit([Save("on_train_batch_end", nth, tmp_path / "saved.ckpt")], loader(sampler), max_epochs=2).seen
    assert run(tmp_path / "saved.ckpt", workers=workers, max_epochs=2) == whole[nth:]


def test_validating_a_checkpoint_does_not_move_training(tmp_path):
    run(saving=[Save("on_train_batch_end", 4, tmp_path / "saved.ckpt")], max_epochs=1)
    sampler = plan().sampler()
    callbacks, module = [PlanCallback()], Module()
    trainer = Trainer(**QUIET, max_epochs=1, callbacks=callbacks)
    trainer.validate(module, DataLoader(range(4)), ckpt_path=tmp_path / "saved.ckpt", verbose=False, weights_only=False)
    trainer.fit(module, loader(sampler))
    assert module.seen == epochs((0, 0, 10))


def test_another_world_goes_on_within_the_limit_too(tmp_path):
    """One process, 6 of at most 8 batches; then two, which have 5 and stand at 3."""
    saved = str(tmp_path / "saved.ckpt")
    (alone,) = processes.run(habits.lightning_is_limited, 1, saved, False)
    assert [place(torch.tensor(batch)) for batch in alone][:6] == epochs((0, 0, 6))
    ranks = processes.run(habits.lightning_is_limited, 2, saved, True)
    got = [place(torch.tensor(batch)) for step in zip(*ranks, strict=True) for batch in step]
    assert got == epochs((0, 6, 10), (1, 0, 10))
