"""Digits cropped to their ink, in buckets by shape: batches of one shape, few padded pixels, every image once an epoch.

python examples/training/image_sizes.py
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

import batchwright as bw


def cropped() -> list[dict[str, torch.Tensor | int]]:
    """Each digit without the empty rows and columns around it, twice as large: 10 x 6 to 16 x 16 pixels."""
    samples = []
    for image, label in zip(*(load_digits()[name] for name in ("images", "target")), strict=True):
        rows, columns = image.any(1).nonzero()[0], image.any(0).nonzero()[0]
        ink = torch.tensor(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] / 16, dtype=torch.float32)
        samples.append({"image": ink.repeat_interleave(2, 0).repeat_interleave(2, 1)[None], "label": int(label)})
    return samples


def main(epochs: int = 6) -> None:
    samples = cropped()
    parts = bw.split([sample["label"] for sample in samples], {"train": 0.8, "test": 0.2})
    train, test = ([samples[number] for number in parts[name]] for name in ("train", "test"))
    shapes = np.array([sample["image"].shape[1:] for sample in train])
    plan = bw.bucketed(shapes, batch_size=32, buckets=4)
    collate = bw.Collate(image=bw.resized(multiple=2, how="pad"), label=bw.scalar())
    model = torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveMaxPool2d(3)),
        *(torch.nn.Flatten(), torch.nn.Linear(288, 10)),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    computed, seen = 0, []
    loader = plan.loader(bw.identified(train), collate=collate, num_workers=0)
    for epoch in loader.epochs(epochs):
        for batch in epoch:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(batch.image), batch.label).backward()
            optimizer.step()
            computed += batch.image.numel()
            seen += batch.aside.sample_ids.tolist()
    right = 0
    with torch.no_grad():
        for batch in bw.evaluation(test, 64).loader(test, collate=collate, num_workers=0):
            right += int((model(batch.image).argmax(1) == batch.label).sum())
    useful, whole = epochs * shapes.prod(1).sum(), epochs * len(train) * shapes.max(0).prod()
    print(f"{len(train)} images of {len(np.unique(shapes, axis=0))} shapes, every one seen {epochs} times")
    print(f"pixels computed for one useful: {computed / useful:.2f}; padded to the largest: {whole / useful:.2f}")
    print(f"accuracy on {len(test)} others: {right / len(test):.1%}")
    assert np.bincount(seen).tolist() == [epochs] * len(train)


if __name__ == "__main__":
    main()
