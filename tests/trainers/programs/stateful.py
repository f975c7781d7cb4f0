"""The same loop with torchdata's StatefulDataLoader."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel
from torchdata.stateful_dataloader import StatefulDataLoader

from batchwright.adapters.torchdata import sampler_state

from ...loader.datasets import Numbers
from ..recorder import LABELS, Life, Recorder, model, plan


def train(rank: int, world_size: int, life: Life) -> None:
    recorder = Recorder(life, rank, world_size)
    sampler = plan().sampler(accumulate=life.accumulate)
    loader = StatefulDataLoader(Numbers(len(LABELS)), batch_sampler=sampler, num_workers=life.workers)
    network = model() if world_size == 1 else DistributedDataParallel(model())
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9)
    optimizer.register_step_post_hook(recorder.stepped)
    done = begun = 0
    checkpoint = Path(life.folder, "checkpoint.pt")
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        begun, done = saved["epoch"], saved["done"]
        if saved["workers"] == life.workers:
            loader.load_state_dict(saved["loader"])  # of an epoch whose last batch had come: nothing, and then the next
        else:
            sampler.load_state_dict(sampler_state(saved["loader"]))
            begun = sampler.epoch
    recorder.begin(done)
    step = 0
    for epoch in range(begun, life.epochs):
        for batch in loader:
            recorder.saw(batch)
            network(batch[:, None].float()).mean().backward()
            step += 1
            if step % life.accumulate:
                continue
            optimizer.step()
            done += 1
            if done % life.checkpoint_every == 0:
                saved = {"loader": loader.state_dict(), "done": done, "workers": life.workers, "epoch": epoch}
                if rank == 0:
                    torch.save(saved, f"{checkpoint}.new")
                    os.replace(f"{checkpoint}.new", checkpoint)
            recorder.end_of_step()
