"""From a folder of Parquet files to a trained model that resumes: `train` has all of it, in under 30 lines."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch

import batchwright as bw


def train(data: Path, checkpoint: Path, epochs: int, stop_at: int | None = None) -> torch.nn.Module:
    """Train on the Parquet files of a folder; go on from the checkpoint if there is one; `stop_at` stands for a crash."""
    index = bw.index(data, path=data.with_suffix(".index"), label="species", engine="duckdb")  # read once, then opened
    table = pyarrow.parquet.ParquetDataset([data / file for file in index.files]).read()
    features = torch.tensor(np.column_stack([table["width"], table["height"]]), dtype=torch.float32)
    targets = torch.from_numpy(index.groups().codes.astype(np.int64))
    loader = bw.balanced(index, batch_size=32, seed=3).loader(torch.utils.data.TensorDataset(features, targets))

    torch.manual_seed(0)
    model = torch.nn.Linear(2, index.groups().group_count)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    if checkpoint.exists():
        held = torch.load(checkpoint)
        for part, state in zip((model, optimizer, loader), held, strict=True):
            part.load_state_dict(state)

    for epoch in loader.epochs(epochs):
        for step, (inputs, labels) in enumerate(epoch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            if step % 10 == 9:
                torch.save([part.state_dict() for part in (model, optimizer, loader)], checkpoint)
            if step == stop_at:
                return model
    return model


def write(folder: Path) -> None:
    """Four files of flowers: a common species, and one that is twenty times rarer."""
    rng, folder = np.random.default_rng(0), folder
    folder.mkdir()
    for part in range(4):
        rare = rng.random(2000) < 0.05
        size = rng.normal([[1.0, 1.0]], 0.3, (2000, 2)) + rare[:, None]
        columns = {"width": size[:, 0], "height": size[:, 1], "species": np.where(rare, "rare", "common")}
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / f"part-{part}.parquet")


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        data, checkpoint = Path(place) / "flowers", Path(place) / "run.pt"
        write(data)
        train(data, checkpoint, epochs=2, stop_at=137)  # it ends here, and the last checkpoint is of step 129
        resumed = train(data, checkpoint, epochs=2)
        whole = train(data, Path(place) / "other.pt", epochs=2)
        for one, other in zip(resumed.parameters(), whole.parameters(), strict=True):
            assert torch.equal(one, other)
        rare = resumed(torch.tensor([[2.0, 2.0]])).argmax().item()
        print(f"resumed and whole runs are equal; a wide and high flower is {['common', 'rare'][rare]}")
        assert rare == 1


if __name__ == "__main__":
    main()
