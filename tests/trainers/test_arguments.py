"""`TrainingArguments` beside a plan: each that speaks of training batches is passed on, compared, or refused."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import fields

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

import batchwright as bw
from batchwright.adapters.transformers import PlanTrainer
from batchwright.adapters.transformers.arguments import _DECIDED, _DECIDED_OF_ACCELERATE, agree

from .places import LENGTH, epochs, plan
from .test_transformers import QUIETLY, Model, Rows, trainer

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")

NAMES = {field.name for field in fields(TrainingArguments)}
PASSED_ON = {
    "dataloader_num_workers": 2,
    "dataloader_prefetch_factor": 5,
    "dataloader_persistent_workers": True,
    "dataloader_pin_memory": False,
    "dataloader_multiprocessing_context": "fork",
}
REFUSED = {
    "group_by_length": True,
    "train_sampling_strategy": "sequential",
    "auto_find_batch_size": True,
    "dataloader_drop_last": True,
    "dataloader_in_order": False,
    "restore_callback_states_from_checkpoint": True,
    "data_seed": 6,
    "per_device_train_batch_size": 3,
}
HERE = sorted(NAMES & REFUSED.keys())  # those of this version
OTHERS = {"split_batches": True, "dispatch_batches": True, "even_batches": False, "use_seedable_sampler": False}


def arguments(folder, **options):
    return TrainingArguments(str(folder), **{"num_train_epochs": 2, "save_strategy": "no", **QUIETLY, **options})


def test_every_argument_of_the_training_loader_is_known():
    of_loader = {name for name in NAMES if name.startswith("dataloader_")}
    assert of_loader <= PASSED_ON.keys() | REFUSED.keys()
    assert _DECIDED.keys() <= REFUSED.keys()
    assert _DECIDED_OF_ACCELERATE.keys() == OTHERS.keys()


def test_arguments_of_the_loader_arrive_there(tmp_path):
    given = {name: value for name, value in PASSED_ON.items() if name in NAMES}
    made = PlanTrainer(Model(), arguments(tmp_path, **given), plan=plan(), train_dataset=Rows())
    loader = made.get_train_dataloader().dataset.loader
    for name, value in given.items():
        found = getattr(loader, name.removeprefix("dataloader_"), None)
        if name == "dataloader_persistent_workers":
            found = loader._loader.persistent_workers
        if name == "dataloader_multiprocessing_context":
            found = found.get_start_method()
        assert found == value, name


@pytest.mark.parametrize("name", HERE)
def test_an_argument_that_the_plan_decides_is_refused_by_its_name(name, tmp_path):
    with pytest.raises(bw.Infeasible, match=rf"{name}.*; leave {name} out"):
        trainer("adapter", tmp_path, **{name: REFUSED[name]})


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_so_is_one_of_accelerates(name, tmp_path):
    with pytest.raises(bw.Infeasible, match=rf"accelerator_config\.{name}=.*leave accelerator_config\.{name} out"):
        trainer("adapter", tmp_path, accelerator_config={name: OTHERS[name]})


def test_the_size_is_that_of_the_plan(tmp_path):
    for given in ({}, {"per_device_train_batch_size": 4}, {"data_seed": 5}):
        made = trainer("adapter", tmp_path, **given)
        assert made.args.per_device_train_batch_size == made._train_batch_size == 4
    made.args.per_device_train_batch_size = 16  # as a search for the best would
    with pytest.raises(bw.Infeasible, match="per_device_train_batch_size=16, the plan's micro-batches have 4 samples"):
        made.train()


@pytest.mark.parametrize(("seed", "taken"), [(7, True), (8, False)])
def test_the_seed_is_compared_with_that_of_any_plan(seed, taken, tmp_path):
    for made in (bw.budgeted(np.arange(40) % 5 + 1, 9, padded=False, seed=7), bw.shuffled(40, 4, seed=7)):
        agree(arguments(tmp_path, data_seed=7), made, generates=False)
        with (
            nullcontext() if taken else pytest.raises(bw.Infeasible, match="the plan's seed is 7; leave data_seed out")
        ):
            agree(arguments(tmp_path, data_seed=seed), made, generates=False)
    with pytest.raises(bw.Infeasible, match="the plan's seed is none; leave data_seed out"):
        agree(arguments(tmp_path, data_seed=seed), bw.sequential(40, 4), generates=False)


@pytest.mark.parametrize("length", [{"num_train_epochs": 2}, {"max_steps": 13}])
@pytest.mark.parametrize("kind", ["fixed", "by length"])
def test_samples_a_second_are_those_that_were_trained_on(kind, length, tmp_path):
    """Of a plan whose epoch is not one of the data set, and of one whose batches differ in size."""
    lengths = np.arange(40) % 5 + 1
    made = (
        bw.balanced(np.arange(40) % 7 // 6, 8, seed=3)
        if kind == "fixed"
        else bw.budgeted(lengths, max_tokens=9, padded=False)
    )
    model = Model()
    given = arguments(tmp_path, gradient_accumulation_steps=2, **length)
    metrics = PlanTrainer(model, given, plan=made, train_dataset=Rows()).train().metrics
    told = metrics["train_samples_per_second"] * metrics["train_runtime"]
    assert told == pytest.approx(sum(map(len, model.seen)), rel=0.02 if kind == "fixed" else 0.1)


def test_counting_tokens_moves_nothing(tmp_path):
    given = {name: True for name in ("include_tokens_per_second", "include_num_input_tokens_seen") if name in NAMES}
    model = Model()
    model.main_input_name = "x"
    made = trainer("adapter", tmp_path, model=model, num_train_epochs=2, **given)
    made.train()
    assert made.model.places == epochs((0, 0, LENGTH), (1, 0, LENGTH))
    assert made.state.num_input_tokens_seen == 2 * 40


def test_samples_that_name_themselves_keep_their_names(tmp_path):
    """`remove_unused_columns` is on unless it is switched off."""
    collate = bw.Collate(x=bw.stack(), drawn=bw.stack())
    rows = bw.identified([{"x": torch.tensor([float(i)]), "drawn": torch.rand(1), "spare": "words"} for i in range(40)])
    seen = []

    class Named(PlanTrainer):
        def compute_loss(self, model, inputs, *others, **more):
            seen.append(inputs.aside.sample_ids.tolist())
            return super().compute_loss(model, inputs, *others, **more)

    Named(Model(), arguments(tmp_path), plan=plan(), train_dataset=rows, data_collator=collate).train()
    assert seen == [batch.tolist() for epoch in range(2) for batch in plan().epoch(epoch)]
