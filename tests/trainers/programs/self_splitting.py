"""Streams over data sets of MosaicML Streaming and of LitData: every process and worker reads its own part."""

from __future__ import annotations

import importlib
import os
import sys
import types
import warnings
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader

from batchwright import online

COUNT = 240

# Imported now: while the stand-ins below are there, it would believe that torchvision is installed, and ask it for more.
importlib.import_module("transformers.feature_extraction_utils")


def _streaming() -> Any:
    """The package. On import it takes two names from torchvision for data sets of images, which are not used here."""
    names = ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional")
    stand_ins = {name: types.ModuleType(name) for name in names}
    vars(stand_ins["torchvision.datasets"])["VisionDataset"] = object
    vars(stand_ins["torchvision.transforms.functional"])["to_tensor"] = None
    sys.modules.update(stand_ins)
    try:
        import streaming
    finally:
        for name in names:
            del sys.modules[name]
    return streaming


def write(folder: str) -> None:
    """The same samples in the formats of both."""
    from litdata.streaming.writer import BinaryWriter

    with _streaming().MDSWriter(out=f"{folder}/mds", columns={"id": "int", "text": "str"}, size_limit=1500) as file:
        for number in range(COUNT):
            file.write({"id": number, "text": "x" * 20})
    writer = BinaryWriter(f"{folder}/litdata", chunk_size=20)
    for number in range(COUNT):
        writer[number] = {"id": number, "text": "x" * 20}
    writer.done()
    writer.merge()


def source(kind: str, folder: str) -> Any:
    """The data set, made as its own documentation does."""
    if kind == "mds":
        return _streaming().StreamingDataset(local=f"{folder}/mds", shuffle=True, batch_size=5)
    from litdata import StreamingDataset

    return StreamingDataset(f"{folder}/litdata", shuffle=True)


def _one(sample: Any) -> int:
    return 1


def ids(batch: Any) -> list[int]:
    """The numbers of the samples."""
    return [sample["id"] for sample in batch]


def stream(kind: str, folder: str) -> online.Stream:
    """Packs of it, through the data set as it is."""
    return online.packed(source(kind, folder), length=_one, capacity=5, buffer=20)


def read(rank: int, world_size: int, folder: str) -> dict[tuple[str, int], list[list[int]]]:
    """The batches of this process, with no worker and with two; then those of a run that was stopped and went on."""
    warnings.simplefilter("ignore")
    os.environ.update(LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(world_size))  # as torchrun does; MosaicML reads them
    found = {}
    for kind in ("mds", "litdata"):
        for workers in (0, 2):
            loader = DataLoader(stream(kind, folder), batch_size=None, num_workers=workers, collate_fn=ids)
            found[kind, workers] = list(loader)
        first, again = stream(kind, folder), stream(kind, folder)
        head = list(map(ids, islice(first, 7)))
        again.load_state_dict(first.state_dict())
        found[kind, -1] = head + list(map(ids, again))
    return found
