"""Metric learning: shapes over digits over samples, so many of each, all in turn."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

import batchwright as bw

SHAPES = {"round": (0, 6, 8, 9), "straight": (1, 4, 7), "curly": (2, 3, 5)}


def main() -> None:
    digits = load_digits().target
    shape = np.array([next(name for name, members in SHAPES.items() if digit in members) for digit in digits])
    plan = bw.hierarchical([shape, digits], per=[2, 3, 4])
    print(plan.summary())
    present = dict.fromkeys(range(10), 0)
    for t in range(500):
        batch = plan[t]
        assert len(set(shape[batch])) == 2
        classes, counts = np.unique(digits[batch], return_counts=True)
        assert counts.tolist() == [4] * 6
        for digit in classes.tolist():
            present[digit] += 1
    print("appearances in 500 batches:", present)
    for members in SHAPES.values():
        appearances = [present[digit] for digit in members]
        assert max(appearances) - min(appearances) <= 1
    assert plan.audit(batches=500).kept


if __name__ == "__main__":
    main()
