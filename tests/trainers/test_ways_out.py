"""Refusals of the adapters, each through the trainer itself: what is wrong is said, and its way out works there."""

from __future__ import annotations

import tempfile
import warnings

import pytest
from accelerate import Accelerator
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from batchwright.adapters.accelerate import prepare
from batchwright.adapters.lightning import PlanCallback
from batchwright.adapters.torchdata import sampler_state

from ..refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed
from .lightning_runs import Module, Save, Trainer, fit
from .places import LENGTH, SAMPLES, ByList, epochs, loader, place, plan
from .test_ignite import DeterministicEngine, Engine, PlanProgress
from .test_lightning_loaders import combined

with warnings.catch_warnings():  # Ray's own, when it is imported
    warnings.simplefilter("ignore")
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    from batchwright.adapters import ray as adapter_of_ray

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own

FILES = sorted((SOURCE / "adapters").glob("*.py"))

ALL = epochs((0, 0, LENGTH))
OF_TWO = {"rank": 0, "world_size": 2}


def by_list(sampler):
    """A loader that asks the dataset for whole lists."""
    return DataLoader(ByList(), batch_size=None, sampler=sampler)


def accelerated(prepares):
    """An epoch of what `prepares` makes for a new accelerator."""
    accelerator = Accelerator(cpu=True)
    assert [place(batch) for batch in prepare(accelerator, prepares(accelerator))] == ALL


def of_this_process(accelerator):
    return loader(plan().sampler(rank=accelerator.process_index, world_size=accelerator.num_processes))


def engine_runs(train, sampler, kind=Engine):
    """An epoch of Ignite's, with the progress of a sampler."""
    seen = []
    engine = kind(lambda engine, batch: seen.append(place(batch)))
    PlanProgress(engine, sampler)
    engine.run(train, max_epochs=1)
    assert seen == ALL


def engine_runs_on_its_own(makes=loader, kind=Engine):
    sampler = plan().sampler()
    engine_runs(makes(sampler), sampler, kind)


class Makes(Module):
    """Its hook makes a loader of the sampler that it gets from a function."""

    def __init__(self, sampler):
        super().__init__()
        self.sampler = sampler

    def train_dataloader(self):
        return loader(self.sampler())


def hook_makes(of_callback, of_hook):
    module = Makes(of_hook)
    Trainer(
        accelerator="cpu", max_epochs=1, callbacks=[PlanCallback(of_callback)], use_distributed_sampler=False,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    ).fit(module)  # fmt: skip
    assert module.seen == ALL


def hook_makes_it_once():
    sampler = plan().sampler()
    hook_makes(sampler, lambda: sampler)


def fits(of_callbacks, loaders):
    """An epoch of Lightning's, its first loader whole."""
    assert fit([PlanCallback() for sampler in of_callbacks], loaders, max_epochs=1).seen == ALL


def two_loaders_with_a_sampler_each():
    a, b = plan().sampler(), plan(6).sampler()
    fits([a, b], [loader(a), loader(b)])


def two_loaders_with_one_sampler():
    sampler = plan().sampler()
    fits([sampler], [loader(sampler), loader(sampler)])


def two_loaders_of_others():
    fits([plan().sampler()], [loader(plan().sampler()), loader(plan(6).sampler())])


def long_and_short(kind):
    """Ten lists and three; "min_size" ends with the shorter."""
    a, b = plan().sampler(), plan(6).sampler(rank=0, world_size=4)
    seen = fit([PlanCallback(), PlanCallback()], combined(a, b, kind), max_epochs=1).seen
    assert seen == ALL[: 3 if kind == "min_size" else LENGTH]


def saved_and_gone_on_with(*, seed=5, name="mine"):
    """Saved after the fourth batch by a callback named "mine" of a plan of seed 5, and gone on with by another."""

    def once(seed, name, checkpoint=None):
        sampler = plan(seed).sampler()
        callbacks = [PlanCallback(sampler, name=name), Save("on_train_batch_end", 4, f"{folder}/saved")]
        return fit(callbacks, loader(sampler), checkpoint=checkpoint, max_epochs=1).seen

    with tempfile.TemporaryDirectory() as folder:
        once(5, "mine")
        assert once(seed, name, f"{folder}/saved") == ALL[4:]


def ray_trains(**options):
    """In Ray's local mode the training function runs in this process."""

    def train():
        prepared = adapter_of_ray.prepare(loader(plan().sampler(**options)))
        assert [place(batch) for batch in prepared] == ALL

    TorchTrainer(train, scaling_config=ScalingConfig(num_workers=0, use_gpu=False)).fit()


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


TABLE = {
    "accelerate: no batch size": (
        lambda: prepare(Accelerator(cpu=True), by_list(plan().sampler())),
        "Accelerate takes no loader with batch_size=None; make the loader with batch_sampler=plan.sampler().",
        lambda: accelerated(lambda accelerator: loader(plan().sampler())),
    ),
    "accelerate: a sampler of another world": (
        lambda: prepare(Accelerator(cpu=True), loader(plan().sampler(**OF_TWO))),
        "accelerate runs 1 processes, the loader's batches are shared by <rank 0 of 2 of <plan: 10 micro-batches of 4",
        lambda: accelerated(of_this_process),
    ),
    "accelerate: a sampler that is wrapped": (
        lambda: prepare(Accelerator(cpu=True), loader(BatchSamplerShard(plan().sampler()))),
        "accelerate runs 1 processes, the loader's batches are shared by <accelerate.data_loader.BatchSamplerShard",
        lambda: accelerated(of_this_process),
    ),
    "ignite: another loader's sampler": (
        lambda: engine_runs(loader(plan().sampler()), plan(6).sampler()),
        "the engine's loader draws from <rank 0 of 1 of <plan: 10 micro-batches of 4",
        engine_runs_on_its_own,
    ),
    "ignite: a loader of no plan": (
        lambda: engine_runs(DataLoader(range(SAMPLES), batch_size=4), plan().sampler()),
        "not from the sampler that PlanProgress was given; pass PlanProgress the batch sampler of the loader that",
        engine_runs_on_its_own,
    ),
    "ignite: an engine that drops batches": (
        lambda: engine_runs_on_its_own(by_list, DeterministicEngine),
        "DeterministicEngine, when it resumes, drops batches of a loader with batch_size=None; make the loader with",
        lambda: engine_runs_on_its_own(loader, DeterministicEngine),
    ),
    "lightning: a checkpoint of another plan": (
        lambda: saved_and_gone_on_with(seed=6),
        "and give the callback the name it had",
        saved_and_gone_on_with,
    ),
    "lightning: a checkpoint of another name": (
        lambda: saved_and_gone_on_with(name="yours"),
        "the checkpoint has the position of PlanCallback{",
        saved_and_gone_on_with,
    ),
    "lightning: a hook makes another sampler": (
        lambda: hook_makes(plan().sampler(), lambda: plan().sampler()),
        "the training loader's batch sampler is <rank 0 of 1 of <plan: 10 micro-batches of 4",
        hook_makes_it_once,
    ),
    "lightning: a loader of no plan": (
        lambda: fits([plan().sampler()], DataLoader(range(SAMPLES), batch_size=4)),
        "the training loader's batch sampler is None, not the one this callback was given; make the sampler once",
        hook_makes_it_once,
    ),
    "lightning: loaders of others": (
        two_loaders_of_others,
        "the batch sampler of none of 2 training loaders is the one this callback was given; make the sampler once",
        two_loaders_with_a_sampler_each,
    ),
    "lightning: one sampler for two loaders": (
        two_loaders_with_one_sampler,
        "2 training loaders draw from one sampler; give each of them a plan.sampler() and a callback",
        two_loaders_with_a_sampler_each,
    ),
    "lightning: a loader that is not begun again": (
        lambda: long_and_short("max_size"),
        "the sampler has 3 lists for 10 batches, and 'max_size' yields None after them; pass CombinedLoader(",
        lambda: [long_and_short(kind) for kind in ("max_size_cycle", "min_size")],
    ),
    "ray: a sampler of another world": (
        lambda: ray_trains(**OF_TWO),
        "this is worker 0 of 1, the loader's batches are shared by <rank 0 of 2 of <plan: 10 micro-batches of 4",
        ray_trains,
    ),
    "torchdata: a state older than the loader": (
        lambda: goes_on(stateful(plan().sampler(), 2)),
        "the state is 1 steps older than the loader was; build the loader with snapshot_every_n_steps=1",
        lambda: goes_on(stateful(plan().sampler(), 1)),
    ),
    "torchdata: a loader of no plan": (
        lambda: goes_on(stateless()),
        "the loader's state holds no batchwright sampler's; build the loader with batch_sampler=plan.sampler()",
        lambda: goes_on(stateful(plan().sampler(), 1)),
    ),
}
CASES = cases("refuse message follow", TABLE)


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])


def test_every_refusal_in_these_files_is_among_these(monkeypatch):
    check_that_all_are_reached(FILES, 11, [CASES], monkeypatch)
