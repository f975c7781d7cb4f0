"""Metric learning on seven digits, in batches of P classes x K samples, measured on new samples and on three new digits.

python examples/training/metric_learning.py
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits

import batchwright as bw


def nearest_is_alike(vectors: torch.Tensor, classes: torch.Tensor) -> float:
    """How often the nearest other sample is of the same class (recall at 1)."""
    similar = vectors @ vectors.T
    similar.fill_diagonal_(-torch.inf)
    return float((classes[similar.argmax(1)] == classes).float().mean())


def main(epochs: int = 10) -> None:
    digits = load_digits()
    images, classes = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    train, old, new = (
        (classes < 7) & (torch.arange(1797) % 2 == 0),
        (classes < 7) & (torch.arange(1797) % 2 > 0),
        classes >= 7,
    )
    dataset = torch.utils.data.TensorDataset(images[train], classes[train])
    plan = bw.balanced(dataset, batch_size=28, per_class=4)  # 7 classes x 4 samples
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 3))

    def recall(part: torch.Tensor) -> float:
        with torch.no_grad():
            return nearest_is_alike(torch.nn.functional.normalize(model(images[part]), dim=1), classes[part])

    before = recall(old), recall(new)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for epoch in plan.loader(dataset).epochs(epochs):
        for x, y in epoch:
            alike = (y[:, None] == y).float().fill_diagonal_(0)
            assert (alike.sum(1) == 3).all()  # each sample has three of its class in its batch, always
            vectors = torch.nn.functional.normalize(model(x), dim=1)
            similar = (vectors @ vectors.T / 0.1).fill_diagonal_(-1e9)
            loss = -(alike * similar.log_softmax(1)).sum(1).div(3).mean()  # supervised contrastive (Khosla et al. 2020)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print("in three dimensions, the nearest is of the same class:")
    print(f"new samples of the seven digits: {before[0]:.1%} before training, {recall(old):.1%} after")
    print(f"digits 7, 8 and 9, never seen:   {before[1]:.1%} before training, {recall(new):.1%} after")


if __name__ == "__main__":
    main()
