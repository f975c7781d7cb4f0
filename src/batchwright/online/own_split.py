"""Datasets of other libraries that split themselves over ranks and workers: WebDataset, MosaicML Streaming, LitData."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from .. import distributed
from ..errors import Infeasible, shortened
from .made_of import of_webdataset
from .replicas import Replica
from .sources import OneReader, PlainReader, Reader
from .worker_info import caller_as

__all__ = ["OwnSplit", "splits_itself"]

_LIBRARIES = {"streaming": "StreamingDataset", "litdata": "StreamingDataset", "webdataset": "DataPipeline"}


def splits_itself(value: Any) -> str | None:
    """The library of a dataset that splits itself over ranks and workers, if it is one."""
    for kind in type(value).__mro__:
        library = kind.__module__.partition(".")[0]
        if _LIBRARIES.get(library) == kind.__name__:
            return library
    return None


class OwnSplit:
    """Such a dataset. It is read as it is; what it would do wrong or in silence is refused."""

    def __init__(self, dataset: Iterable[Any], library: str, *, name: str) -> None:
        self.iterable = dataset
        self.name = shortened(name)
        self._library = library
        self._whole = OneReader(dataset, name=name)

    def arguments(self) -> dict[str, Any]:
        """How it is read."""
        return {"kind": "OwnSplit"}

    def contents(self) -> dict[str, Any] | None:
        """The files of a WebDataset; of the others nothing is known without their own loaders."""
        return self._contents

    @cached_property
    def _contents(self) -> dict[str, Any] | None:
        return of_webdataset(self.iterable) if self._library == "webdataset" else None

    def reader(self, replica: Replica, epoch: int) -> Reader:
        """The part that the dataset gives in this process."""
        if self._library == "webdataset":
            stages = {getattr(stage, "__name__", "") for stage in getattr(self.iterable, "pipeline", ())}
            if "split_by_worker" not in stages and replica.world_size == 1:
                return self._whole.reader(replica, epoch)  # every worker would read all of it
        if replica.world_size > 1 and (replica.rank, replica.world_size) != _known_ranks():
            raise Infeasible(
                f"source {self.name!r} splits itself and finds rank {_known_ranks()[0]} of {_known_ranks()[1]}, and the "
                f"stream has rank {replica.rank} of {replica.world_size}",
                "start the ranks with torchrun, or initialise torch.distributed, so that both find the same",
            )
        # Their `state_dict` takes arguments that only their own loaders know, so they are read again up to the position.
        return PlainReader(self.iterable, self.name, call=caller_as(replica), skips=replica.skips, stateful=False)


def _known_ranks() -> tuple[int, int]:
    """The rank and world size as these libraries find them."""
    if distributed.has_process_group():
        return distributed.ranks()
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
