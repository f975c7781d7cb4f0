"""What really reached the optimizer, written down so that a SIGKILL cannot lose it, and held against the plan."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import batchwright as bw

BATCH_SIZE = 4
LABELS = np.repeat([0, 1, 2], [70, 20, 9])  # 25 micro-batches an epoch


def plan() -> Any:
    return bw.balanced(LABELS, BATCH_SIZE, target="sqrt", seed=11)


@dataclass(frozen=True)
class Life:
    """How a trainer is to run, from its last checkpoint on, until it has done `epochs` or is killed.

    Attributes:
        folder: where its checkpoints and records are; the same for all lives of a run.
        number: which life of the run this is.
        epochs: how many.
        accumulate: micro-batches a rank runs for one optimizer step.
        workers: of the loader.
        checkpoint_every: optimizer steps between checkpoints.
        dies_after: optimizer steps of this life after which it kills itself; never if 0.
    """

    folder: str
    number: int = 0
    epochs: int = 3
    accumulate: int = 1
    workers: int = 0
    checkpoint_every: int = 3
    dies_after: int = 0


class Recorder:
    """Writes a line for every optimizer step, in one system call each; before them one for the life that begins."""

    def __init__(self, life: Life, rank: int, world_size: int) -> None:
        self._life = life
        self._file = os.open(Path(life.folder, f"rank{rank}.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._pending: list[list[int]] = []
        self._header = {**asdict(life), "world": world_size}
        self._steps = 0

    def begin(self, optimizer_steps: int) -> None:
        """A life goes on after that many optimizer steps of the whole run."""
        self._write({**self._header, "from": optimizer_steps})

    def saw(self, batch: torch.Tensor) -> None:
        """A micro-batch went through the model."""
        self._pending.append(batch.flatten().long().tolist())

    def stepped(self, *_: Any) -> None:
        """The optimizer has stepped; an optimizer's post hook."""
        self._write({"step": self._pending})
        self._pending = []
        self._steps += 1

    def end_of_step(self) -> None:
        """The trainer is done with the step, its checkpoint included."""
        if self._steps == self._life.dies_after > 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._file, (json.dumps(line) + "\n").encode())


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(1, 1)


def lives(folder: str | Path, rank: int) -> dict[int, tuple[dict[str, Any], list[list[list[int]]]]]:
    """The lives of a rank by number: how each began, and its optimizer steps, each a list of micro-batches."""
    found: dict[int, tuple[dict[str, Any], list[list[list[int]]]]] = {}
    number = -1
    file = Path(folder, f"rank{rank}.jsonl")
    for line in file.read_text().splitlines() if file.exists() else ():
        entry = json.loads(line)
        if "step" in entry:
            found[number][1].append(entry["step"])
        else:
            number = entry["number"]
            found[number] = (entry, [])
    return found


def check(folder: str | Path, whole: Any = None) -> list[int]:
    """Hold every life of every rank against the plan `whole`; gives the steps each life of rank 0 did.

    The plan's micro-batches come in order, whatever the worlds: a life that begins after k optimizer steps of the run begins
    where the lives before it, each up to the checkpoint that was gone on from, had come. The last life must end the run.
    """
    first, from_step, per_step = 0, 0, 0
    ranks = [lives(folder, rank) for rank in range(8)]
    whole = whole or plan()
    for number, (header, _) in ranks[0].items():
        world, accumulate = header["world"], header["accumulate"]
        first += (header["from"] - from_step) * per_step
        from_step, per_step = header["from"], world * accumulate
        for rank in range(world):
            own_header, own_steps = ranks[rank].get(number, (header, []))  # killed before it began
            assert own_header == header
            for step, micro_batches in enumerate(own_steps):
                begun = first + step * per_step + rank
                expected = [whole[begun + i * world].tolist() for i in range(accumulate)]
                assert micro_batches == expected, f"life {number} rank {rank} step {step}"
    last = max(ranks[0])
    steps = {len(ranks[rank][last][1]) for rank in range(world)}
    assert len(steps) == 1
    assert first + steps.pop() * per_step >= header["epochs"] * whole.epoch_length()
    return [len(steps) for _, steps in ranks[0].values()]
