"""Two tasks and one network: which digit it is, and by how much the image was turned, in turns of three to one.

python examples/training/tasks.py
"""

from __future__ import annotations

from collections import Counter

import torch
from sklearn.datasets import load_digits
from torch.utils.data import ConcatDataset, TensorDataset

import batchwright as bw


def main(epochs: int = 12) -> None:
    digits = load_digits()
    images, classes = torch.tensor(digits.images / 16, dtype=torch.float32), torch.tensor(digits.target)
    train, test = torch.arange(len(images)) % 5 > 0, torch.arange(len(images)) % 5 == 0
    turns = torch.arange(len(images)) % 4
    turned = torch.stack([torch.rot90(image, int(turn)) for image, turn in zip(images, turns, strict=True)])
    digit, turn = TensorDataset(images[train], classes[train]), TensorDataset(turned[train], turns[train])

    plan = bw.alternating(
        {"digit": bw.balanced(digit, 32), "turn": bw.shuffled(turn, 32)}, target={"digit": 0.75, "turn": 0.25}
    )
    torch.manual_seed(0)
    trunk = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 128), torch.nn.ReLU())
    heads = torch.nn.ModuleDict({"digit": torch.nn.Linear(128, 10), "turn": torch.nn.Linear(128, 4)})
    optimizer = torch.optim.AdamW([*trunk.parameters(), *heads.parameters()], lr=2e-3)
    loader = plan.loader(ConcatDataset([digit, turn]))
    given: Counter[str] = Counter()
    for epoch in loader.epochs(epochs):
        for x, y in epoch:
            task = plan.task_of(sum(given.values()))
            given[task] += 1
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(heads[task](trunk(x)), y).backward()
            optimizer.step()
    with torch.no_grad():
        for task, inputs, truth in (("digit", images, classes), ("turn", turned, turns)):
            right = (heads[task](trunk(inputs[test])).argmax(1) == truth[test]).float().mean()
            print(f"{task:6} {given[task]} batches, accuracy {right:.1%}")
    assert abs(given["digit"] - 0.75 * sum(given.values())) <= 1


if __name__ == "__main__":
    main()
