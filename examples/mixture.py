"""A mixture of three datasets: one plain, one class-balanced, one weighted; all in one loader."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from torch.utils.data import ConcatDataset, TensorDataset

import batchwright as bw


def dataset(bunch, number):
    features = torch.zeros(len(bunch.target), 64)
    features[:, : bunch.data.shape[1]] = torch.tensor(bunch.data, dtype=torch.float32)
    return TensorDataset(features, torch.tensor(bunch.target), torch.full((len(bunch.target),), number))


def main() -> None:
    bunches = {"digits": load_digits(), "wine": load_wine(), "cancer": load_breast_cancer()}
    digits, wine, cancer = bunches.values()
    plan = bw.mixed(
        {
            "digits": digits.target,
            "wine": bw.balanced(wine.target, batch_size=6),
            "cancer": bw.weighted(1 + cancer.data[:, 0] / cancer.data[:, 0].max(), batch_size=6),
        },
        batch_size=24,
        target={"digits": 0.5, "wine": 0.25, "cancer": 0.25},
    )
    print(plan.summary())
    datasets = ConcatDataset([dataset(bunch, number) for number, bunch in enumerate(bunches.values())])
    for _features, labels, sources in plan.loader(datasets, num_workers=0):
        assert torch.bincount(sources).tolist() == [12, 6, 6]  # exact at the outer level
        assert torch.bincount(labels[sources == 1]).tolist() == [2, 2, 2]  # and at the inner one
    names, numbers = plan.locate(plan[0])
    print("the first micro-batch:", *zip(names[:4], numbers[:4].tolist(), strict=True))

    unimax = bw.mixed({name: len(bunch.target) for name, bunch in bunches.items()}, 24, target=bw.targets.capped(2))
    passes = {line.name: line.passes for line in unimax.summary().groups}
    assert max(passes.values()) <= 2 + 1e-9
    print("passes with capped(2):", {name: float(np.round(value, 3)) for name, value in passes.items()})


if __name__ == "__main__":
    main()
