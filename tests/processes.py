"""Real processes for tests: a gang of ranks joined by gloo, that can be asked, waited for, or killed.

They are forked from a server that imports what is heavy once, so that a gang starts in a fraction of a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch.distributed", "torch.utils.data", "batchwright.sampler", "batchwright.plans"])


class Gang:
    """Processes that run `program(rank, world_size, *arguments)`; from two on in one process group."""

    def __init__(self, program: Callable[..., Any], world_size: int, *arguments: Any) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(world_size):
            ours, theirs = _CONTEXT.Pipe(duplex=False)
            process = _CONTEXT.Process(
                target=_run, args=(theirs, self._folder.name, program, rank, world_size, arguments)
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def results(self, timeout_seconds: float = 120) -> list[Any]:
        """What each rank's program returned; an error if any of them failed."""
        try:
            return [self._result(rank, timeout_seconds) for rank in range(len(self._processes))]
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, to all of them at once."""
        for process in self._processes:
            if process.is_alive():
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            process.join()
        self._folder.cleanup()

    @property
    def alive(self) -> bool:
        return any(process.is_alive() for process in self._processes)

    def _result(self, rank: int, timeout_seconds: float) -> Any:
        if not self._pipes[rank].poll(timeout_seconds):
            raise TimeoutError(f"rank {rank} said nothing for {timeout_seconds} s")
        try:
            value, error = self._pipes[rank].recv()
        except EOFError as end:
            raise RuntimeError(f"rank {rank} ended without a word") from end
        if error:
            raise RuntimeError(f"rank {rank} failed:\n{error}")
        return value


def run(program: Callable[..., Any], world_size: int, *arguments: Any, timeout_seconds: float = 120) -> list[Any]:
    """What `program(rank, world_size, *arguments)` returned on every rank."""
    return Gang(program, world_size, *arguments).results(timeout_seconds)


def _run(
    pipe: Connection, folder: str, program: Callable[..., Any], rank: int, world_size: int, arguments: tuple[Any, ...]
) -> None:
    os.setpgid(0, 0)  # so that a kill takes a loader's workers too
    import torch

    torch.set_num_threads(1)
    if world_size > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size
        )
    try:
        pipe.send((program(rank, world_size, *arguments), ""))
    except Exception:
        pipe.send((None, traceback.format_exc()))
    finally:
        if world_size > 1:
            torch.distributed.destroy_process_group()
