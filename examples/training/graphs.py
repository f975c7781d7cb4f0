"""A graph network on all graphs of up to seven nodes: is it planar? Batches by nodes and edges, the prior in the loss.

python examples/training/graphs.py
"""

from __future__ import annotations

import networkx
import torch
from torch import nn

import batchwright as bw


def atlas() -> tuple[list[dict[str, torch.Tensor]], list[int]]:
    """Every graph with an edge, its nodes' degrees, and 1 where it cannot be drawn in the plane."""
    samples, labels = [], []
    for graph in networkx.graph_atlas_g():
        if graph.number_of_edges() < 6:
            continue
        edges = torch.tensor([*graph.edges, *((b, a) for a, b in graph.edges)], dtype=torch.int64)
        degree = torch.tensor([degree for _, degree in graph.degree])
        labels.append(int(not networkx.check_planarity(graph)[0]))
        samples.append({"degree": degree, "edges": edges.T.contiguous(), "label": torch.tensor(labels[-1])})
    return samples, labels


class Network(nn.Module):
    """Three rounds of messages along edges, then a sum over the nodes of each graph."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.begin = nn.Embedding(8, width)
        self.rounds = nn.ModuleList(nn.Sequential(nn.Linear(2 * width, width), nn.ReLU()) for _ in range(3))
        self.end = nn.Linear(width, 2)

    def forward(self, batch: bw.Batch) -> torch.Tensor:
        """Logits (graphs, 2)."""
        nodes, (start, stop) = self.begin(batch.degree), batch.edges
        for layer in self.rounds:
            messages = torch.zeros_like(nodes).index_add(0, stop, nodes[start])
            nodes = nodes + layer(torch.cat([nodes, messages], 1))
        graphs = torch.zeros(batch.sample_count, nodes.shape[1]).index_add(0, batch.graph, nodes)
        return self.end(graphs)


def main(epochs: int = 12) -> None:
    samples, labels = atlas()
    parts = bw.split(labels, {"train": 0.8, "test": 0.2})
    train, test = ([samples[number] for number in parts[name]] for name in ("train", "test"))
    nodes, edges = ([len(s["degree"]) for s in train], [s["edges"].shape[1] for s in train])
    collate = bw.Collate(degree=bw.ragged(also={"graph": "segments"}), edges=bw.ragged(dim=-1, shift_by="degree"))
    plan = bw.budgeted({"nodes": nodes, "edges": edges}, {"nodes": 220, "edges": 900}, padded=False)
    adjust = bw.correct.LogitAdjustment.from_plan(plan, classes=parts.labels("train"), deploy="uniform", mode="loss")
    torch.manual_seed(0)
    model = Network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in plan.loader(train, collate=collate, num_workers=0).epochs(epochs):
        for batch in epoch:
            assert len(batch.degree) <= 220
            assert batch.edges.shape[1] <= 900
            optimizer.zero_grad()
            nn.functional.cross_entropy(adjust(model(batch)), batch.label).backward()
            optimizer.step()
    right = {0: [], 1: []}
    with torch.no_grad():
        for batch in bw.evaluation(test, 64).loader(test, collate=collate, num_workers=0):
            for answer, label in zip(model(batch).argmax(1).tolist(), batch.label.tolist(), strict=True):
                right[label].append(answer == label)
    for label, name in enumerate(("planar", "not planar")):
        print(f"{name:10} {sum(right[label])} of {len(right[label])} recognised")


if __name__ == "__main__":
    main()
