"""Ray Train on a local cluster of two workers."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, replace
from itertools import zip_longest
from pathlib import Path

import pytest
import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

import batchwright as bw
from batchwright.adapters.ray import prepare

from . import recorder
from .recorder import Life

pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray's own, on every import


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.05")  # how long each report waits for the controller
        patch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")  # not 60: other tests want the machine too
        patch.setenv("RAY_worker_niceness", "0")  # not 15: beside other tests its workers would wait for minutes
        patch.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        patch.setenv("RAY_TRAIN_METRICS_ENABLED", "0")
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
        yield
        ray.shutdown()


def train(settings):
    """What a worker runs: a life of each run, or the next one where Ray has started it again."""
    import ray.train

    kept = ray.train.get_checkpoint() or (settings["from"] and ray.train.Checkpoint(settings["from"]))
    done = int(Path(kept.path, "done").read_text()) if kept else 0
    runs = [steps(Life(**life), adapter, settings, kept or None, done) for life, adapter in settings["runs"]]
    for saves in zip_longest(*runs):
        done += 1
        if done % settings["checkpoint_every"] == 0:
            with tempfile.TemporaryDirectory() as folder:
                for save in filter(None, saves):  # of the runs that have not ended
                    save(folder)
                Path(folder, "done").write_text(str(done))
                ray.train.report({}, checkpoint=ray.train.Checkpoint(folder))
        if done == settings["until"]:
            return
    settings["then"]()


def steps(life, adapter, settings, kept, done):
    """Trains; after each optimizer step it gives what writes the position into the folder of a checkpoint."""
    import ray.train.torch
    import torch

    from batchwright.adapters import ray as adapter_of_ray

    from ..loader.datasets import Numbers

    context = ray.train.get_context()
    rank = context.get_world_rank()
    again = len(recorder.lives(life.folder, rank)) - life.number  # lives that Ray has started in the place of this one
    if again > 0:
        dies_after = life.dies_after if again < settings["kills"] else 0
        life = replace(life, number=life.number + again, dies_after=dies_after)
    record = recorder.Recorder(life, rank, context.get_world_size())
    options = {"num_workers": life.workers, "accumulate": life.accumulate}
    loader = recorder.plan().loader(Numbers(len(recorder.LABELS)), **options)
    if adapter:
        assert adapter_of_ray.prepare(loader).device == ray.train.torch.get_device()
        adapter_of_ray.load_position(loader, kept)
    elif kept:
        loader.load_state_dict(json.loads(Path(kept.path, "loader").read_text()))
    network = ray.train.torch.prepare_model(recorder.model())
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9)
    optimizer.register_step_post_hook(record.stepped)
    record.begin(done)

    def save(folder):
        if not adapter:
            Path(folder, "loader").write_text(json.dumps(loader.state_dict()))
        elif done % 2:
            adapter_of_ray.save_position(loader, folder)
        else:  # as with a loader that does not know what reached the loop
            adapter_of_ray.save_position(loader.sampler, folder, step=step)

    for epoch in loader.epochs(life.epochs):
        for batch in epoch:
            record.saw(batch)
            network(batch[:, None].float()).mean().backward()
            step = loader.progress().batches_done
            if step % life.accumulate:
                continue
            optimizer.step()
            done += 1
            yield save
            record.end_of_step()


def live(world, *lives, until=-1, start=None, adapters=(True,), kills=0, then=lambda: None, callbacks=()):
    """Run a life of each run up to an optimizer step; gives where the last checkpoint is."""
    runs = [(asdict(life), adapter) for life, adapter in zip(lives, adapters, strict=True)]
    first, folder = lives[0], Path(lives[0].folder)
    told = {"runs": runs, "until": until, "from": start, "kills": kills, "then": then}
    trainer = TorchTrainer(
        train,
        train_loop_config={**told, "checkpoint_every": first.checkpoint_every},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=world, use_gpu=False),
        run_config=RunConfig(
            name=str(first.number), storage_path=str(folder), failure_config=FailureConfig(max_failures=kills),
            callbacks=list(callbacks),
        ),
    )  # fmt: skip
    return trainer.fit().checkpoint.path


@pytest.fixture(scope="module")
def two_workers(cluster, tmp_path_factory):
    """The folder of what two workers did: each step of two runs, killed once in mid-epoch; then `reads`.

    One has the adapter. The other's checkpoints hold `loader.state_dict()`, and Ray's process group says which rank it is.
    """
    folder = tmp_path_factory.mktemp("two workers")
    lives = []
    for adapter in (True, False):
        (own := folder / str(adapter)).mkdir()
        lives.append(Life(str(own), epochs=2, workers=1, dies_after=7))
    live(2, *lives, adapters=(True, False), kills=1, then=reads, callbacks=[Kept(folder / "reports")])
    return folder


@pytest.mark.parametrize("adapter", [True, False])
def test_two_workers_killed_in_mid_epoch_are_started_again_and_go_on(two_workers, adapter):
    steps = recorder.check(two_workers / str(adapter))
    assert steps[0] == 7
    assert len(steps) == 2


@pytest.mark.long
def test_two_workers_survive_ten_kills(cluster, tmp_path):
    live(2, Life(str(tmp_path), epochs=6, workers=1, dies_after=7), kills=10)
    assert recorder.check(tmp_path)[:-1] == [7] * 10


def test_goes_on_from_the_end_of_an_epoch_in_another_world(cluster, tmp_path):
    """One worker for an epoch, two, one; other accumulation, other loader workers."""
    start = None
    for number, (world, accumulate, workers, until) in enumerate([(1, 1, 0, 25), (2, 3, 2, 30), (1, 1, 1, -1)]):
        life = Life(str(tmp_path), number, 3, accumulate, workers, checkpoint_every=5)
        start = live(world, life, until=until, start=start)
    assert len(recorder.check(tmp_path)) == 3


class Kept(ray.train.UserCallback):
    """Writes what workers report."""

    def __init__(self, file):
        self.file = file

    def after_report(self, run_context, metrics, checkpoint):
        with open(self.file, "a") as file:
            file.write(json.dumps(metrics) + "\n")


def reads():
    loader, told = recorder.plan().loader(range(99), num_workers=0), []
    composition = bw.Composition(loader.sampler, every=10)
    for _ in prepare(
        loader, composition=composition, log=lambda values, step: told.append((step, values["deviation"]))
    ):
        pass
    first = ray.train.get_context().get_world_rank() == 0
    steps = range(10, len(loader) + 1, 10) if first else []
    assert told == [(step, composition.measured(step - 10, step, epoch=0)["deviation"]) for step in steps]
    loader = recorder.plan().loader(range(99), num_workers=0)
    for _ in prepare(loader, composition=bw.Composition(loader.sampler, every=10)):
        pass


def test_the_composition_is_logged_by_one_worker_or_reported_by_all(two_workers):
    plan = recorder.plan()
    composition = bw.Composition(plan.sampler(rank=0, world_size=2), every=10)
    lists = plan.epoch_length(2) // 2
    expected = [{**composition.measured(step - 10, step, epoch=0), "step": step} for step in range(10, lists + 1, 10)]
    assert expected
    reported = [json.loads(line) for line in (two_workers / "reports").read_text().splitlines()]
    assert [metrics for metrics in reported if any(metrics)] == [[one, one] for one in expected]


def test_the_page_on_ray_data_runs(cluster):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "ray-data.md"
    for example in Sybil(parsers=[PythonCodeBlockParser()]).parse(page):
        example.evaluate()
