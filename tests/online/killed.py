"""Runs of streams in real processes with real workers, which are killed in mid-read and go on from the last states."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import time
import warnings
from itertools import chain
from pathlib import Path
from typing import Any

from .. import processes
from .elsewhere import SOURCES, STREAMS, check

MOST_SECONDS = 120  # for anything that is waited for


def unchanged(batch: Any) -> Any:
    return batch


def read(rank: int, world_size: int, kind: str, source: str, workers: int, states: Any, folder: str, seed: int) -> None:
    """Read on from these states, and write what was given, every few batches, with the state after it."""
    warnings.simplefilter("ignore")
    chance = random.Random(f"{seed} {rank}")
    loader = STREAMS[kind](SOURCES[source]()).loader(num_workers=workers, collate=unchanged)
    if states:
        loader.load_state_dict(states)
    given: list[Any] = []
    with open(Path(folder, f"{rank}.jsonl"), "w") as lines:

        def write(**more: Any) -> None:
            lines.write(json.dumps({"given": given, **more}) + "\n")
            lines.flush()
            given.clear()

        # By epochs: a kill may come right after the last batch, and a plain loop would go on with the next epoch there.
        for number, batch in enumerate(chain.from_iterable(loader.epochs(1))):
            given.append([list(batch), list(batch.repeats)])
            if number == 0 or chance.random() < 0.3:
                children = [child.pid for child in multiprocessing.active_children()]
                write(state=loader.state_dict(), workers=children)
            time.sleep(0.001)  # a step of training, while workers read ahead
        write(ended=True)


def lines_of(folder: Path, world_size: int) -> list[list[dict[str, Any]]]:
    """What each rank has written; of a line that is not whole yet, nothing."""
    found = []
    for rank in range(world_size):
        file = folder / f"{rank}.jsonl"
        text = file.read_text() if file.exists() else ""
        found.append([json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")])
    return found


def killed(gang: processes.Gang, folder: Path, world_size: int, chance: random.Random) -> bool:
    """Kill the processes, or one worker, once all ranks have states and some more was read; False if all came to the end."""
    more, until = chance.randint(0, 4), time.monotonic() + MOST_SECONDS
    while True:
        alive = gang.alive  # before what was written is read: an end that comes between is in it
        written = lines_of(folder, world_size)
        if all(lines and lines[-1].get("ended") for lines in written):
            return False
        if any(lines and "state" not in lines[0] for lines in written):
            time.sleep(0.01)  # nothing was left for a rank: it has no state, so the others are to come to the end too
        elif all(written) and sum(map(len, written)) >= world_size + more:
            break
        assert alive or any(lines and lines[-1].get("ended") for lines in written), gang.results()
        assert time.monotonic() < until
        time.sleep(0.001)
    workers = [pid for lines in written if not lines[-1].get("ended") for pid in lines[-1]["workers"]]
    if workers and chance.random() < 0.5:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(workers), signal.SIGKILL)
        while gang.alive:  # torch finds out, and that rank ends
            assert time.monotonic() < until
            time.sleep(0.001)
    return True


def wander_through_kills(kind: str, source: str, seed: int, changes: int, folder: Path) -> int:
    """A run through random ranks and workers, each time others than before and killed; the last reads to the end.

    Returns:
        How many were killed, which is how often ranks or workers changed.
    """
    chance = random.Random(f"{kind} {source} {seed}")
    states: list[Any] = []
    given: list[Any] = []
    kills = 0
    world_size, workers = -1, -1
    while True:
        others = [(ranks, each) for ranks in (1, 2, 3) for each in (0, 1, 2) if (ranks, each) != (world_size, workers)]
        world_size, workers = chance.choice(others)  # so that each kill is followed by a change
        life = folder / f"{seed}-{kills}"
        life.mkdir()
        gang = processes.Gang(read, world_size, kind, source, workers, states, str(life), seed)
        try:
            ended = kills == changes or not killed(gang, life, world_size, chance)
            if ended:
                gang.results(MOST_SECONDS)
        finally:
            gang.kill()
        written = lines_of(life, world_size)
        counted = written if ended else [[line for line in lines if "state" in line] for lines in written]
        given += [Given(*batch) for lines in counted for line in lines for batch in line["given"]]
        check(kind, given, [], ended)
        if ended:
            return kills
        states = [lines[-1]["state"] for lines in counted]
        chance.shuffle(states)
        kills += 1


class Given(list[Any]):
    """A batch as it was written."""

    def __init__(self, samples: list[Any], repeats: list[int]) -> None:
        super().__init__(map(tuple, samples))
        self.repeats = repeats
