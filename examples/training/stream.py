"""A stream of digits in which one in fifty is an eight: trained as it comes, and with a quarter of eights in each batch.

python examples/training/stream.py
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from sklearn.datasets import load_digits

import batchwright as bw

Event = tuple[np.ndarray, int]


class Digits:
    """A source without index and length: so many samples, of which 2 % are eights."""

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[Event]:
        digits, generator = load_digits(), np.random.default_rng(0)
        others, eights = (np.flatnonzero((digits.target == 8) == eight)[::2] for eight in (False, True))
        for chance in generator.random(self.samples):
            index = generator.choice(eights if chance < 0.02 else others)
            yield digits.data[index].astype(np.float32) / 16, int(digits.target[index] == 8)


def as_it_comes(source: Iterable[Event]) -> Iterator[list[Event]]:
    """Batches of 32, in the order of the source."""
    samples = iter(source)
    while len(batch := list(itertools.islice(samples, 32))) == 32:
        yield batch


def trained(batches: Iterable[list[Event]]) -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for batch in batches:
        images, labels = torch.tensor(np.array([x for x, _ in batch])), torch.tensor([y for _, y in batch])
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model


def main(samples: int = 20_000) -> None:
    digits = load_digits()
    others, eights = (np.flatnonzero((digits.target == 8) == eight)[1::2] for eight in (False, True))
    balanced = bw.online.balanced(
        Digits(samples), key=1, batch_size=32, target={1: 0.25, 0: 0.75}, buffer=1000, when_short="repeat"
    )
    for name, batches in (("as it comes", as_it_comes(Digits(samples))), ("a quarter of eights", balanced)):
        model = trained(batches)
        with torch.no_grad():
            found, wrong = (
                float((model(torch.tensor(digits.data[part] / 16).float()).argmax(1) == 1).float().mean())
                for part in (eights, others)
            )
        print(f"{name:20} eights found {found:.1%}, others taken for eights {wrong:.1%}")
    print(balanced.report())


if __name__ == "__main__":
    main()
