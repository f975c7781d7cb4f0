"""Shares that follow the loss: the digits a model finds hard come more often, the easy ones never less than 4 %."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset

import batchwright as bw


def main() -> None:
    torch.manual_seed(0)
    digits = load_digits()
    dataset = TensorDataset(torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target))
    plan = bw.balanced(digits.target, 50, target=bw.targets.moving("uniform", floor=0.04, ceiling=0.3))
    loader = plan.loader(dataset)
    feedback = bw.feedback.Feedback(loader.sampler, bw.feedback.by_signal(), smoothing=0.5, most_change=0.05)
    model = torch.nn.Linear(64, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in loader.epochs(20):
        for features, labels in epoch:
            losses = torch.nn.functional.cross_entropy(model(features), labels, reduction="none")
            optimizer.zero_grad()
            losses.mean().backward()
            optimizer.step()
            feedback.observe(losses, labels=labels)
        feedback.update()
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(model(dataset.tensors[0]), dataset.tensors[1], reduction="none")
    by_digit = [float(losses[dataset.tensors[1] == digit].mean()) for digit in range(10)]
    print("digit  loss   share")
    for digit, (loss, share) in enumerate(zip(by_digit, feedback.shares.tolist(), strict=True)):
        print(f"{digit:>5}  {loss:.3f}  {share:.3f}")
    hardest, easiest = by_digit.index(max(by_digit)), by_digit.index(min(by_digit))
    assert feedback.shares[hardest] > 0.1 > feedback.shares[easiest]
    assert loader.plan.audit(first=400, batches=320).kept


if __name__ == "__main__":
    main()
