"""What is measured of the logits of a test set in which every class has as many samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import batchwright as bw

from .data import LongTail
from .ways import Found

__all__ = ["MEASURES", "measured"]

BINS = 15
CALIBRATION = "calibration error"
MEASURES = ("balanced accuracy", "recall of the rare third", "worst group", CALIBRATION)


def measured(found: Found, data: LongTail) -> dict[str, dict[str, float]]:
    """The measures of the logits as they are, and with the prior corrected to what each measure is of.

    Accuracies are of classes that count alike, so the corrected logits are those for uniform shares. Calibration is at
    the natural shares of the classes, so the corrected logits are those for natural shares.
    """
    uniform, natural = (bw.correct.LogitAdjustment(found.trained_on, deploy) for deploy in ("uniform", data.natural))
    logits = found.logits
    return {
        "": {**accuracies(logits, data), CALIBRATION: calibration_error(logits, data)},
        "corrected": {**accuracies(uniform(logits), data), CALIBRATION: calibration_error(natural(logits), data)},
    }


def accuracies(logits: Tensor, data: LongTail) -> dict[str, float]:
    """Balanced accuracy, recall of the rarest third of the classes, and of the worst pair of class and attribute."""
    truth = data.test_classes.numpy()
    right = (logits.argmax(1).numpy() == truth).astype(float)
    recall = np.bincount(truth, right) / np.bincount(truth)
    rare = data.rank >= len(data.rank) - len(data.rank) // 3
    of_group = np.bincount(data.groups, right) / np.maximum(np.bincount(data.groups), 1)
    sizes = np.bincount(data.groups)
    return {
        "balanced accuracy": float(recall.mean()),
        "recall of the rare third": float(recall[rare].mean()),
        "worst group": float(of_group[sizes >= 10].min()),
    }


def calibration_error(logits: Tensor, data: LongTail) -> float:
    """The expected calibration error of the predicted class (Guo et al. 2017), test samples weighted to natural shares."""
    truth = data.test_classes.numpy()
    weights = (data.natural / np.bincount(truth))[truth]
    confidence, predicted = torch.softmax(logits.double(), 1).max(1)
    bins = np.minimum((confidence.numpy() * BINS).astype(int), BINS - 1)
    gap = weights * (confidence.numpy() - (predicted.numpy() == truth))
    return float(np.abs(np.bincount(bins, gap, minlength=BINS)).sum() / weights.sum())
