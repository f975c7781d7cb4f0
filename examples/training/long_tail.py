"""Long-tailed digits: a shuffle, balanced batches, and a shuffle with the prior adjusted in the loss, one network each.

python examples/training/long_tail.py
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits

import batchwright as bw

RAREST = 3
Data = tuple[torch.Tensor, torch.Tensor]


def long_tail() -> tuple[Data, Data]:
    """Digits whose class c is cut to 50 ** (-c / 9) of class 0 for training, and 60 of each class to measure on."""
    digits = load_digits()
    images, labels = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    train, test = [], []
    for digit in range(10):
        samples = np.flatnonzero(digits.target == digit)
        test += samples[:60].tolist()
        train += samples[60 : 60 + max(2, round(114 * 50 ** (-digit / 9)))].tolist()
    return (images[train], labels[train]), (images[test], labels[test])


def main(epochs: int = 40) -> None:
    train, (images, truth) = long_tail()
    dataset = torch.utils.data.TensorDataset(*train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)  # three samples of the rarest class repeat within a batch
        plans = {
            "shuffle": bw.balanced(dataset, 32, target="natural"),
            "balanced": bw.balanced(dataset, 32),
        }
    natural = bw.correct.LogitAdjustment.from_plan(plans["shuffle"], deploy="uniform", mode="loss")
    ways = {
        "shuffle": ("shuffle", torch.nn.Identity()),
        "balanced": ("balanced", torch.nn.Identity()),
        "shuffle, prior in the loss": ("shuffle", natural),
    }
    print(f"{'':28} balanced accuracy   recall of the {RAREST} rarest")
    for name, (stream, adjust) in ways.items():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        for epoch in plans[stream].loader(dataset).epochs(epochs):
            for x, y in epoch:
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(adjust(model(x)), y).backward()
                optimizer.step()
        with torch.no_grad():
            right = (model(images).argmax(1) == truth).float()
        recall = torch.stack([right[truth == digit].mean() for digit in range(10)])
        print(f"{name:28} {recall.mean():17.1%}   {recall[-RAREST:].mean():.1%}")


if __name__ == "__main__":
    main()
