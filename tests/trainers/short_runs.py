"""Short runs of every trainer and its adapter, which a refusal ends, or which end well once its way out is followed."""

from __future__ import annotations

import pickle
import tempfile
import warnings
from types import SimpleNamespace

from accelerate import Accelerator
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader
from transformers import TrainingArguments

from batchwright import shuffled
from batchwright.adapters.accelerate import prepare
from batchwright.adapters.lightning import PlanCallback
from batchwright.adapters.torchdata import sampler_state
from batchwright.adapters.transformers import PlanTrainer

from . import recorder
from .lightning_runs import Module, Save, fit
from .places import LENGTH, SAMPLES, ByList, epochs, loader, made, place, plan
from .programs import sentence_transformers, trl
from .test_ignite import Engine, PlanProgress
from .test_transformers import QUIETLY, Model, Rows

with warnings.catch_warnings():  # Ray's own, when it is imported
    warnings.simplefilter("ignore")
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    from batchwright.adapters import ray as adapter_of_ray

ALL = epochs((0, 0, LENGTH))
OF_TWO = {"rank": 0, "world_size": 2}


def by_list(sampler):
    """A loader that asks the dataset for whole lists."""
    return DataLoader(ByList(), batch_size=None, sampler=sampler)


def accelerated(makes=lambda accelerator: made()):
    """An epoch of what `makes` makes for a new accelerator."""
    accelerator = Accelerator(cpu=True)
    assert [place(batch) for batch in prepare(accelerator, makes(accelerator))] == ALL


def of_this_process(accelerator):
    return made_of(rank=accelerator.process_index, world_size=accelerator.num_processes)


def made_of(**options):
    return plan().loader(range(SAMPLES), num_workers=0, **options)


def engine_runs(train, of_progress, kind=Engine):
    """An epoch of Ignite's, with the progress of a loader or a sampler."""
    seen = []
    engine = kind(lambda engine, batch: seen.append(place(batch)))
    PlanProgress(engine, of_progress)
    engine.run(train, max_epochs=1)
    assert seen == ALL


def engine_runs_on_its_own(makes=loader, kind=Engine):
    sampler = plan().sampler()
    engine_runs(makes(sampler), sampler, kind)


def engine_runs_on_its_loader():
    train = made()
    engine_runs(train, train)


def fits(loaders, length=LENGTH):
    """An epoch of Lightning's, of its first loader."""
    assert fit([PlanCallback()], loaders, max_epochs=1).seen == ALL[:length]


def two_loaders_with_one_sampler():
    sampler = plan().sampler()
    fits([loader(sampler), loader(sampler)])


def two_loaders():
    fits([made(), made(seed=6)])


def saved_and_gone_on_with(*seeds):
    """Saved after the fourth batch of a plan of seed 5, and gone on with by plans of these seeds."""

    def once(seeds, checkpoint=None):
        callbacks = [PlanCallback(), Save("on_train_batch_end", 4, f"{folder}/saved")]
        return fit(
            callbacks, [made("sampler", seed=seed) for seed in seeds], checkpoint=checkpoint, module=One(), max_epochs=1
        ).seen

    with tempfile.TemporaryDirectory() as folder:
        once([5])
        assert once(seeds, f"{folder}/saved") == ALL[4:]


class One(Module):
    """Trained on a list of one loader."""

    def training_step(self, batch, batch_idx):
        return super().training_step(batch[0], batch_idx)


def ray_trains(**options):
    """In Ray's local mode the training function runs in this process."""

    def train():
        prepared = adapter_of_ray.prepare(made_of(**options))
        assert [place(batch) for batch in prepared] == ALL

    TorchTrainer(train, scaling_config=ScalingConfig(num_workers=0, use_gpu=False)).fit()


def ray_saves(**options):
    with tempfile.TemporaryDirectory() as folder:
        adapter_of_ray.save_position(made_of(), folder, **options)


def stateful(sampler, every):
    """The state of a stateful loader with a worker, after three batches."""
    train = StatefulDataLoader(range(SAMPLES), batch_sampler=sampler, num_workers=1, snapshot_every_n_steps=every)
    batches = iter(train)
    for _ in range(3):
        next(batches)
    return train.state_dict()


def goes_on(state):
    sampler = plan().sampler()
    sampler.load_state_dict(sampler_state(state))
    assert [place(batch) for batch in loader(sampler)] == ALL[3:]


def stateless():
    train = StatefulDataLoader(range(SAMPLES), batch_size=4)
    next(iter(train))
    return train.state_dict()


def hugging_face(kind, **more):
    """An epoch of Hugging Face's Trainer, or of one made of it."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(folder, num_train_epochs=1, save_strategy="no", **QUIETLY)
        kind(Model(), arguments, train_dataset=Rows(), **more).train()


class Generates(PlanTrainer):
    """Has what tells TRL's trainers that generate from others."""

    num_generations = 8


def of_arguments(**options):
    """An epoch of `PlanTrainer`, with these arguments."""
    with tempfile.TemporaryDirectory() as folder:
        train = {"num_train_epochs": 1, "save_strategy": "no", **QUIETLY, **options}
        PlanTrainer(Model(), TrainingArguments(folder, **train), train_dataset=Rows(), plan=plan()).train()


def generate(prompts=3, **options):
    """A step of `GRPOTrainer`, on a plan of so many prompts."""
    trl.generations(0, 1, form=shuffled(len(trl.PROMPTS), prompts), max_steps=1, **options)


def of_two_tasks():
    said = {"dataset_from_index": [0, 5], "dataset_to_index": [5, 12], "tasks": [["a"], ["a", "b"]]}
    return SimpleNamespace(meta=SimpleNamespace(episodes=said), episodes=None)


def of_sentences(count=99, plan=recorder.plan, **options):
    """A step of Sentence Transformers, with a plan of 99 rows as its arguments."""
    network = sentence_transformers.model()
    with tempfile.TemporaryDirectory() as folder:
        told = sentence_transformers.samplers(plan(), **options)
        given = sentence_transformers.arguments(1, folder, max_steps=1, **told)
        kind = sentence_transformers.SentenceTransformerTrainer
        kind(
            network, given, train_dataset=sentence_transformers.rows(count),
            loss=sentence_transformers.Loss(network, list),
        ).train()  # fmt: skip


def asked(again=False):
    """What arguments that were read from a file say to the trainer's question."""
    told = pickle.loads(pickle.dumps(sentence_transformers.samplers(recorder.plan())))
    if again:
        told = sentence_transformers.samplers(recorder.plan())
    return told["batch_sampler"](range(99), batch_size=4)
