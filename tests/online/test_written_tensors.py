"""Tensors of every kind in a state: read again as they were, or refused in words, and a loop goes on either way."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from batchwright import Infeasible, online

pytestmark = [
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage:UserWarning"),
    pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.ao.quantization:DeprecationWarning"),
]

COMPLEX = torch.complex(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
FLOATS_OF_8_BITS = [kind for name, kind in sorted(vars(torch).items()) if name.startswith("float8_")]
WRITTEN = {
    "conjugate": lambda: COMPLEX.conj(),
    "negative": lambda: COMPLEX.conj().imag,
    "with a gradient": lambda: torch.ones(3, requires_grad=True),
    "half": lambda: torch.ones(2, dtype=torch.bfloat16),
    "half with a gradient": lambda: torch.ones(2, dtype=torch.bfloat16, requires_grad=True),
    "complex with a gradient": lambda: COMPLEX.clone().requires_grad_(),
    "without dimensions": lambda: torch.tensor(2.0),
    **{str(kind): lambda kind=kind: torch.ones(2).to(kind) for kind in FLOATS_OF_8_BITS},
}
REFUSED = {
    "complex of 32 bits": lambda: COMPLEX.to(torch.complex32),
    "without data": lambda: torch.ones(2, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "a number of too many digits": lambda: 10**5000,
    "a list in itself": lambda: in_itself(),
}


def in_itself():
    found = []
    found.append(found)
    return found


class Source:
    def __init__(self, make):
        self.make = make

    def __iter__(self):
        for _ in range(40):
            yield self.make()


def loader(make):
    return online.packed(Source(make), length=lambda sample: 1, capacity=2, buffer=8).loader()


@pytest.mark.parametrize("case", sorted(WRITTEN))
def test_a_tensor_is_read_again_as_it_was(case):
    make = WRITTEN[case]
    first = loader(make)
    assert len(list(islice(first, 3))) == 3
    again = loader(make)
    again.load_state_dict(first.state_dict())
    batches = list(again)
    assert len(batches) == 17
    for sample in batches[0]:  # it was in the buffer
        due = make()
        assert (sample.dtype, sample.shape, sample.requires_grad) == (due.dtype, due.shape, due.requires_grad)
        number = torch.complex64 if due.is_complex() else torch.float32
        assert torch.equal(sample.detach().to(number), due.detach().to(number))


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_loop_goes_on_where_a_sample_cannot_be_written_and_the_state_says_why(case):
    one = loader(REFUSED[case])
    batches = iter(one)
    next(batches)
    with pytest.raises(Infeasible, match="the state would hold a value"):
        one.state_dict()
    assert len(list(batches)) == 19
