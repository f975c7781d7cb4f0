"""A tiny transformer on two processes: how long each waits for the other, with and without equal work."""

from __future__ import annotations

import ast
import multiprocessing
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from rich.table import Table
from torch import nn

from ..costs import Cost, quadratic
from ..plans.packed import packed
from . import as_table, console

__all__ = ["run", "sources_of_the_standard_library"]

LONGEST = 4096  # bytes of a sample, and of a pack
WIDTH, HEADS, LAYERS = 32, 2, 2
RANKS = 2


def run(*, steps: int = 30, files: int = 120) -> list[dict[str, Any]]:
    """Train with packs of equal tokens and of equal work, and print how long each rank waited for the other."""
    screen = console()
    samples = sources_of_the_standard_library(files)
    lengths = np.array([len(sample) for sample in samples])
    screen.print(
        f"{len(samples):,} functions, classes and files of the standard library, {lengths.min()} to {lengths.max()} bytes, "
        f"half of all bytes in samples of {np.sort(lengths)[np.searchsorted(np.sort(lengths).cumsum(), lengths.sum() / 2)]} "
        f"or more; packs of {LONGEST}"
    )
    cost = measured_cost()
    screen.print(
        f"a sample of n bytes takes about {cost.per_token * 1e9:,.0f} n + {cost.per_pair[0][1] * 1e9:.2f} n^2 nanoseconds "
        "of one core here, measured"
    )
    waits = [waiting_of(plan, cost, lengths) for plan in ways(lengths, cost).values()]
    head = "packs", "steps", "bytes/s", *(f"idle, rank {rank}" for rank in range(RANKS)), "busiest", "planned"
    table, rows = Table(*head, box=None, pad_edge=False), []
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        pipes, processes = [], []
        for rank in range(RANKS):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=trained, args=(theirs, folder, rank, samples, cost, steps))
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        found = [pipe.recv() for pipe in pipes]  # an EOFError if a process ended without a word
        for process in processes:
            process.join()
    for way, (name, first) in enumerate(found[0]):
        of_ranks = [rank[way][1] for rank in found]
        size = sum(one["bytes"] for one in of_ranks)
        idle = [f"{one['idle'] / one['seconds']:.1%}" for one in of_ranks]
        busy = np.array([one["busy"] for one in of_ranks])  # (ranks, steps)
        measured = busy.max(axis=0).sum() / busy.mean(axis=0).sum()
        speed = f"{size / first['seconds']:,.0f}"
        rows.append([name, str(steps), speed, *idle, f"{measured:.3f}", f"{waits[way]:.3f}"])
        table.add_row(*rows[-1])
    screen.print(table)
    screen.print(
        "idle: the part of its time that a rank waits for the other before gradients are summed, measured; busiest: the "
        "processor time of the rank that takes longest in a step over the mean, so that other programs on the machine do "
        "not count; planned: the same by the plan"
    )
    return [as_table(head, rows)]


def ways(lengths: np.ndarray, cost: Cost) -> dict[str, Any]:
    """The plans that are compared."""
    return {
        "equal tokens": packed(lengths, LONGEST, window="epoch"),
        "equal work": packed(lengths, LONGEST, window="epoch", cost=cost),
    }


def trained(pipe: Any, folder: str, rank: int, samples: list[bytes], cost: Cost, steps: int) -> None:
    """One process: trains on every plan, and sends how long it worked and waited."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS)
    lengths = np.array([len(sample) for sample in samples])
    found = []
    for name, plan in ways(lengths, cost).items():
        torch.manual_seed(0)
        model = ByteTransformer()
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        sampler, done, size, idle = plan.sampler(rank=rank, world_size=RANKS), 0, 0, 0.0
        busy: list[float] = []
        plan.stepped(RANKS)[0]  # planned before it is timed
        dist.barrier()
        begun = time.perf_counter()
        while done < steps:
            for batch in sampler:
                worked = time.process_time()
                model.loss([samples[number] for number in batch]).backward()
                busy.append(time.process_time() - worked)
                waiting = time.perf_counter()
                dist.barrier()
                idle += time.perf_counter() - waiting
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        dist.all_reduce(parameter.grad)
                optimizer.step()
                optimizer.zero_grad()
                size += int(lengths[batch].sum())
                done += 1
                if done == steps:
                    break
        seconds = time.perf_counter() - begun
        found.append((name, {"seconds": seconds, "idle": idle, "busy": busy, "bytes": size}))
    pipe.send(found)
    dist.destroy_process_group()


def waiting_of(plan: Any, cost: Cost, lengths: np.ndarray) -> float:
    """The work of the rank that has most over the mean, by the measured cost."""
    work = np.array([cost(lengths[batch]).sum() for batch in plan.epoch(0, RANKS)]).reshape(-1, RANKS)
    return float(work.max(axis=1).sum() / work.mean(axis=1).sum())


def measured_cost() -> Cost:
    """What a sample costs on this machine, in seconds: a part for each byte, a part for each pair of bytes."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, took = ByteTransformer(), []
    tried = (LONGEST // 4, LONGEST)
    for length in tried:
        fastest = float("inf")
        for _ in range(3):
            begun = time.process_time()
            model.loss([bytes(length)]).backward()
            fastest = min(fastest, time.process_time() - begun)
        took.append(fastest)
    torch.set_num_threads(threads)
    short, long = tried
    per_square = max(0.0, (took[1] / long - took[0] / short) / (long - short))
    return quadratic(max(1e-12, took[0] / short - per_square * short), per_square)


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Causal attention of one sample, (heads, bytes, features) each."""
    # four dimensions: with three, torch takes a path that keeps all scores
    mixed = nn.functional.scaled_dot_product_attention(query[None], key[None], value[None], is_causal=True)
    return mixed[0]


class ByteTransformer(nn.Module):
    """A causal transformer over bytes; samples of a pack do not see each other."""

    def __init__(self) -> None:
        super().__init__()
        self.byte, self.place = nn.Embedding(256, WIDTH), nn.Embedding(LONGEST, WIDTH)
        for table in (self.byte, self.place):
            nn.init.normal_(table.weight, std=0.02)
        self.into = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(LAYERS))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)) for _ in range(LAYERS)
        )

    def loss(self, samples: list[bytes]) -> torch.Tensor:
        """The mean loss of the next byte over a pack."""
        lengths = [len(sample) for sample in samples]
        tokens = torch.tensor(list(b"".join(samples)))
        hidden = self.byte(tokens) + self.place(torch.cat([torch.arange(length) for length in lengths]))
        for into, mlp in zip(self.into, self.mlp, strict=True):
            heads = into(nn.functional.layer_norm(hidden, (WIDTH,))).view(len(tokens), 3, HEADS, -1).transpose(0, 2)
            mixed = [attention(*one.unbind(1)) for one in heads.split(lengths, dim=2)]
            hidden = hidden + torch.cat(mixed, dim=1).transpose(0, 1).flatten(1)
            hidden = hidden + mlp(nn.functional.layer_norm(hidden, (WIDTH,)))
        last = torch.cumsum(torch.tensor(lengths), 0) - 1
        known = torch.ones(len(tokens), dtype=torch.bool).index_fill(0, last, False)
        return nn.functional.cross_entropy(hidden[known] @ self.byte.weight.T, tokens.roll(-1)[known])


def sources_of_the_standard_library(files: int) -> list[bytes]:
    """Whole files, and every function and class in them, at most `LONGEST` bytes each."""
    texts: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:files]:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        texts.append("\n".join(lines))
        for node in ast.walk(ast.parse(texts[-1])):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                texts.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    found = [text.encode()[:LONGEST] for text in texts]
    return [text for text in found if len(text) >= 16]
