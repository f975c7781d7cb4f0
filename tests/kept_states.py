"""States and recipes as a version wrote them; `python -m tests.kept_states` writes those of this version.

A later version must go on from every state and build every recipe that an earlier one wrote, with the same samples.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import batchwright as bw

FOLDER = Path(__file__).parent / "kept"
LABELS = np.repeat(np.arange(4), [17, 9, 5, 3]).tolist()
LENGTHS = (1 + np.arange(60) * 37 % 29).tolist()

PLANS: dict[str, Callable[[], Any]] = {
    "balanced": lambda: bw.balanced(LABELS, 8, target=0.5, seed=3),
    "on schedule": lambda: bw.balanced(LABELS, 8, target=bw.targets.schedule("natural", "uniform", epochs=2)),
    "random draws": lambda: bw.balanced(LABELS, 8, draw="random"),
    "shuffled": lambda: bw.shuffled(34, 4, seed=5),
    "weighted": lambda: bw.weighted([1, 2, 3, 4, 5], 2),
    "sequential": lambda: bw.sequential(20, 3),
    "mixed": lambda: bw.mixed({"a": 20, "b": 9}, 6, target="sqrt"),
    "hierarchical": lambda: bw.hierarchical([LABELS], [2, 3]),
    "rotating": lambda: bw.rotating(LABELS, [[0, 1], [2, 3]], per_class=2),
    "budgeted": lambda: bw.budgeted(LENGTHS, 64, window=4),
    "packed": lambda: bw.packed(LENGTHS, 60, window=6),
    "grouped": lambda: bw.grouped(LENGTHS, 5, window=4),
    "evaluation": lambda: bw.evaluation(LENGTHS, max_tokens=64),
    "tasks": lambda: bw.alternating({"a": bw.shuffled(9, 3), "b": bw.shuffled(5, 2)}, epoch=7),
}


def step(samplers: list[Any]) -> list[list[int]]:
    return [next(iter(sampler)) for sampler in samplers]


def ranks(plan: Any, state: Any = None) -> list[Any]:
    found = [plan.sampler(rank=rank, world_size=2) for rank in range(2)]
    for sampler in found:
        sampler.load_state_dict(json.loads(json.dumps(state or {})))
    return found


def written(plan: Any) -> dict[str, Any]:
    """The recipe of a plan, the state of a run of two ranks after three steps, and the step that comes then."""
    samplers = ranks(plan)
    walks = [iter(sampler) for sampler in samplers]
    for _ in range(min(3, len(samplers[0]) - 1)):
        for walk in walks:
            next(walk)
    state = samplers[0].state_dict()
    return {"recipe": plan.to_recipe(), "state": state, "next": step(ranks(plan, state))}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    kept = {name: written(make()) for name, make in PLANS.items()}
    (FOLDER / f"{bw.__version__}.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
