"""Batches that trainers take, and what ranks do with them together."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import batchwright as bw

COLLATE = bw.Collate(
    input_ids=bw.ragged(pad=0, also={"attention_mask": "mask"}),
    labels=bw.ragged(pad=-100),
    split=bw.aside(),
)
NUMBERED = bw.Collate({**COLLATE.fields, "sample_id": bw.aside()})
"""For samples that hold their ids."""

LENGTHS = [5, 3, 6, 2, 4, 4, 7, 3]
ROWS = [
    {
        "input_ids": torch.arange(n) + number,
        "labels": torch.arange(n) + number,
        "weight": torch.tensor(n / 8),
        "split": "train" if number % 2 else "test",
    }
    for number, n in enumerate(LENGTHS)
]


def made(first: int = 0, count: int = 4) -> bw.Batch:
    """Some samples, with their ids."""
    dataset = bw.identified(ROWS)
    return COLLATE([dataset[number] for number in range(first, first + count)])


def dataset() -> Any:
    """The samples as a data set of Hugging Face, with their ids as a column."""
    from datasets import Dataset

    numbers = {"weight", "input_ids", "labels"}
    rows = [{name: value.tolist() if name in numbers else value for name, value in row.items()} for row in ROWS]
    return Dataset.from_list([row | {"sample_id": number} for number, row in enumerate(rows)])


def keeps(batch: Any) -> None:
    """The batch is one still, with the ids of its samples, their splits and the samples themselves."""
    assert type(batch) is bw.Batch, type(batch)
    ids = batch.aside.sample_ids.tolist()
    assert len(ids) == batch.sample_count > 0
    assert batch.aside.columns["split"] == [ROWS[number]["split"] for number in ids]
    for number, sample in zip(ids, batch.unbatch(), strict=True):
        assert sample["input_ids"].equal(ROWS[number]["input_ids"])
        assert sample["labels"].equal(ROWS[number]["labels"])


class Network(nn.Module):
    """A model that takes a batch whole, and notes what came."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(31, 4)
        self.layer = nn.Linear(4, 1)
        self.came: Any = None

    def forward(self, batch: bw.Batch) -> torch.Tensor:
        self.came = batch
        return (self.layer(self.table(batch.input_ids))[..., 0] * batch.attention_mask).sum(1) * batch.weight


def distributed(rank: int, world_size: int) -> dict[str, Any]:
    """Gather batches of both ranks, share one out, and train with DDP on a batch as argument and as keywords."""
    from accelerate import Accelerator
    from accelerate.utils import gather, pad_across_processes
    from torch.nn.parallel import DistributedDataParallel

    Accelerator(cpu=True)
    batch = made(4 * rank)
    padded = pad_across_processes(batch, dim=1)
    keeps(padded)  # as many rows, some of them longer
    padded["attention_mask"] = padded["attention_mask"].long()  # Accelerate's padding makes int64 of the shorter rank's
    gathered = gather(padded)
    whole = Network()
    trained = DistributedDataParallel(Network())
    losses = [bool(trained(one).equal(whole(one))) for one in (batch, padded)]
    keeps(trained.module.came)
    trained(batch=batch).sum().backward()
    sum(whole(made(4 * other)).sum() for other in range(world_size)).div(world_size).backward()
    gradients = zip(trained.module.parameters(), whole.parameters(), strict=True)
    return {
        "gathered": len(gathered["input_ids"]),
        "rows": [len(padded["input_ids"]), len(padded.unbatch())],
        "losses": losses,
        "gradients": all(torch.allclose(mine.grad, wanted.grad) for mine, wanted in gradients),
    }


def sharded(rank: int, world_size: int) -> bool:
    """Whether FSDP trains a model that takes batches as one process would."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    network, whole = Network(), Network()
    fully_shard(network, mesh=init_device_mesh("cpu", (world_size,)))
    network(batch=made(4 * rank)).sum().backward()
    keeps(network.came)
    sum(whole(made(4 * other)).sum() for other in range(world_size)).div(world_size).backward()
    gradients = zip(network.parameters(), whole.parameters(), strict=True)
    return all(torch.allclose(mine.grad.full_tensor(), wanted.grad) for mine, wanted in gradients)
