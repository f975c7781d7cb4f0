"""What else trainers do to a loader, and what cannot be made right and is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import batchwright as bw

from .. import processes
from . import recorder
from .programs import habits

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own


def expected(count=25):
    return [recorder.plan()[i].tolist() for i in range(count)]


@pytest.mark.parametrize(("world", "batches"), [(1, 25), (2, 26)])
def test_lightning_validates_and_predicts_every_rank_on_its_share(world, batches):
    for ranks in zip(*processes.run(habits.lightning_validates_and_predicts, world), strict=True):
        assert [batch for step in zip(*ranks, strict=True) for batch in step] == expected(batches)


@pytest.mark.parametrize(("by", "from_a_hook"), [("loader", False), ("loader", True), ("sampler", True)])
def test_lightning_distributes_nothing_that_the_plan_has_distributed(by, from_a_hook):
    """With `use_distributed_sampler` as it is by default."""
    ranks = processes.run(habits.lightning_distributes, 2, by, from_a_hook)
    assert [batch for step in zip(*ranks, strict=True) for batch in step] == expected(26)


def test_lightning_refuses_to_where_it_was_given_a_loader_over_a_sampler():
    for said in processes.run(habits.lightning_distributes, 2, "sampler", False):
        assert "set `Trainer(use_distributed_sampler=False)`" in said


def test_lightning_goes_on_alone_in_the_same_world(tmp_path):
    whole = processes.run(habits.lightning_goes_on, 2, str(tmp_path / "saved.ckpt"), False)
    ranks = processes.run(habits.lightning_goes_on, 2, str(tmp_path / "saved.ckpt"), True)
    assert ranks == [seen[13 + 8 :] for seen in whole]
    assert len(ranks[0]) == 13 - 8


def test_lightnings_callback_goes_on_elsewhere_from_a_checkpoint_without_it(tmp_path):
    """By the state of the plan's loader; what one process counted, 16 of 25, would be more than two have in an epoch."""
    processes.run(habits.lightning_goes_on, 1, str(tmp_path / "saved.ckpt"), False)
    ranks = processes.run(habits.lightning_goes_on, 2, str(tmp_path / "saved.ckpt"), True, True)
    assert [batch for step in zip(*ranks, strict=True) for batch in step] == expected(25 + 16 + 10)[25 + 16 :]


def test_lightning_under_its_older_name():
    assert processes.run(habits.older_lightning, 1) == [expected()]


def test_accelerate_gathers_every_row_for_metrics():
    """With a `batch_size` to go by, Accelerate would cut the last gather to 99 % 8 = 3 rows."""
    gathered = processes.run(habits.accelerate_gathers, 2)
    assert gathered == [[i for batch in expected(26) for i in batch]] * 2


def test_accelerates_own_preparation_of_the_view_in_step_order_is_exact():
    ranks = processes.run(habits.accelerate_prepares_the_view, 2)
    assert [batch for step in zip(*ranks, strict=True) for batch in step] == expected(26)


def test_accelerates_own_preparation_of_a_rank_aware_sampler_is_refused():
    for said in processes.run(habits.accelerate_shards_twice, 2):
        assert "the sampler takes 1 of 2 micro-batches, BatchSamplerShard 1 of 2 of those" in said


@pytest.mark.parametrize("dispatches", [False, True])
def test_what_accelerate_would_divide_again_is_refused_where_it_is_drawn(dispatches):
    for said in processes.run(habits.accelerate_divides, 2, dispatches)[: 1 if dispatches else 2]:
        assert "the sampler takes 1 of 2 micro-batches, and accelerate gives this process a part of those" in said


class Seeing(torch.nn.Module):
    """A model that writes down what went through it."""

    def __init__(self):
        super().__init__()
        self.network = recorder.model()
        self.generation_config = None
        self.seen = []

    def forward(self, x):
        self.seen.append(x.flatten().long().tolist())
        return {"loss": self.network(x).mean()}


ROWS = [{"x": torch.tensor([float(i)])} for i in range(99)]
QUIETLY = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "logging_strategy": "no"}


def test_other_transformers_trainers_take_a_plan_too(tmp_path):
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

    from batchwright.adapters.transformers import PlanTrainer

    class Mine(PlanTrainer, Seq2SeqTrainer):
        pass

    model = Seeing()
    arguments = Seq2SeqTrainingArguments(str(tmp_path), num_train_epochs=1, save_strategy="no", **QUIETLY)
    Mine(model, arguments, train_dataset=ROWS, plan=recorder.plan()).train()
    assert model.seen == expected()


@pytest.mark.parametrize("kind", ["budgeted", "tasks"])
def test_transformers_goes_on_in_mid_epoch_of_other_plans_too(kind, tmp_path):
    """Stopped in the second epoch, after ten steps of two micro-batches; gone on with from the seventh, in the first."""
    from transformers import TrainerCallback, TrainingArguments

    from batchwright.adapters.transformers import PlanTrainer

    def plan():
        if kind == "budgeted":
            return bw.budgeted(np.arange(99) % 12 + 1, max_tokens=48, seed=3)
        return bw.alternating({"a": bw.shuffled(60, 5), "b": bw.shuffled(39, 13)})

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **others):
            control.should_training_stop = state.global_step == 10

    whole, model, again = plan(), Seeing(), Seeing()
    arguments = TrainingArguments(
        str(tmp_path), num_train_epochs=2, gradient_accumulation_steps=2, save_steps=7, **QUIETLY
    )
    PlanTrainer(model, arguments, train_dataset=ROWS, plan=plan(), callbacks=[Stop()]).train()
    PlanTrainer(again, arguments, train_dataset=ROWS, plan=plan()).train(resume_from_checkpoint=True)
    every = [batch.tolist() for epoch in range(2) for batch in whole.epoch(epoch, 2)]
    assert model.seen == every[:20]
    assert again.seen == every[14:]


@pytest.mark.parametrize("save_strategy", ["steps", "epoch"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_transformers_goes_on_with_the_epoch_that_max_steps_cut(save_strategy, accumulate, tmp_path):
    """Seven steps, saved when they end; then eighteen in all."""
    from transformers import TrainingArguments

    from batchwright.adapters.transformers import PlanTrainer

    options = {"save_steps": 7, "save_strategy": save_strategy, "gradient_accumulation_steps": accumulate, **QUIETLY}
    seen = []
    for steps in (7, 18):
        model = Seeing()
        arguments = TrainingArguments(str(tmp_path), max_steps=steps, **options)
        trainer = PlanTrainer(model, arguments, train_dataset=ROWS, plan=recorder.plan())
        trainer.train(resume_from_checkpoint=steps == 18)
        seen += model.seen
    every = [batch.tolist() for epoch in range(2) for batch in recorder.plan().epoch(epoch, accumulate)]
    assert seen == every[: 18 * accumulate]


def test_transformers_begins_the_next_epoch_after_one_that_a_callback_ended(tmp_path):
    from transformers import TrainerCallback, TrainingArguments

    from batchwright.adapters.transformers import PlanTrainer

    class Ends(TrainerCallback):
        def on_step_end(self, args, state, control, **others):
            control.should_epoch_stop = state.global_step == 7

    arguments = TrainingArguments(str(tmp_path), num_train_epochs=2, save_strategy="epoch", **QUIETLY)
    model, again = Seeing(), Seeing()
    PlanTrainer(model, arguments, train_dataset=ROWS, plan=recorder.plan(), callbacks=[Ends()]).train()
    first, second = ([batch.tolist() for batch in recorder.plan().epoch(epoch)] for epoch in range(2))
    assert model.seen == first[:7] + second
    resumed = PlanTrainer(again, arguments, train_dataset=ROWS, plan=recorder.plan())
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    assert again.seen[: len(second)] == second


def test_a_stateful_loaders_state_that_is_older_than_the_loader_is_refused():
    from torchdata.stateful_dataloader import StatefulDataLoader

    from batchwright.adapters.torchdata import sampler_state

    sampler = recorder.plan().sampler()
    loader = StatefulDataLoader(range(99), batch_sampler=sampler, num_workers=1, snapshot_every_n_steps=4)
    batches = iter(loader)
    for _ in range(6):
        next(batches)
    with pytest.raises(bw.Infeasible, match="2 steps older"):
        sampler_state(loader.state_dict())
    with pytest.raises(bw.Infeasible, match="holds no batchwright sampler"):
        sampler_state(StatefulDataLoader(range(9)).state_dict())
