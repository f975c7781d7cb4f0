"""The first part of the study: ways to train on long tails. Every way meets the same seeds, so differences are paired."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from .data import SOURCES, long_tail
from .measures import CALIBRATION, MEASURES, measured
from .tables import difference, mean, table
from .ways import STEPS, trained_ways

__all__ = ["IMBALANCES", "run", "tables"]

IMBALANCES = (10, 50, 100)
BASE, PEER = "natural", "weighted, with replacement"
Values = dict[tuple[str, int, str, str, str], list[float]]  # data, imbalance, way, "" or "corrected", measure


def run(file: Path, seeds: int, steps: int = STEPS, kinds: tuple[str, ...] = tuple(SOURCES)) -> Values:
    """Train what the file does not hold yet, seed by seed, and read all of it."""
    done = {tuple(json.loads(line)["cell"]) for line in _lines(file)}
    for seed in range(seeds):
        for imbalance in IMBALANCES:
            for kind in kinds:
                if (kind, imbalance, seed) in done:
                    continue
                data = long_tail(SOURCES[kind](), imbalance, seed)
                found = {name: measured(way, data) for name, way in trained_ways(kind, data, seed, steps)}
                with file.open("a") as lines:
                    lines.write(json.dumps({"cell": [kind, imbalance, seed], "found": found}) + "\n")
    values: Values = {}
    cells = [json.loads(line) for line in _lines(file)]
    for cell in sorted(cells, key=lambda cell: cell["cell"]):
        kind, imbalance, _ = cell["cell"]
        for way, both in cell["found"].items():
            for corrected, measures in both.items():
                for measure, value in measures.items():
                    values.setdefault((kind, imbalance, way, corrected, measure), []).append(value)
    return values


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def tables(values: Values) -> Iterator[str]:
    """For each data set and measure a table: the natural stream, and what each way adds to it."""
    kinds = list(dict.fromkeys(key[0] for key in values))
    ways = list(dict.fromkeys(key[2] for key in values))
    head = ["", *(f"imbalance {imbalance}" for imbalance in IMBALANCES)]
    for measure in MEASURES:
        for kind in kinds:
            yield f"\n## {measure[0].upper()}{measure[1:]}: {kind}\n"
            yield table(head, _rows(values, kind, measure, ways))
    yield f"\n## uniform minus {PEER}\n"
    rows = []
    for measure in MEASURES:
        for kind in kinds:
            pairs = [
                [values[kind, imbalance, way, "", measure] for way in ("uniform", PEER)] for imbalance in IMBALANCES
            ]
            rows.append([f"{measure}, {kind}", *(difference(*pair) for pair in pairs)])
    yield table(head, rows)


def _rows(values: Values, kind: str, measure: str, ways: list[str]) -> Iterator[list[str]]:
    base = [values[kind, imbalance, BASE, "", measure] for imbalance in IMBALANCES]
    yield [f"{BASE}, as it is", *(mean(each) for each in base)]
    what = "prior corrected" if measure == CALIBRATION else "adjusted to uniform"
    for way in ways:
        for corrected in ("", "corrected"):
            if (way, corrected) == (BASE, "") or (corrected and measure != CALIBRATION and _is_uniform(way)):
                continue
            cells = [
                difference(values[kind, imbalance, way, corrected, measure], natural)
                for imbalance, natural in zip(IMBALANCES, base, strict=True)
            ]
            yield [f"{way}, {what}" if corrected else way, *cells]


def _is_uniform(way: str) -> bool:
    """Whether the logits of a way are for uniform shares already, so that nothing is left to adjust to them."""
    return way not in (BASE, "square root", "progressive")
