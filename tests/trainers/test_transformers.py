"""Hugging Face's Trainer, with `plan.loader` as its loader and with `PlanTrainer`."""

from __future__ import annotations

import warnings

import pytest
import torch
from transformers import TrainerCallback, TrainingArguments

import batchwright as bw
from batchwright.adapters.transformers import PlanTrainer

from .places import LENGTH, SAMPLES, epochs, place, plan
from .programs.transformers import Alone

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")

QUIETLY = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "logging_strategy": "no"}


class Rows(torch.utils.data.Dataset):
    """Sample i with a random number; some raise."""

    def __init__(self, broken=()):
        self.broken = set(broken)

    def __len__(self):
        return SAMPLES

    def __getitem__(self, sample):
        if sample in self.broken:
            raise OSError(f"sample {sample} cannot be read")
        return {"x": torch.tensor([float(sample)]), "drawn": torch.rand(1)}


class Model(torch.nn.Module):
    """Notes the places of what it is trained on, and the random numbers; it may raise at its n-th batch."""

    def __init__(self, fails_at=0):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen, self.drawn, self.fails_at = [], [], fails_at

    def forward(self, x, drawn):
        if len(self.seen) + 1 == self.fails_at:
            raise RuntimeError("a step failed")
        self.seen.append(x.flatten().long().tolist())
        self.drawn.append(drawn.flatten().tolist())
        return {"loss": self.layer(x).mean()}

    @property
    def places(self):
        return [place(torch.tensor(samples)) for samples in self.seen]


BOTH = pytest.mark.parametrize("kind", ["alone", "adapter"])


def trainer(kind, folder, *, model=None, rows=None, callbacks=(), own=None, **options):
    arguments = TrainingArguments(str(folder), **{"num_train_epochs": 3, "save_strategy": "no", **QUIETLY, **options})
    given = {"train_dataset": rows or Rows(), "callbacks": list(callbacks)}
    if kind == "alone":
        return Alone(model or Model(), arguments, plan=plan(), **given)
    return PlanTrainer(model or Model(), arguments, plan=plan(), **given, **(own or {}))


@BOTH
@pytest.mark.parametrize("workers", [0, 2])
def test_a_look_before_training_takes_nothing_from_it(kind, workers, tmp_path):
    made = trainer(kind, tmp_path, num_train_epochs=2, dataloader_num_workers=workers)
    for _ in range(2):
        look = next(iter(made.get_train_dataloader()))
        assert place(look["x"]) == (0, 0)
    made.train()
    assert made.model.places == epochs((0, 0, 10), (1, 0, 10))


@BOTH
@pytest.mark.parametrize(("workers", "accumulate"), [(0, 1), (2, 1), (0, 2)])
def test_after_an_error_in_mid_epoch_training_goes_on_from_the_checkpoint(kind, workers, accumulate, tmp_path):
    """Saved every sixth step; the batch that failed and those since the checkpoint come again, with their random numbers."""
    options = {"save_strategy": "steps", "save_steps": 6, "gradient_accumulation_steps": accumulate}
    whole = trainer(kind, tmp_path / "whole", gradient_accumulation_steps=accumulate)
    whole.train()
    assert whole.model.places == epochs((0, 0, 10), (1, 0, 10), (2, 0, 10))
    failing = trainer(kind, tmp_path, model=Model(fails_at=18), dataloader_num_workers=workers, **options)
    with pytest.raises(RuntimeError, match="a step failed"):
        failing.train()
    assert failing.model.seen == whole.model.seen[:17]
    again = trainer(kind, tmp_path, dataloader_num_workers=2 - workers, **options)
    again.train(resume_from_checkpoint=True)
    saved = 17 // accumulate // 6 * 6 * accumulate
    assert again.model.seen == whole.model.seen[saved:]
    if kind == "adapter":
        assert failing.model.drawn == whole.model.drawn[:17]
        assert again.model.drawn == whole.model.drawn[saved:]


@BOTH
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_a_checkpoint_of_the_end_of_an_epoch_goes_on_with_the_next(kind, accumulate, tmp_path):
    options = {"save_strategy": "epoch", "gradient_accumulation_steps": accumulate}
    whole = trainer(kind, tmp_path, **options)
    whole.train()
    length = len(whole.get_train_dataloader())
    assert length == -(-LENGTH // accumulate) * accumulate
    for done in (1, 2):
        again = trainer(kind, tmp_path, **options)
        again.train(resume_from_checkpoint=f"{tmp_path}/checkpoint-{done * length // accumulate}")
        assert again.model.seen == whole.model.seen[done * length :]
    assert whole.model.seen == [batch.tolist() for epoch in range(3) for batch in plan().epoch(epoch, accumulate)]


def test_with_the_adapter_another_accumulation_goes_on(tmp_path):
    """Saved after 6 batches in steps of 1; gone on with in steps of 2 and 3: no batch is lost or repeated."""
    first = trainer("adapter", tmp_path, max_steps=6, save_strategy="steps", save_steps=6)
    first.train()
    for accumulate in (2, 3):
        again = trainer("adapter", tmp_path, gradient_accumulation_steps=accumulate, num_train_epochs=1)
        again.train(resume_from_checkpoint=f"{tmp_path}/checkpoint-6")
        assert again.model.places[:4] == epochs((0, 6, 10))
        assert len(again.model.places) == -(-4 // accumulate) * accumulate


def test_random_numbers_are_those_of_the_plans_loader(tmp_path):
    """The same with workers and with another seed of the trainer; other ones where they are not seeded."""
    loader = plan().loader(Rows(), num_workers=0)
    expected = [batch["drawn"].flatten().tolist() for epoch in loader.epochs(2) for batch in epoch]
    for workers, seed in ((0, 1), (2, 2)):
        made = trainer("adapter", tmp_path, num_train_epochs=2, dataloader_num_workers=workers, seed=seed)
        made.train()
        assert made.model.drawn == expected
    made = trainer("adapter", tmp_path, num_train_epochs=2, own={"seeded": False})
    made.train()
    assert made.model.drawn != expected


def test_samples_that_raise_are_replaced_and_named_in_the_checkpoint(tmp_path):
    options = {"num_train_epochs": 2, "save_strategy": "epoch"}
    first = trainer("adapter", tmp_path, rows=Rows({7}), own={"on_error": "replace"}, **options)
    with pytest.warns(bw.PoorWarning, match="sample 7 raised OSError"):
        first.train()
    every = [sample for batch in first.model.seen for sample in batch]
    assert 7 not in every
    assert len(every) == 2 * SAMPLES
    again = trainer("adapter", tmp_path, own={"on_error": "replace"}, **options)  # the sample can be read again
    again.train(resume_from_checkpoint=f"{tmp_path}/checkpoint-{LENGTH}")
    assert again.model.seen == first.model.seen[LENGTH:]
    strict = trainer("adapter", tmp_path, rows=Rows({7}), own={"on_error": "skip", "max_errors": 0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        with pytest.raises(bw.Infeasible, match="1 samples raised, max_errors is 0"):
            strict.train()
    with pytest.raises(OSError, match="sample 7 cannot be read"):
        trainer("adapter", tmp_path, rows=Rows({7})).train()


def test_another_data_set_than_the_plans_is_refused(tmp_path):
    with pytest.raises(bw.Infeasible, match="the data set has 3 samples, the plan was made for 40"):
        trainer("adapter", tmp_path, rows=[{"x": torch.ones(1)}] * 3).train()


def test_a_callback_may_look_at_the_loader_in_mid_epoch(tmp_path):
    """A loader of its own: the position of training stays, in the loop and in the checkpoint."""

    class Looks(TrainerCallback):
        def on_step_end(self, args, state, control, **others):
            if state.global_step in (4, 14):
                next(iter(made.get_train_dataloader()))

    options = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 14}
    made = trainer("adapter", tmp_path, callbacks=[Looks()], **options)
    made.train()
    assert made.model.places == epochs((0, 0, 10), (1, 0, 10))
    again = trainer("adapter", tmp_path, **options)
    again.train(resume_from_checkpoint=f"{tmp_path}/checkpoint-14")
    assert again.model.places == epochs((1, 4, 10))


def test_packs_without_a_collator_are_refused_with_how_it_is_written(tmp_path):
    rows = [{"x": torch.ones(length)} for length in [4, 2] * 6]
    packs = bw.packed([4, 2] * 6, capacity=6)  # each of two lengths
    arguments = TrainingArguments(str(tmp_path), max_steps=1, save_strategy="no", **QUIETLY)
    with pytest.raises(bw.Infeasible, match="needs equal shapes") as refusal:
        PlanTrainer(Model(), arguments, plan=packs, train_dataset=rows).train()
    assert "pass data_collator=bw.Collate(...).packs(capacity=6, packs=1), with its fields" in refusal.value.way_out
