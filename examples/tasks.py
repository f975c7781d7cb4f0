"""Two tasks with a head each, one task an optimizer step, in the proportion of their temperature-smoothed sizes."""

from __future__ import annotations

from collections import Counter

import torch
from sklearn.datasets import load_digits, load_wine
from torch.utils.data import ConcatDataset, TensorDataset

import batchwright as bw


def dataset(bunch, task):
    features = torch.nn.functional.normalize(torch.tensor(bunch.data, dtype=torch.float32))
    return TensorDataset(features, torch.tensor(bunch.target), torch.full((len(features),), task))


def main() -> None:
    torch.manual_seed(0)
    bunches = {"digits": load_digits(), "wine": load_wine()}
    plan = bw.alternating(
        {name: bw.balanced(bunch.target, 30 if name == "digits" else 12) for name, bunch in bunches.items()},
        target=bw.targets.temperature(2),
        unit="step",
    )
    print(plan.summary())
    datasets = ConcatDataset([dataset(bunch, task) for task, bunch in enumerate(bunches.values())])
    loader = plan.loader(datasets, accumulate=2, num_workers=0)
    trunks = torch.nn.ModuleDict({name: torch.nn.Linear(bunch.data.shape[1], 32) for name, bunch in bunches.items()})
    heads = torch.nn.ModuleDict({name: torch.nn.Linear(32, len(set(bunch.target))) for name, bunch in bunches.items()})
    optimizer = torch.optim.Adam([*trunks.parameters(), *heads.parameters()], lr=0.01)
    steps: Counter[str] = Counter()
    for number, (features, labels, tasks) in enumerate(loader):
        assert len(tasks.unique()) == 1
        task = plan.names[int(tasks[0])]
        loss = torch.nn.functional.cross_entropy(heads[task](trunks[task](features).relu()), labels)
        (loss / 2).backward()
        if number % 2:
            optimizer.step()
            optimizer.zero_grad()
            steps[task] += 1
    print("steps by task:", dict(steps))
    assert all(abs(steps[task.name] - task.share * steps.total()) <= 1 for task in plan.summary().tasks)


if __name__ == "__main__":
    main()
