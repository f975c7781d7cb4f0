"""What a batch of a small set costs the sampler between two steps of training, beside torch's sampler.

A loop that only asks for batches finds all of a sampler in the caches of the processor. In training, a step has used
them since, and what counts is how many functions and objects a batch touches. Here a small network takes a step between
batches, and only the sampler is measured: `iter`, every `next`, and the end of an epoch of ten batches.

    python benchmarks/between_steps.py [--rounds 40]
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from typing import Any

import torch
from limits import Limits
from torch import nn

from batchwright.demo.balance import long_tailed_digits, network, ways

EPOCHS = 4  # of each in a round
PEER, OURS = "torch weighted", "uniform"


def main() -> None:
    """Train on the digits of the demonstration, and print the median of all rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    train, _ = long_tailed_digits()
    made = ways(train.tensors[1].numpy(), epochs=1)
    samplers = {name: made[name](0) for name in (PEER, OURS)}
    step = Step(*train.tensors)
    for sampler in samplers.values():
        took(sampler, step)
    seconds: dict[str, list[float]] = {name: [] for name in samplers}
    for number in range(rounds):
        for name in sorted(samplers, reverse=bool(number % 2)):
            seconds[name].append(sum(took(samplers[name], step) for _ in range(EPOCHS)))
    for name, each in seconds.items():
        print(f"{name}: {1e6 * statistics.median(each) / EPOCHS / len(samplers[name]):.1f} us a batch")
    limits = Limits()
    ratios = [ours / theirs for ours, theirs in zip(seconds[OURS], seconds[PEER], strict=True)]
    limits.at_most("ours / torch WeightedRandomSampler: between steps", statistics.median(ratios), 1)
    limits.end()


class Step:
    """A step of training of the network of the demonstration."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images, self.labels = images, labels
        self.model = network()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-3)

    def __call__(self, batch: list[int]) -> None:
        """Train on these samples."""
        images = torch.stack([self.images[sample] for sample in batch])  # as a data set gives them, one by one
        labels = torch.stack([self.labels[sample] for sample in batch])
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(images), labels).backward()
        self.optimizer.step()


def took(sampler: Any, step: Step) -> float:
    """The processor seconds of the sampler in an epoch, with a step of training after each batch."""
    seconds, began = 0.0, time.thread_time()
    batches = iter(sampler)
    while True:
        batch = next(batches, None)
        seconds += time.thread_time() - began
        if batch is None:
            return seconds
        step(batch)
        began = time.thread_time()


if __name__ == "__main__":
    main()
