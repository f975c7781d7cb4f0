from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from batchwright.correct import LogitAdjustment
from batchwright.errors import Infeasible, PoorWarning

INPUTS = 7


def shares(classes: int) -> st.SearchStrategy[np.ndarray]:
    weights = st.lists(st.floats(0.01, 1), min_size=classes, max_size=classes)
    return weights.map(lambda values: np.array(values) / sum(values))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """p(x | y) over seven inputs x, and two priors: all a classifier can know, small enough to enumerate."""
    classes = draw(st.integers(2, 5))
    likelihood = np.array([draw(shares(INPUTS)) for _ in range(classes)])
    before, after = draw(shares(classes)), draw(shares(classes))
    return torch.from_numpy(likelihood), torch.from_numpy(before), torch.from_numpy(after)


def posterior(likelihood: Tensor, prior: Tensor) -> Tensor:
    """p(y | x) for every x, by Bayes' rule: (inputs, classes)."""
    joint = (likelihood * prior[:, None]).T
    return joint / joint.sum(-1, keepdim=True)


@settings(deadline=None)
@given(worlds())
def test_post_hoc_turns_one_posterior_into_the_other(
    world: tuple[Tensor, Tensor, Tensor],
) -> None:
    likelihood, trained, deploy = world
    logits = posterior(likelihood, trained).log()
    adjusted = LogitAdjustment(trained, deploy)(logits)
    torch.testing.assert_close(adjusted.softmax(-1), posterior(likelihood, deploy), rtol=1e-5, atol=1e-7)


@settings(deadline=None)
@given(worlds())
def test_in_the_loss_logits_learn_the_posterior(world: tuple[Tensor, Tensor, Tensor]) -> None:
    """The expected loss over the stream trained on, every (x, y) enumerated, is stationary at that posterior."""
    likelihood, trained, deploy = world
    logits = posterior(likelihood, deploy).log().requires_grad_()
    log_probabilities = LogitAdjustment(trained, deploy, mode="loss")(logits).log_softmax(-1)
    (-(likelihood * trained[:, None]).T * log_probabilities).sum().backward()
    assert logits.grad.abs().max() < 1e-6


@settings(deadline=None)
@given(worlds())
def test_binary_log_odds_move_as_the_two_logits_do(world: tuple[Tensor, Tensor, Tensor]) -> None:
    likelihood, trained, deploy = (tensor[:2] for tensor in world)
    trained, deploy = trained / trained.sum(), deploy / deploy.sum()
    before, after = posterior(likelihood, trained), posterior(likelihood, deploy)
    adjust = LogitAdjustment(trained, deploy, binary=True)
    for shape in [(INPUTS,), (INPUTS, 1)]:
        odds = adjust(torch.logit(before[:, 1]).view(shape))
        assert odds.shape == shape
        torch.testing.assert_close(odds.sigmoid().flatten(), after[:, 1], rtol=1e-5, atol=1e-7)


def test_named_special_cases() -> None:
    natural = torch.tensor([0.9, 0.08, 0.02], dtype=torch.float64)
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    menon = LogitAdjustment(natural, "uniform", tau=1.5)(logits)
    assert_same_up_to_a_constant(menon, logits - 1.5 * natural.log())
    menon_loss = LogitAdjustment(natural, "uniform", mode="loss", tau=1.5)(logits)
    assert_same_up_to_a_constant(menon_loss, logits + 1.5 * natural.log())
    counts = natural * 100
    ren = counts * logits.exp() / (counts * logits.exp()).sum(-1, keepdim=True)
    torch.testing.assert_close(LogitAdjustment(natural, "uniform", mode="loss")(logits).softmax(-1), ren)


def assert_same_up_to_a_constant(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", ["post_hoc", "loss"])
def test_what_was_sampled_as_it_will_be_met_is_left_alone(mode: str) -> None:
    logits = torch.randn(4, 3)
    assert torch.equal(LogitAdjustment([0.5, 0.3, 0.2], [0.5, 0.3, 0.2], mode=mode)(logits), logits)
    thirds = [1 / 3] * 3
    assert torch.equal(LogitAdjustment(thirds, "uniform", mode=mode)(logits), logits)
    assert torch.equal(LogitAdjustment([0.5, 0.3, 0.2], "uniform", mode=mode, tau=0)(logits), logits)


def test_a_row_for_each_domain() -> None:
    trained, deploy = [[0.5, 0.5], [0.25, 0.75]], [[0.9, 0.1], [0.5, 0.5]]
    rows = [LogitAdjustment(t, d) for t, d in zip(trained, deploy, strict=True)]
    domains = torch.tensor([1, 0, 1])
    for shape in [(3, 2), (3, 4, 2)]:
        logits = torch.randn(shape)
        adjusted = LogitAdjustment(trained, deploy)(logits, domains=domains)
        for index, domain in enumerate(domains.tolist()):
            assert torch.equal(adjusted[index], rows[domain](logits[index]))
    binary = [LogitAdjustment(t, d, binary=True) for t, d in zip(trained, deploy, strict=True)]
    for shape in [(3,), (3, 1), (3, 4)]:
        odds = torch.randn(shape)
        adjusted = LogitAdjustment(trained, deploy, binary=True)(odds, domains=domains)
        for index, domain in enumerate(domains.tolist()):
            assert torch.equal(adjusted[index], binary[domain](odds[index]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_absent_classes_stay_finite(dtype: torch.dtype) -> None:
    adjust = LogitAdjustment([0.5, 0.25, 0.25, 0.0], [0.75, 0.25, 0.0, 0.0])
    logits = torch.zeros(1, 4, dtype=dtype, requires_grad=True)
    adjusted = adjust(logits)
    assert adjusted.dtype is dtype
    probabilities = adjusted.float().softmax(-1)[0]
    assert probabilities[2:].tolist() == pytest.approx([0, 0], abs=1e-30)
    assert probabilities[:2].tolist() == pytest.approx([0.6, 0.4], abs=1e-2)
    nn.functional.cross_entropy(adjusted.float(), torch.tensor([2])).backward()
    assert logits.grad.isfinite().all()


def test_a_class_never_sampled_that_will_be_met_is_warned_of_and_kept() -> None:
    with pytest.warns(PoorWarning, match=r"classes \['owl'\] were sampled 0 times"):
        adjust = LogitAdjustment([0.5, 0.5, 0.0], [0.4, 0.4, 0.2], names=["cat", "dog", "owl"])
    assert adjust.offset.tolist() == pytest.approx([math.log(0.8), math.log(0.8), 0])


def test_uniform_is_over_the_classes_trained_on() -> None:
    adjust = LogitAdjustment([0.75, 0.25, 0.0], "uniform", mode="loss")
    assert adjust.offset.tolist() == pytest.approx([math.log(1.5), math.log(0.5), 0])


def test_it_is_a_module_without_parameters_that_saves_and_follows_the_logits() -> None:
    adjust = LogitAdjustment([0.5, 0.5], [0.9, 0.1])
    assert list(adjust.parameters()) == []
    other = LogitAdjustment([0.5, 0.5], [0.1, 0.9])
    other.load_state_dict(copy.deepcopy(adjust.state_dict()))
    assert torch.equal(other(torch.zeros(2)), adjust(torch.zeros(2)))
    assert repr(adjust) == "LogitAdjustment(2 classes: 0 +0.588, 1 -1.61, mode='post_hoc', tau=1.0, binary=False)"


@pytest.mark.parametrize(
    ("trained", "deploy", "options", "message"),
    [
        ([0.5, 0.6], "uniform", {}, "the shares of trained sum to 1.1, which misses 1"),
        ([0.5, 0.5], [1.5, -0.5], {}, "deploy holds -0.5"),
        ([0.5, 0.5], [float("nan"), 0.5], {}, "deploy holds nan"),
        ([0.5, 0.5], [0.2, 0.3, 0.5], {}, r"shape \(2,\), deploy \(3,\)"),
        ([0.5, 0.5], "even", {}, "deploy is 'even'"),
        ([], "uniform", {}, r"shape \(0,\)"),
        ([0.5, 0.5], "uniform", {"mode": "both"}, "mode is 'both'"),
        ([0.5, 0.5], "uniform", {"tau": -1}, "tau is -1"),
        ([0.2, 0.3, 0.5], "uniform", {"binary": True}, "binary=True with 3 classes"),
        ([0.5, 0.5], "uniform", {"names": ["a"]}, "1 entries for 2 classes"),
        (
            [0.5, 0.5],
            [1, 0],
            {"mode": "loss", "names": ["a", "b"]},
            r"1 of 2 classes are trained on and have deploy share 0 \('b'\)",
        ),
    ],
)
def test_refusals(trained: list, deploy: object, options: dict, message: str) -> None:
    with pytest.raises(Infeasible, match=message):
        LogitAdjustment(trained, deploy, **options)


def test_logits_and_domains_that_do_not_fit_are_refused() -> None:
    with pytest.raises(Infeasible, match="gives 3 logits, the priors are of 2 classes"):
        LogitAdjustment([0.5, 0.5], "uniform")(torch.zeros(4, 3))
    with pytest.raises(Infeasible, match="have no rows of domains"):
        LogitAdjustment([0.5, 0.5], "uniform")(torch.zeros(1, 2), domains=torch.tensor([0]))
    with pytest.raises(Infeasible, match="have 2 rows of domains, domains is None"):
        LogitAdjustment([[0.5, 0.5]] * 2, "uniform")(torch.zeros(1, 2))
