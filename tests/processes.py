"""Real processes for tests: a gang of ranks joined by gloo, that can be asked, waited for, or killed.

They are forked from a server that imports what is heavy once, so that a gang starts in a fraction of a second.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_HEAVY = ["torch.distributed", "torch.utils.data", "torch._dynamo", "batchwright.sampler", "batchwright.plans"]


def preload(*modules: str) -> None:
    """Let the server import these as well; before the first gang."""
    _HEAVY.extend(modules)
    _CONTEXT.set_forkserver_preload(_HEAVY)


preload()


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
            with contextlib.suppress(ProcessLookupError):  # its group: a loader's workers outlive it by some seconds
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            process.join()
        self._folder.cleanup()

    @property
    def alive(self) -> bool:
        """Whether all of them run."""
        return all(process.is_alive() for process in self._processes)

    def _result(self, rank: int, timeout_seconds: float) -> Any:
        if not wait([self._pipes[rank], self._processes[rank].sentinel], timeout_seconds):
            raise TimeoutError(f"rank {rank} said nothing for {timeout_seconds} s")
        try:
            value, error = self._pipes[rank].recv() if self._pipes[rank].poll() else (None, "ended without a word")
        except EOFError:
            error = "ended without a word"
        if error:
            raise RuntimeError(f"rank {rank}: {error}")
        return value


def run(program: Callable[..., Any], world_size: int, *arguments: Any, timeout_seconds: float = 120) -> list[Any]:
    """What `program(rank, world_size, *arguments)` returned on every rank."""
    return Gang(program, world_size, *arguments).results(timeout_seconds)


def _run(
    pipe: Connection, folder: str, program: Callable[..., Any], rank: int, world_size: int, arguments: tuple[Any, ...]
) -> None:
    os.setpgid(0, 0)  # so that a kill takes a loader's workers too
    multiprocessing.set_start_method("fork", force=True)  # theirs, as it is for a user; not a second server
    import torch

    torch.set_num_threads(1)
    if world_size > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}  # as launchers do
        os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
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
