"""Long sequences: packing at large capacities beside TRL and torchtitan, and how long ranks wait for each other's work.

Then context parallelism (`context.py`) and parts of rollouts (`partition.py`).

Lengths are logN(7, 1.6) clipped to 16..131,072, 100,000 of them; a sample of n tokens works 24576 n + n^2, the matrices
and the attention of a small transformer. Run by `make bench NAME=long`.
"""

from __future__ import annotations

from typing import Any

import context
import numpy as np
from limits import Limits
from packing import torchtitan_first_fit, trl_bfd
from partition import rollouts
from timing import timed

import batchwright as bw
from batchwright.lengths.lower_bounds import slowest_ranks_at_least
from batchwright.lengths.packing import pack

SAMPLES = 100_000
LAYOUTS = ((8, 4), (64, 1))  # ranks, accumulation


def main() -> None:
    limits = Limits()
    first_fit, _ = [packing(capacity, seconds, limits) for capacity, seconds in ((131_072, 0.2), (1_048_576, 0.5))]
    level(lengths_up_to(131_072), first_fit, limits)
    context.shards(lengths_up_to(131_072), limits)
    context.hybrid(lengths_up_to(131_072), work, limits)
    rollouts(limits)
    limits.end()


def lengths_up_to(longest: int) -> np.ndarray:
    return np.clip(np.random.default_rng(0).lognormal(7.0, 1.6, SAMPLES), 16, longest).astype(np.int64)


def work(n: Any) -> Any:
    return 24_576 * n + n**2


def packing(capacity: int, most_seconds: float, limits: Limits) -> list[np.ndarray]:
    """One packing of all samples, and the first batch of a plan. Returns the packs of torchtitan."""
    lengths = lengths_up_to(capacity)
    bw.packed(lengths[:1000], capacity).stepped(4)[0]  # compiled or loaded before it is timed
    found, ours = timed(lambda: pack(lengths, capacity), rounds=5)
    packs, theirs = trl_bfd(lengths, capacity)
    first_fit, their_first_fit = torchtitan_first_fit(lengths, capacity)
    print(f"{SAMPLES:,} lengths into packs of {capacity:,}: {len(found)} packs in {1e3 * ours:.1f} ms; "
          f"TRL's bfd {packs} in {theirs:.1f} s, {theirs / ours:.0f} times as long; torchtitan's first fit "
          f"{len(first_fit)} in {their_first_fit:.1f} s")  # fmt: skip
    limits.at_most(f"ours / torchtitan: packs of {capacity:,}", len(found) / len(first_fit), 1)
    limits.at_least(f"torchtitan / ours: time of packs of {capacity:,}", their_first_fit / ours, 10)
    limits.at_most(f"ours / TRL bfd: packs of {capacity:,}", len(found) / packs, 1)
    limits.at_least(f"TRL bfd / ours: time of packs of {capacity:,}", theirs / ours, 10)
    _, first = timed(lambda: bw.packed(lengths, capacity).stepped(32)[0], rounds=5)
    limits.at_most(f"s to build a plan of packs of {capacity:,}, and its first batch", first, most_seconds)
    return first_fit


def level(lengths: np.ndarray, first_fit: list[np.ndarray], limits: Limits) -> None:
    """Micro-step by micro-step, the work of the most expensive rank over the mean of all ranks."""
    costs = work(lengths.astype(float))
    print(f"\n{'work of the most expensive rank / mean of all ranks':<56}" + "".join(
        f"{f'{ranks} ranks x {accumulate}':>16}" for ranks, accumulate in LAYOUTS))  # fmt: skip
    packs = shuffled_packs(lengths, 131_072)
    rows = {"the same packs, shuffled": [waiting(packs, *layout, costs) for layout in LAYOUTS]}
    for name, more in {
        "packed": {},
        "packed, window='epoch'": {"window": "epoch"},
        "packed, cost=": {"cost": work},
        "packed, cost=, packs=4": {"cost": work, "packs": 4},
    }.items():
        plan = bw.packed(lengths, 131_072, **more)
        rows[name] = [waiting(plan.epoch(0, ranks * accumulate)[:], ranks, accumulate, costs)
                      for ranks, accumulate in LAYOUTS]  # fmt: skip
    rows["proven: no packing is below"] = [
        slowest_ranks_at_least(costs, lengths, 131_072, ranks) / (costs.sum() / ranks) for ranks, _ in LAYOUTS
    ]
    rows["the largest sample / mean work of a micro-batch"] = [costs.max() / (costs.sum() / len(packs))] * len(LAYOUTS)
    rows["packs filled in the order of the data"] = [
        waiting(in_order(lengths, 131_072), *layout, costs) for layout in LAYOUTS
    ]
    shuffled = [first_fit[place] for place in np.random.default_rng(0).permutation(len(first_fit))]
    rows["packs of torchtitan's first fit, shuffled"] = [waiting(shuffled, *layout, costs) for layout in LAYOUTS]
    for name, found in rows.items():
        print(f"  {name:<54}" + "".join(f"{ratio:>16.4f}" for ratio in found))
    limits.at_most("packed with cost=, 8 ranks x 4", rows["packed, cost="][0], 1.01)
    limits.at_most("packed with cost=, 64 ranks", rows["packed, cost="][1], 1.01)
    price(lengths, limits)


def price(lengths: np.ndarray, limits: Limits) -> None:
    """What an epoch of plans costs with and without levelling, and how far the tokens of a step are off."""
    for ranks, accumulate in LAYOUTS:
        step = ranks * accumulate

        def epoch(step: int = step, **more: Any) -> Any:
            return bw.packed(lengths, 131_072, window="epoch", **more).epoch(0, step)[:]

        batches, with_cost = timed(lambda: epoch(cost=work), rounds=5)
        _, without = timed(epoch, rounds=5)
        tokens = np.array([lengths[batch].sum() for batch in batches]).reshape(-1, step).sum(axis=1)
        off, full = np.abs(tokens / tokens.mean() - 1).max(), 131_072 * step / tokens.mean() - 1
        print(f"{ranks} ranks x {accumulate}: levelling an epoch takes {1e3 * (with_cost - without):.0f} ms; tokens "
              f"of a step within {off:.2%} of the mean, a step of full packs is {full:.2%} above it")  # fmt: skip
        limits.at_most(f"{ranks} x {accumulate}: tokens of a step, off the mean", off / max(0.01, full), 1.01)
        limits.at_most(f"{ranks} x {accumulate}: a levelled epoch / one that is not, in time", with_cost / without, 3)


def shuffled_packs(lengths: np.ndarray, capacity: int) -> list[np.ndarray]:
    """What trainers do that pack a dataset once, best fit, and then shuffle the packs."""
    found = pack(lengths, capacity)
    packs = np.split(found.members, found.offsets[1:-1])
    return [packs[place] for place in np.random.default_rng(0).permutation(len(packs))]


def in_order(lengths: np.ndarray, capacity: int) -> list[np.ndarray]:
    """Samples in a shuffled order, each to the pack that is filled now, which is closed when one does not fit.

    The rule of greedy packers of streams, such as torchtune's `PackedDataset`, written down here.
    """
    order = np.random.default_rng(0).permutation(lengths.size)
    held, begins = 0, [0]
    for place, length in enumerate(lengths[order].tolist()):
        if held + length > capacity:
            begins.append(place)
            held = 0
        held += length
    return np.split(order, begins[1:])


def waiting(batches: Any, ranks: int, accumulate: int, costs: np.ndarray) -> float:
    kept = len(batches) // (ranks * accumulate) * ranks * accumulate
    rows = np.array([costs[batch].sum() for batch in batches[:kept]]).reshape(-1, ranks)
    return float(rows.max(axis=1).sum() / rows.mean(axis=1).sum())


if __name__ == "__main__":
    main()
