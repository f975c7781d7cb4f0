"""Lightning: whatever ends an epoch, touches a loader or saves, a resumed run sees what an unbroken one sees."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler, LearningRateFinder
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.tuner import Tuner
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader, Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

import batchwright as bw
from batchwright.adapters.lightning import PlanCallback

from .. import processes
from .places import LENGTH, SAMPLES, epochs, loader, place, plan
from .programs import habits

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")


class Module(LightningModule):
    """Notes the places of what it is trained on; of batches by name, those of "a" and of "b"."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.learning_rate = 1e-9
        self.seen, self.seen_b = [], []

    def training_step(self, batch, batch_idx):
        if isinstance(batch, (list, tuple)):
            batch = dict(zip("ab", batch, strict=True))
        if isinstance(batch, dict):
            self.seen_b.append(place(batch["b"], 6))
            batch = batch["a"]
        self.seen.append(place(batch))
        return self.layer(batch[:, None].float()).mean()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)


class Save(Callback):
    """Saves a checkpoint in the n-th call of a hook; any callback may, before or after the plan's."""

    def __init__(self, hook, nth, path):
        self.left, self.path, self.trained = nth, path, None
        setattr(self, hook, self._save)

    def _save(self, trainer, module, *_, **__):
        if not trainer.sanity_checking:
            self.left -= 1
            if self.left == 0:
                trainer.save_checkpoint(self.path)
                self.trained = len(module.seen)


QUIET = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip


def fit(callbacks, train, *, checkpoint=None, validate=None, module=None, **options):
    module = module or Module()
    trainer = Trainer(**(QUIET | options), callbacks=callbacks)
    trainer.fit(module, train, validate, ckpt_path=checkpoint, weights_only=False)
    return module


def run(checkpoint=None, saving=(), *, first=True, accumulate=1, workers=0, **options):
    """A run of a plan's loader in a new process, as it were."""
    sampler = plan().sampler(accumulate=accumulate)
    own = [PlanCallback(sampler)]
    callbacks = [*own, *saving] if first else [*saving, *own]
    train = loader(sampler, num_workers=workers)
    return fit(callbacks, train, checkpoint=checkpoint, accumulate_grad_batches=accumulate, **options).seen


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
        train, own = loader(sampler), [PlanCallback(sampler)]
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
            [PlanCallback(sampler), *saving], loader(sampler), checkpoint=checkpoint, module=Ends(), max_epochs=3
        ).seen

    once(saving=[Save("on_train_epoch_end", 1, tmp_path / "saved.ckpt")])
    assert once(tmp_path / "saved.ckpt") == once()[6:] == epochs((1, 0, 6), (2, 0, 6))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("touch", ["peek", "dry run", "validate", "sanity check", "lr_find", "finder"])
def test_a_touched_loader_is_trained_on_from_its_beginning(touch, workers, tmp_path):
    sampler = plan().sampler()
    train, callback, module = loader(sampler, num_workers=workers), PlanCallback(sampler), Module()
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
    assert fit([PlanCallback(sampler)], train, max_epochs=2).seen == epochs((0, 3, 10), (1, 0, 10))


@pytest.mark.parametrize("workers", [0, 2])
def test_fitting_again_goes_on(workers):
    sampler = plan().sampler()
    train, module = loader(sampler, num_workers=workers), Module()
    trainer = Trainer(**QUIET, max_epochs=1, callbacks=[PlanCallback(sampler)])
    trainer.fit(module, train)
    trainer.fit_loop.max_epochs = trainer.fit_loop.max_epochs + 1
    trainer.fit(module, train)
    assert module.seen == epochs((0, 0, 10), (1, 0, 10))


class ByList(Dataset):
    """Samples by the list, as `batch_size=None` asks for them."""

    def __len__(self):
        return SAMPLES

    def __getitem__(self, numbers):
        return torch.tensor(numbers)


def combined(a, b, kind):
    loaders = {"a": loader(a), "b": loader(b)}
    if kind == "list":
        return list(loaders.values())
    if kind == "dict":
        return loaders
    return CombinedLoader(loaders, kind)


@pytest.mark.parametrize("kind", ["list", "dict", "min_size", "max_size_cycle"])
def test_of_several_loaders_each_has_its_plan_and_callback(kind, tmp_path):
    """The second has 3 batches an epoch: it begins anew within an epoch of Lightning's, and later where it has not been."""

    def once(checkpoint=None, saving=(), **options):
        a = plan().sampler()
        b = bw.shuffled(SAMPLES, 4, seed=6).sampler(rank=0, world_size=4)
        callbacks = [PlanCallback(a), *saving, PlanCallback(b)]
        module = fit(callbacks, combined(a, b, kind), checkpoint=checkpoint, max_epochs=3, **options)
        return list(zip(module.seen, module.seen_b, strict=True))

    whole = once()
    length = 3 if kind == "min_size" else 10
    assert [a for a, _ in whole] == epochs((0, 0, length), (1, 0, length), (2, 0, length))
    per_epoch = -(-length // 3)
    assert [b for _, b in whole] == [_of_rank(e * per_epoch + i // 3, i % 3) for e in range(3) for i in range(length)]
    for nth in (1, length, length + 2, 2 * length):
        once(saving=[Save("on_train_batch_end", nth, tmp_path / "saved.ckpt")])
        assert once(tmp_path / "saved.ckpt") == whole[nth:], nth
    once(saving=[Save("on_train_epoch_end", 2, tmp_path / "saved.ckpt")])
    assert once(tmp_path / "saved.ckpt") == whole[2 * length :]


def _of_rank(epoch, step):
    sampler = bw.shuffled(SAMPLES, 4, seed=6).sampler(rank=0, world_size=4)
    return place(torch.from_numpy(sampler.all_ranks(step, epoch=epoch)[0]), 6)


def test_a_loader_without_batch_size_asks_the_dataset_for_whole_lists(tmp_path):
    def once(checkpoint=None, saving=()):
        sampler = plan().sampler()
        train = DataLoader(ByList(), batch_size=None, sampler=sampler)
        return fit([PlanCallback(sampler), *saving], train, checkpoint=checkpoint, max_epochs=2).seen

    assert once(saving=[Save("on_train_batch_end", 14, tmp_path / "saved.ckpt")]) == epochs((0, 0, 10), (1, 0, 10))
    assert once(tmp_path / "saved.ckpt") == epochs((1, 4, 10))


@pytest.mark.parametrize(("nth", "workers"), [(4, 0), (10, 0), (13, 0), (10, 2), (13, 2)])
def test_a_stateful_loader_whose_state_lightning_saves_too(nth, workers, tmp_path):
    def once(checkpoint=None, saving=()):
        sampler = plan().sampler()
        train = StatefulDataLoader(range(SAMPLES), batch_sampler=sampler, num_workers=workers)
        return fit([PlanCallback(sampler), *saving], train, checkpoint=checkpoint, max_epochs=2).seen

    whole = once(saving=[Save("on_train_batch_end", nth, tmp_path / "saved.ckpt")])
    assert once(tmp_path / "saved.ckpt") == whole[nth:]


def test_a_data_module_gives_the_loader(tmp_path):
    class Data(LightningDataModule):
        def __init__(self):
            super().__init__()
            self.sampler = plan().sampler()

        def train_dataloader(self):
            return loader(self.sampler)

    def once(checkpoint=None, saving=()):
        data = Data()
        return fit([PlanCallback(data.sampler), *saving], data, checkpoint=checkpoint, max_epochs=3,
                   reload_dataloaders_every_n_epochs=1).seen  # fmt: skip

    whole = once(saving=[Save("on_train_batch_end", 14, tmp_path / "saved.ckpt")])
    assert once(tmp_path / "saved.ckpt") == whole[14:] == epochs((1, 4, 10), (2, 0, 10))


def test_a_hook_that_makes_a_new_sampler_is_refused():
    class Makes(Module):
        def train_dataloader(self):
            return loader(plan().sampler())

    with pytest.raises(bw.Infeasible, match="not the one this callback was given; make the sampler once"):
        Trainer(**QUIET, max_epochs=1, callbacks=[PlanCallback(plan().sampler())]).fit(Makes())


def test_two_loaders_that_share_a_sampler_are_refused():
    sampler = plan().sampler()
    with pytest.raises(bw.Infeasible, match="2 training loaders draw from one sampler"):
        fit([PlanCallback(sampler)], [loader(sampler), loader(sampler)], max_epochs=1)


def test_a_short_loader_that_is_not_begun_anew_is_refused_and_the_way_out_works():
    for kind, works in (("max_size", False), ("max_size_cycle", True), ("min_size", True)):
        a, b = plan().sampler(), plan(6).sampler(rank=0, world_size=4)
        callbacks = [PlanCallback(a), PlanCallback(b)]
        if works:
            fit(callbacks, combined(a, b, kind), max_epochs=1)
        else:
            with pytest.raises(bw.Infeasible, match=r"3 lists for 10 batches.*'max_size_cycle'\) or 'min_size'"):
                fit(callbacks, combined(a, b, kind), max_epochs=1)


def test_the_same_plan_twice_needs_names(tmp_path):
    def once(*names):
        samplers = [plan().sampler(), plan().sampler()]
        callbacks = [PlanCallback(s, name=name) for s, name in zip(samplers, names, strict=True)]
        loaders = [loader(sampler) for sampler in samplers]
        saving = Save("on_train_batch_end", 4, tmp_path / "saved.ckpt")

        class Both(Module):
            def training_step(self, batch, batch_idx):
                assert torch.equal(*batch)
                return super().training_step({"a": batch[0], "b": PLAN_6[self.seen_b.__len__()]}, batch_idx)

        PLAN_6 = [torch.from_numpy(batch) for batch in plan(6).epoch(0)]
        return fit([*callbacks, saving], loaders, module=Both(), max_epochs=1).seen

    with pytest.raises(RuntimeError, match="state_key"):
        once("", "")
    assert once("weak", "strong") == epochs((0, 0, 10))


def test_a_checkpoint_of_another_plan_is_refused(tmp_path):
    run(saving=[Save("on_train_batch_end", 4, tmp_path / "saved.ckpt")], max_epochs=1)
    sampler = plan(6).sampler()
    with pytest.raises(bw.Infeasible, match="build the plan with the arguments, labels and seed it had"):
        fit([PlanCallback(sampler)], loader(sampler), checkpoint=tmp_path / "saved.ckpt", max_epochs=1)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("nth", [4, 10, 13])
def test_a_checkpoint_that_was_saved_without_the_callback_is_gone_on_from_by_lightnings_count(nth, workers, tmp_path):
    sampler = plan().sampler()
    whole = fit([Save("on_train_batch_end", nth, tmp_path / "saved.ckpt")], loader(sampler), max_epochs=2).seen
    assert run(tmp_path / "saved.ckpt", workers=workers, max_epochs=2) == whole[nth:]


def test_validating_a_checkpoint_does_not_move_training(tmp_path):
    run(saving=[Save("on_train_batch_end", 4, tmp_path / "saved.ckpt")], max_epochs=1)
    sampler = plan().sampler()
    callbacks, module = [PlanCallback(sampler)], Module()
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


def test_what_the_two_accumulate_is_compared():
    def once(sampler_accumulates, trainer_accumulates, *, fetch="micro", callbacks=(), plan=plan):
        sampler = plan().sampler(accumulate=sampler_accumulates, fetch=fetch)
        return fit([PlanCallback(sampler), *callbacks], DataLoader(ByList(), batch_size=None, sampler=sampler),
                   accumulate_grad_batches=trainer_accumulates, max_steps=1, module=Sums())  # fmt: skip

    class Sums(Module):
        def training_step(self, batch, batch_idx):
            return self.layer(batch[:, None].float()).mean()

    said = (
        r"accumulates 2 micro-batches for an optimizer step, Trainer\(accumulate_grad_batches\) is 4; "
        r"pass plan.sampler\(accumulate=4\) or Trainer\(accumulate_grad_batches\)=2"
    )
    with pytest.raises(bw.Infeasible, match=said):
        once(2, 4)
    with pytest.warns(bw.PoorWarning, match="is 1: a step takes 1 in place of 2"):
        once(2, 1)
    with pytest.warns(bw.PoorWarning, match="is 4: the last step of an epoch has 2 of 4"):
        once(1, 4)
    for agreed in ((4, 4), (1, 1), (1, 5)):
        once(*agreed)
    once(4, 1, fetch="step")
    once(4, 1, callbacks=[GradientAccumulationScheduler({0: 2, 1: 4})])
    with pytest.raises(bw.Infeasible, match="is 4"):
        once(2, 1, callbacks=[GradientAccumulationScheduler({0: 2, 1: 4})])


def test_tasks_that_keep_a_step_are_told_what_a_step_is():
    tasks = bw.alternating({"a": bw.shuffled(20, 4), "b": bw.shuffled(20, 4)}, unit="step")
    sampler = tasks.sampler()

    class Counts(Module):
        def training_step(self, batch, batch_idx):
            return self.layer(batch[:, None].float()).mean()

    with pytest.warns(bw.PoorWarning, match="a step may have several tasks"):
        fit([PlanCallback(sampler)], loader(sampler), accumulate_grad_batches=2, max_steps=1, module=Counts())


def test_the_composition_is_that_of_the_epochs_that_were_trained_on(tmp_path):
    """A limited epoch, and one of several loaders that begins anew: step and epoch are the plan's."""
    reported = []

    class Noting(bw.Composition):
        def after(self, step, log, *, epoch, at=None):
            reported.append((epoch, step))

    sampler = plan().sampler()
    callback = PlanCallback(sampler, composition=Noting(sampler))
    fit([callback], loader(sampler), limit_train_batches=3, max_epochs=2, logger=CSVLogger(tmp_path))
    assert reported == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
