"""Padding within what traces, fakes, batches or differentiates torch's calls: right there, and nothing of it is kept."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.rnn import pad_sequence

import batchwright as bw

LENGTHS = [3, 30_000]  # padding of short pieces is kept


def padded(first: torch.Tensor, second: torch.Tensor, dim: int = 0) -> torch.Tensor:
    return bw.Ragged.from_list([first, second], dim=dim, padding=bw.Padding(value=2.5)).padded


def expected(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return pad_sequence([first, second], batch_first=True, padding_value=2.5)


def in_fake_mode() -> None:
    with FakeTensorMode():
        assert type(padded(torch.ones(3), torch.ones(5))) is not torch.Tensor


def with_real_samples_in_fake_mode() -> None:
    samples = torch.ones(3), torch.ones(5)
    with FakeTensorMode(allow_non_fake_inputs=True):
        padded(*samples)


def traced(mode: str) -> None:
    graph = make_fx(lambda first, second: padded(first, second), tracing_mode=mode)(torch.ones(3), torch.ones(5))
    assert graph(torch.ones(3), torch.zeros(5)).equal(expected(torch.ones(3), torch.zeros(5)))


MODES = {
    "fake": in_fake_mode,
    "fake, of real samples": with_real_samples_in_fake_mode,
    "traced": lambda: traced("real"),
    "traced by fakes": lambda: traced("fake"),
    "traced by symbols": lambda: traced("symbolic"),
    "functionalized": lambda: torch.func.functionalize(padded)(torch.ones(3), torch.ones(5)),
    "batched": lambda: torch.func.vmap(padded)(torch.ones(2, 3), torch.ones(2, 5)),
    "in inference mode": torch.inference_mode()(lambda: padded(torch.ones(3), torch.ones(5))),
}


@pytest.mark.parametrize("before", [False, True], ids=["first there", "first outside"])
@pytest.mark.parametrize("mode", MODES)
def test_batches_outside_of_a_mode_are_those_without_it(mode, before):
    outside = expected(torch.ones(3), torch.ones(5))
    from batchwright.collate.padding import _padding

    _padding.cache_clear()
    if before:
        assert padded(torch.ones(3), torch.ones(5)).equal(outside)
    MODES[mode]()
    found = bw.Collate(x=bw.ragged(pad=2.5))([{"x": torch.ones(3)}, {"x": torch.ones(5)}])["x"]
    assert type(found) is torch.Tensor
    assert not torch._is_functional_tensor(found)
    assert found.equal(outside)
    first = torch.ones(3, requires_grad=True)
    padded(first, torch.ones(5)).sum().backward()
    assert first.grad.equal(torch.ones(3))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # of torch's own derivatives
@pytest.mark.parametrize("length", LENGTHS)
def test_gradients_forwards_and_over_many_are_those_of_pad_sequence(length):
    def summed(pad, weights):
        return pad(weights, torch.ones(length + 1)).pow(2).sum()

    weights, tangent = torch.rand(length), torch.rand(length)
    found = torch.func.jvp(lambda weights: summed(padded, weights), (weights,), (tangent,))
    assert torch.stack(found).equal(torch.stack(torch.func.jvp(lambda w: summed(expected, w), (weights,), (tangent,))))
    many = torch.rand(3, length)
    batched = torch.func.vmap(lambda weights: padded(weights, torch.ones(length + 1)))(many)
    assert batched.equal(torch.stack([expected(each, torch.ones(length + 1)) for each in many]))
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(weights, tangent)
        assert forward_ad.unpack_dual(padded(dual, torch.ones(length + 1))).tangent[0, :length].equal(tangent)
        column = forward_ad.make_dual(weights[None], tangent[None])
        across = padded(column, torch.ones(1, length + 1), dim=1)
        assert forward_ad.unpack_dual(across).tangent[0, 0, :length].equal(tangent)


@pytest.mark.parametrize("form", ["padded", "packed", "list"])
@pytest.mark.parametrize("odd", [(), (1, 0), (0, 3), (1, -1), (-1, 1)], ids=str)
@pytest.mark.parametrize("length", [5, 20_000])
def test_a_sample_of_another_rank_is_refused_at_any_length(form, odd, length):
    other = torch.ones([length if size < 0 else size for size in odd])
    field = bw.ragged(pad=0) if form == "padded" else bw.ragged(form=form)
    with pytest.raises(bw.Infeasible, match=r"sample 1 .*rank"):
        bw.Collate(x=field)([{"x": torch.ones(length)}, {"x": other}])
