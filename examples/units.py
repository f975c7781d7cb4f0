"""Two sources of very different lengths, mixed half and half by pixels of ink instead of by image."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

import batchwright as bw


def main() -> None:
    digits = load_digits()
    ink = digits.data.sum(axis=1)
    thin, heavy = np.flatnonzero(ink < np.quantile(ink, 0.7)), np.flatnonzero(ink >= np.quantile(ink, 0.7))
    lengths = np.concatenate([ink[thin], ink[heavy] * 10])  # say the heavy ones come at ten times the resolution
    sources = {"thin": thin.size, "heavy": heavy.size}
    half = {"thin": 0.5, "heavy": 0.5}

    for name, target in {"by sample": half, "by pixel": bw.targets.in_units(half, lengths)}.items():
        plan = bw.mixed(sources, batch_size=48, target=target, epoch=2000)
        drawn = np.concatenate(list(plan.epoch(0)))
        pixels = np.bincount(plan.groups.group_of(drawn), weights=lengths[drawn])
        print(f"{name}: {pixels[0] / pixels.sum():.4f} of the pixels are from thin digits")
    assert abs(pixels[0] / pixels.sum() - 0.5) < 0.005


if __name__ == "__main__":
    main()
