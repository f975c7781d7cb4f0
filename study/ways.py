"""The ways to train that are compared: who fills the batches, and what is corrected afterwards or in the loss."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import WeightedRandomSampler

import batchwright as bw

from .data import LongTail
from .models import Network, logits_of, network

__all__ = ["STEPS", "Found", "trained_ways"]

BATCH_SIZE = 32
STEPS = 400
RECALIBRATED = 30  # batches from which BatchNorm statistics are estimated again


@dataclass(frozen=True)
class Found:
    """The logits of the test set (N, C), and the class shares that the classifier was trained on (C,)."""

    logits: Tensor
    trained_on: np.ndarray


def trained_ways(kind: str, data: LongTail, seed: int, steps: int = STEPS) -> Iterator[tuple[str, Found]]:
    """Train in every way, all with the same initial weights and as many steps; yield each name and what was found."""
    labels, classes = data.train_classes.numpy(), len(data.rank)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)  # a class of three samples repeats; that is the subject here
        epochs = math.ceil(steps / bw.shuffled(len(labels), BATCH_SIZE).epoch_length())
        plans = {
            "natural": bw.balanced(labels, BATCH_SIZE, target="natural", seed=seed),
            "uniform": bw.balanced(labels, BATCH_SIZE, seed=seed),
            "square root": bw.balanced(labels, BATCH_SIZE, target="sqrt", seed=seed),
            "progressive": bw.balanced(
                labels, BATCH_SIZE, target=bw.targets.schedule("natural", "uniform", epochs=max(2, epochs)), seed=seed
            ),
        }
    uniform = np.full(classes, 1 / classes)
    streams = {name: [plan[step] for step in range(steps)] for name, plan in plans.items()}
    streams["weighted, with replacement"] = weighted(labels, seed, steps)

    def shares(name: str) -> np.ndarray:
        return np.bincount(labels[np.concatenate(streams[name])], minlength=classes) / (steps * BATCH_SIZE)

    models = {}
    for name, stream in streams.items():
        models[name] = train(fresh(kind, classes, seed), data, stream)
        yield name, Found(logits_of(models[name], data.test), shares(name))

    in_loss = bw.correct.LogitAdjustment(data.natural, "uniform", mode="loss")
    model = train(fresh(kind, classes, seed), data, streams["natural"], adjust=in_loss)
    yield "natural, adjusted loss", Found(logits_of(model, data.test), uniform)

    first = steps * 3 // 4
    model = train(fresh(kind, classes, seed), data, streams["natural"][:first])
    yield "two stages", Found(second_stage(model, data, streams["uniform"][: steps - first], seed), uniform)

    for stream_name in ("uniform", "natural"):
        model = copy.deepcopy(models["uniform"])
        batches = (data.train[torch.from_numpy(batch)] for batch in streams[stream_name][:RECALIBRATED])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bw.PoorWarning)  # that the natural stream is the wrong one is what is shown
            bw.correct.recalibrate(model, batches, stream="natural" if stream_name == "natural" else "sampled")
        yield f"uniform, BatchNorm of the {stream_name} stream", Found(logits_of(model, data.test), shares("uniform"))


def weighted(labels: np.ndarray, seed: int, steps: int) -> list[np.ndarray]:
    """The batches of torch's WeightedRandomSampler with weights of one over the class count."""
    weights = 1 / np.bincount(labels)[labels]
    generator = torch.Generator().manual_seed(seed)
    drawn = np.array(list(WeightedRandomSampler(weights.tolist(), steps * BATCH_SIZE, generator=generator)))
    return list(drawn.reshape(steps, BATCH_SIZE))


def fresh(kind: str, classes: int, seed: int) -> Network:
    """A network whose initial weights depend on the seed only."""
    torch.manual_seed(seed)
    return network(kind, classes)


def train(model: Network, data: LongTail, stream: list[np.ndarray], adjust: nn.Module | None = None) -> Network:
    """Train on the batches of a stream, each one optimizer step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2, fused=True)
    for batch in stream:
        index = torch.from_numpy(batch)
        logits = model(data.train[index])
        loss = nn.functional.cross_entropy(logits if adjust is None else adjust(logits), data.train_classes[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def second_stage(model: Network, data: LongTail, stream: list[np.ndarray], seed: int) -> Tensor:
    """Keep the features, train a new classifier on the stream (Kang et al. 2020, cRT); the logits of the test set."""
    torch.manual_seed(seed)
    head = nn.Linear(model.head.in_features, model.head.out_features)
    features, test = (logits_of(model.features, inputs) for inputs in (data.train, data.test))
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=1e-2, fused=True)
    for batch in stream:
        index = torch.from_numpy(batch)
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(features[index]), data.train_classes[index]).backward()
        optimizer.step()
    return logits_of(head, test)
