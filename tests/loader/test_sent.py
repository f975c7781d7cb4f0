"""How batches get from workers to the loop: every tensor as it was, small ones without shared memory."""

from __future__ import annotations

import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._utils import ExceptionWrapper

import batchwright as bw
from batchwright.collate.memory import SMALL
from batchwright.loader.sent import Sent

from ..refusals import cases, told_and_followed
from .datasets import Numbers

DTYPES = (
    torch.bool, torch.uint8, torch.uint16, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.complex64, torch.float8_e4m3fn,
)  # fmt: skip


def received(batch, *, fresh=False):
    return pickle.loads(ForkingPickler.dumps(Sent(batch, fresh=fresh)))


def bits(tensor):
    return tensor.detach().contiguous().view(-1).view(torch.uint8).tolist()


def same(one, other):
    assert type(one) is type(other)
    assert (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())
    assert (one.requires_grad, one.storage_offset()) == (other.requires_grad, other.storage_offset())
    assert bits(one) == bits(other)


@st.composite
def tensors(draw):
    """Any contents, shapes of 0 to 3 dimensions, and what may be cut from them."""
    dtype, shape = draw(st.sampled_from(DTYPES)), draw(st.lists(st.integers(0, 5), max_size=3))
    count = int(torch.Size(shape).numel()) * dtype.itemsize
    content = torch.randint(256, (max(count, dtype.itemsize),), dtype=torch.uint8)
    if dtype is torch.bool:
        content %= 2
    whole = content.view(dtype)[: torch.Size(shape).numel()].view(shape)
    cut = draw(st.sampled_from(("all", "transposed", "sliced", "expanded")))
    if cut == "transposed":
        return whole.mT if whole.dim() > 1 else whole
    if cut == "sliced":
        return whole[1:] if whole.dim() else whole
    return whole.unsqueeze(0).expand(3, *whole.shape) if cut == "expanded" else whole


@given(batch=st.lists(tensors(), min_size=1, max_size=4), fresh=st.booleans())
def test_tensors_arrive_as_they_were(batch, fresh):
    for one, other in zip(received({"x": batch}, fresh=fresh)["x"], batch, strict=True):
        same(one, other)


@pytest.mark.parametrize("over", [-1, 0, 8])
def test_small_tensors_come_without_shared_memory_and_large_ones_through_it(over):
    tensor = torch.arange(SMALL + over, dtype=torch.uint8)
    arrived = received(tensor)
    same(arrived, tensor)
    assert arrived.is_shared() == (over >= 0)
    arrived += 1  # it can be written to, and is no other's
    assert tensor.tolist() == [number % 256 for number in range(SMALL + over)] or over >= 0


def test_tensors_that_share_memory_share_it_on_arrival():
    row = torch.arange(6.0)
    again, view, arrived = received([row, row.view(2, 3).T, row])
    assert again is arrived
    view[2, 1] = -1
    assert arrived.tolist() == [0, 1, 2, 3, 4, -1]
    assert row[5] == 5


def test_memory_that_others_share_stays_theirs():
    """A small tensor in shared memory may be one that all processes write to; it is not if the loader has just made it."""
    counter = torch.zeros(2).share_memory_()
    received([counter])[0].add_(1)
    assert counter.tolist() == [1, 1]
    received([counter], fresh=True)[0].add_(1)
    assert counter.tolist() == [1, 1]


def test_tensors_of_other_kinds_arrive_in_torchs_way():
    parameter = torch.nn.Parameter(torch.ones(3))
    leaf = torch.ones(2, requires_grad=True)
    conjugate = torch.tensor([1 + 2j]).conj()
    sparse = torch.eye(3).to_sparse()
    with torch.sparse.check_sparse_tensor_invariants():
        arrived = received([parameter, leaf, conjugate, sparse, torch.empty(2, 0), torch.ones(2, device="meta")])
    same(arrived[0], parameter)
    same(arrived[1], leaf)
    assert arrived[2].tolist() == pickle.loads(ForkingPickler.dumps(conjugate)).tolist()
    assert arrived[3].to_dense().equal(torch.eye(3))
    assert arrived[4].shape == (2, 0)
    assert arrived[5].is_meta


def fields(samples):
    return {"number": torch.tensor(samples), "text": [str(sample) for sample in samples], "large": torch.ones(SMALL)}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_loader_sends_so(method):
    plan = bw.shuffled(24, batch_size=8)
    loader = plan.loader(Numbers(24), num_workers=1, collate=fields, multiprocessing_context=method)
    for batch, drawn in zip(loader, plan.epoch(0), strict=True):
        assert batch["number"].tolist() == drawn.tolist()
        assert batch["text"] == [str(sample) for sample in drawn]
        assert not batch["number"].is_shared()
        assert batch["large"].is_shared()
    assert not any(batch.is_shared() for batch in plan.loader(Numbers(24), num_workers=1))
    rows = plan.loader(torch.arange(48.0).view(24, 2), num_workers=1)  # torch's collate function makes shared memory
    assert not any(batch.is_shared() for batch in rows)


def unpicklable(samples):
    return samples if 5 not in samples else lambda: samples


def test_a_batch_that_cannot_be_sent_raises_and_is_not_counted():
    """Torch's loader only prints the error, in the worker, and the loop never gets a batch."""
    loader = bw.sequential(8, batch_size=2).loader(range(8), num_workers=1, collate=unpicklable)
    given = iter(loader)
    assert [next(given), next(given)] == [[0, 1], [2, 3]]
    with pytest.raises(
        bw.Infeasible, match=r"a worker cannot send a batch: \w+: Can't (pickle|get).*; let collate return"
    ):
        next(given)
    assert loader.progress().batches_done == 2


def looked_at(arrived):
    """As torch's loader looks at what arrives from a worker."""
    return arrived.reraise() if isinstance(arrived, ExceptionWrapper) else arrived


CASES = cases("refuse message way_out follow", {
    "a batch that cannot be pickled": (
        lambda: looked_at(received(lambda: 1)), "a worker cannot send a batch: ",
        "let collate return what can be pickled, or pass num_workers=0",
        lambda: (looked_at(received([1])), list(bw.shuffled(8, 2).loader(range(8), num_workers=0, collate=unpicklable)))),
})  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_is_told_and_its_way_out_works(name):
    told_and_followed(CASES[name])


class Inner(torch.utils.data.Dataset):
    """A data set whose samples are read with a loader of their own."""

    def __len__(self):
        return 2

    def __getitem__(self, number):
        inner = bw.sequential(4, batch_size=2).loader(range(10 * number, 10 * number + 4), num_workers=0)
        return [inner.peek().tolist(), *(batch.tolist() for batch in inner)]


def test_a_loader_within_a_worker_of_another_sends_nothing():
    loader = bw.sequential(2, batch_size=1).loader(Inner(), num_workers=1, collate=list)
    assert list(loader) == [[[[0, 1], [0, 1], [2, 3]]], [[[10, 11], [10, 11], [12, 13]]]]
