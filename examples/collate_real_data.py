"""Three kinds of ragged data that come with Python packages, each collated from one declaration.

    python examples/collate_real_data.py

Graphs: the atlas of all 1,252 graphs of 1 to 7 nodes (networkx). Text: the docstrings of the Python standard library.
Images: scikit-learn's digits, cropped to their ink, so that their sizes differ.
"""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

import networkx
import torch
from sklearn.datasets import load_digits

import batchwright as bw


def graphs() -> None:
    samples = []
    for graph in networkx.graph_atlas_g()[1:]:
        edges = torch.tensor([*graph.edges, *((b, a) for a, b in graph.edges)], dtype=torch.int64).reshape(-1, 2)
        samples.append({"degree": torch.tensor([d for _, d in graph.degree]), "edges": edges.T.contiguous()})
    collate = bw.Collate(degree=bw.ragged(also={"graph": "segments"}), edges=bw.ragged(dim=-1, shift_by="degree"))
    edge_count = node_count = 0
    for batch in bw.evaluation(samples, 256).loader(samples, collate=collate, num_workers=0):  # each graph once
        counted = torch.bincount(batch["edges"][0], minlength=len(batch["degree"]))
        if not counted.equal(batch["degree"]):
            raise SystemExit("an edge left its graph")
        node_count += len(batch["degree"])
        edge_count += batch["edges"].shape[1] // 2
    print(
        f"graphs: {len(samples)} with {node_count} nodes and {edge_count} edges; every degree found again in the batch"
    )


def text() -> None:
    vocabulary: dict[str, int] = {}
    samples = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and (words := (ast.get_docstring(node) or "").split()):
                samples.append({"input_ids": [vocabulary.setdefault(word, len(vocabulary) + 1) for word in words]})
    padded = bw.Collate(input_ids=bw.ragged(pad=0, multiple=8))
    packed = bw.Collate(input_ids=bw.ragged()).packs(also=bw.attention.FLASH_ATTENTION)
    real = filler = positions = 0
    plan = bw.evaluation(samples, 64)
    for batch in plan.loader(samples, collate=padded, num_workers=0):
        real += batch.aside.fill["input_ids"].real
        filler += batch.aside.fill["input_ids"].padded
    for batch in plan.loader(samples, collate=packed, num_workers=0):
        positions += batch["input_ids"].numel()
    print(
        f"text: {len(samples)} docstrings of {real} words; padded {real + filler} positions "
        f"({filler / (real + filler):.0%} padding), packed {positions}"
    )


def images() -> None:
    samples = []
    for image, label in zip(*(load_digits()[name] for name in ("images", "target")), strict=True):
        rows, columns = image.any(1).nonzero()[0], image.any(0).nonzero()[0]
        ink = torch.tensor(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], dtype=torch.float32)
        samples.append({"image": ink[None], "label": int(label)})
    collate = bw.Collate(image=bw.resized(multiple=8, how="pad", also={"sizes": "sizes"}), label=bw.scalar())
    batch = bw.evaluation(samples, 256).loader(samples, collate=collate).peek()
    smallest, largest = batch["sizes"].amin(0).tolist(), batch["sizes"].amax(0).tolist()
    if not batch[7]["image"].equal(samples[7]["image"]):
        raise SystemExit("an image changed")
    print(f"images: {len(samples)} digits from {smallest} to {largest}, stacked as {tuple(batch['image'].shape)}")


if __name__ == "__main__":
    graphs()
    text()
    images()
