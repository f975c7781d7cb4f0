"""What correcting for the sampling does, measured on handwritten digits of which 2 % are of the class looked for.

Five seeds; a small network with two BatchNorm layers learns to tell one digit from the others, from a shuffled and from
a balanced stream, and is measured on held-out digits at the natural prior. It is done twice: with pixels seen through
noise that is new at every draw, so that the classes overlap and nothing can be memorised; and without noise, when
the network has memorised its seventeen positives after a few epochs, which no prior describes any more.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..aligned import aligned
from ..correct import LogitAdjustment, recalibrate, report
from ..correct.batchnorm import BatchNormReport
from ..correct.evaluate import measure
from ..errors import PoorWarning
from ..plans import FixedPlan, balanced
from . import as_table

__all__ = ["run"]

_POSITIVE = 8
_PRIOR = 0.02
_BATCH_SIZE = 32
_NOISE = 0.3  # pixels run from 0 to 1
_CLASSES: list[Hashable] = ["other", "eight"]
_HEAD = ["", "calibration", "likelihood", "accuracy", "alike"]


@dataclass(frozen=True)
class Digits:
    """Images (N, 64) and classes (N,); 2 % of the training classes are positive, and so, by repetition, of the test."""

    train_images: Tensor
    train_classes: Tensor
    test_images: Tensor
    test_classes: Tensor
    noise: float
    generator: torch.Generator

    def drawn(self, samples: np.ndarray) -> tuple[Tensor, Tensor]:
        """Training images, with noise of their own, and classes."""
        index = torch.from_numpy(samples)
        return self.seen(self.train_images[index]), self.train_classes[index]

    def seen(self, images: Tensor) -> Tensor:
        """The images through new noise."""
        return images + self.noise * torch.randn(images.shape, generator=self.generator)


def run(*, seeds: int = 5, epochs: int = 30) -> list[dict[str, Any]]:
    """Train, correct and measure; print two tables, and how far balancing moved what BatchNorm layers see."""
    with _one_thread():  # matrices this small lose more to a second thread's hand-over than they gain
        return _print_all(seeds, epochs)


def _print_all(seeds: int, epochs: int) -> list[dict[str, Any]]:
    tables = []
    for noise, title in (
        (_NOISE, f"pixel noise {_NOISE}, new at every draw"),
        (0.0, "no noise: positives memorised"),
    ):
        arms: dict[str, list[list[float]]] = {}
        for seed in range(seeds):
            print(f"training with seed {seed} ...", file=sys.stderr)
            for name, found in _arms(_digits(seed, noise), seed, epochs).items():
                arms.setdefault(name, []).append(found)
        rows = [[name, *map(_mean_and_spread, zip(*found, strict=True))] for name, found in arms.items()]
        print(f"{_PRIOR:.0%} eights among digits, {title}:\ntrained {seeds} times, {epochs} epochs each", flush=True)
        print(*aligned([_HEAD, *rows]), sep="\n", end="\n\n")
        tables.append(as_table(_HEAD, rows))
    print(
        "Mean (standard deviation) of the calibration error, the negative log\n"
        "likelihood, and the balanced accuracy, as it is and where classes count alike.\n"
        "BN of: the statistics of BatchNorm measured again on the sampled or the natural\n"
        "stream.\n\n"
        "What BatchNorm layers meet in the balanced stream beside the natural one,\n"
        "with noise, seed 0:\n"
    )
    print(_moved(_digits(0, _NOISE), epochs))
    return tables


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _arms(digits: Digits, seed: int, epochs: int) -> dict[str, list[float]]:
    """The four numbers of a table row, for every way to train and correct."""
    shuffle, balance = (_plan(digits, target, seed) for target in ("natural", "uniform"))
    shuffled_model, balanced_model = (_trained(digits, plan, seed, epochs) for plan in (shuffle, balance))
    test = replace(digits, test_images=digits.seen(digits.test_images))
    prior = LogitAdjustment.from_plan(balance)

    on_sampled, on_natural = copy.deepcopy(balanced_model), copy.deepcopy(balanced_model)
    recalibrate(on_sampled, _stream(digits, balance))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorWarning)  # that it is poor is what is shown
        recalibrate(on_natural, _stream(digits, shuffle), stream="natural")
    return {
        "shuffle": _measured(shuffled_model, shuffle, nn.Identity(), test),
        "balanced": _measured(balanced_model, balance, nn.Identity(), test),
        "balanced + prior": _measured(balanced_model, balance, prior, test),
        "  BN of sampled": _measured(on_sampled, balance, prior, test),
        "  BN of natural": _measured(on_natural, balance, prior, test),
    }


def _measured(model: nn.Module, plan: FixedPlan, adjust: nn.Module, test: Digits) -> list[float]:
    with torch.no_grad():
        logits = model.eval()(test.test_images)
    metrics = measure(adjust(logits), test.test_classes, _CLASSES)
    alike = measure(LogitAdjustment.from_plan(plan, deploy="uniform")(logits), test.test_classes, _CLASSES)
    return [
        metrics.classwise_calibration_error,
        metrics.negative_log_likelihood,
        metrics.balanced_accuracy,
        alike.balanced_accuracy,
    ]


def _moved(digits: Digits, epochs: int) -> BatchNormReport:
    shuffle, balance = (_plan(digits, target, 0) for target in ("natural", "uniform"))
    return report(_trained(digits, balance, 0, epochs), _stream(digits, shuffle), _stream(digits, balance))


def _digits(seed: int, noise: float) -> Digits:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise SystemExit("the demo takes its data from scikit-learn: pip install 'batchwright[cli]'") from None

    pixels, digits = load_digits(return_X_y=True)
    generator = np.random.default_rng(seed)
    positives = generator.permutation(np.flatnonzero(digits == _POSITIVE))
    negatives = generator.permutation(np.flatnonzero(digits != _POSITIVE))
    half = len(negatives) // 2
    few = round(half * _PRIOR / (1 - _PRIOR))
    repeats = round((len(positives) - few) * (1 - _PRIOR) / _PRIOR / (len(negatives) - half))
    train = np.concatenate([negatives[:half], positives[:few]])
    test = np.concatenate([np.repeat(negatives[half:], repeats), positives[few:]])
    images = torch.from_numpy(pixels / 16).float()
    classes = torch.from_numpy(digits == _POSITIVE).long()
    of_noise = torch.Generator().manual_seed(seed)
    return Digits(images[train], classes[train], images[test], classes[test], noise, of_noise)


def _plan(digits: Digits, target: str, seed: int) -> FixedPlan:
    return balanced(digits.train_classes, batch_size=_BATCH_SIZE, target=target, seed=seed)


def _stream(digits: Digits, plan: FixedPlan, *, epochs: int = 4) -> Iterator[Tensor]:
    return (digits.drawn(plan[number])[0] for number in range(epochs * plan.epoch_length()))


def _trained(digits: Digits, plan: FixedPlan, seed: int, epochs: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            *(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()),
            *(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()),
            nn.Linear(64, 2),
        )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    for number in range(epochs * plan.epoch_length()):
        images, classes = digits.drawn(plan[number])
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), classes)
        loss.backward()
        optimizer.step()
    return model


def _mean_and_spread(values: tuple[float, ...]) -> str:
    return f"{np.mean(values):.3f} ({np.std(values):.3f})"
