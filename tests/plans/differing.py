"""Plans of every public builder that differ in one argument; `test_fingerprints.py` tells them apart.

`CALLS` has for every builder the calls to begin from, and for each of its arguments other values. Run as a module it prints
the fingerprints, so that a test can compare those of two processes.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import batchwright as bw

LABELS = np.repeat(np.arange(6), [40, 25, 13, 9, 6, 3])
HALVES = np.arange(LABELS.size) % 2
LENGTHS = 8 * (1 + np.arange(180) * 37 % 29)  # multiples of 8, so that rounding to 8 changes no length
PLENTY = int(LENGTHS.max())
SHAPES = 32 * (1 + np.column_stack([np.arange(180) * 7 % 5, np.arange(180) * 11 % 3]))
ZEROS = {"a": np.tile([8, 0, 4, 0], 30), "b": np.tile([4, 8, 0, 0], 30)}  # sums over neighbours are often the same
PAIRS, SHIFTED = np.arange(120) // 2, (np.arange(120) + 1) // 2 % 60
ORDER = bw.balanced(np.arange(180) % 7, 12)
FEW = {"a": bw.shuffled(40, 4), "b": bw.shuffled(24, 3)}
SMOOTH = bw.targets.schedule("natural", "uniform", epochs=3)
KIND = np.repeat(np.arange(4), 40)


def square(lengths: np.ndarray) -> np.ndarray:
    return lengths * lengths / PLENTY


def swinging(counts: np.ndarray, epoch: int) -> np.ndarray:
    shares = counts + epoch % 2 * 10
    return shares / shares.sum()


def resting(counts: np.ndarray, epoch: int) -> np.ndarray:
    return counts / counts.sum()


class Calls(NamedTuple):
    """What a builder is called with.

    Attributes:
        begin: arguments to begin from.
        other: for every argument other values; each takes the place of the one in each of `begin`.
    """

    begin: list[dict[str, Any]]
    other: dict[str, list[Any]]


_EPOCH = ["natural", "largest", "smallest", 5]
_FIXED = {"epoch": _EPOCH, "distinct": [True, False], "seed": [1, 2**64 - 1]}
_CUT = {
    "order": [ORDER, bw.shuffled(180, 1), bw.shuffled(180, 4)],
    "local": [bw.Shards([30] * 6, open=4), bw.Shards([30] * 6, open=6), bw.Shards([20, 40, *[30] * 4], open=4)],
    "window": [3, 4, "epoch"],
    "seed": [1, 2],
}

CALLS: dict[str, Calls] = {
    "balanced": Calls(
        [{"labels": LABELS, "batch_size": 12}, {"labels": LABELS, "batch_size": 12, "target": SMOOTH}],
        {
            "labels": [LABELS[::-1], LABELS % 5, np.arange(LABELS.size) % 4],
            "batch_size": [6, 13],
            "target": [
                *["natural", "sqrt", 0.3, SMOOTH, swinging, resting],
                bw.targets.schedule("natural", "uniform", epochs=2),
                bw.targets.schedule("natural", "uniform", epochs=3, shape="cosine"),
                bw.targets.moving("uniform"),
                bw.targets.moving("uniform", ceiling=0.5),
                bw.targets.in_units("natural", np.arange(1, LABELS.size + 1)),
            ],
            "per_class": [2, 3],
            "draw": ["random"],
            "local": [
                bw.Shards([16] * 6),
                bw.Shards([16] * 6, open=2),
                bw.Shards([16] * 6, ranks=2),
                bw.Shards([20, 12, 16, 16, 16, 16]),
            ],
            **_FIXED,
        },
    ),
    "evaluation": Calls(
        [
            {"samples": LENGTHS, "batch_size": 4},
            {"samples": LENGTHS, "batch_size": 4, "order": "shuffled"},
            {"samples": LENGTHS, "max_tokens": 900, "batch_size": None},
            {"samples": LENGTHS, "capacity": 900, "batch_size": None},
            {"samples": LENGTHS, "capacity": 900, "batch_size": None, "order": "length"},
        ],
        {
            "samples": [LENGTHS[::-1], LENGTHS[1:]],
            "batch_size": [1, 5],
            "max_tokens": [800, 1000],
            "capacity": [800, 1000],
            "order": ["file", "shuffled", "length"],
            "too_long": ["alone"],
            "seed": [1, 2**64 - 1],
        },
    ),
    "sequential": Calls(
        [{"samples": 50, "batch_size": 4}], {"samples": [49, 51], "batch_size": [1, 5], "epoch": [3, 40]}
    ),
    "ordered": Calls(
        [{"indices": np.arange(50), "batch_size": 4}],
        {
            "indices": [np.arange(50)[::-1], np.arange(51), np.arange(50) // 2],
            "batch_size": [1, 5],
            "samples": [60, 51],
            "epoch": [3, 40],
        },
    ),
    "shuffled": Calls(
        [{"samples": 50, "batch_size": 4}],
        {
            "samples": [49, 51],
            "batch_size": [1, 5],
            "draw": ["random"],
            "epoch": [3, 40],
            "local": [
                bw.Shards([10] * 5),
                bw.Shards([10] * 5, open=3),
                bw.Shards([10] * 5, ranks=2),
                bw.Shards([12, 8, 10, 10, 10]),
            ],
            "seed": [1, 2],
        },
    ),
    "weighted": Calls(
        [{"weights": np.arange(1, 51), "batch_size": 4}],
        {
            "weights": [np.arange(50, 0, -1), np.arange(1, 52), np.full(50, 1.0)],
            "batch_size": [1, 5],
            "draw": ["random"],
            "epoch": [3, 40],
            "local": [bw.Shards([10] * 5), bw.Shards([10] * 5, open=2), bw.Shards([10] * 5, ranks=2)],
            "seed": [1, 2],
        },
    ),
    "mixed": Calls(
        [
            {"sources": {"a": 60, "b": 20}, "batch_size": 8},
            {"sources": {"a": 60, "b": 20}, "batch_size": 4},
            {"sources": {"a": 60, "b": ORDER}, "batch_size": 8},
        ],
        {
            "sources": [
                {"a": 20, "b": 60},
                {"a": 60, "b": bw.shuffled(180, 12)},
                {"a": 60, "b": bw.balanced(np.arange(180) % 7, 12, seed=1)},
                {"a": 60, "b": bw.balanced(np.arange(180) % 7, 14)},
                {"a": 60, "b": bw.balanced(np.arange(180) % 7, 12, target=SMOOTH, epoch=2)},
                {"a": 60, "b": bw.balanced(np.arange(180) % 7, 12, target=SMOOTH, epoch=3)},
                {"a": 60, "b": bw.Groups.from_indices({0: np.arange(90), 1: np.arange(100, 150)}, sample_count=180)},
            ],
            "batch_size": [6, 10],
            "target": ["uniform", "sqrt", SMOOTH],
            "per_source": [2],
            "local": [
                {"a": bw.Shards([10] * 6)},
                {"a": bw.Shards([10] * 6, open=6)},
                {"a": bw.Shards([10] * 6, open=6, ranks=2)},
                {"a": bw.Shards([12, 8, *[10] * 4])},
                {"b": bw.Shards([5] * 4)},
            ],
            **_FIXED,
        },
    ),
    "hierarchical": Calls(
        [{"levels": [KIND, np.arange(160) % 20], "per": [2, 2, 2]}],
        {
            "levels": [[np.arange(160) % 20], [KIND, np.arange(160) % 10], [np.roll(KIND, 1), np.arange(160) % 20]],
            "per": [[2, 2, 1], [1, 2, 2], [2, 1, 2], [2, 2]],
            "target": ["natural", {0: 0.4, 1: 0.2, 2: 0.2, 3: 0.2}],
            **_FIXED,
        },
    ),
    "rotating": Calls(
        [
            {"labels": LABELS, "cohorts": 3, "per_class": 2},
            {"labels": LABELS, "cohorts": [[0, 1], [2, 3]], "per_class": 2},
        ],
        {
            "labels": [LABELS[::-1], np.arange(96) % 6],
            "cohorts": [2, [[0, 1, 2], [3, 4, 5]], [[2, 3], [0, 1]], [[1, 0], [2, 3]]],
            "per_class": [1, 3],
            "unit": ["step"],
            "epoch": [7],
            "seed": [1, 2],
        },
    ),
    "alternating": Calls(
        [{"tasks": FEW}, {"tasks": FEW, "named": True}, {"tasks": {**FEW, "b": bw.shuffled(40, 3)}}],
        {
            "tasks": [
                {"a": bw.shuffled(40, 4, seed=1), "b": FEW["b"]},
                {"b": FEW["a"], "a": FEW["b"]},
                {"a": FEW["a"], "read as c": FEW["b"]},
                {"a": FEW["a"], "read as d": FEW["b"]},
                {"a": FEW["a"], "b": bw.shuffled(40, 3)},
                {"a": FEW["a"], "b": bw.budgeted(LENGTHS[:40], PLENTY)},
            ],
            "target": ["uniform", {"a": 0.7, "b": 0.3}],
            "unit": ["step"],
            "same_dataset": [True],
            "named": [True, False],
            "epoch": [5],
        },
    ),
    "raked": Calls(
        [
            {
                "attributes": {"class": LABELS > 1, "half": HALVES},
                "margins": {"class": "uniform", "half": {0: 0.3, 1: 0.7}},
                "batch_size": 12,
            }
        ],
        {
            "attributes": [{"class": LABELS > 0, "half": HALVES}, {"class": LABELS > 1, "half": 1 - HALVES}],
            "margins": [{"class": "natural", "half": {0: 0.3, 1: 0.7}}, {"class": "uniform", "half": "uniform"}],
            "batch_size": [6, 13],
            "min_repeats": [0.5, 0.9],
            "max_repeats": [1.5, 2],
            "closest": [True],
            **_FIXED,
        },
    ),
    "multilabel": Calls(
        [{"labels": np.stack([LABELS > 1, HALVES], axis=1), "batch_size": 12, "target": 0.5}],
        {
            "labels": [np.stack([LABELS > 0, HALVES], axis=1), np.stack([LABELS > 1, 1 - HALVES], axis=1)],
            "batch_size": [6, 13],
            "target": ["natural", 0.9],
            "min_repeats": [0.5, 0.9],
            "max_repeats": [1.1, 3],
            "epoch": [3],
            "seed": [1, 2],
        },
    ),
    "budgeted": Calls(
        [
            {"lengths": LENGTHS, "max_tokens": 4 * PLENTY, "window": 8},
            {"lengths": LENGTHS, "max_tokens": PLENTY, "window": 8, "padded": False},
            {"lengths": LENGTHS, "max_tokens": 200, "window": 8, "too_long": "skip"},
            {"lengths": {"a": LENGTHS, "b": LENGTHS[::-1]}, "max_tokens": {"a": 500, "b": 400}, "window": 8},
            {"lengths": {"a as b": LENGTHS}, "max_tokens": {"a as b": 500}, "window": 8},
        ],
        {
            "lengths": [LENGTHS[::-1], LENGTHS // 2, {"a as b": LENGTHS}, {"a": LENGTHS, "b": LENGTHS}],
            "max_tokens": [4 * PLENTY + 8, 500, {"a": 500, "b": 900}, {"a as b": 700}],
            "max_samples": [5, 9],
            "padded": [False, True, {"a": True, "b": False}, {"a": False, "b": True}],
            "cost": [square, lambda lengths: lengths + 1, lambda lengths: lengths * 1.0],
            "balance": [LENGTHS // 8, LENGTHS[::-1], LENGTHS],
            "round_length": [1, 8, 16, [96, 200, 232], sorted({*LENGTHS.tolist()})],
            "round_count": [2, 3],
            "too_long": ["alone", "truncate", "skip"],
            **_CUT,
        },
    ),
    "grouped": Calls(
        [{"lengths": LENGTHS, "batch_size": 6, "window": 8}],
        {"lengths": [LENGTHS[::-1], LENGTHS // 16], "batch_size": [5, 7], "level": [True], **_CUT},
    ),
    "bucketed": Calls(
        [{"shapes": SHAPES, "batch_size": 4, "buckets": 3, "window": 8}],
        {
            "shapes": [SHAPES[:, ::-1], SHAPES[::-1]],
            "batch_size": [3, 5],
            "buckets": [2, 4, [(1, 1), (1, 2)], [(1, 2), (1, 1)]],
            **_CUT,
            "window": [8, 9, "epoch"],
        },
    ),
    "packed": Calls(
        [
            {"lengths": LENGTHS, "capacity": 4 * PLENTY, "window": 8},
            {"lengths": LENGTHS, "capacity": 200, "window": 8, "too_long": "split"},
            {"lengths": [5, 4], "capacity": 4, "too_long": "split"},
            {"lengths": ZEROS, "capacity": {"a": 24, "b": 24}, "window": 8, "together": PAIRS},
        ],
        {
            "lengths": [LENGTHS[::-1], [4, 5], {"a": LENGTHS, "b": LENGTHS[::-1]}, {"a": ZEROS["b"], "b": ZEROS["a"]}],
            "capacity": [900, PLENTY, {"a": 20, "b": 24}],
            "packs": [2, 3],
            "max_per_pack": [2, 3],
            "together": [PAIRS, SHIFTED, np.arange(180) // 2, np.arange(180) // 3],
            "cost": [square, lambda lengths: lengths + 1, lambda lengths: lengths * 1.0],
            "balance": [LENGTHS // 8, LENGTHS[::-1], LENGTHS],
            "solver": ["exact"],
            "too_long": ["truncate", "skip", "split"],
            **_CUT,
        },
    ),
    "hybrid": Calls(
        [
            {"lengths": LENGTHS, "ranks": 2, "tokens_per_rank": 240},
            {"lengths": LENGTHS, "ranks": 1, "tokens_per_rank": 300, "batch_size": 30},
            {"lengths": LENGTHS, "ranks": 2, "tokens_per_rank": 240, "batch_size": 20, "cost": square},
        ],
        {
            "lengths": [LENGTHS[::-1], LENGTHS // 2],
            "ranks": [1, 3],
            "tokens_per_rank": [PLENTY, 480],
            "widen": [1, 3],
            "cost": [square, lambda lengths: lengths**3, lambda lengths: lengths * 1.0],
            "batch_size": [5, 21],
            "seed": [1, 2],
        },
    ),
}

CHANGES_NO_BATCH = {"distinct", "closest"}  # they say what is refused
REFUSES_ONLY = {"evaluation": {"too_long"}, "ordered": {"samples"}}  # the same, of one builder

STEP_SIZES = 1, 3
EPOCHS = 3


def builders() -> dict[str, Any]:
    """Every public function that returns a plan of its arguments."""
    named = {name: getattr(bw, name) for name in bw.__all__ if name != "from_recipe"}
    return {
        name: function
        for name, function in named.items()
        if inspect.isfunction(function) and "Plan" in str(inspect.signature(function).return_annotation)
    }


def plans(builder: str, step_sizes: tuple[int, ...] = STEP_SIZES) -> Iterator[tuple[int, str, Any]]:
    """The number of the call begun from, the argument that was changed ("" for none), and the plan, where there is one.

    It must have an epoch in each of these step sizes: a plan by length may find only there that its samples do not suffice.
    """
    build, calls = builders()[builder], CALLS[builder]
    for number, begin in enumerate(calls.begin):
        for argument, value in [
            ("", None),
            *((name, value) for name, values in calls.other.items() for value in values),
        ]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", bw.PoorWarning)
                try:
                    plan = build(**begin | ({argument: value} if argument else {}))
                    for step_size in step_sizes:
                        plan.epoch_length(step_size)
                except bw.Infeasible:  # the argument contradicts others of this call
                    continue
            yield number, argument, plan


def fingerprints() -> dict[str, list[str]]:
    return {builder: [plan.fingerprint for _, _, plan in plans(builder, step_sizes=())] for builder in CALLS}


if __name__ == "__main__":
    print(json.dumps(fingerprints()))
