"""A loop anyone would write, on a plan's loader."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from ...loader.datasets import Numbers
from ..recorder import LABELS, Life, Recorder, model, plan


def train(rank: int, world_size: int, life: Life) -> None:
    recorder = Recorder(life, rank, world_size)
    loader = plan().loader(Numbers(len(LABELS)), num_workers=life.workers, accumulate=life.accumulate)
    network = model() if world_size == 1 else DistributedDataParallel(model())
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9)
    optimizer.register_step_post_hook(recorder.stepped)
    done = 0
    checkpoint = Path(life.folder, "checkpoint.pt")
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        loader.load_state_dict(saved["loader"])
        done = saved["done"]
    recorder.begin(done)
    for epoch in loader.epochs(life.epochs):
        for batch in epoch:
            recorder.saw(batch)
            network(batch[:, None].float()).mean().backward()
            if loader.progress().batches_done % life.accumulate:
                continue
            optimizer.step()
            done += 1
            if done % life.checkpoint_every == 0 and rank == 0:
                torch.save({"loader": loader.state_dict(), "done": done}, f"{checkpoint}.new")
                os.replace(f"{checkpoint}.new", checkpoint)
            recorder.end_of_step()
