"""A loop anyone would write, with torch's DataLoader."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

import batchwright as bw

from ...loader.datasets import Numbers
from ..recorder import LABELS, Life, Recorder, model, plan


def train(rank: int, world_size: int, life: Life) -> None:
    recorder = Recorder(life, rank, world_size)
    sampler = plan().sampler(accumulate=life.accumulate)
    loader = DataLoader(Numbers(len(LABELS)), batch_sampler=sampler, num_workers=life.workers)
    network = model() if world_size == 1 else DistributedDataParallel(model())
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9)
    optimizer.register_step_post_hook(recorder.stepped)
    done = 0
    checkpoint = Path(life.folder, "checkpoint.pt")
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        sampler.load_state_dict(saved["sampler"])
        done = saved["done"]
    bw.check_ranks(loader)
    recorder.begin(done)
    for epoch in range(sampler.epoch, life.epochs):
        for step, batch in enumerate(loader, sampler.batches_done + 1):
            recorder.saw(batch)
            network(batch[:, None].float()).mean().backward()
            if step % life.accumulate:
                continue
            optimizer.step()
            done += 1
            if done % life.checkpoint_every == 0 and rank == 0:
                saved = {"sampler": sampler.state_at(step, epoch=epoch), "done": done}
                torch.save(saved, f"{checkpoint}.new")
                os.replace(f"{checkpoint}.new", checkpoint)
            recorder.end_of_step()
