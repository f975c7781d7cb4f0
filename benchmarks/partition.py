"""Parts of equal cost beside verl's Karmarkar-Karp, on lengths logN(6.5, 1) clipped to 16..16384, seed 0.

Run by `make bench`.
"""

from __future__ import annotations

import ast
import copy
import heapq
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from limits import Limits
from timing import timed

import batchwright as bw


def main() -> None:
    verl = verl_karmarkar_karp()
    print(f"{'':<28}{'max/mean':>10}{'ms':>10}{'verl max/mean':>16}{'verl ms / ours':>16}")
    limits = Limits()
    for items, parts, equal, most, milliseconds in ((1024, 64, True, 1.0002, 10), (16384, 256, False, 1.0003, 20)):
        costs = np.clip(np.random.default_rng(0).lognormal(6.5, 1, items), 16, 16384).astype(int)
        bw.partition(costs, parts, equal_size=equal)  # compiled or loaded before it is timed
        split, seconds = timed(lambda: bw.partition(costs, parts, equal_size=equal), rounds=5)
        theirs, their_seconds = timed(lambda: verl(costs.tolist(), parts, equal_size=equal), rounds=1)
        loads = np.array([costs[part].sum() for part in theirs])
        name = f"{items} -> {parts}, {'equal sizes' if equal else 'free sizes'}"
        print(
            f"{name:<28}{split.max_over_mean:>10.6f}{1e3 * seconds:>10.2f}{loads.max() / loads.mean():>16.6f}"
            f"{their_seconds / seconds:>16.1f}"
        )
        limits.at_most(f"{name}: max/mean", split.max_over_mean, most)
        limits.at_most(f"{name}: ms", 1e3 * seconds, milliseconds)
        limits.beside(f"ours / verl: max/mean, {name}", split.max_over_mean / (loads.max() / loads.mean()))
        limits.beside(f"verl / ours: time, {name}", their_seconds / seconds)
    rollouts(limits)
    limits.end()


def rollouts(limits: Limits) -> None:
    """16,384 rollouts into parts of at most 32,768 tokens, a multiple of 4 ranks, beside verl's Karmarkar-Karp.

    The work is verl's: 24576 n + n^2. verl takes as many parts as the tokens need on average, and levels their work alone.
    """
    verl = verl_karmarkar_karp()
    tokens = np.clip(np.random.default_rng(0).lognormal(6.5, 1, 16_384), 16, 16_384).astype(int)
    work, most, pairs = tokens * (24_576 + tokens), 32_768, np.arange(16_384) // 2
    print(
        f"\n{'16,384 rollouts':<36}{'parts':>8}{'at least':>10}{'max/mean':>10}{'at least':>10}{'most tokens':>13}{'ms':>10}"
    )
    for name, costs, more in (
        ("level in tokens", tokens, {"multiple": 4}),
        ("level in work", work, {"multiple": 4}),
        ("level in work, to 1.001", work, {"multiple": 4, "level": 1.001}),
        ("level in work, 560 parts", work, {"parts": 560}),
        ("level in work, pairs together", work, {"multiple": 4, "together": pairs}),
    ):
        split, seconds = timed(
            lambda costs=costs, more=more: bw.partition(costs, limits={"tokens": (tokens, most)}, **more), rounds=7
        )
        held = max(int(tokens[part].sum()) for part in split.parts)
        print(
            f"{name:<36}{len(split):>8}{split.at_least:>10}{split.max_over_mean:>10.5f}"
            f"{split.max_over_mean_at_least:>10.5f}{held:>13}{1e3 * seconds:>10.2f}"
        )
        limits.at_most(f"rollouts, {name}: most tokens of a part", held, most)
        if "level" not in more:  # a search over several numbers of parts
            limits.at_most(f"rollouts, {name}: ms", 1e3 * seconds, 10)
        if "tokens" in name or not {"level", "parts"}.isdisjoint(more):
            limits.at_most(f"rollouts, {name}: max/mean", split.max_over_mean, 1.001)
    parts = -(-int(tokens.sum()) // most)
    theirs, seconds = timed(lambda: verl(work.tolist(), parts, equal_size=False))
    loads = np.array([work[part].sum() for part in theirs])
    held = max(int(tokens[part].sum()) for part in theirs)
    print(
        f"{'verl, Karmarkar-Karp':<36}{parts:>8}{'':>10}{loads.max() / loads.mean():>10.5f}{'':>10}{held:>13}"
        f"{1e3 * seconds:>10.0f}"
    )


def verl_karmarkar_karp() -> Callable[..., list[list[int]]]:
    """Verl's function out of its own file: importing the package would need ray."""
    spec = importlib.util.find_spec("verl")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse((Path(spec.origin).parent / "utils" / "seqlen_balancing.py").read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "karmarkar_karp"]
    names: dict[str, Any] = {"copy": copy, "heapq": heapq}
    exec(compile(tree, "seqlen_balancing.py", "exec"), names)  # the peer's own code, as installed
    found: Callable[..., list[list[int]]] = names["karmarkar_karp"]
    return found


if __name__ == "__main__":
    main()
