"""A batch recipe: a fixed quota, a quota driven by a group's measured strength, one that gives way, and a filler."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

import batchwright as bw
from batchwright.targets import Active, Compensating, Filler, Fixed, formula, quantities


def main() -> None:
    digits = load_digits()
    names = np.array(["round", "straight", "curly", "other"])
    kind = names[
        np.select(
            [np.isin(digits.target, [0, 6, 8, 9]), np.isin(digits.target, [1, 4, 7]), digits.target == 3], [0, 1, 2], 3
        )
    ]
    ink = digits.data.mean(axis=1)
    strength = ink[kind == "round"].mean() / ink.mean()  # ink a sample, relative to the average

    lines = [
        Fixed("curly", 8),
        Active("round", 24, target_strength=1.0, strength=strength),  # as much ink as 24 average digits hold
        Compensating("straight", 16, factor=0.5),
        Filler("other", 16),
    ]
    found = quantities(lines, size=64)
    print({name: round(float(quantity), 3) for name, quantity in found.items()})
    plan = bw.balanced(kind, batch_size=64, target=formula(lines, size=64))
    ink_of_round = np.mean([ink[batch[kind[batch] == "round"]].sum() for batch in map(plan.__getitem__, range(500))])
    print(f"ink from round digits a batch: {ink_of_round:.2f}, wanted {24 * ink.mean():.2f}")
    assert abs(ink_of_round / (24 * ink.mean()) - 1) < 0.005


if __name__ == "__main__":
    main()
