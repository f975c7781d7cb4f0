"""Small plans, samplers, batches and files, from which the calls of the sweep are made."""

from __future__ import annotations

import io
import itertools
import tarfile
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pyarrow
import pyarrow.parquet
import torch

import batchwright as bw
from batchwright.correct import Means
from batchwright.targets import Active, Filler, Fixed

LABELS = ["a"] * 6 + ["b"] * 4
LENGTHS = [3, 5, 2, 8, 1, 4]
SAMPLES = [{"x": torch.ones(2)}, {"x": torch.ones(3)}]
LINES = [Fixed("a", 4), Active("b", 3, target_strength=0.5, strength=0.25), Filler("c", 8)]


class Call(NamedTuple):
    """A public function, and by name the arguments that it needs."""

    function: Callable[..., Any]
    arguments: dict[str, Any]


def call(function: Callable[..., Any], **arguments: Any) -> Call:
    return Call(function, arguments)


@cache
def plan() -> Any:
    return bw.balanced(LABELS, 2)


def moving() -> Any:
    return bw.balanced(LABELS, 2, target=bw.targets.moving("uniform", floor=0.1))


def by_length() -> Any:
    return bw.budgeted(LENGTHS, 9)


def packs() -> Any:
    return bw.packed([3, 5], 4, too_long="split")


def tasks() -> Any:
    return bw.alternating({"t": plan()})


def buckets() -> Any:
    return bw.bucketed([(height, 4) for height in LENGTHS], 2)


def hybrid() -> Any:
    return bw.hybrid(LENGTHS, ranks=2, tokens_per_rank=9)


def evaluation() -> Any:
    return bw.evaluation(5, 2)


def sampler(given_out: bool = False) -> Any:
    made = plan().sampler(rank=0, world_size=1)
    if given_out:
        list(made)
    return made


def loader() -> Any:
    return plan().loader(range(10), num_workers=0)


def batch() -> Any:
    return bw.Collate(x=bw.ragged())(SAMPLES)


def ragged() -> Any:
    return bw.Ragged.from_list([torch.ones(2), torch.ones(3)])


def groups() -> Any:
    return bw.Groups.from_labels(LABELS)


def layout() -> Any:
    return bw.Layout([1, 2])


def split() -> Any:
    return bw.split(LABELS, {"train": 0.5, "test": 0.5})


def norm() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.BatchNorm1d(1))


def stream() -> Any:
    return bw.online.balanced(range(9), key=bool, batch_size=2)


def read_stream() -> Any:
    made = bw.online.balanced([0, 1] * 5, key=bool, batch_size=2)
    list(made)
    return made


def feedback() -> Any:
    return bw.feedback.Feedback(moving().sampler(), bw.feedback.by_signal())


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp())


@cache
def table() -> Path:
    path = folder() / "animals.csv"
    path.write_text("kind\ncat\ndog\n")
    return path


@cache
def index() -> Any:
    return bw.index(table(), label="kind", path=folder() / "known.index")


@cache
def data_file(name: str) -> Path:
    """A file of three rows, of the kind that its name tells."""
    path, rows = folder() / name, pyarrow.table({"id": [0, 1, 2]})
    if path.suffix == ".arrow":
        with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, rows.schema) as writer:
            writer.write_table(rows)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(rows, path)
    elif path.suffix == ".jsonl":
        path.write_text('{"id": 0}\n{"id": 1}\n')
    else:
        with tarfile.open(path, "w") as tar:
            for number in range(3):
                member = tarfile.TarInfo(f"{number}.cls")
                member.size = 1
                tar.addfile(member, io.BytesIO(b"1"))
    return path


def hugging_face() -> Any:
    return datasets.Dataset.from_dict({"id": [0, 1, 2]})


NUMBER = itertools.count()


def new_path() -> Path:
    return folder() / f"{next(NUMBER)}.index"


def scores() -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.zeros(2, 1), torch.tensor([0, 1]))] * 2


def evaluated() -> Call:
    model = torch.nn.Linear(1, 2)
    return call(bw.correct.evaluate, model=model, loader=scores(), plan=plan())


def averaged() -> Means:
    means = Means(evaluation().sampler())
    means.add(0, loss=torch.zeros(2))
    return means


def two() -> list[torch.Tensor]:
    return [torch.zeros(2, 1)]


def made_as(attribute: str, of: Callable[[], Any], **arguments: Any) -> Callable[[], Call]:
    """The method of this name of an object that is made for each call."""
    return lambda: call(getattr(of(), attribute), **arguments)
