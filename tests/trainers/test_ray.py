"""Ray Train on a local cluster of two workers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from . import recorder

pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray's own, on every import

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


def train(settings):
    """What a worker runs; it kills itself once if it is to, and Ray starts all workers again."""
    import ray.train
    from torch.utils.data import DataLoader

    from batchwright.adapters.ray import load_position, prepare, save_position

    context = ray.train.get_context()
    kept = ray.train.get_checkpoint() or (settings["from"] and ray.train.Checkpoint(settings["from"]))
    number = 2 if settings["from"] else 1 if kept else 0
    life = recorder.Life(settings["folder"], number, epochs=2, dies_after=0 if kept else 7)
    record = recorder.Recorder(life, context.get_world_rank(), context.get_world_size())
    sampler = recorder.plan().sampler()
    load_position(sampler, kept or None)
    loader = prepare(DataLoader(range(len(recorder.LABELS)), batch_sampler=sampler, num_workers=settings["workers"]))
    done = int(Path(kept.path, "done").read_text()) if kept else 0
    record.begin(done)
    for _ in range(sampler.epoch, life.epochs):
        for step, batch in enumerate(loader, sampler.step + 1):
            record.saw(batch)
            record.stepped()
            done += 1
            if done % life.checkpoint_every == 0:
                with tempfile.TemporaryDirectory() as folder:
                    save_position(sampler, folder, step=step)
                    Path(folder, "done").write_text(str(done))
                    ray.train.report({}, checkpoint=ray.train.Checkpoint(folder))
            record.end_of_step()
            if done == settings["until"]:
                return


def run(folder, world, *, workers=0, until=-1, start=None):
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    trainer = TorchTrainer(
        train,
        train_loop_config={"folder": str(folder), "workers": workers, "until": until, "from": start},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=world, use_gpu=False),
        run_config=RunConfig(
            name=f"{world}-{until}", storage_path=str(folder), failure_config=FailureConfig(max_failures=1)
        ),
    )
    return trainer.fit().checkpoint


def test_two_workers_share_the_plan_and_checkpoints_keep_the_place(cluster, tmp_path):
    """Two workers, both killed after seven steps and started again by Ray; then one goes on from where they came."""
    checkpoint = run(tmp_path, 2, workers=1, until=18)
    run(tmp_path, 1, start=checkpoint.path)
    steps = recorder.check(tmp_path)
    assert steps[0] == 7
    assert steps[1] in (12, 15, 18)  # Ray may not have committed the last checkpoint before the kill, or any
    assert len(steps) == 3
