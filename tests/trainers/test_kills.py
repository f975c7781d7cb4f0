"""SIGKILL at random moments: after each restart the optimizer sees what it would have seen."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from .. import processes
from . import programs, recorder
from .recorder import Life

TRAINERS = ["loader", "plain", "stateful", "accelerate", "transformers", "lightning", "ignite"]
KILLS = 10  # for each trainer and world size, 140 in all
MOST_STEPS = 15
FOR_EVER = 10**6  # epochs


def survive(trainer, world, kills, folder, plan=None):
    """Kill a run `kills` times, then let it end; a life is killed some steps after it began, wherever it is in one.

    The lives that are killed would go on without end: however late the kill comes, there is a process to kill.
    """
    moments = random.Random(f"{trainer} {world} {kills}")
    life = Life(str(folder), epochs=FOR_EVER, workers=2, checkpoint_every=2)
    for number in range(kills):
        gang = processes.Gang(programs.train, world, trainer, replace(life, number=number))
        try:
            reach = written(folder) + moments.randint(1, MOST_STEPS)
            while written(folder) < reach:
                assert gang.alive, gang.results()  # which says what went wrong
                time.sleep(0.001)
            time.sleep(moments.random() * 0.02)
        finally:
            gang.kill()  # also where the test is interrupted: it would not end by itself
    reached = max(header["from"] + len(steps) for header, steps in recorder.lives(folder, 0).values())
    ends = reached * world // (plan or recorder.plan()).epoch_length() + 2
    processes.run(programs.train, world, trainer, replace(life, number=kills, epochs=ends))


def written(folder):
    """Lines that rank 0 has written in all its lives."""
    file = Path(folder, "rank0.jsonl")
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("trainer", TRAINERS)
def test_survives_kills(trainer, world, tmp_path):
    survive(trainer, world, KILLS, tmp_path)
    assert len(recorder.check(tmp_path)) == KILLS + 1


@pytest.mark.long
@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("trainer", TRAINERS)
def test_survives_thirty_kills(trainer, world, tmp_path):
    survive(trainer, world, 30, tmp_path)
    assert len(recorder.check(tmp_path)) == 31
