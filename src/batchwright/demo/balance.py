"""A long-tailed set of digits, a small convolutional network, five ways to fill its batches."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset, WeightedRandomSampler

from .. import targets
from ..errors import PoorWarning
from ..plans import balanced
from . import as_table, console

__all__ = ["run"]

IMBALANCE = 50
HELD_OUT = 60  # of each class
BATCH_SIZE = 32
EPOCHS = 40
RAREST = 3
SECONDS = 0.12  # of an epoch of training, with its workers
NAMES = "torch shuffle", "torch weighted", "uniform", "square root", "progressive"
_HEAD = "batches from", "recall, all classes", f"recall, {RAREST} rarest", "missing a class", "unseen", "us a batch"


def run(*, seeds: int = 3, epochs: int = EPOCHS, workers: int = 2) -> list[dict[str, Any]]:
    """Train with every sampler and print one table."""
    screen = console()
    torch.set_num_threads(1)  # two workers and one trainer on two cores; more threads only fight
    train, test = long_tailed_digits()
    labels = train.tensors[1].numpy()
    counts = np.bincount(labels)
    screen.print(
        f"digits, 8 x 8: {len(train)} for training, classes of {', '.join(map(str, counts))}; {len(test)} held out, "
        f"{HELD_OUT} of each class. A small network is trained {len(NAMES) * seeds} times, {epochs} epochs each, with "
        f"batches of {BATCH_SIZE}, filled in {len(NAMES)} ways with {seeds} seeds. This takes about "
        f"{max(1, round(len(NAMES) * seeds * epochs * SECONDS))} s on two cores.\n"
    )
    with warnings.catch_warnings(record=True) as poor:
        warnings.simplefilter("always", PoorWarning)
        samplers = ways(labels, epochs)
        for make in samplers.values():  # kernels are compiled or loaded before anything is timed
            once = make(0)
            list(once), list(once)
    rows: dict[str, list[Result]] = {name: [] for name in samplers}
    with Progress(console=screen, transient=True) as progress:
        bar = progress.add_task("training", total=len(samplers) * seeds * epochs)
        for seed in range(seeds):
            for name, make in samplers.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", PoorWarning)
                    sampler = Watched(make(seed))
                progress.update(bar, description=f"{name}, seed {seed}")
                rows[name].append(
                    train_once(train, test, sampler, seed, epochs, workers, lambda: progress.advance(bar))
                )
    screen.print(Text("as measured, mean ± standard deviation over seeds"))
    screen.print(table(rows))
    screen.print(
        "torch weighted is its WeightedRandomSampler; uniform, square root and progressive (from natural to uniform "
        "shares) are plans of batchwright. Recall is in %, missing: batches without one of the classes, unseen: samples "
        "that epoch 1 left out, both in %; us: processor time of the sampler for a batch."
    )
    if poor:
        screen.print(f"note: {poor[0].message}")
    return [as_table(_HEAD, table_text(rows))]


@dataclass(frozen=True)
class Result:
    """What one training run gave."""

    balanced_accuracy: float
    rare_recall: float
    missing_a_class: float
    never_seen: float
    microseconds_a_batch: float


@dataclass
class Watched:
    """A batch sampler whose batches and processor time are written down on the way to the loader."""

    sampler: Any
    seconds: float = 0.0
    batches: list[list[int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[list[int]]:
        began = time.thread_time()
        iterator = iter(self.sampler)
        while True:
            batch = next(iterator, None)
            self.seconds += time.thread_time() - began
            if batch is None:
                return
            self.batches.append(list(batch))
            yield batch
            began = time.thread_time()


def long_tailed_digits() -> tuple[TensorDataset, TensorDataset]:
    """Training digits whose class c is cut to 50 ** (-c / 9) of class 0, and as many of each class held out."""
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    kept, held_out = [], []
    most = min(np.bincount(labels)) - HELD_OUT
    for digit in range(10):
        samples = np.flatnonzero(labels == digit)
        held_out += samples[:HELD_OUT].tolist()
        kept += samples[HELD_OUT : HELD_OUT + max(2, round(most * IMBALANCE ** (-digit / 9)))].tolist()
    targets_ = torch.tensor(labels)
    return TensorDataset(images[kept], targets_[kept]), TensorDataset(images[held_out], targets_[held_out])


def ways(labels: np.ndarray, epochs: int) -> dict[str, Callable[[int], Any]]:
    """The samplers compared, each made from a seed."""
    weights = 1 / np.bincount(labels)[labels]

    def of_torch(seed: int, *, weighted: bool) -> BatchSampler:
        generator = torch.Generator().manual_seed(seed)
        sampler: Any = (
            WeightedRandomSampler(weights.tolist(), len(labels), generator=generator)
            if weighted
            else RandomSampler(range(len(labels)), generator=generator)
        )
        return BatchSampler(sampler, BATCH_SIZE, drop_last=False)

    def of_plan(target: Any) -> Callable[[int], Any]:
        return lambda seed: balanced(labels, BATCH_SIZE, target=target, seed=seed).sampler()

    return {
        "torch shuffle": lambda seed: of_torch(seed, weighted=False),
        "torch weighted": lambda seed: of_torch(seed, weighted=True),
        "uniform": of_plan("uniform"),
        "square root": of_plan("sqrt"),
        "progressive": of_plan(targets.schedule("natural", "uniform", epochs=epochs)),
    }


def network() -> nn.Sequential:
    """Two convolutions with BatchNorm, then one linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def train_once(
    train: TensorDataset,
    test: TensorDataset,
    sampler: Watched,
    seed: int,
    epochs: int,
    workers: int,
    after_epoch: Callable[[], None],
) -> Result:
    """Train the network once; the same seed gives the same initial weights whatever the sampler."""
    torch.manual_seed(seed)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loader = DataLoader(train, batch_sampler=sampler, num_workers=workers, persistent_workers=workers > 0)
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        after_epoch()
    images, truth = test.tensors
    model.eval()
    with torch.no_grad():
        right = (model(images).argmax(1) == truth).float()
    recall = [right[truth == digit].mean().item() for digit in range(10)]
    labels = train.tensors[1].numpy()
    first_epoch = {sample for batch in sampler.batches[: len(sampler)] for sample in batch}
    missing = [len(set(labels[batch])) < 10 for batch in sampler.batches]
    return Result(
        statistics.mean(recall),
        statistics.mean(recall[-RAREST:]),
        statistics.mean(missing),
        1 - len(first_epoch) / len(train),
        1e6 * sampler.seconds / len(sampler.batches),
    )


def table(rows: dict[str, list[Result]]) -> Table:
    """One line a sampler, mean and standard deviation over the seeds."""
    shown = Table(box=None, pad_edge=False)
    for at, heading in enumerate(_HEAD):
        shown.add_column(heading, justify="right" if at else "left", no_wrap=not at)
    for row in table_text(rows):
        shown.add_row(*row)
    return shown


def table_text(rows: dict[str, list[Result]]) -> list[list[str]]:
    """The table as text."""
    return [
        [
            name,
            _spread([100 * result.balanced_accuracy for result in results]),
            _spread([100 * result.rare_recall for result in results]),
            _spread([100 * result.missing_a_class for result in results]),
            _spread([100 * result.never_seen for result in results]),
            _spread([result.microseconds_a_batch for result in results], digits=0),
        ]
        for name, results in rows.items()
    ]


def _spread(values: list[float], digits: int = 1) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"
