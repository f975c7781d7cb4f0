"""Budgeted, grouped and levelled micro-batches beside Hugging Face's and lhotse's samplers.

    python benchmarks/lengths.py wikipedia_bert512_hist.json

Lengths are logN(5, 1) clipped to 16..1024, or drawn from the histogram given by path. Prints figures and the limits they
must keep, and fails where one is missed. Run by `make bench`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from limits import Limits
from packing import histogram
from timing import paired, timed

import batchwright as bw
from batchwright.base_plan import BasePlan

Batches = list[list[int]]
RANKS, ACCUMULATE, STEPS = 8, 4, 100
SECONDS_A_WINDOW = 10
TOGETHER = RANKS * ACCUMULATE


def main() -> None:
    torch.set_num_threads(1)
    limits = Limits()
    budget(lognormal(10**6), limits)
    if len(sys.argv) > 1:
        group(histogram(Path(sys.argv[1])), limits)
    balance(limits)
    level(limits)
    limits.end()


def lognormal(count: int) -> np.ndarray:
    return np.clip(np.random.default_rng(0).lognormal(5, 1, count), 16, 1024).astype(np.int64)


def padding(lengths: np.ndarray, batches: Any) -> float:
    return float(1 - sum(lengths[b].sum() for b in batches) / sum(lengths[b].max() * len(b) for b in batches))


def budget(lengths: np.ndarray, limits: Limits) -> None:
    """10^6 lengths under a padded budget of 16,384."""
    _, sort = timed(lambda: np.argsort(lengths), rounds=5)
    print(f"{lengths.size:,} lengths, padded budget 16,384, an epoch never planned before in every round; np.argsort of "
          f"them takes {1e3 * sort:.0f} ms")  # fmt: skip
    print(f"{'':<44}{'x argsort':>10}{'padding':>10}{'largest':>10}")
    found = {}
    for window in ("epoch", 1024, 100):
        plan = bw.budgeted(lengths, 16384, window=window)
        batches, epochs = plan.epoch(0)[:], count(1)
        *_, rounds = paired(partial(planned, plan, epochs), lambda: np.argsort(lengths), seconds=SECONDS_A_WINDOW)
        ratio = rounds.middle
        most = max(int(lengths[batch].max()) * len(batch) for batch in batches)
        found[window] = ratio, padding(lengths, batches), most
        print(f"{f'batchwright budgeted, window {window}':<44}{ratio:>10.2f}"
              f"{padding(lengths, batches):>10.3%}{most:>10,}")  # fmt: skip
    for name, make in (("HF get_length_grouped_indices (batch 70)", hf_grouped), ("lhotse DynamicBucketing", lhotse)):
        batches, seconds = timed(lambda: make(lengths))
        most = max(int(lengths[batch].max()) * len(batch) for batch in batches)
        print(f"{name:<44}{seconds / sort:>10.2f}{padding(lengths, batches):>10.3%}{most:>10,}")
        limits.beside(f"{name} / ours: a whole epoch planned", seconds / sort / found["epoch"][0])
    limits.at_most("ours / np.argsort: a whole epoch planned", max(ratio for ratio, _, _ in found.values()), 2.5)
    limits.at_most("% padding, window 'epoch'", 100 * found["epoch"][1], 0.1)
    limits.at_most("% padding, windows of 100", 100 * found[100][1], 3)
    limits.at_most("the most expensive micro-batch", max(most for _, _, most in found.values()), 16_384)


def planned(plan: BasePlan, epochs: Iterator[int]) -> None:
    """All micro-batches of the next epoch."""
    plan.epoch(next(epochs))[:]


def hf_grouped(lengths: np.ndarray, batch_size: int = 70) -> Batches:
    from transformers.trainer_pt_utils import get_length_grouped_indices

    order = get_length_grouped_indices(lengths.tolist(), batch_size, generator=torch.Generator().manual_seed(0))
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]


def lhotse(lengths: np.ndarray) -> Batches:
    """Its text sampler: examples that know their number of tokens, a constraint of tokens a batch."""
    from lhotse.dataset.sampling.base import TokenConstraint
    from lhotse.dataset.sampling.dynamic_bucketing import DynamicBucketingSampler

    class Example:
        def __init__(self, number: int, tokens: int) -> None:
            self.id, self.number, self.num_tokens = str(number), number, tokens

    class Examples(list):
        is_lazy = False

    order = np.random.default_rng(0).permutation(lengths.size)
    examples = Examples(Example(int(i), int(lengths[i])) for i in order)
    sampler = DynamicBucketingSampler(
        examples,
        constraint=TokenConstraint(max_tokens=16384),
        num_buckets=30,
        shuffle=True,
        drop_last=False,
        duration_bins=np.quantile(lengths, np.linspace(0, 1, 31)[1:-1]).tolist(),
    )
    return [[example.number for example in batch] for batch in sampler]


def group(counts: np.ndarray, limits: Limits) -> None:
    """10^6 lengths of the histogram, micro-batches of 32, windows as large as Hugging Face's (50 micro-batches)."""
    lengths = np.random.default_rng(0).choice(counts.size, 10**6, p=counts / counts.sum())
    print(f"\n{lengths.size:,} lengths of {Path(sys.argv[1]).name}, micro-batches of 32: padding")
    plan = bw.grouped(lengths, 32, window=50)
    for ranks in (1, 8):
        limits.at_most(f"% padding, grouped, {ranks} ranks", 100 * padding(lengths, plan.epoch(0, ranks)), 1.84)
    print(f"  HF get_length_grouped_indices: {padding(lengths, hf_grouped(lengths, 32)):.3%}")
    from transformers.trainer_pt_utils import DistributedLengthGroupedSampler

    batches: Batches = []
    for rank in range(8):
        order = list(DistributedLengthGroupedSampler(32, lengths=lengths.tolist(), num_replicas=8, rank=rank))
        batches += [order[at : at + 32] for at in range(0, len(order), 32)]
    print(f"  HF DistributedLengthGroupedSampler, 8 ranks: {padding(lengths, batches):.3%}")


def balance(limits: Limits) -> None:
    """The most expensive micro-batch of a step over the mean of its step, over 100 steps of 8 ranks x 4.

    Limits are for plans of one column; of two, where `cost` is the sum of the shares, the figures are told.
    """
    print(f"\nmax/mean cost of the {TOGETHER} micro-batches of a step, mean over {STEPS} steps (worst)")
    both = {"text": lognormal(240_000), "vision": lognormal(240_000)[::-1].copy()}
    for name, plan, most in (
        ("budgeted 16,384", bw.budgeted(lognormal(240_000), 16384), 1.005),
        ("packed 16,384", bw.packed(lognormal(240_000), 16384), 1.001),
        ("packed 4 x 4,096", bw.packed(lognormal(240_000), 4096, packs=4), 1.001),
        ("budgeted, window 100", bw.budgeted(lognormal(240_000), 16384, window=100), 1.005),
        ("budgeted, whole epoch", bw.budgeted(lognormal(240_000), 16384, window="epoch"), 1.005),
        ("budgeted, sums", bw.budgeted(lognormal(240_000), 16384, padded=False), 1.005),
        ("two budgets, sums", bw.budgeted(both, {"text": 16384, "vision": 20000}, padded=False), None),
        ("two budgets, padded", bw.budgeted(both, {"text": 16384, "vision": 20000}), None),
        ("two capacities", bw.packed(both, {"text": 16384, "vision": 20000}), None),
    ):
        costs = plan.cost(plan.epoch(0, TOGETHER)[: STEPS * TOGETHER])
        print(f"  batchwright {name:<24}{over_mean(costs)}")
        if most is not None:
            limits.at_most(f"{name}: its worst step of {STEPS}", over_means(costs).max(), most)


def level(limits: Limits) -> None:
    """Steps of exactly 512 samples, micro-batches of like padded cost."""
    from transformers.trainer_pt_utils import BatchRebalanceSampler

    lengths = lognormal(512 * STEPS)
    dear = lengths + 0.001 * lengths**2  # what a sample costs by the formula of BatchRebalanceSampler
    ranks = [list(BatchRebalanceSampler(lengths.tolist(), 512, RANKS, ACCUMULATE, rank=rank)) for rank in range(RANKS)]
    theirs = [ranks[i % RANKS][i // RANKS] for i in range(len(ranks[0]) * RANKS)]
    _, seconds = timed(lambda: list(BatchRebalanceSampler(lengths.tolist(), 512, RANKS, ACCUMULATE)))
    print(
        f"\n512 samples in every step; {'padded cost':>43}{'its own formula':>24}{'8 ranks, one slot':>24}{'padding':>10}"
    )
    print(f"  {'HF BatchRebalanceSampler':<46}{over_mean(padded(lengths, theirs)):>22}"
          f"{over_mean(padded(dear, theirs)):>24}{over_mean(padded(dear, theirs), RANKS):>24}"
          f"{padding(lengths, theirs):>10.3%}")  # fmt: skip
    for name, costs, window in (
        ("padded cost, whole epoch", lengths, "epoch"),
        ("padded cost, window 512", lengths, 512),
        ("its formula, whole epoch", dear, "epoch"),
        ("its formula, window 512", dear, 512),
    ):
        kept = over_means(padded(dear, theirs), RANKS).mean()  # what it levels: its own formula, rank by rank
        plan = bw.grouped(costs, 512 // TOGETHER, window=window, level=True)
        batches, ours = timed(lambda: plan.epoch(0, TOGETHER)[:], rounds=3)
        assert {sum(map(len, batches[at : at + TOGETHER])) for at in range(0, len(batches), TOGETHER)} == {512}
        print(f"  {'batchwright, level by ' + name:<46}{over_mean(padded(lengths, batches)):>22}"
              f"{over_mean(padded(dear, batches)):>24}{over_mean(padded(dear, batches), RANKS):>24}"
              f"{padding(lengths, batches):>10.3%}"
              f"   HF takes {seconds / ours:.0f} times as long, for one rank of 8")  # fmt: skip
        limits.at_least(f"BatchRebalanceSampler / ours: {name}", seconds / ours, 10)
        if costs is lengths:
            limits.at_most(f"{name}: its padded cost over the mean", over_means(padded(lengths, batches)).mean(), kept)


def padded(lengths: np.ndarray, batches: Any) -> list[float]:
    return [float(lengths[batch].max()) * len(batch) for batch in batches]


def over_means(costs: Any, together: int = TOGETHER) -> np.ndarray:
    """The most expensive micro-batch of every step over the mean of its step."""
    steps = np.array(costs, float).reshape(-1, together)
    ratios: np.ndarray = steps.max(1) / steps.mean(1)
    return ratios


def over_mean(costs: Any, together: int = TOGETHER) -> str:
    ratio = over_means(costs, together)
    return f"{ratio.mean():.5f} ({ratio.max():.5f})"


if __name__ == "__main__":
    main()
