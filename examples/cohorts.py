"""Batches that see three digits at a time: given cohorts in rotation, or cohorts drawn again in each cycle."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
from sklearn.datasets import load_digits

import batchwright as bw


def main() -> None:
    digits = load_digits().target
    few = digits[digits < 6]
    plan = bw.rotating(few, [[0, 1, 2], [3, 4, 5]], per_class=5)
    for t in range(4):
        print(plan.task_of(t), np.bincount(few[plan[t]], minlength=6).tolist())
    two = [np.bincount(few[plan[t]], minlength=6).tolist() for t in (10**6, 10**6 + 1)]  # a round
    assert sorted(two) == [[0, 0, 0, 5, 5, 5], [5, 5, 5, 0, 0, 0]]

    drawn = bw.rotating(digits, 5, per_class=4)
    met = Counter(
        pair for t in range(4500) for pair in itertools.combinations(sorted(set(digits[drawn[t]].tolist())), 2)
    )
    print(f"45 pairs of digits met {min(met.values())} to {max(met.values())} times, 100 expected")
    assert len(met) == 45
    assert min(met.values()) > 60


if __name__ == "__main__":
    main()
