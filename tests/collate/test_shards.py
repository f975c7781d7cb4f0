"""Shards of a packed dimension: every element once, equal work, the gradients of the whole."""

import numpy as np
import pytest
import torch
import torch.distributed.tensor.experimental._context_parallel._load_balancer as balancers
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright import Layout

from ..examples import examples
from ..refusals import cases, told_and_followed

HOW = ["blocks", "head_tail", "per_document"]
COUNTS = st.lists(st.integers(0, 40), max_size=8)


@given(COUNTS, st.integers(1, 5), st.sampled_from(HOW), st.integers(1, 9))
def test_every_element_is_on_one_rank_and_knows_where_it_stands(counts, size, how, block):
    layout = Layout(counts)
    shards = [layout.shard(rank, size, how, block=block) for rank in range(size)]
    gathered = torch.cat([shard.places for shard in shards])
    assert gathered[layout.unshard(size, how, block=block)].tolist() == list(range(layout.total))
    where = [(document, position) for document, count in enumerate(counts) for position in range(count)]
    for shard in shards:
        places = shard.places.tolist()
        assert places == sorted(places)
        pairs = list(zip(shard.segments.tolist(), shard.positions.tolist(), strict=True))
        assert pairs == [where[place] for place in places]
        assert shard.work == sum(position + 1 for _, position in pairs)
        starts = [at for at, place in enumerate(places)
                  if at == 0 or places[at - 1] != place - 1 or where[places[at - 1]][0] != where[place][0]]  # fmt: skip
        assert shard.cu_seqlens.tolist() == [*starts, len(places)]
        assert shard.cu_seqlens_all.tolist() == np.cumsum([0, *counts]).tolist()


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(1, 5))
def test_ranks_hold_as_many_elements_up_to_what_does_not_divide(counts, size):
    layout = Layout(counts)
    for how, most in (("blocks", 2 * 7 - 1), ("head_tail", 2), ("per_document", 2 * len(counts))):
        held = [layout.shard(rank, size, how, block=7).places.numel() for rank in range(size)]
        assert max(held) - min(held) <= most


def test_head_and_tail_by_hand():
    assert [Layout([5, 3]).shard(rank, 2, "head_tail").places.tolist() for rank in (0, 1)] == [
        [0, 1, 6, 7],
        [2, 3, 4, 5],
    ]
    assert [Layout([4, 8]).shard(rank, 2, "per_document").places.tolist() for rank in (0, 1)] == [
        [0, 3, 4, 5, 10, 11],
        [1, 2, 6, 7, 8, 9],
    ]


def waiting(layout, parts):
    """The causal work of the rank that has most over the mean; `parts` are the places of each rank."""
    work = [float((layout.positions[torch.as_tensor(part).long()] + 1).sum()) for part in parts]
    return max(work) / float(np.mean(work))


def of_torch(layout, size):
    """How level torch's own balancers are: they take packs whose parts divide, so lengths are filled up."""
    head_tail = balancers._HeadTailLoadBalancer(layout.total, size, "cpu")._generate_indices()[0]
    by_document = balancers._PerDocumentHeadTailLoadBalancer([list(layout.counts)], size, "cpu")._generate_indices()[0]
    first = torch.arange(0, layout.total, 128)
    attended = (
        first // 128 - (first - layout.positions[first]) // 128 + 1
    )  # blocks of keys that a block of queries sees
    blocks = balancers._PTRRLoadBalancer.ptrr_scheduling(attended, size)
    return {
        "head_tail": head_tail.chunk(size),
        "per_document": by_document.chunk(size),
        "round_robin": [(part[:, None] * 128 + torch.arange(128)).flatten() for part in blocks],
    }


def test_blocks_are_level_for_every_pack_of_long_sequences_where_head_and_tail_is_not():
    lengths = np.clip(np.random.default_rng(0).lognormal(7.0, 1.6, 3_000), 16, 131_072).astype(int)
    plan, of_theirs = bw.packed(lengths, 131_072), []
    for pack in plan[0], plan[20], np.array([int(lengths.argmax())]):
        for size in (2, 16):
            filled = -(-lengths[pack] // (2 * size)) * 2 * size
            layout = Layout([*filled.tolist(), -int(filled.sum()) % (128 * size)])
            ours = waiting(layout, [layout.shard(rank, size).places for rank in range(size)])
            theirs = of_torch(layout, size)
            for rank in range(size):
                assert (
                    layout.shard(rank, size, "head_tail").places.tolist()
                    == theirs["head_tail"][rank].sort()[0].tolist()
                )
            assert ours <= 1.01
            assert ours <= min(waiting(layout, parts) for parts in theirs.values()) + 1e-3
            of_theirs.append({name: waiting(layout, parts) for name, parts in theirs.items()})
    assert max(found["head_tail"] for found in of_theirs) > 1.01


@examples(15)
@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=60), st.integers(0, 70), st.integers(2, 16))
def test_any_pack_is_level_on_up_to_sixteen_ranks(counts, rest, size):
    layout = Layout([*counts, 8_192, *[1] * rest])
    shards = [layout.shard(rank, size) for rank in range(size)]
    assert waiting(layout, [shard.places for shard in shards]) <= 1.01
    held = [shard.places.numel() for shard in shards]
    assert max(held) <= -(-layout.total // (128 * size)) * 128


def attention(query, key, value, queries, keys):
    """Causal, within documents; `queries` and `keys` are their documents and positions."""
    seen = (queries[0][:, None] == keys[0]) & (queries[1][:, None] >= keys[1])
    return (query @ key.T / key.shape[1] ** 0.5).masked_fill(~seen, float("-inf")).softmax(1) @ value


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("size", [2, 4])
def test_ranks_that_gather_keys_have_the_gradients_of_the_whole(how, size):
    draw = torch.Generator().manual_seed(0)
    layout, width = Layout([37, 1, 90, 12]), 6
    tokens = torch.randn(layout.total, width, generator=draw, dtype=torch.float64)
    weights = [torch.randn(width, width, generator=draw, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    at = layout.segments, layout.positions

    def loss_of(query, key, value, queries):
        return attention(query, key, value, queries, at).square().sum()

    whole = loss_of(*(tokens @ weight for weight in weights), at)
    expected = torch.autograd.grad(whole, weights)
    shards = [layout.shard(rank, size, how, block=8) for rank in range(size)]
    own = [[tokens[shard.places] @ weight for weight in weights] for shard in shards]
    order = layout.unshard(size, how, block=8)
    key, value = (torch.cat([projected[kind] for projected in own])[order] for kind in (1, 2))
    losses = [
        loss_of(projected[0], key, value, (shard.segments, shard.positions))
        for shard, projected in zip(shards, own, strict=True)
    ]
    for found, wanted in zip(torch.autograd.grad(sum(losses), weights), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


CASES = cases("refuse message follow", {
    "a rank outside": (lambda: Layout([4]).shard(2, 2), "rank is 2 in a group of 2; pass a rank of 0 to 1",
                       lambda: [Layout([4]).shard(rank, 2) for rank in (0, 1)]),
    "no such way": (lambda: Layout([4]).shard(0, 2, "zigzag"), "how is 'zigzag'", lambda: Layout([4]).unshard(2, "blocks")),
})  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])
