"""Lightning: several loaders, loaders of every kind, and the use of them that is refused."""

from __future__ import annotations

import csv
import functools

import pytest
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader, Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

import batchwright as bw
from batchwright.adapters.lightning import PlanCallback

from .accumulation import check_that_the_two_are_compared
from .lightning_runs import Module, Save, fit
from .places import SAMPLES, ByList, epochs, loader, made, place, plan

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")


def combined(kind, by="loader", workers=0):
    """Ten lists an epoch, and three."""
    short = bw.shuffled(SAMPLES, 4, seed=6)
    ranks = {"rank": 0, "world_size": 4}
    b = loader(short.sampler(**ranks)) if by == "sampler" else short.loader(range(SAMPLES), num_workers=0, **ranks)
    loaders = {"a": made(by, workers=workers), "b": b}
    if kind == "list":
        return list(loaders.values())
    if kind == "dict":
        return loaders
    return CombinedLoader(loaders, kind)


@pytest.mark.parametrize(
    ("kind", "by", "workers"),
    [
        ("list", "loader", 0), ("dict", "loader", 0), ("min_size", "loader", 0), ("max_size_cycle", "loader", 2),
        ("dict", "sampler", 0), ("max_size_cycle", "sampler", 2),
    ],
)  # fmt: skip
def test_of_several_loaders_each_goes_on_with_its_plan(kind, by, workers, tmp_path):
    """The second has 3 batches an epoch: it begins again within an epoch of Lightning's, and later where it has not been."""

    def once(checkpoint=None, saving=(), **options):
        callbacks = [PlanCallback(), *saving]
        module = fit(callbacks, combined(kind, by, workers), checkpoint=checkpoint, max_epochs=3, **options)
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


def test_beside_a_plan_there_may_be_a_loader_of_none(tmp_path):
    class First(Module):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch[1], batch_idx)

    def once(checkpoint=None, saving=()):
        loaders = [DataLoader(range(80), batch_size=4), made()]
        return fit([*saving, PlanCallback()], loaders, checkpoint=checkpoint, module=First(), max_epochs=1).seen

    whole = once(saving=[Save("on_train_batch_end", 14, tmp_path / "saved.ckpt")])
    assert whole == epochs((0, 0, 10), (1, 0, 10))  # twice in an epoch of Lightning's
    assert once(tmp_path / "saved.ckpt") == whole[14:]


def test_a_loader_without_batch_size_asks_the_dataset_for_whole_lists(tmp_path):
    def once(checkpoint=None, saving=()):
        train = DataLoader(ByList(), batch_size=None, sampler=plan().sampler())
        return fit([PlanCallback(), *saving], train, checkpoint=checkpoint, max_epochs=2).seen

    assert once(saving=[Save("on_train_batch_end", 14, tmp_path / "saved.ckpt")]) == epochs((0, 0, 10), (1, 0, 10))
    assert once(tmp_path / "saved.ckpt") == epochs((1, 4, 10))


@pytest.mark.parametrize(("nth", "workers"), [(4, 0), (10, 0), (13, 0), (10, 2), (13, 2)])
def test_a_stateful_loader_whose_state_lightning_saves_too(nth, workers, tmp_path):
    def once(checkpoint=None, saving=()):
        train = StatefulDataLoader(range(SAMPLES), batch_sampler=plan().sampler(), num_workers=workers)
        return fit([PlanCallback(), *saving], train, checkpoint=checkpoint, max_epochs=2).seen

    whole = once(saving=[Save("on_train_batch_end", nth, tmp_path / "saved.ckpt")])
    assert once(tmp_path / "saved.ckpt") == whole[nth:]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("reload", [0, 1])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_module_gives_the_loader(alone, reload, workers, tmp_path):
    """Its loader does not exist yet when the callback is made."""

    class Data(LightningDataModule):
        def train_dataloader(self):
            return made(workers=workers)

    def once(checkpoint=None, saving=()):
        callbacks = [*saving, *([] if alone else [PlanCallback()])]
        return fit(
            callbacks, Data(), checkpoint=checkpoint, max_epochs=3, reload_dataloaders_every_n_epochs=reload
        ).seen

    for nth in (10, 14):
        whole = once(saving=[Save("on_train_batch_end", nth, tmp_path / "saved.ckpt")])
        assert whole == epochs((0, 0, 10), (1, 0, 10), (2, 0, 10))
        assert once(tmp_path / "saved.ckpt") == whole[nth:]


def test_the_same_plan_twice(tmp_path):
    class Both(Module):
        def training_step(self, batch, batch_idx):
            assert torch.equal(*batch)
            return super().training_step(batch[0], batch_idx)

    def once(checkpoint=None, saving=()):
        return fit([PlanCallback(), *saving], [made(), made()], checkpoint=checkpoint, module=Both(), max_epochs=1).seen

    assert once(saving=[Save("on_train_batch_end", 4, tmp_path / "saved.ckpt")]) == epochs((0, 0, 10))
    assert once(tmp_path / "saved.ckpt") == epochs((0, 4, 10))


def test_samples_that_were_broken_stay_replaced(tmp_path):
    """A state says which samples raised; a resumed run reads others in their place, though they can be read again."""

    class Broken(Dataset):
        def __init__(self, broken):
            self.broken = broken

        def __len__(self):
            return SAMPLES

        def __getitem__(self, sample):
            if sample in self.broken:
                raise OSError("broken")
            return sample

    class Seeing(Module):
        def training_step(self, batch, batch_idx):
            self.seen += batch.tolist()
            return self.layer(batch[:, None].float()).mean()

    def once(broken, checkpoint=None, saving=(), epochs=2):
        train = plan().loader(Broken(broken), num_workers=0, on_error="replace")
        return fit([PlanCallback(), *saving], train, checkpoint=checkpoint, module=Seeing(), max_epochs=epochs).seen

    with pytest.warns(bw.PoorWarning, match="training goes on"):
        whole = once({3}, saving=[Save("on_train_epoch_end", 1, tmp_path / "saved.ckpt")])
    assert once({}, tmp_path / "saved.ckpt") == whole[SAMPLES:]


def test_what_the_two_accumulate_is_compared():
    def once(sampler_accumulates, trainer_accumulates, *, fetch="micro", callbacks=()):
        train = plan().loader(range(SAMPLES), num_workers=0, accumulate=sampler_accumulates, fetch=fetch)
        callbacks = [PlanCallback(), *callbacks]
        return fit(callbacks, train, accumulate_grad_batches=trainer_accumulates, max_steps=1, module=Sums())

    class Sums(Module):
        def training_step(self, batch, batch_idx):
            return self.layer(batch[:, None].float()).mean()

    check_that_the_two_are_compared(once, "Trainer(accumulate_grad_batches)")
    once(4, 1, callbacks=[GradientAccumulationScheduler({0: 2, 1: 4})])
    with pytest.raises(bw.Infeasible, match="is 4"):
        once(2, 1, callbacks=[GradientAccumulationScheduler({0: 2, 1: 4})])


def test_tasks_that_keep_a_step_are_told_what_a_step_is():
    tasks = bw.alternating({"a": bw.shuffled(20, 4), "b": bw.shuffled(20, 4)}, unit="step")

    class Counts(Module):
        def training_step(self, batch, batch_idx):
            return self.layer(batch[:, None].float()).mean()

    with pytest.warns(bw.PoorWarning, match="a step may have several tasks"):
        fit(
            [PlanCallback()],
            tasks.loader(range(40), num_workers=0),
            accumulate_grad_batches=2,
            max_steps=1,
            module=Counts(),
        )


def test_the_composition_is_that_of_the_epochs_that_were_trained_on(tmp_path):
    """A limited epoch, and one of several loaders that begins again: step and epoch are the plan's."""
    reported = []

    class Noting(bw.Composition):
        def after(self, step, log, *, epoch, at=None):
            reported.append((epoch, step))

    callback = PlanCallback(composition=Noting)
    fit([callback], made(), limit_train_batches=3, max_epochs=2, logger=CSVLogger(tmp_path))
    assert reported == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]


@pytest.mark.parametrize("limit", [None, 3])
def test_the_composition_is_logged_through_epochs_that_are_shorter_than_its_reports_are_apart(limit, tmp_path):
    made_loader, every = made(), 25
    callback = PlanCallback(composition=functools.partial(bw.Composition, every=every))
    length = len(made_loader) if limit is None else limit
    fit([callback], made_loader, limit_train_batches=limit, max_epochs=17, logger=CSVLogger(tmp_path))
    (table,) = tmp_path.rglob("metrics.csv")
    rows = [row for row in csv.DictReader(table.read_text().splitlines()) if row["samples"]]
    assert [int(row["step"]) for row in rows] == list(range(every, 17 * length + 1, every))
    size = len(made_loader.sampler.all_ranks(0, epoch=0)[0]) * made_loader.world_size
    assert [float(row["samples"]) for row in rows] == [every * size] * (17 * length // every)
