"""The second part of the study: batches of text by length, at equal processor time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

import batchwright as bw
from batchwright.demo.lengths import (
    LONGEST,
    TOKENS,
    RowTransformer,
    row_tensors,
    singly,
    steps,
    texts_of_the_standard_library,
)

from .tables import difference, table

__all__ = ["run", "tables"]

SECONDS = 20.0  # of processor time for each way and seed
HELD_OUT = 400
BASE = "shuffled"


def run(file: Path, seeds: int, seconds: float = SECONDS, files: int = 150) -> dict[str, list[dict[str, float]]]:
    """Train what the file does not hold yet, and read all of it."""
    done = {tuple(json.loads(line)["cell"]) for line in _lines(file)}
    texts = texts_of_the_standard_library(files)
    held_out = np.random.default_rng(0).permutation(len(texts))[: min(HELD_OUT, len(texts) // 4)]
    rest = np.setdiff1d(np.arange(len(texts)), held_out)
    train, test = ([texts[i] for i in part] for part in (rest, held_out))
    lengths = np.array([len(text) for text in train])
    for seed in range(seeds):
        rows = TOKENS // LONGEST
        mean = max(1, int(TOKENS / lengths.mean()))
        packed = bw.packed(lengths, LONGEST, packs=rows, seed=seed)
        ways = {
            BASE: (bw.shuffled(len(train), mean, seed=seed), singly),
            "grouped": (bw.grouped(lengths, mean, seed=seed), singly),
            "budgeted": (bw.budgeted(lengths, TOKENS, seed=seed), singly),
            "packed": (packed, packed.packs),
        }
        for name, (plan, parts) in ways.items():
            if (name, seed) not in done:
                found = trained(train, test, plan, parts, seed, seconds)
                with file.open("a") as lines:
                    lines.write(json.dumps({"cell": [name, seed], "found": found}) + "\n")
    values: dict[str, list[dict[str, float]]] = {}
    for cell in sorted((json.loads(line) for line in _lines(file)), key=lambda cell: cell["cell"][1]):
        values.setdefault(cell["cell"][0], []).append(cell["found"])
    return values


def trained(
    train: Sequence[list[int]], test: Sequence[list[int]], plan: bw.Plan, parts, seed: int, seconds: float
) -> dict[str, float]:
    """Train for so much processor time; useful tokens a second, the part of tokens that is useful, loss on other text."""
    torch.manual_seed(seed)
    model = RowTransformer()
    *_, last = steps(model, train, plan, parts, seconds)
    with torch.no_grad():
        total = count = 0.0
        for at in range(0, len(test), 16):
            loss, targets = model.eval()(*row_tensors([[text] for text in test[at : at + 16]]))
            total, count = total + float(loss) * targets, count + targets
    return {
        "steps": last.number,
        "useful tokens a second": last.useful / last.seconds,
        "useful": last.useful / last.computed,
        "loss": total / count,
    }


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def tables(values: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    """One line for each way."""
    base = values[BASE]
    rows = []
    for name, found in values.items():
        speed = [each["useful tokens a second"] for each in found]
        ratio = np.array(speed) / [each["useful tokens a second"] for each in base]
        loss = [each["loss"] for each in found]
        rows.append(
            [
                name,
                f"{np.mean([each['steps'] for each in found]):.0f}",
                f"{np.mean([each['useful'] for each in found]):.1%}",
                f"{np.mean(speed):,.0f}",
                f"{ratio.mean():.2f}",
                f"{np.mean(loss):.3f}",
                "" if name == BASE else difference(loss, [each["loss"] for each in base], 1, digits=2),
            ]
        )
    yield table(
        [
            "",
            "steps",
            "useful of all tokens",
            "useful tokens a second",
            f"of {BASE}",
            "loss, other text",
            f"minus that of {BASE}",
        ],
        rows,
    )
