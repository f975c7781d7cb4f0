"""A loop with Hugging Face Accelerate."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from accelerate import Accelerator

from batchwright.adapters.accelerate import prepare

from ...loader.datasets import Numbers
from ..recorder import LABELS, Life, Recorder, model, plan


def train(rank: int, world_size: int, life: Life, *, adapter: bool = True) -> None:
    recorder = Recorder(life, rank, world_size)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=life.accumulate)
    loader = plan().loader(Numbers(len(LABELS)), num_workers=life.workers, accumulate=life.accumulate)
    if adapter:
        prepare(accelerator, loader)
    else:
        loader = accelerator.prepare(loader)
        accelerator.register_for_checkpointing(loader)
    network = model()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9)
    optimizer.register_step_post_hook(recorder.stepped)
    network, optimizer = accelerator.prepare(network, optimizer)
    done = 0
    latest = Path(life.folder, "latest.json")
    if latest.exists():
        done = json.loads(latest.read_text())
        accelerator.load_state(f"{life.folder}/{done}")
    recorder.begin(done)
    for epoch in loader.epochs(life.epochs):
        for batch in epoch:
            with accelerator.accumulate(network):
                recorder.saw(batch)
                accelerator.backward(network(batch[:, None].float()).mean())
                optimizer.step()
                optimizer.zero_grad()
            if not accelerator.sync_gradients:
                continue
            done += 1
            if done % life.checkpoint_every == 0:
                accelerator.save_state(f"{life.folder}/{done}")
                accelerator.wait_for_everyone()
                if rank == 0:
                    Path(f"{latest}.new").write_text(json.dumps(done))
                    os.replace(f"{latest}.new", latest)
            recorder.end_of_step()
