"""What a user may pass as a source, taken by what it can do."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch.utils.data

from ..errors import Infeasible
from .replicas import Replica
from .shards import Chain
from .sources import Indexed, OneReader, PlainReader, Reader, Source

__all__ = ["as_source"]


def as_source(value: Any, *, name: str) -> Source:
    """`value` as a source: one of this package's own, a stream, a sequence, a dataset of torch or Hugging Face, an iterable.

    Raises:
        Infeasible: it cannot be iterated.
    """
    if isinstance(value, Source):
        return value
    if hasattr(value, "shard") and hasattr(value, "num_shards") and hasattr(value, "state_dict"):
        return _HuggingFace(value, name=name)
    if isinstance(value, torch.utils.data.ChainDataset):
        return Chain(value.datasets, name=name)
    if isinstance(value, torch.utils.data.IterableDataset):  # it has a __getitem__, of its base class, that raises
        return OneReader(value, name=name)
    if isinstance(value, Mapping):
        raise Infeasible(
            f"source {name!r} is a {type(value).__name__} with {len(value)} entries",
            "pass one of its values, or list(source.values())",
        )
    if isinstance(value, Sequence) or (
        hasattr(value, "__getitem__") and hasattr(value, "__len__") and not isinstance(value, Iterator)
    ):
        return Indexed(value, name=name)
    if isinstance(value, Iterable):
        return OneReader(value, name=name)
    raise Infeasible(
        f"source {name!r} is a {type(value).__name__}, which cannot be iterated",
        "pass an iterable dataset, a sequence, or online.Shards(shards, read)",
    )


class _HuggingFace:
    """A Hugging Face IterableDataset: it splits itself over the workers, and is told to over the ranks."""

    def __init__(self, dataset: Any, *, name: str) -> None:
        self.dataset = dataset
        self.name = name

    def reader(self, replica: Replica, epoch: int) -> Reader:
        dataset = self.dataset
        if replica.world_size > 1 and getattr(dataset, "_distributed", None) is not None:
            raise Infeasible(
                f"source {self.name!r} was split over nodes already, and {replica.world_size} ranks would split it again",
                "pass the dataset as it was before split_dataset_by_node, or rank=0 and world_size=1 to the stream",
            )
        if replica.world_size > 1:
            from datasets.distributed import split_dataset_by_node

            dataset = split_dataset_by_node(dataset, rank=replica.rank, world_size=replica.world_size)
        else:
            dataset = copy.copy(dataset)  # its position belongs to one reading
        if replica.all_read and dataset.num_shards < replica.workers:
            raise Infeasible(
                f"source {self.name!r} has {dataset.num_shards} shards here and each of {replica.workers} workers needs one",
                f"pass num_workers={dataset.num_shards} to the loader, or make the dataset with more shards",
            )
        dataset.set_epoch(epoch)
        return PlainReader(dataset, self.name)
