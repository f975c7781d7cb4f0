"""One small network for each kind of data: features with BatchNorm, then one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .data import VOCABULARY

__all__ = ["Network", "logits_of", "network"]


class Network(nn.Module):
    """Features, then a linear classifier."""

    def __init__(self, features: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.features, self.head = features, nn.Linear(width, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N, classes)."""
        return self.head(self.features(inputs))


class Words(nn.Module):
    """The mean of the embeddings of the words."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(VOCABULARY, width, mode="mean", padding_idx=0)

    def forward(self, words: Tensor) -> Tensor:
        """Features (N, width)."""
        return self.embedding(words)


def network(kind: str, classes: int) -> Network:
    """A new network for "images", "table" or "text"; its weights come from torch's global generator."""
    if kind == "images":
        features = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Flatten(), nn.Linear(256, 64), nn.BatchNorm1d(64), nn.ReLU(),
        )  # fmt: skip
    elif kind == "table":
        features = nn.Sequential(
            nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()
        )
    else:
        features = nn.Sequential(Words(64), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())
    return Network(features, 64, classes)


def logits_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """The logits of a model in evaluation mode."""
    with torch.no_grad():
        return model.eval()(inputs)
