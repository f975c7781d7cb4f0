"""Ignite's Engine."""

from __future__ import annotations

from pathlib import Path

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver
from torch.nn.parallel import DistributedDataParallel

from batchwright.adapters.ignite import PlanProgress

from ...loader.datasets import Numbers
from ..recorder import LABELS, Life, Recorder, model, plan


class Steps:
    """Optimizer steps done, as a user would keep them."""

    def __init__(self) -> None:
        self.done = 0

    def state_dict(self):
        return {"done": self.done}

    def load_state_dict(self, state):
        self.done = state["done"]


def train(rank: int, world_size: int, life: Life, *, progress: bool = True) -> None:
    recorder = Recorder(life, rank, world_size)
    loader = plan().loader(Numbers(len(LABELS)), num_workers=life.workers, accumulate=life.accumulate)
    network = model() if world_size == 1 else DistributedDataParallel(model())
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9)
    optimizer.register_step_post_hook(recorder.stepped)
    steps = Steps()

    def update(engine, batch):
        recorder.saw(batch)
        network(batch[:, None].float()).mean().backward()
        if engine.state.iteration % life.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
            steps.done += 1

    trainer = Engine(update)
    saved = {"trainer": trainer, "plan": PlanProgress(trainer, loader) if progress else loader, "steps": steps}
    handler = Checkpoint(
        saved,
        DiskSaver(life.folder, require_empty=False, atomic=True),
        n_saved=None,
        global_step_transform=lambda *_: steps.done,
    )

    @trainer.on(Events.ITERATION_COMPLETED(every=life.accumulate))
    def keep(engine):
        if steps.done % life.checkpoint_every == 0 and rank == 0:
            handler(engine)
        recorder.end_of_step()

    checkpoints = sorted(Path(life.folder).glob("*.pt"), key=lambda path: int(path.stem.split("_")[-1]))
    if checkpoints:
        Checkpoint.load_objects(saved, torch.load(checkpoints[-1]))
    recorder.begin(steps.done)
    trainer.run(loader, max_epochs=life.epochs)
