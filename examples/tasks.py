"""Two tasks with a head each, one task an optimizer step, in the proportion of their temperature-smoothed sizes."""

from __future__ import annotations

from collections import Counter

import torch
from sklearn.datasets import load_digits, load_wine
from torch.utils.data import DataLoader, Dataset, TensorDataset

import batchwright as bw


class Tasks(Dataset):
    """Datasets by task, asked with (task, number) pairs."""

    def __init__(self, datasets):
        self.datasets = datasets

    def __getitem__(self, place):
        task, number = place
        features, label = self.datasets[task][number]
        return task, features, label


def together(samples):
    tasks, features, labels = zip(*samples, strict=True)
    assert len(set(tasks)) == 1
    return tasks[0], torch.stack(features), torch.stack(labels)


def main() -> None:
    torch.manual_seed(0)
    bunches = {"digits": load_digits(), "wine": load_wine()}
    datasets = {
        name: TensorDataset(
            torch.nn.functional.normalize(torch.tensor(bunch.data, dtype=torch.float32)), torch.tensor(bunch.target)
        )
        for name, bunch in bunches.items()
    }
    plan = bw.alternating(
        {name: bw.balanced(bunch.target, 30 if name == "digits" else 12) for name, bunch in bunches.items()},
        target=bw.targets.temperature(2),
        unit="step",
        named=True,
    )
    print(plan.summary())
    loader = DataLoader(Tasks(datasets), batch_sampler=plan.sampler(accumulate=2), collate_fn=together)
    trunks = torch.nn.ModuleDict({name: torch.nn.Linear(bunch.data.shape[1], 32) for name, bunch in bunches.items()})
    heads = torch.nn.ModuleDict({name: torch.nn.Linear(32, len(set(bunch.target))) for name, bunch in bunches.items()})
    optimizer = torch.optim.Adam([*trunks.parameters(), *heads.parameters()], lr=0.01)
    steps: Counter[str] = Counter()
    for number, (task, features, labels) in enumerate(loader):
        loss = torch.nn.functional.cross_entropy(heads[task](trunks[task](features).relu()), labels)
        (loss / 2).backward()
        if number % 2:
            optimizer.step()
            optimizer.zero_grad()
            steps[task] += 1
    shares = dict(zip(plan.names, plan.shares().tolist(), strict=True))
    print("steps by task:", dict(steps))
    assert all(abs(steps[task] - shares[task] * steps.total()) <= 1 for task in plan.names)


if __name__ == "__main__":
    main()
