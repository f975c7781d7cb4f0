"""Cost and exactness of mixtures, beside grain's `MapDataset.mix` on the same weights in the same run.

    python benchmarks/mixture.py [--samples 400000]

Prints, for 10, 100 and 1,000 sources: nanoseconds an index, and how far any source ever was from its share, in samples:
over whole batches of 256 and at single places of the sequence.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable

import grain
import numpy as np
from limits import Limits

import batchwright as bw

BATCH = 256
LEAST_SECONDS = 1.0  # a case is run again until so much time has passed, and the best run counts


def batchwright(sizes: list[int], weights: np.ndarray, samples: int) -> Callable[[], np.ndarray]:
    names = range(len(sizes))
    plan = bw.mixed(dict(zip(names, sizes, strict=True)), BATCH, target=dict(zip(names, weights.tolist(), strict=True)))
    plan[0]  # kernels are compiled or loaded now

    def run() -> np.ndarray:
        return np.array([index for batch in plan.epoch(0).lists(0, 1) for index in batch])

    plan.epoch_batches = samples // BATCH
    return run


def grain_mix(sizes: list[int], weights: np.ndarray, samples: int) -> Callable[[], np.ndarray]:
    starts = np.cumsum([0, *sizes])
    parts = [
        grain.MapDataset.range(int(start), int(stop)).shuffle(seed=number).repeat()
        for number, (start, stop) in enumerate(itertools.pairwise(starts))
    ]
    mix = grain.MapDataset.mix(parts, weights=weights.tolist())
    return lambda: np.array([mix[i] for i in range(samples)])


def deviation(sources: np.ndarray, weights: np.ndarray, step: int) -> float:
    """The largest distance of any source from its share after any multiple of `step` samples."""
    worst, counts = 0.0, np.zeros(weights.size)
    for done in range(step, sources.size + 1, step):
        counts += np.bincount(sources[done - step : done], minlength=weights.size)
        worst = max(worst, float(np.abs(counts - done * weights).max()))
    return worst


def within_batch(sources: np.ndarray, weights: np.ndarray) -> float:
    """The largest distance of any source from its quota within one batch of consecutive samples."""
    return max(
        float(np.abs(np.bincount(batch, minlength=weights.size) - BATCH * weights).max())
        for batch in sources.reshape(-1, BATCH)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100 * 1024)
    samples = parser.parse_args().samples // BATCH * BATCH
    print(f"{'':<12}{'sources':>8}{'ns an index':>13}{'in a batch':>12}{'after any batch':>17}{'  (samples off)':<10}")
    cost: dict[tuple[str, int], float] = {}
    for count in (10, 100, 1000):
        sizes = [1000 + 37 * n for n in range(count)]
        weights = np.sqrt(np.array(sizes, float))
        weights = np.round(weights / weights.sum(), 9)
        weights[-1] += 1 - weights.sum()
        starts = np.cumsum([0, *sizes])
        for make in (batchwright, grain_mix):
            run = make(sizes, weights, samples)
            took = []
            while sum(took) < LEAST_SECONDS:
                started = time.perf_counter()
                indices = run()
                took.append(time.perf_counter() - started)
            cost[make.__name__, count] = min(took) / samples * 1e9
            sources = np.searchsorted(starts, indices, side="right") - 1
            print(
                f"{make.__name__:<12}{count:>8}{cost[make.__name__, count]:>13.0f}{within_batch(sources, weights):>12.2f}"
                f"{deviation(sources, weights, BATCH):>17.2f}"
            )
    for name in ("batchwright", "grain_mix"):
        print(f"{name}: 1,000 sources cost {cost[name, 1000] / cost[name, 10]:.2f} times 10 sources")
    for count in (10, 100, 1000):
        Limits().beside(
            f"grain / ours: an index, {count} sources", cost["grain_mix", count] / cost["batchwright", count]
        )


if __name__ == "__main__":
    main()
