"""Real processes joined by gloo, started once, that run one function on all or some ranks."""

from __future__ import annotations

import pickle
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.multiprocessing as multiprocessing

WORLD_SIZES = (1, 2, 4)


class Ranks:
    """Four spawned processes; the first `world` of them run `function(rank, process_group, *arguments)`."""

    def __init__(self, store: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes: list[Connection] = []
        self.processes = []
        for rank in range(max(WORLD_SIZES)):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(rank, str(store), there), daemon=True)
            process.start()
            there.close()
            self.pipes.append(here)
            self.processes.append(process)

    def run(self, function: Callable[..., Any], *arguments: Any, world: int) -> list[Any]:
        for pipe in self.pipes[:world]:
            pipe.send_bytes(pickle.dumps((function, arguments, world)))
        answers = [pickle.loads(pipe.recv_bytes()) for pipe in self.pipes[:world]]
        for rank, (error, _) in enumerate(answers):
            assert error is None, f"rank {rank} of {world}:\n{error}"
        return [value for _, value in answers]

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.send_bytes(pickle.dumps(None))
        for process in self.processes:
            process.join()


def _serve(rank: int, store: str, pipe: Connection) -> None:
    warnings.simplefilter("error")
    world_size = max(WORLD_SIZES)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    groups = {world: dist.new_group(list(range(world))) for world in WORLD_SIZES}
    while (task := pickle.loads(pipe.recv_bytes())) is not None:
        function, arguments, world = task
        try:
            answer = (None, function(rank, groups[world], *arguments))
        except Exception:
            answer = (traceback.format_exc(), None)
        pipe.send_bytes(pickle.dumps(answer))
    dist.destroy_process_group()
