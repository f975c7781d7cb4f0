"""Packing beside TRL's `bfd` and axolotl's packer, on published length histograms given by path.

    python benchmarks/packing.py wikipedia_bert512_hist.json squad11_384_hist.json

A histogram is JSON with a list of counts whose entry i is the number of sequences of length i + 1. Run by `make bench`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from limits import Limits
from timing import timed

from batchwright.kernels.packing import best_fit_decreasing
from batchwright.lengths.lower_bounds import packs_at_least
from batchwright.lengths.packing import pack

UNLIMITED = 2**62
ITEMS = 10**6


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(
            f"{len(sys.argv) - 1} histograms given, 2 needed: make bench NAME=packing ARGS='wikipedia.json squad.json'"
        )
    wikipedia, squad = (histogram(Path(path)) for path in sys.argv[1:3])
    limits = Limits()
    whole_corpus(wikipedia, limits)
    packs, seconds = exact("SQuAD-384", squad)
    limits.at_most("packs of SQuAD-384, exact-minded", packs, 40_250)
    limits.at_most("s for them", seconds, 60)
    exact("Wikipedia-512", wikipedia)
    beside_peers(wikipedia, limits)
    limits.end()


def whole_corpus(counts: np.ndarray, limits: Limits) -> None:
    """Strategy on the histogram, then every sample named."""
    capacity = counts.size - 1
    kinds = np.flatnonzero(counts)
    best_fit_decreasing(kinds, counts[kinds], capacity, UNLIMITED)
    table, strategy = timed(lambda: best_fit_decreasing(kinds, counts[kinds], capacity, UNLIMITED))
    print(f"Wikipedia-512, {counts.sum():,} sequences: {table[:, 2].sum():,} packs in {1e3 * strategy:.2f} ms, "
          f"bound {packs_at_least(kinds, counts[kinds], capacity):,}")  # fmt: skip
    lengths = np.random.default_rng(0).permutation(np.repeat(np.arange(capacity + 1), counts))
    pack(lengths[:1000], capacity)  # compiled or loaded before it is timed
    packing, seconds = timed(lambda: pack(lengths, capacity), rounds=3)
    density = lengths.sum() / capacity / len(packing)
    print(f"  every sample assigned: {len(packing):,} packs, density {density:.4%}, {seconds:.2f} s")
    limits.at_most("packs of Wikipedia-512", len(packing), 8_138_483)
    limits.at_most("s for the strategy", strategy, 0.2)
    limits.at_most("s with every sample assigned", seconds, 3)


def exact(name: str, counts: np.ndarray) -> tuple[int, float]:
    """Column generation, rounded: how many packs, and the seconds for them."""
    capacity = counts.size - 1
    lengths = np.repeat(np.arange(capacity + 1), counts)
    fast = pack(lengths, capacity)
    packing, seconds = timed(lambda: pack(lengths, capacity, solver="exact"))
    print(f"{name}: exact-minded {len(packing):,} packs in {seconds:.1f} s, bound {packing.at_least:,}, "
          f"gap {packing.gap:.4%}; best fit {len(fast):,}")  # fmt: skip
    return len(packing), seconds


def beside_peers(counts: np.ndarray, limits: Limits) -> None:
    """10^6 lengths drawn from the histogram."""
    capacity = counts.size - 1
    lengths = np.random.default_rng(0).choice(capacity + 1, ITEMS, p=counts / counts.sum())
    pack(lengths, capacity)
    packing, ours = timed(lambda: pack(lengths, capacity), rounds=3)
    total = lengths.sum() / capacity
    print(f"\n{ITEMS:,} lengths: batchwright density {total / len(packing):.4%}, {1e3 * ours:.0f} ms")
    for peer in (trl_bfd, axolotl_multipack):
        packs, seconds = peer(lengths, capacity)
        print(f"  {peer.__name__:<20} density {total / packs:.4%}, {seconds:.1f} s, {seconds / ours:.0f} times as long")
        limits.at_least(f"{peer.__name__} / ours: time", seconds / ours, 30)
        limits.at_most(f"ours / {peer.__name__}: packs", len(packing) / packs, 1)


def trl_bfd(lengths: np.ndarray, capacity: int) -> tuple[int, float]:
    """TRL's `pack_dataset`, on rows of zeros of these lengths."""
    import pyarrow as pa
    from datasets import Dataset, disable_progress_bars
    from trl.data_utils import pack_dataset

    disable_progress_bars()
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int64)
    rows = pa.LargeListArray.from_arrays(offsets, np.zeros(offsets[-1], np.int8))
    dataset = Dataset(pa.table({"input_ids": rows}))
    packed, seconds = timed(lambda: pack_dataset(dataset, seq_length=capacity, strategy="bfd"))
    return len(packed), seconds


def torchtitan_first_fit(lengths: np.ndarray, capacity: int) -> tuple[list[np.ndarray], float]:
    """The `MMSamplePacker` of torchtitan with all samples in its buffer: each goes, in order, to the first pack with room.

    With its default buffer of 100 it packs again at every sample, as long as no pack is exactly full. Samples are joined by
    their numbers here, so that no token is copied.
    """
    from torchtitan.hf_datasets.multimodal.utils.packing import MMSamplePacker

    class Numbered(MMSamplePacker):
        @staticmethod
        def _merge_samples(samples: list[dict[str, Any]]) -> Any:
            return [sample["number"] for sample in samples]

    def packed() -> list[np.ndarray]:
        packer = Numbered(capacity, buffer_size=lengths.size + 1)
        for number, length in enumerate(lengths.tolist()):
            packer.add_sample({"number": number, "input_ids": range(length)})
        packer.flush()
        return [np.array(pack) for pack in packer.packed_samples]

    return timed(packed, rounds=1)


def axolotl_multipack(lengths: np.ndarray, capacity: int) -> tuple[int, float]:
    """Axolotl's `pack_parallel` with its sampler's own defaults, in one process."""
    from axolotl.utils.samplers.multipack import pack_parallel

    def packed(column: np.ndarray) -> list[list[int]]:
        return pack_parallel(column, capacity, group_size=100_000, bin_size=200, num_processes=1)

    packed(lengths[:1000])  # compiled before it is timed
    bins, seconds = timed(lambda: packed(lengths))
    return len(bins), seconds


def histogram(path: Path) -> np.ndarray:
    """Counts by length, entry n for length n."""
    counts = next(value for value in json.loads(path.read_text()).values() if isinstance(value, list))
    return np.concatenate([[0], np.array(counts, np.int64)])


if __name__ == "__main__":
    main()
