from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, log_loss, recall_score
from torch import Tensor, nn

import batchwright as bw
from batchwright.correct import LogitAdjustment, evaluate
from batchwright.correct.calibration import calibration_error, classwise_calibration_error, recalls
from batchwright.correct.evaluate import measure
from batchwright.errors import Infeasible

from ..examples import examples


def predictions(seed: int, samples: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (samples,), generator=generator)


def gap_by_the_definition(confidences: list[float], outcomes: list[bool], bins: int) -> float:
    total = 0.0
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        inside = [i for i, c in enumerate(confidences) if low < c <= high or (index == 0 and c == 0)]
        if inside:
            accuracy = sum(outcomes[i] for i in inside) / len(inside)
            confidence = sum(confidences[i] for i in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(accuracy - confidence)
    return total


@examples(50)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 5), st.integers(1, 20))
def test_calibration_errors_match_their_definition(seed: int, samples: int, classes: int, bins: int) -> None:
    logits, targets = predictions(seed, samples, classes)
    probabilities = logits.softmax(-1)
    confidence, predicted = probabilities.max(-1)
    expected = gap_by_the_definition(confidence.tolist(), (predicted == targets).tolist(), bins)
    assert calibration_error(probabilities, targets, bins=bins) == pytest.approx(expected, abs=1e-12)
    by_class = [
        gap_by_the_definition(probabilities[:, c].tolist(), (targets == c).tolist(), bins) for c in range(classes)
    ]
    classwise = classwise_calibration_error(probabilities, targets, bins=bins)
    assert classwise == pytest.approx(sum(by_class) / classes, abs=1e-12)


def test_frequencies_that_come_true_have_no_error() -> None:
    probabilities = torch.tensor([[0.75, 0.25]] * 4 + [[0.0, 1.0]] * 2)
    targets = torch.tensor([0, 0, 0, 1, 1, 1])
    assert calibration_error(probabilities, targets) == 0
    assert classwise_calibration_error(probabilities, targets) == 0


@examples(30)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_other_metrics_match_scikit_learn(seed: int, classes: int) -> None:
    logits, targets = predictions(seed, 200, classes)
    metrics = measure(logits, targets, list(range(classes)))
    predicted, labels = logits.argmax(-1).numpy(), list(range(classes))
    assert metrics.samples == 200
    assert metrics.balanced_accuracy == pytest.approx(balanced_accuracy_score(targets, predicted))
    expected = log_loss(targets, logits.softmax(-1).numpy(), labels=labels)
    assert metrics.negative_log_likelihood == pytest.approx(expected)
    assert metrics.accuracy == pytest.approx(float(np.mean(predicted == targets.numpy())))
    assert list(metrics.recall.values()) == pytest.approx(recall_score(targets, predicted, average=None).tolist())


def test_a_class_without_samples_has_no_recall_and_no_part_in_the_mean() -> None:
    metrics = measure(torch.eye(3)[[0, 1, 1]], torch.tensor([0, 0, 1]), ["a", "b", "c"])
    assert math.isnan(metrics.recall["c"])
    assert metrics.balanced_accuracy == 0.75
    assert recalls(torch.tensor([2]), torch.tensor([2]), classes=3)[2] == 1


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_log_odds_are_measured_as_two_logits(shape: tuple[int, ...]) -> None:
    logits, targets = predictions(0, 50, 2)
    odds = (logits[:, 1] - logits[:, 0]).view(shape)
    of_odds, of_logits = measure(odds, targets, ["no", "yes"]), measure(logits, targets, ["no", "yes"])
    assert of_odds.recall == of_logits.recall
    assert of_odds.negative_log_likelihood == pytest.approx(of_logits.negative_log_likelihood)
    assert of_odds.calibration_error == pytest.approx(of_logits.calibration_error)


def test_evaluate_measures_the_model_with_and_without_the_correction() -> None:
    logits, targets = predictions(1, 90, 3)
    adjustment = LogitAdjustment([1 / 3] * 3, [0.8, 0.15, 0.05], names=["a", "b", "c"])
    model = nn.Sequential(nn.Dropout(0.9), nn.Identity()).train()
    loader = [(logits[:50], targets[:50]), (logits[50:], targets[50:])]
    found = evaluate(model, loader, adjustment=adjustment)
    assert found.as_trained == measure(logits, targets, ["a", "b", "c"])
    assert found.corrected == measure(adjustment(logits), targets, ["a", "b", "c"])
    assert all(module.training for module in model.modules())
    lines = str(found).splitlines()
    assert lines[0].split() == ["90", "samples", "as", "trained", "corrected"]
    assert [line.split("  ")[0] for line in lines[6:]] == ["recall of a", "recall of b", "recall of c"]


def test_own_fields_of_a_batch() -> None:
    logits, targets = predictions(2, 20, 2)
    adjustment = LogitAdjustment([0.5, 0.5], [0.5, 0.5])
    found = evaluate(
        nn.Identity(),
        [{"x": logits, "y": targets}],
        adjustment=adjustment,
        forward=lambda model, batch: model(batch["x"]),
        targets=lambda batch: batch["y"],
    )
    assert found.as_trained == found.corrected == measure(logits, targets, [0, 1])


@pytest.mark.parametrize("shape", [(-1, 2), (-1, 1), (-1,)])
def test_the_plan_gives_the_correction_for_two_logits_and_for_one(shape: tuple[int, ...]) -> None:
    plan = bw.balanced([0] * 90 + [1] * 10, batch_size=10)
    logits, targets = predictions(3, 40, 2)
    given = logits if shape[-1] == 2 else (logits[:, 1] - logits[:, 0]).view(shape)
    found = evaluate(nn.Identity(), [(given, targets)], plan)
    expected = measure(logits + torch.tensor([0.9, 0.1]).log(), targets, [0, 1])
    assert found.corrected.negative_log_likelihood == pytest.approx(expected.negative_log_likelihood, rel=1e-6)
    assert found.corrected.recall == expected.recall


def test_a_row_of_priors_for_each_domain_takes_the_domains_from_the_batch() -> None:
    logits, targets = predictions(4, 30, 2)
    ids = torch.arange(30) % 2
    adjustment = LogitAdjustment([[0.5, 0.5], [0.2, 0.8]], [[0.9, 0.1], [0.5, 0.5]])
    batches = [(logits[low : low + 10], targets[low : low + 10], ids[low : low + 10]) for low in (0, 10, 20)]
    found = evaluate(nn.Identity(), batches, adjustment=adjustment, domains=lambda batch: batch[2])
    assert found.corrected == measure(adjustment(logits, domains=ids), targets, [0, 1])
    with pytest.raises(Infeasible, match="have 2 rows of domains"):
        evaluate(nn.Identity(), batches, adjustment=adjustment)


def test_what_cannot_be_measured_is_refused() -> None:
    logits, targets = predictions(5, 20, 2)
    plan = bw.balanced([0] * 90 + [1] * 10, 10)

    def refused(batch: object, match: str) -> None:
        with pytest.raises(Infeasible, match=match):
            evaluate(nn.Identity(), [batch], plan)

    refused((logits, targets[:7]), r"logits have shape \(20, 2\), targets \(7,\)")
    refused((logits, nn.functional.one_hot(targets)), r"targets \(20, 2\)")
    refused((logits.view(2, 10, 2), targets.view(2, 10)), r"shape \(2, 10, 2\)")
    refused((logits * float("nan"), targets), "the logits of 20 of 20 samples hold NaN")
    refused((logits, targets + 0.5), "targets hold .*, which is not whole")
    refused((logits, targets.tolist()), "are of type list, no tensor")
    refused({"x": logits}, "is of type dict, no tensor")
    as_floats = evaluate(nn.Identity(), [(logits[:, 1] - logits[:, 0], targets.float().unsqueeze(1))], plan)
    assert as_floats.as_trained.recall == evaluate(nn.Identity(), [(logits, targets)], plan).as_trained.recall


def test_nothing_to_measure_is_refused() -> None:
    adjustment = LogitAdjustment([0.5, 0.5], [0.5, 0.5])
    with pytest.raises(Infeasible, match="0 batches"):
        evaluate(nn.Identity(), [], adjustment=adjustment)
    for error in (calibration_error, classwise_calibration_error):
        with pytest.raises(Infeasible, match="bins is 0, the least is 1"):
            error(torch.ones(1, 1), torch.tensor([0]), bins=0)
    with pytest.raises(Infeasible, match="both None"):
        evaluate(nn.Identity(), [(torch.zeros(1, 2), torch.tensor([0]))])
    with pytest.raises(Infeasible, match="0 samples"):
        measure(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), [0, 1])
    with pytest.raises(Infeasible, match="run from 0 to 2, the model knows 0 to 1"):
        measure(torch.zeros(2, 2), torch.tensor([0, 2]), [0, 1])
