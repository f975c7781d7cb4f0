"""Measures how well the probabilities of a classifier agree with observed frequencies."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import Infeasible, check_integer

__all__ = ["balanced_accuracy", "calibration_error", "classwise_calibration_error", "recalls"]


def calibration_error(probabilities: Tensor, targets: Tensor, *, bins: int = 15) -> float:
    """The expected calibration error of the predicted class: mean over bins of |accuracy - confidence|.

    Bins are of equal width, (i / bins, (i + 1) / bins], weighted by their number of samples (Guo et al. 2017).

    Args:
        probabilities: tensor of shape (N, C), rows that sum to 1.
        targets: integer tensor of shape (N,), the true classes.
        bins: the number of bins, int, 1 or more.

    Raises:
        Infeasible: there are no samples, or no bins.

    Example:
        >>> calibration_error(torch.tensor([[0.75, 0.25], [0.75, 0.25]]), torch.tensor([0, 1]))
        0.25
    """
    confidence, predicted = probabilities.double().max(-1)
    return _gap(confidence, predicted == targets, bins)


def classwise_calibration_error(probabilities: Tensor, targets: Tensor, *, bins: int = 15) -> float:
    """The mean over classes of the calibration error of the probability of the class (Kull et al. 2019).

    A rare class counts as much as a common one; in `calibration_error` it has hardly any effect. Arguments as there.

    Example:
        >>> classwise_calibration_error(torch.tensor([[0.75, 0.25], [0.75, 0.25]]), torch.tensor([0, 1]))
        0.25
    """
    columns = probabilities.double().unbind(-1)
    gaps = [_gap(column, targets == index, bins) for index, column in enumerate(columns)]
    return sum(gaps) / len(gaps)


def recalls(predicted: Tensor, targets: Tensor, *, classes: int) -> list[float]:
    """The share of each class's samples that were predicted as that class; NaN for a class without samples.

    Example:
        >>> recalls(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), classes=3)
        [0.5, 1.0, nan]
    """
    hits = torch.bincount(targets[predicted == targets], minlength=classes).double()
    return (hits / torch.bincount(targets, minlength=classes)).tolist()


def balanced_accuracy(predicted: Tensor, targets: Tensor, *, classes: int) -> float:
    """The mean recall over the classes that have samples.

    Example:
        >>> balanced_accuracy(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), classes=3)
        0.75
    """
    return torch.tensor(recalls(predicted, targets, classes=classes)).double().nanmean().item()


def _gap(confidence: Tensor, correct: Tensor, bins: int) -> float:
    """The sum over bins of |sum of outcomes - sum of confidences| / N."""
    bins = check_integer(bins, "bins", least=1)
    if not len(confidence):
        raise Infeasible("there are 0 samples", "pass the probabilities of one sample at least")
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    difference = torch.zeros(bins, dtype=torch.float64, device=confidence.device)
    difference.index_add_(0, place, correct.double() - confidence)
    return difference.abs().sum().item() / len(confidence)
