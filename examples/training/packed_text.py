"""A small transformer on the docstrings of the standard library, byte by byte: padded batches beside packs.

python examples/training/packed_text.py
"""

from __future__ import annotations

import ast
import sysconfig
import time
from pathlib import Path

import torch
from torch import nn

import batchwright as bw

LONGEST, WIDTH = 256, 64


def docstrings(files: int) -> list[dict[str, torch.Tensor]]:
    """The first 256 bytes of each docstring."""
    found = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:files]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8", errors="replace"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and (text := ast.get_docstring(node)):
                data = torch.frombuffer(bytearray(text.encode()[:LONGEST]), dtype=torch.uint8).long()
                found += [{"input_ids": data, "labels": data}] * (len(data) > 8)
    return found


class Reader(nn.Module):
    """One causal layer; it sees of a pack only the text that a byte is in."""

    def __init__(self) -> None:
        super().__init__()
        self.byte, self.place = nn.Embedding(256, WIDTH), nn.Embedding(LONGEST, WIDTH)
        self.layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.out = nn.Linear(WIDTH, 256)

    def forward(self, batch: bw.Batch) -> tuple[torch.Tensor, int]:
        """The summed loss of each next byte, and of how many."""
        mask = ~batch["mask"].expand(-1, 4, -1, -1).flatten(0, 1)  # a sample's own earlier bytes, for each head
        hidden = self.layer(self.byte(batch.input_ids) + self.place(batch.position_ids), src_mask=mask)
        targets = batch.labels[:, 1:].flatten()
        loss = nn.functional.cross_entropy(self.out(hidden)[:, :-1].flatten(0, 1), targets, reduction="sum")
        return loss, int((targets != -100).sum())


def main(files: int = 60, epochs: int = 1) -> None:
    samples = docstrings(files)
    lengths = [len(sample["input_ids"]) for sample in samples]
    declared = bw.Collate(input_ids=bw.ragged(pad=32), labels=bw.ragged(pad=-100))
    also = {"mask": "causal_mask", "position_ids": "positions"}
    collate = declared.packs(capacity=LONGEST, packs=8, shape="packs", fill="dummy", seams=["labels"], also=also)
    packed = bw.packed(lengths, LONGEST, packs=8)
    alone = bw.packed(lengths, LONGEST, packs=8, max_per_pack=1)  # one text a pack: padded to 256
    for name, plan in (("padded", alone), ("packed", packed)):
        torch.manual_seed(0)
        model = Reader()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        own = (
            collate
            if plan is packed
            else declared.packs(packs=plan, shape="packs", fill="dummy", seams=["labels"], also=also)
        )
        loader = plan.loader(samples if plan is packed else bw.identified(samples), collate=own, num_workers=0)
        began, useful, losses = time.process_time(), 0, []
        for epoch in loader.epochs(epochs):
            for batch in epoch:
                loss, count = model(batch)
                optimizer.zero_grad()
                (loss / count).backward()
                optimizer.step()
                useful, losses = useful + count, [*losses, float(loss.detach()) / count]
        seconds = time.process_time() - began
        print(
            f"{name}: {len(losses)} steps, {useful / seconds:,.0f} useful bytes a second, "
            f"loss of the last ten steps {sum(losses[-10:]) / len(losses[-10:]):.2f}"
        )


if __name__ == "__main__":
    main()
