"""Golden vectors: what plans yielded on the day they were written down, and must for ever.

`python -m tests.golden` compares (with nothing but the package installed), `python -m tests.golden --write` writes anew.
A change here is a change of every user's batches: raise the version of the state and say so in the changelog.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np

import batchwright as bw

FILE = Path(__file__).with_name("golden.json")
POSITIONS = (0, 1, 88, 89, 12_345, 10**6 + 7, 10**9)
EPOCHS = ((0, 1), (3, 8), (10**6, 6))  # (epoch, multiple) of the plans that are addressed by epoch
TAIL = [max(1, 2000 // (rank + 1)) for rank in range(300)]


def plans():
    sizes = dict(enumerate(TAIL))
    grouped = bw.Groups.from_sizes(sizes)
    yield "uniform", bw.balanced(grouped, 64)
    yield "natural", bw.balanced(grouped, 64, target="natural", seed=1)
    yield "square root", bw.balanced(grouped, 64, target="sqrt", seed=2)
    yield "blend", bw.balanced(grouped, 50, target=0.3, seed=3)
    yield "effective number", bw.balanced(grouped, 32, target=bw.targets.effective_number(0.999), seed=4)
    yield "repeat factor", bw.balanced(grouped, 32, target=bw.targets.repeat_factor(0.01), seed=5)
    yield "capped", bw.balanced(grouped, 32, target=bw.targets.capped(4), seed=6)
    yield "per class", bw.balanced(grouped, 32, per_class=4, seed=7)
    yield "schedule", bw.balanced(grouped, 64, target=bw.targets.schedule("natural", "uniform", epochs=5), seed=8)
    yield "small groups", bw.balanced(bw.Groups.from_sizes({"a": 3, "b": 70, "c": 500}), 30, seed=9)
    yield "labels", bw.balanced([name for name in "abcde" for _ in range(ord(name))], 12, seed=10)
    yield "many groups", bw.balanced(bw.Groups.from_sizes({g: 1 + g % 5 for g in range(20_000)}), 16, seed=11)
    yield "billion", bw.shuffled(10**9, 32, seed=2**64 - 1)
    yield "trillion in two", bw.balanced(bw.Groups.from_sizes({"a": 10**12, "b": 10**9}), 16, target="natural")
    yield "weighted", bw.weighted(np.arange(1, 5001) ** 2, 32, seed=12)
    yield "weighted, not whole", bw.weighted(np.arange(1, 5001) / 7, 32, seed=13)
    yield "mixture", bw.mixed({"a": 10**6, "b": 300, "c": 5000}, 48, target="sqrt", seed=16)
    inner = bw.mixed({"x": 90, "y": bw.weighted(np.arange(1, 200), 8, seed=17)}, 12, target="uniform", seed=18)
    yield (
        "nested mixture",
        bw.mixed({"plain": 1000, "even": bw.balanced(grouped, 32, seed=19), "inner": inner}, 40, seed=20),
    )
    kind, class_ = np.arange(4000) % 7, np.arange(4000) % 91
    yield "hierarchical", bw.hierarchical([kind, class_], per=[3, 4, 2], seed=21)
    yield "hierarchical by shares", bw.hierarchical([kind % 3, class_], per=[1, 5, 3], target="natural", seed=22)
    yield "drawn cohorts", bw.rotating(class_, 7, per_class=2, seed=23)
    tasks = {"a": bw.shuffled(500, 5, seed=24), "b": bw.balanced(grouped, 7, seed=25), "c": bw.shuffled(90, 3, seed=26)}
    yield "tasks", bw.alternating(tasks, target={"a": 0.5, "b": 0.3, "c": 0.2})
    yield "tasks by blocks", bw.alternating(tasks, target=bw.targets.temperature(3))
    moving = bw.balanced(grouped, 64, target=bw.targets.moving("uniform"), seed=27)
    yield "moved", moving.with_segments([moving.segment_after(1000, moving.natural_prior)])
    yield "random", bw.balanced(grouped, 32, draw="random", seed=14)
    yield "random weights", bw.weighted(np.arange(1, 5001) ** 2, 32, draw="random", seed=15)


def epoch_plans():
    """Plans whose batches are addressed by epoch; their lengths are formulas, so that no generator is needed."""
    number = np.arange(2000)
    lengths = 16 + number * number * 7919 % 1009 * (number % 7 + 1) // 7
    other = 16 + number * 104_729 % 997
    shapes = np.column_stack([256 + number % 5 * 64, 256 + number % 3 * 128])
    order = bw.balanced(number % 11, 44, target="sqrt", seed=20)
    yield "budgeted", bw.budgeted(lengths, 16_384, window=16, seed=21)
    yield "budgeted, whole epoch", bw.budgeted(lengths, 16_384, window="epoch", seed=22)
    yield "budgeted, sums", bw.budgeted(lengths, 8192, window=16, padded=False, max_samples=30, seed=23)
    yield "budgeted, menu", bw.budgeted(lengths, 16_384, round_length=[256, 512, 1024], round_count=4, seed=24)
    yield "two budgets", bw.budgeted({"a": lengths, "b": other}, {"a": 16_384, "b": 9000}, window=16, seed=25)
    yield "budgeted, an order", bw.budgeted(lengths, 16_384, window=16, order=order, seed=26)
    yield "grouped", bw.grouped(lengths, 16, window=16, seed=27)
    yield "grouped, level", bw.grouped(lengths, 16, window=16, level=True, seed=28)
    yield "bucketed", bw.bucketed(shapes, 16, buckets=4, seed=29)
    yield "packed", bw.packed(lengths, 4096, window=16, seed=30)
    yield "packed, four in one", bw.packed(lengths, 1024, packs=4, window=16, max_per_pack=5, seed=31)
    yield "packed, split", bw.packed(lengths, 700, window=16, too_long="split", seed=32)
    yield "packed, pairs", bw.packed(lengths, 4096, together=number // 2, window=16, seed=33)
    yield "packed, an order", bw.packed(lengths, 4096, window=16, order=order, seed=34)


def by_epoch(plan):
    """Micro-batches by "epoch/multiple/number"."""
    found = {}
    for epoch, multiple in EPOCHS:
        batches = plan.epoch(epoch, multiple)
        for number in (0, 1, len(batches) // 2, len(batches) - 1):
            found[f"{epoch}/{multiple}/{number}"] = batches[number].tolist()
    return found


def vectors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        endless = {name: {str(t): plan[t].tolist() for t in POSITIONS} for name, plan in plans()}
        return endless | {name: by_epoch(plan) for name, plan in epoch_plans()}


def fingerprints():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        return {name: plan.fingerprint for name, plan in [*plans(), *epoch_plans()]}


def main() -> int:
    found = {"fingerprints": fingerprints(), "vectors": vectors()}
    if "--write" in sys.argv:
        FILE.write_text(json.dumps(found, separators=(",", ":")).replace('},"', '},\n"') + "\n")
        return 0
    same = found == json.loads(FILE.read_text())
    count = sum(len(rows) for rows in found["vectors"].values())
    verdict = "hold" if same else "DO NOT HOLD"
    print(f"{count} golden vectors {verdict} on Python {sys.version.split()[0]}, numpy {np.__version__}")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
