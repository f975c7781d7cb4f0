"""Evaluates a classifier as trained, and with its logits corrected for the sampling."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import Infeasible, check_integer, exactly, typed
from ..readings import reading
from .batchnorm.population import Forward, first_field
from .calibration import (
    balanced_accuracy,
    calibration_error,
    classwise_calibration_error,
    recalls,
)
from .modes import modes_kept
from .priors import LogitAdjustment
from .table import text_table

if TYPE_CHECKING:
    from ..interface import BasePlan

__all__ = ["Evaluation", "Metrics", "evaluate", "measure", "second_field"]


@dataclass(frozen=True)
class Metrics:
    """Metrics of a set of logits; `recall` is by the name of the class, NaN for a class without samples."""

    samples: int
    calibration_error: float
    classwise_calibration_error: float
    negative_log_likelihood: float
    accuracy: float
    balanced_accuracy: float
    recall: dict[Hashable, float]


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model with its own logits, and with adjusted ones; prints as a table."""

    as_trained: Metrics
    corrected: Metrics

    def __str__(self) -> str:
        rows: list[list[Any]] = []
        for label, field in (
            ("calibration error", "calibration_error"),
            ("class-wise calibration error", "classwise_calibration_error"),
            ("negative log likelihood", "negative_log_likelihood"),
            ("accuracy", "accuracy"),
            ("balanced accuracy", "balanced_accuracy"),
        ):
            rows.append([label, getattr(self.as_trained, field), getattr(self.corrected, field)])
        for name, recall in self.as_trained.recall.items():
            rows.append([f"recall of {name}", recall, self.corrected.recall[name]])
        return text_table([f"{self.as_trained.samples} samples", "as trained", "corrected"], rows)


def second_field(batch: Any) -> Tensor:
    """The classes of a batch that is (inputs, targets, ...)."""
    targets: Tensor = batch[1]
    return targets


def evaluate(
    model: nn.Module,
    loader: Iterable[Any],
    plan: BasePlan | None = None,
    *,
    adjustment: LogitAdjustment | None = None,
    bins: int = 15,
    forward: Forward = first_field,
    targets: Callable[[Any], Tensor] = second_field,
    domains: Callable[[Any], Tensor] | None = None,
) -> Evaluation:
    """Measure calibration and accuracy of a model, before and after correcting for the sampling.

    The loader must have data with the shares of later use, not those of the plan. The model runs in evaluation mode;
    its mode is restored afterwards.

    Args:
        model: returns logits (N, C), or log-odds (N,) or (N, 1) of the second of two classes.
        loader: batches (inputs, targets, ...), with integer targets in the order of the logits.
        plan: the plan of the training; `LogitAdjustment.from_plan(plan)` is the correction.
        adjustment: another correction in place of that one, for instance for other deploy shares.
        bins: the number of bins of the calibration errors.
        forward: runs the model on a batch; by default on its first field.
        targets: from a batch to its classes; by default its second field.
        domains: from a batch to its domains, for an adjustment with a row of priors for each.

    Raises:
        Infeasible: the loader has no sample, a class lies outside the plan's, logits and targets do not fit each other,
            a logit is NaN, or there is neither plan nor adjustment.
    """
    bins = check_integer(bins, "bins", least=1)
    logits, truth, of_domain = _predictions(model, loader, forward, targets, domains)
    if adjustment is not None:
        correct = adjustment
    elif plan is not None:
        correct = LogitAdjustment.from_plan(plan, binary=logits.dim() < 2 or logits.shape[-1] == 1)
    else:
        raise Infeasible("plan and adjustment are both None, one is needed", "pass the plan the model was trained on")
    names = correct.classes
    adjusted = correct(logits, domains=of_domain)
    return Evaluation(measure(logits, truth, names, bins=bins), measure(adjusted, truth, names, bins=bins))


def measure(logits: Tensor, targets: Tensor, names: list[Hashable], *, bins: int = 15) -> Metrics:
    """The metrics of logits (N, C), or of log-odds (N,) or (N, 1), with the true classes (N,).

    Raises:
        Infeasible: no sample, a class outside 0..C-1, shapes that do not fit, or a NaN among the logits.
    """
    if logits.dim() not in (1, 2) or targets.dim() != 1 or len(logits) != len(targets):
        raise Infeasible(
            f"logits have shape {tuple(logits.shape)}, targets {tuple(targets.shape)}",
            "give logits (N, C), or log-odds (N,) or (N, 1), and classes (N,): see forward= and targets=",
        )
    if len(targets) == 0:
        raise Infeasible("the loader gave 0 samples, at least 1 is needed", "pass a loader that is not empty")
    unknown = int(logits.isnan().reshape(len(logits), -1).any(-1).sum())
    if unknown:
        raise Infeasible(
            f"the logits of {unknown} of {len(logits)} samples hold NaN", "look at the model and its inputs"
        )
    if logits.dim() == 1 or logits.shape[-1] == 1:
        # sigmoid(x) is the second entry of softmax(0, x).
        log_odds = logits.reshape(-1)
        logits = torch.stack([torch.zeros_like(log_odds), log_odds], -1)
    classes = logits.shape[-1]
    if int(targets.min()) < 0 or int(targets.max()) >= classes:
        low, high = int(targets.min()), int(targets.max())
        raise Infeasible(
            f"targets run from {low} to {high}, the model knows 0 to {classes - 1}",
            "pass targets in the order of the logits",
        )
    log_probabilities = logits.double().log_softmax(-1)
    probabilities, predicted = log_probabilities.exp(), logits.argmax(-1)
    return Metrics(
        samples=len(targets),
        calibration_error=calibration_error(probabilities, targets, bins=bins),
        classwise_calibration_error=classwise_calibration_error(probabilities, targets, bins=bins),
        negative_log_likelihood=nn.functional.nll_loss(log_probabilities, targets).item(),
        accuracy=(predicted == targets).double().mean().item(),
        balanced_accuracy=balanced_accuracy(predicted, targets, classes=classes),
        recall=dict(zip(names, recalls(predicted, targets, classes=classes), strict=True)),
    )


def _predictions(
    model: nn.Module,
    loader: Iterable[Any],
    forward: Forward,
    targets: Callable[[Any], Tensor],
    domains: Callable[[Any], Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    logits: list[Tensor] = []
    truth: list[Tensor] = []
    of_domain: list[Tensor] = []
    with modes_kept(model), torch.no_grad():
        model.eval()
        for batch in loader:
            try:
                given = forward(model, batch)
            except Exception as error:
                error.add_note(f"batch {len(truth)} of the loader was run through the model")
                raise
            if not isinstance(given, Tensor):
                raise Infeasible(
                    f"the logits of a batch are {typed(given)}, no tensor",
                    "say how the model is run: forward=lambda model, batch: ...",
                )
            logits.append(given)
            truth.append(_integers(targets(batch)).to(logits[-1].device))
            if domains is not None:
                own = domains(batch)
                with reading(own, "the domain of each sample", "give integers: domains=lambda batch: ..."):
                    of_domain.append(torch.as_tensor(own).to(given.device))
    if not logits:
        raise Infeasible("the loader gave 0 batches, at least 1 is needed", "pass a loader that is not empty")
    return torch.cat(logits), torch.cat(truth), torch.cat(of_domain) if of_domain else None


def _integers(targets: Any) -> Tensor:
    """Targets (N,) or (N, 1) as int64 (N,)."""
    if not isinstance(targets, Tensor):
        raise Infeasible(
            f"the targets of a batch are {typed(targets)}, no tensor",
            "say where they are: targets=lambda batch: ...",
        )
    integers = targets.long()
    parts = targets[integers.to(targets.dtype) != targets]
    if len(parts):
        raise Infeasible(f"targets hold {exactly(parts[0].item())}, which is not whole", "pass classes, 0 to C-1")
    return integers.squeeze(-1) if integers.dim() == 2 and integers.shape[-1] == 1 else integers
