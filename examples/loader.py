"""A run stops in mid-epoch and goes on with other workers, as if it had never stopped; one sample cannot be read."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.utils.data import Dataset

import batchwright as bw

UNREADABLE = 1000
EPOCHS = 2
STOPPED_AFTER = 70  # batches, within the second epoch


class Digits(Dataset):
    """Digits of 8 x 8, shifted by up to a pixel and with noise; one of them cannot be read."""

    def __init__(self) -> None:
        digits = load_digits()
        self.images, self.targets = digits.images.astype(np.float32) / 16, digits.target

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == UNREADABLE:
            raise OSError("image file is truncated")
        image = np.roll(self.images[index], np.random.randint(-1, 2, 2), (0, 1))  # noqa: NPY002  # as many transforms draw
        return torch.from_numpy(image.reshape(64)) + 0.1 * torch.randn(64), int(self.targets[index])


class Run:
    """A linear classifier, its optimizer and its loader, which a checkpoint holds together."""

    def __init__(self, num_workers: int) -> None:
        torch.manual_seed(0)
        dataset = Digits()
        plan = bw.balanced(dataset, batch_size=30, seed=1)
        self.loader = plan.loader(dataset, num_workers=num_workers, on_error="replace")
        self.model = torch.nn.Linear(64, 10)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)

    def train(self, stop_after: int | None = None) -> bytes | None:
        """The checkpoint after so many batches; None at the end of the run."""
        steps = 0
        for epoch in self.loader.epochs(EPOCHS):
            print(f"    epoch {epoch.number}, {len(epoch)} batches, {self.loader.num_workers} workers")
            for images, labels in epoch:
                assert labels.bincount().tolist() == [3] * 10
                self.optimizer.zero_grad()
                torch.nn.functional.cross_entropy(self.model(images), labels).backward()
                self.optimizer.step()
                steps += 1
                if steps == stop_after:
                    return self.saved()
        return None

    def parts(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer | bw.loader.Loader]:
        """What a checkpoint holds the state of."""
        return {"model": self.model, "optimizer": self.optimizer, "loader": self.loader}

    def saved(self) -> bytes:
        """A checkpoint."""
        file = io.BytesIO()
        torch.save({name: part.state_dict() for name, part in self.parts().items()}, file)
        return file.getvalue()

    def load(self, checkpoint: bytes) -> None:
        """Go on from a checkpoint."""
        states = torch.load(io.BytesIO(checkpoint))
        for name, part in self.parts().items():
            part.load_state_dict(states[name])


def main() -> None:
    warnings.filterwarnings("ignore", f"sample {UNREADABLE} raised", bw.PoorWarning)
    print("a run that is never stopped")
    straight = Run(num_workers=0)
    straight.train()
    print(f"a run that stops after {STOPPED_AFTER} batches")
    stopped = Run(num_workers=2)
    checkpoint = stopped.train(STOPPED_AFTER)
    print(f"    {stopped.loader.progress()}; {stopped.loader.broken[0]}")
    print("goes on")
    resumed = Run(num_workers=1)
    resumed.load(checkpoint)
    resumed.train()
    apart = (straight.model.weight - resumed.model.weight).detach().abs().max().item()
    print(f"the weights of the two runs differ by {apart}")
    assert apart == 0
    assert UNREADABLE in resumed.loader.state_dict()["broken"]


if __name__ == "__main__":
    main()
