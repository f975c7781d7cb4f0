"""The accuracy of one classifier on 1 to 64 ranks: with torch's DistributedSampler it moves, with a plan it does not."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch.utils.data import DistributedSampler

import batchwright as bw


def main() -> None:
    digits = load_digits()
    parts = bw.split(digits.target, {"train": 0.5, "test": 0.5})
    model = KNeighborsClassifier(1).fit(digits.data[parts["train"]], digits.target[parts["train"]])
    held_out = parts["test"]
    right = model.predict(digits.data[held_out]) == digits.target[held_out]
    plan = bw.evaluation(held_out, batch_size=32)

    exact = set()
    for world_size in (1, 2, 3, 8, 64):
        padded = [
            sample
            for rank in range(world_size)
            for sample in DistributedSampler(held_out, num_replicas=world_size, rank=rank, shuffle=False)
        ]
        counted = [
            sample
            for sampler in (plan.sampler(rank=rank, world_size=world_size) for rank in range(world_size))
            for step, samples in enumerate(sampler)
            for sample in samples[: sampler.real(step)]
        ]
        exact.add((len(counted), int(right[counted].sum())))
        print(
            f"{world_size:2} ranks: DistributedSampler {len(padded)} samples, accuracy {np.mean(right[padded]):.6f}; "
            f"bw.evaluation {len(counted)} samples, accuracy {np.mean(right[counted]):.6f}"
        )
    assert exact == {(right.size, int(right.sum()))}


if __name__ == "__main__":
    main()
