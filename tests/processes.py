"""Real processes for tests: a gang of ranks joined by gloo, that can be asked, waited for, or killed.

They are forked from a server that imports what is heavy once, so that a gang starts in a fraction of a second.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_HEAVY = ["torch.distributed", "torch.utils.data", "torch._dynamo", "batchwright.run.sampler", "batchwright.plans"]
_HEAVY += ["batchwright.loader", "batchwright.collate", "batchwright.correct"]
_KILLED = "killed"


def preload(*modules: str) -> None:
    """Let the server import these as well; before the first gang."""
    _HEAVY.extend(modules)
    _CONTEXT.set_forkserver_preload([*_HEAVY, "tests.frozen"])


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

    def results(self, timeout_seconds: float = 300) -> list[Any]:
        """What each rank's program returned; an error that says what every rank said if any of them failed."""
        try:
            said = self._said(timeout_seconds)
        finally:
            self.kill()
        failed = [f"rank {rank}: {error}" for rank, (_, error) in sorted(said.items()) if error]
        if failed:
            raise RuntimeError("\n".join(failed))
        return [said[rank][0] for rank in range(len(self._processes))]

    def kills_itself(self, timeout_seconds: float = 300) -> None:
        """Wait for a program to kill its own process, which takes the others with it; an error if none does."""
        try:
            said = self._said(timeout_seconds)
        finally:
            self.kill()
        if (None, _KILLED) not in said.values():
            raise RuntimeError(f"no rank was killed: {said}")

    def kill(self) -> None:
        """SIGKILL, to all of them at once."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):  # its group: a loader's workers outlive it by some seconds
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()  # if it has not come to be one
        for process in self._processes:
            process.join()
        self._folder.cleanup()

    @property
    def alive(self) -> bool:
        """Whether all of them run."""
        return all(process.is_alive() for process in self._processes)

    def _said(self, timeout_seconds: float) -> dict[int, tuple[Any, str]]:
        """What each rank returned and its error; of those that ended before one was killed.

        The others lose their connection to that one, and would say so: it is not theirs that is the cause.
        """
        said: dict[int, tuple[Any, str]] = {}
        until = time.monotonic() + timeout_seconds
        while len(said) < len(self._processes) and (None, _KILLED) not in said.values():
            silent = [rank for rank in range(len(self._processes)) if rank not in said]
            doors = {door: rank for rank in silent for door in (self._pipes[rank], self._processes[rank].sentinel)}
            open_doors = wait(list(doors), until - time.monotonic())
            if not open_doors:
                raise TimeoutError(f"after {timeout_seconds} s ranks {silent} still run; the others: {said}")
            for rank in {doors[door] for door in open_doors}:
                said[rank] = self._last_words(rank)
        return said

    def _last_words(self, rank: int) -> tuple[Any, str]:
        with contextlib.suppress(EOFError):
            if self._pipes[rank].poll():
                value, error = self._pipes[rank].recv()
                return value, error
        self._processes[rank].join()
        code = self._processes[rank].exitcode
        return None, _KILLED if code == -signal.SIGKILL else f"ended with code {code} and without a word"


def run(program: Callable[..., Any], world_size: int, *arguments: Any, timeout_seconds: float = 300) -> list[Any]:
    """What `program(rank, world_size, *arguments)` returned on every rank."""
    return Gang(program, world_size, *arguments).results(timeout_seconds)


def _run(
    pipe: Connection, folder: str, program: Callable[..., Any], rank: int, world_size: int, arguments: tuple[Any, ...]
) -> None:
    os.setpgid(0, 0)  # so that a kill takes a loader's workers too
    multiprocessing.set_start_method("fork", force=True)  # of their workers, unless a test names another
    import torch

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
