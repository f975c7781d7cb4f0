"""DDP on two processes that stops in mid-epoch, and goes on with three: every sample of the epoch is trained on once.

python examples/training/ddp_resume.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch.nn.parallel import DistributedDataParallel

import batchwright as bw


def train(rank: int, world_size: int, folder: str, stop_after: int | None) -> None:
    """One process: train until the end of the epoch, or stop after so many steps and save a checkpoint."""
    meeting = Path(folder) / f"meeting of {world_size}"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world_size)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    digits = load_digits()
    images, classes = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    dataset = torch.utils.data.TensorDataset(images, classes, torch.arange(len(classes)))
    loader = bw.shuffled(dataset, batch_size=16, seed=1).loader(dataset)  # it finds rank and world size
    model = torch.nn.Linear(64, 10)
    checkpoint = Path(folder) / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        loader.load_state_dict(saved["loader"])
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    trained: list[int] = []
    for epoch in loader.epochs(1):
        for step, (x, y, numbers) in enumerate(epoch, 1):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(parallel(x), y).backward()
            optimizer.step()
            trained += numbers.tolist()
            if step == stop_after:
                if rank == 0:
                    torch.save({"model": model.state_dict(), "loader": loader.state_dict()}, checkpoint)
                break
    torch.save(trained, Path(folder) / f"rank {rank} of {world_size}.pt")
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        counts = []
        for world_size, stop_after in ((2, 20), (3, None)):
            torch.multiprocessing.start_processes(
                train, (world_size, folder, stop_after), nprocs=world_size, start_method="fork"
            )
            ranks = [torch.load(Path(folder) / f"rank {rank} of {world_size}.pt") for rank in range(world_size)]
            counts.append(torch.bincount(torch.cat([torch.tensor(rank) for rank in ranks]), minlength=1797))
            print(f"{world_size} processes trained on {[len(rank) for rank in ranks]} samples")
        both = counts[0] + counts[1]
        extra = int(both.sum()) - 1797  # an epoch is rounded up to full batches of all ranks: the next one has begun
        print(
            f"all 1,797 samples came, {int((both > 1).sum())} of them again, in the {extra} places that round up the epoch"
        )
        assert both.min() == 1
        assert (both > 1).sum() <= extra


if __name__ == "__main__":
    main()
