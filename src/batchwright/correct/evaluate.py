"""Evaluates a classifier as trained, and with its logits corrected for the sampling."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..aligned import aligned
from ..distributed import gathered, ranks
from ..errors import Infeasible, check_integer, exactly, shown, typed
from ..readings import reading
from ..run.sampler_of import next_start, sampler_of
from .batchnorm.population import Forward, first_field
from .calibration import (
    balanced_accuracy,
    calibration_error,
    classwise_calibration_error,
    recalls,
)
from .modes import modes_kept
from .priors import LogitAdjustment

if TYPE_CHECKING:
    from ..base_plan import BasePlan
    from ..run.sampler import BatchSampler

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
        rows: list[list[Any]] = [[f"{self.as_trained.samples} samples", "as trained", "corrected"]]
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
        return "\n".join(aligned(rows))


def second_field(batch: Any) -> Tensor:
    """The classes of a batch that is (inputs, targets, ...).

    Raises:
        Infeasible: it is no tuple or list of two fields or more.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        keys = getattr(batch, "keys", None)
        names = list(keys()) if callable(keys) else []
        where = f"batch[{shown(names[-1])}]" if names else "..."
        raise Infeasible(
            f"a batch is {typed(batch)}, no tuple (inputs, targets, ...)",
            f"say where its targets are: targets=lambda batch: {where}",
        )
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
    its mode is restored afterwards. With the loader of a `batchwright.evaluation` plan every sample counts once, on any
    number of ranks: call it on every rank. Their predictions are gathered, and all ranks return the same. Of any other
    loader, this process's batches are measured as they come.

    Args:
        model: returns logits (N, C), or log-odds (N,) or (N, 1) of the second of two classes.
        loader: batches (inputs, targets, ...), with integer targets in the order of the logits. A training plan's loader is
            refused.
        plan: the plan of the training; `LogitAdjustment.from_plan(plan)` is the correction.
        adjustment: another correction in place of that one, for instance for other deploy shares.
        bins: the number of bins of the calibration errors.
        forward: runs the model on a batch; by default on its first field.
        targets: from a batch to its classes; by default its second field.
        domains: from a batch to its domains, for an adjustment with a row of priors for each.

    Raises:
        Infeasible: the loader has no sample, is that of a training plan, or of a rank whose peers are not there; a class
            lies outside the plan's, logits and targets do not fit each other, or logits and adjustment; logits hold NaN, or
            infinities that leave no probabilities; or there is neither plan nor adjustment.
    """
    bins = check_integer(bins, "bins", least=1)
    sampler = sampler_of(loader)
    if sampler is not None:
        _check_sampler(sampler)
    logits, truth, of_domain = _predictions(model, loader, sampler, forward, targets, domains)
    if sampler is not None and sampler.world_size > 1:
        logits, truth, of_domain = _of_all_ranks(sampler, logits, truth, of_domain)
    if adjustment is not None:
        correct = adjustment
    elif plan is not None:
        correct = LogitAdjustment.from_plan(plan, binary=logits.dim() < 2 or logits.shape[-1] == 1)
    else:
        raise Infeasible("plan and adjustment are both None, one is needed", "pass the plan the model was trained on")
    _check_fit(correct, logits)
    names = correct.classes
    adjusted = correct(logits, domains=of_domain)
    return Evaluation(measure(logits, truth, names, bins=bins), measure(adjusted, truth, names, bins=bins))


def measure(logits: Tensor, targets: Tensor, names: list[Hashable], *, bins: int = 15) -> Metrics:
    """The metrics of logits (N, C), or of log-odds (N,) or (N, 1), with the true classes (N,).

    Raises:
        Infeasible: no sample, a class outside 0..C-1, shapes that do not fit, or logits without probabilities.
    """
    if logits.dim() not in (1, 2) or targets.dim() != 1 or len(logits) != len(targets):
        raise Infeasible(
            f"logits have shape {tuple(logits.shape)}, targets {tuple(targets.shape)}",
            "give logits (N, C), or log-odds (N,) or (N, 1), and classes (N,): see forward= and targets=",
        )
    if len(targets) == 0:
        raise Infeasible("the loader gave 0 samples, at least 1 is needed", "pass a loader that is not empty")
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
    unknown = log_probabilities.isnan().any(-1)
    if unknown.any():
        what = "NaN" if logits.isnan().any() else "infinities that leave no probabilities"
        raise Infeasible(
            f"the logits of {int(unknown.sum())} of {len(logits)} samples hold {what}",
            "look at the model and its inputs",
        )
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


def _check_fit(correct: LogitAdjustment, logits: Tensor) -> None:
    """Refuse an adjustment of log-odds for logits of classes, and the other way round."""
    log_odds = logits.dim() == 1 or logits.shape[-1] == 1
    if correct.binary != log_odds:
        raise Infeasible(
            f"the model gives logits of shape {tuple(logits.shape)}, the adjustment was made with binary={correct.binary}, "
            f"for {'log-odds (N,) or (N, 1)' if correct.binary else 'logits (N, C)'}",
            f"make the adjustment with binary={log_odds}",
        )


def _check_sampler(sampler: BatchSampler) -> None:
    """Refuse the batches of a training plan, and those of one rank where the others are not there to be asked."""
    if not sampler.plan.whole_epochs:
        raise Infeasible(
            f"the loader gives the batches of {shown(sampler.plan)}, a plan for training, whose epochs have other shares "
            "than the data or repeat samples",
            "pass bw.evaluation(dataset, batch_size).loader(dataset)",
        )
    rank, world_size = sampler.rank, sampler.world_size
    if world_size not in (1, ranks(sampler.over)[1]):
        raise Infeasible(
            f"the loader gives the batches of rank {rank} of {world_size}, and there is no process group of {world_size} to "
            "gather those of the others from",
            "leave rank and world_size out, or pass rank=0, world_size=1 to plan.loader",
        )


def _of_all_ranks(sampler: BatchSampler, *own: Tensor | None) -> tuple[Any, ...]:
    """The predictions of all ranks, in the order of ranks, on the CPU."""
    everyone = gathered([None if part is None else part.cpu() for part in own], sampler.over)
    return tuple(None if parts[0] is None else torch.cat(parts) for parts in zip(*everyone, strict=True))


def _predictions(
    model: nn.Module,
    loader: Iterable[Any],
    sampler: BatchSampler | None,
    forward: Forward,
    targets: Callable[[Any], Tensor],
    domains: Callable[[Any], Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    logits: list[Tensor] = []
    truth: list[Tensor] = []
    of_domain: list[Tensor] = []
    epoch, begun = (0, 0) if sampler is None else next_start(loader, sampler)
    with modes_kept(model), torch.no_grad():
        model.eval()
        for number, batch in enumerate(loader, begun):
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
            if not given.is_floating_point() or not given.dim():
                raise Infeasible(
                    f"the logits of a batch are of {given.dtype} and shape {tuple(given.shape)}",
                    "give floating-point logits (N, C), or log-odds (N,) or (N, 1)",
                )
            real = None if sampler is None else _real_rows(sampler, number, epoch, len(given))
            logits.append(given[:real])
            truth.append(_integers(targets(batch)).to(given.device)[:real])
            if domains is not None:
                own = domains(batch)
                with reading(own, "the domain of each sample", "give integers: domains=lambda batch: ..."):
                    of_domain.append(torch.as_tensor(own).to(given.device)[:real])
    if not logits:
        raise Infeasible("the loader gave 0 batches, at least 1 is needed", "pass a loader that is not empty")
    return torch.cat(logits), torch.cat(truth), torch.cat(of_domain) if of_domain else None


def _real_rows(sampler: BatchSampler, number: int, epoch: int, rows: int) -> int:
    """How many rows of the logits of a batch are of samples that count; fillers come behind them."""
    real = sampler.real(number, epoch=epoch)
    if rows != real:
        own = sampler.all_ranks(number, epoch=epoch)[sampler.rank :: sampler.world_size]
        samples = sum(map(len, own))
        if samples == real:  # without fillers, rows may be anything, such as tokens
            return rows
        if rows != samples:
            raise Infeasible(
                f"the model gives {rows} rows of logits for batch {number}, which has {samples} samples, {real} of which "
                "count",
                "give a row for each sample: forward=lambda model, batch: ...",
            )
    return real


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
