"""Lightning: several loaders, loaders of every kind, and the use of them that is refused."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import batchwright as bw
from batchwright.adapters.lightning import PlanCallback

from .accumulation import check_that_the_two_are_compared
from .lightning_runs import QUIET, Module, Save, fit
from .places import SAMPLES, ByList, epochs, loader, place, plan

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")


def combined(a, b, kind):
    loaders = {"a": loader(a), "b": loader(b)}
    if kind == "list":
        return list(loaders.values())
    if kind == "dict":
        return loaders
    return CombinedLoader(loaders, kind)


@pytest.mark.parametrize("kind", ["list", "dict", "min_size", "max_size_cycle"])
def test_of_several_loaders_each_has_its_plan_and_callback(kind, tmp_path):
    """The second has 3 batches an epoch: it begins again within an epoch of Lightning's, and later where it has not been."""

    def once(checkpoint=None, saving=(), **options):
        a = plan().sampler()
        b = bw.shuffled(SAMPLES, 4, seed=6).sampler(rank=0, world_size=4)
        callbacks = [PlanCallback(), *saving, PlanCallback()]
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
        return fit([PlanCallback(), *saving], train, checkpoint=checkpoint, max_epochs=2).seen

    assert once(saving=[Save("on_train_batch_end", 14, tmp_path / "saved.ckpt")]) == epochs((0, 0, 10), (1, 0, 10))
    assert once(tmp_path / "saved.ckpt") == epochs((1, 4, 10))


@pytest.mark.parametrize(("nth", "workers"), [(4, 0), (10, 0), (13, 0), (10, 2), (13, 2)])
def test_a_stateful_loader_whose_state_lightning_saves_too(nth, workers, tmp_path):
    def once(checkpoint=None, saving=()):
        sampler = plan().sampler()
        train = StatefulDataLoader(range(SAMPLES), batch_sampler=sampler, num_workers=workers)
        return fit([PlanCallback(), *saving], train, checkpoint=checkpoint, max_epochs=2).seen

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
        return fit([PlanCallback(), *saving], data, checkpoint=checkpoint, max_epochs=3,
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
        fit([PlanCallback()], [loader(sampler), loader(sampler)], max_epochs=1)


def test_a_short_loader_that_is_not_begun_anew_is_refused_and_the_way_out_works():
    for kind, works in (("max_size", False), ("max_size_cycle", True), ("min_size", True)):
        a, b = plan().sampler(), plan(6).sampler(rank=0, world_size=4)
        callbacks = [PlanCallback(), PlanCallback()]
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


def test_what_the_two_accumulate_is_compared():
    def once(sampler_accumulates, trainer_accumulates, *, fetch="micro", callbacks=(), plan=plan):
        sampler = plan().sampler(accumulate=sampler_accumulates, fetch=fetch)
        return fit([PlanCallback(), *callbacks], DataLoader(ByList(), batch_size=None, sampler=sampler),
                   accumulate_grad_batches=trainer_accumulates, max_steps=1, module=Sums())  # fmt: skip

    class Sums(Module):
        def training_step(self, batch, batch_idx):
            return self.layer(batch[:, None].float()).mean()

    check_that_the_two_are_compared(once, "Trainer(accumulate_grad_batches)")
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
        fit([PlanCallback()], loader(sampler), accumulate_grad_batches=2, max_steps=1, module=Counts())


def test_the_composition_is_that_of_the_epochs_that_were_trained_on(tmp_path):
    """A limited epoch, and one of several loaders that begins again: step and epoch are the plan's."""
    reported = []

    class Noting(bw.Composition):
        def after(self, step, log, *, epoch, at=None):
            reported.append((epoch, step))

    sampler = plan().sampler()
    callback = PlanCallback(sampler, composition=Noting(sampler))
    fit([callback], loader(sampler), limit_train_batches=3, max_epochs=2, logger=CSVLogger(tmp_path))
    assert reported == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
