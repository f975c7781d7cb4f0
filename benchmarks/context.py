"""Context parallelism beside torch's balancers, and hybrid plans beside Megatron's scheduler; run by `make bench NAME=long`.

Work is as in `long.py`. A rank has an equal part of the work of a sample that it shares.
"""

from __future__ import annotations

import ast
import importlib.util
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed.tensor.experimental._context_parallel._load_balancer as balancers
from limits import Limits
from timing import timed

import batchwright as bw

__all__ = ["hybrid", "shards"]

WORLDS = (
    (8, 16_384),
    (32, 8_192),
    (64, 8_192),
)  # ranks, tokens a rank; 8 ranks of 8,192 cannot hold the longest sample
STEPS = 10


def shards(lengths: np.ndarray, limits: Limits) -> None:
    """Causal work of the rank that has most over the mean, in the worst of some packs, for each number of ranks."""
    plan = bw.packed(lengths, 131_072)
    sizes = (2, 4, 8, 16)
    worst: dict[str, list[float]] = {}
    for size in sizes:
        found: dict[str, float] = {}
        for number in range(20):
            # torch's balancers take packs whose parts divide: lengths are filled up, for ours too
            filled = -(-lengths[plan[number]] // (2 * size)) * 2 * size
            layout = bw.Layout([*filled.tolist(), -int(filled.sum()) % (128 * size)])
            for name, parts in divided(layout, size).items():
                work = [float((layout.positions[part.long()] + 1).sum()) for part in parts]
                found[name] = max(found.get(name, 1), max(work) / float(np.mean(work)))
        for name, most in found.items():
            worst.setdefault(name, []).append(most)
    print(f"\n{'causal work of the rank that has most / mean, worst of 20 packs':<64}" + "".join(
        f"{f'{size} ranks':>10}" for size in sizes))  # fmt: skip
    for name, row in worst.items():
        print(f"  {name:<62}" + "".join(f"{most:>10.4f}" for most in row))
    limits.at_most("Layout.shard, blocks", max(worst["batchwright, blocks"]), 1.01)


def divided(layout: bw.Layout, size: int) -> dict[str, Any]:
    """The places of each rank, by ours and by torch's balancers."""
    ours = {how: [layout.shard(rank, size, how).places for rank in range(size)] for how in ("blocks", "per_document")}
    head_tail = balancers._HeadTailLoadBalancer(layout.total, size, "cpu")._generate_indices()[0]
    by_document = balancers._PerDocumentHeadTailLoadBalancer([list(layout.counts)], size, "cpu")._generate_indices()[0]
    first = torch.arange(0, layout.total, 128)
    attended = (
        first // 128 - (first - layout.positions[first]) // 128 + 1
    )  # blocks of keys that a block of queries sees
    blocks = balancers._PTRRLoadBalancer.ptrr_scheduling(attended, size)
    return {
        "batchwright, blocks": ours["blocks"],
        "batchwright, per_document": ours["per_document"],
        "torch, head and tail": head_tail.chunk(size),
        "torch, head and tail by document": by_document.chunk(size),
        "torch, blocks in turn (PTRR)": [(part[:, None] * 128 + torch.arange(128)).flatten() for part in blocks],
    }


def hybrid(lengths: np.ndarray, work: Callable[[Any], Any], limits: Limits) -> None:
    """Makespan of a step over the mean work, and the time to plan it, beside Megatron on the same samples."""
    print(f"\n{'hybrid data and context parallel':<26}{'ours':>10}{'at least':>10}{'worst':>10}{'Megatron':>10}"
          f"{'ms a step':>12}{'Megatron ms':>13}")  # fmt: skip
    for ranks, tokens_per_rank in WORLDS:
        plan = bw.hybrid(lengths, ranks=ranks, tokens_per_rank=tokens_per_rank, cost=work)
        plan.parts(0, 0)  # compiled or loaded before it is timed
        summary = plan.summary()
        ours = [
            timed(lambda step=step, plan=plan: plan.parts(step, 0))[1] for step in range(plan.steps - 20, plan.steps)
        ]
        theirs = [
            megatron(lengths[plan.samples(step)], work, ranks, tokens_per_rank)
            for step in range(min(STEPS, plan.steps))
        ]
        their_waiting = float(np.mean([waiting for waiting, _ in theirs]))
        milliseconds, their_milliseconds = 1e3 * min(ours), 1e3 * min(seconds for _, seconds in theirs)
        name = f"{ranks} ranks of {tokens_per_rank:,}"
        shown = summary.waiting, summary.waiting_at_least, summary.worst_step, their_waiting
        print(
            f"{name:<26}"
            + "".join(f"{ratio:>10.4f}" for ratio in shown)
            + f"{milliseconds:>12.2f}{their_milliseconds:>13.1f}"
        )
        limits.at_most(f"  makespan / mean work on {ranks} ranks", summary.waiting, 1.05)
        limits.at_most(f"  ms a step on {ranks} ranks", milliseconds, 10)


def megatron(lengths: np.ndarray, work: Callable[[Any], Any], ranks: int, tokens_per_rank: int) -> tuple[float, float]:
    """Megatron's own scheduler with the same work: its makespan over the mean work, and its seconds.

    It forms groups of samples that run one after the other, with a barrier of all ranks behind each.
    """

    class Ranks:
        def size(self) -> int:
            return ranks

    class Same(scheduler()):
        def get_total_workload(self, seq_length: int, cp_size: int | None = None) -> float:
            return float(work(float(seq_length))) / (cp_size or self.gpus_needed(seq_length))

    made = Same(tokens_per_rank, Ranks())
    numbered = list(enumerate(lengths.tolist()))
    (_, groups), seconds = timed(lambda: made.get_groups_and_subsamples(numbered, None))
    makespan = 0.0
    for by_rank in groups:
        sharing = np.bincount([sample for samples in by_rank for sample in samples], minlength=len(numbered))
        loads = [sum(work(float(lengths[sample])) / sharing[sample] for sample in samples) for samples in by_rank]
        makespan += max(loads)
    return makespan / (sum(work(float(length)) for length in lengths) / ranks), seconds


@lru_cache
def scheduler() -> Any:
    """Megatron's class out of its own file: importing the package would need more of it."""
    spec = importlib.util.find_spec("megatron")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / "core" / "pipeline_parallel" / "hybrid_cp_schedule.py"
    tree = ast.parse(file.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "BalancedCPScheduler"]
    names: dict[str, Any] = {"torch": torch, "deque": deque, "lru_cache": lru_cache, "ceil": ceil, "log2": log2}
    names |= {name: getattr(__import__("typing"), name) for name in ("Callable", "List", "Optional", "Tuple")}
    exec(compile(tree, file.name, "exec"), names)  # the peer's own code, as installed
    return names["BalancedCPScheduler"]
