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
from ..index_files import KeptPlan, kept_deal
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
    options = _options(arguments)
    if options is None:
        return None
    kept = kept_deal(Path(options["recipe"]))
    if kept is None:
        return None
    facts = _step(kept, options)
    if facts is None:
        return None
    facts["seconds"] = round(time.perf_counter() - began, 4)
    return json.dumps(facts) if options["json"] else step_text(facts, [])


def _options(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The arguments by name; None if one is not of the few that are known here."""
    options: dict[str, Any] = {"json": False}
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, given, value = word.partition("=")
        if word == "--json":
            options["json"] = True
        elif name in _NUMBERS:
            value = value if given else waiting.pop(0) if waiting else ""
            if not value.isdecimal():
                return None
            options[_NUMBERS[name]] = int(value)
        elif word.startswith("-") or "recipe" in options:
            return None
        else:
            options["recipe"] = word
    return options if "recipe" in options else None


def _step(kept: KeptPlan, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """The samples of a step, as `look.step_of` tells them; None if there is no such step or rank."""
    world_size, accumulate = (options.get(name, kept.run.get(name, 1)) for name in ("world_size", "accumulate"))
    step_size, step, rank = world_size * accumulate, options.get("step", 0), options.get("rank")
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


def step_text(facts: Mapping[str, Any], names: Sequence[str]) -> str:
    """The samples of a step as a table; `names` are the columns that are shown beside them."""
    head = f"step {facts['step']}: step {facts['step_in_epoch']} of epoch {facts['epoch']}, {len(facts['samples'])} samples"
    keys = ["rank", "micro_batch", "slot", "sample", *names]
    rows = [[key.replace("_", "-") if key in keys[:4] else key for key in keys]]
    rows += [[str(row[key]) for key in keys] for row in facts["samples"][:_ROWS]]
    more = len(facts["samples"]) - _ROWS
    return "\n".join(
        [head, "", *aligned(rows, "<"), *([f"... {more} more samples; --json has all"] if more > 0 else [])]
    )
