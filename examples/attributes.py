"""Outcome x tumour size x texture: three margins at once on the breast-cancer data."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer

import batchwright as bw


def main() -> None:
    cancer = load_breast_cancer()
    outcome = np.array(["malignant", "benign"])[cancer.target]
    radius, texture = cancer.data[:, 0], cancer.data[:, 1]
    size = np.array(["small", "middle", "large"])[np.digitize(radius, np.quantile(radius, [0.5, 0.8]))]
    rough = np.array(["smooth", "rough"])[(texture > np.median(texture)).astype(int)]
    plan = bw.raked(
        {"outcome": outcome, "size": size, "texture": rough},
        {"outcome": "uniform", "size": {"small": 0.4, "middle": 0.35, "large": 0.25}, "texture": "uniform"},
        batch_size=60,
        max_repeats=6,
    )
    print(plan.summary())
    drawn = np.concatenate([plan[t] for t in range(500)])
    for column, wanted in (
        (outcome, {"malignant": 0.5}),
        (size, {"small": 0.4, "large": 0.25}),
        (rough, {"rough": 0.5}),
    ):
        for level, share in wanted.items():
            reached = float((column[drawn] == level).mean())
            print(f"{level}: {reached:.4f} of what is sampled, {share} wanted")
            assert abs(reached - share) < 0.001


if __name__ == "__main__":
    main()
