"""`rewind` of one step without NumPy, numba and the libraries of the command line: a process of a tenth of a second.

It serves recipes with an index beside them, whose files and arguments are those that the index was made of. Everything
else, wrong arguments too, is left to `app`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..aligned import aligned
from ..index_files import Kept, kept_deal
from ..plain_engine import LAST, micro_batch

__all__ = ["rewound", "step_text"]

_NUMBERS = {"--step": "step", "--rank": "rank", "--world-size": "world_size", "--accumulate": "accumulate"}
_ROWS = 64  # samples of a step on a terminal; --json has all


def rewound(arguments: Sequence[str], began: float) -> str | None:
    """What `rewind` prints for these arguments; None if this is not a case for it.

    Args:
        arguments: those of the command, without its name.
        began: when the command began, by `time.perf_counter`.
    """
    asked = _asked(arguments)
    if asked is None:
        return None
    kept = kept_deal(Path(asked["recipe"]))
    if kept is None:
        return None
    told = _step(kept, asked)
    if told is None:
        return None
    told["seconds"] = round(time.perf_counter() - began, 4)
    return json.dumps(told) if asked["json"] else step_text(told, [])


def _asked(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The arguments by name; None if one is not of the few that are known here."""
    asked: dict[str, Any] = {"json": False}
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, given, value = word.partition("=")
        if word == "--json":
            asked["json"] = True
        elif name in _NUMBERS:
            value = value if given else waiting.pop(0) if waiting else ""
            if not value.isdecimal():
                return None
            asked[_NUMBERS[name]] = int(value)
        elif word.startswith("-") or "recipe" in asked:
            return None
        else:
            asked["recipe"] = word
    return asked if "recipe" in asked else None


def _step(kept: Kept, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """The samples of a step, as `look.step_of` tells them; None if there is no such step or rank."""
    world_size, accumulate = (asked.get(name, kept.run.get(name, 1)) for name in ("world_size", "accumulate"))
    step_size, step, rank = world_size * accumulate, asked.get("step", 0), asked.get("rank")
    if not step_size or step >= (LAST + 1) // step_size or (rank is not None and rank >= world_size):
        return None
    length, first = -(-kept.epoch_batches // step_size) * step_size, step * step_size
    return {
        "step": step,
        "epoch": first // length,
        "step_in_epoch": first % length // step_size,
        "samples": [
            {"micro_batch": number, "rank": at, "slot": slot, "sample": sample}
            for number in range(first, first + step_size)
            if (at := number % step_size % world_size) == rank or rank is None
            for slot, sample in enumerate(micro_batch(number, kept.deal, kept.ordered))
        ],
    }


def step_text(told: Mapping[str, Any], names: Sequence[str]) -> str:
    """The samples of a step as a table; `names` are the columns that are shown beside them."""
    head = f"step {told['step']}: step {told['step_in_epoch']} of epoch {told['epoch']}, {len(told['samples'])} samples"
    keys = ["rank", "micro_batch", "slot", "sample", *names]
    rows = [[key.replace("_", "-") if key in keys[:4] else key for key in keys]]
    rows += [[str(row[key]) for key in keys] for row in told["samples"][:_ROWS]]
    more = len(told["samples"]) - _ROWS
    return "\n".join(
        [head, "", *aligned(rows, "<"), *([f"... {more} more samples; --json has all"] if more > 0 else [])]
    )
