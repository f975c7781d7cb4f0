"""A small transformer whose sequences are divided among ranks: with keys of all ranks gathered, and with ring attention.

Everything is float64 and plain, so that its gradients can be compared with those of the whole.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

import batchwright as bw

LENGTHS = [37, 1, 90, 12, 25, 3, 8, 60]
VOCABULARY, WIDTH, HEADS, LAYERS = 11, 8, 2, 2
HOW = ["blocks", "head_tail", "per_document"]


class Gathered(torch.autograd.Function):
    """The rows of all ranks of a group, rank by rank; backward, the gradients that all ranks have for this rank's rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, counts: list[int], part: int, group: Any) -> Tensor:
        ctx.counts, ctx.part, ctx.group = counts, part, group
        padded = own.new_zeros(max(counts), *own.shape[1:])
        padded[: len(own)] = own
        everyone = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(everyone, padded, group=group)
        return torch.cat([rows[:count] for rows, count in zip(everyone, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        total = gradient.contiguous()
        dist.all_reduce(total, group=ctx.group)
        return total.split(ctx.counts)[ctx.part], None, None, None


class Passed(torch.autograd.Function):
    """The rows of the rank before, in a ring; backward, the gradient goes back to it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, arriving: int, before: int, behind: int, group: Any) -> Tensor:
        ctx.leaving, ctx.before, ctx.behind, ctx.group = len(rows), before, behind, group
        return _exchanged(rows, arriving, to=behind, origin=before, group=group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        back = _exchanged(gradient, ctx.leaving, to=ctx.before, origin=ctx.behind, group=ctx.group)
        return back, None, None, None, None


def _exchanged(rows: Tensor, arriving: int, *, to: int, origin: int, group: Any) -> Tensor:
    got = rows.new_empty(arriving, *rows.shape[1:])
    sent = dist.isend(rows.contiguous(), to, group=group)
    dist.recv(got, origin, group=group)
    sent.wait()
    return got


class Whole:
    """Attention of a packed dimension that is not divided."""

    def __init__(self, layout: bw.Layout) -> None:
        self.places = torch.arange(layout.total)
        self.positions, self.segments = layout.positions, layout.segments

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        seen = (self.segments[:, None] == self.segments) & (self.positions[:, None] >= self.positions)
        scores = torch.einsum("qhd,khd->hqk", query, key) / query.shape[-1] ** 0.5
        return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, float("-inf")).softmax(-1), value)


class Divided(Whole):
    """A rank's part of it: its shard, and how many elements every rank has."""

    def __init__(self, layout: bw.Layout, part: int, ranks: range, how: Any, block: int, group: Any) -> None:
        shards = [layout.shard(number, len(ranks), how, block=block) for number in range(len(ranks))]
        self.shards, self.part, self.ranks, self.group = shards, part, ranks, group
        self.counts = [shard.places.numel() for shard in shards]
        self.order = layout.unshard(len(ranks), how, block=block)
        self.own = shards[part]
        self.places, self.positions, self.segments = self.own.places, self.own.positions, self.own.segments


class Gathering(Divided):
    """Keys and values of all ranks are gathered; each run of queries sees its document up to itself, by `cu_seqlens`."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        both = Gathered.apply(torch.stack([key, value], 1), self.counts, self.part, self.group)[self.order]
        starts = self.own.cu_seqlens.tolist()
        found = []
        for begin, end in pairwise(starts):
            if begin == end:
                continue
            first = int(self.own.cu_seqlens_all[self.segments[begin]])
            keys, values = both[first : int(self.places[end - 1]) + 1].unbind(1)
            scores = torch.einsum("qhd,khd->hqk", query[begin:end], keys) / query.shape[-1] ** 0.5
            hidden = torch.ones(scores.shape[1:], dtype=torch.bool).triu(len(keys) - (end - begin) + 1)
            found.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(hidden, float("-inf")).softmax(-1), values))
        return torch.cat(found) if found else query + 0 * both.sum()


class Ring(Divided):
    """Keys and values go round from rank to rank; the softmax is put together from the pieces."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        size, both = len(self.ranks), torch.stack([key, value], 1)
        highest = query.new_full((query.shape[1], len(query)), -1e30)
        total, mixed = torch.zeros_like(highest), query.new_zeros(query.shape)
        for turn in range(size):
            origin = self.shards[(self.part - turn) % size]
            seen = (self.segments[:, None] == origin.segments) & (self.positions[:, None] >= origin.positions)
            scores = torch.einsum("qhd,khd->hqk", query, both[:, 0]) / query.shape[-1] ** 0.5
            if scores.shape[-1]:
                above = scores.detach().masked_fill(~seen, -1e30).amax(-1)
                above = torch.maximum(highest, above)
                shrink = (highest - above).exp()
                weights = (scores - above[..., None]).masked_fill(~seen, float("-inf")).exp()
                total = total * shrink + weights.sum(-1)
                mixed = mixed * shrink.T[..., None] + torch.einsum("hqk,khd->qhd", weights, both[:, 1])
                highest = above
            if turn < size - 1:
                arriving = self.counts[(self.part - turn - 1) % size]
                before, behind = (self.ranks[(self.part + step) % size] for step in (-1, 1))
                both = Passed.apply(both, arriving, before, behind, self.group)
        return mixed / total.T[..., None]


class Small(nn.Module):
    """A causal transformer over a packed dimension."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.token, self.position = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(max(LENGTHS), WIDTH)
        self.into = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(LAYERS))
        self.out = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))
        self.double()

    def loss(self, tokens: Tensor, part: Any) -> Tensor:
        """The sum of the losses of the elements that this part has."""
        hidden = self.token(tokens[part.places]) + self.position(part.positions)
        for into, out in zip(self.into, self.out, strict=True):
            heads = into(nn.functional.layer_norm(hidden, (WIDTH,))).view(len(hidden), 3 * HEADS, -1)
            mixed = part.attend(*heads.split(HEADS, 1))
            hidden = hidden + out(mixed.flatten(1)).tanh()
        return nn.functional.cross_entropy(
            hidden @ self.token.weight.T, (tokens[part.places] + 1) % VOCABULARY, reduction="sum"
        )

    def gradients(self) -> list[Tensor]:
        """The gradients so far, which are then forgotten."""
        found = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in self.parameters()
        ]
        self.zero_grad(set_to_none=True)
        return found

    def summed(self) -> list[Tensor]:
        """The gradients of all ranks together."""
        gradients = self.gradients()
        for gradient in gradients:
            dist.all_reduce(gradient)
        return gradients


def documents(samples: Any) -> Tensor:
    """The tokens of these samples, end to end."""
    return torch.cat([torch.from_numpy(np.random.default_rng(n).integers(0, VOCABULARY, LENGTHS[n])) for n in samples])


def off(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest difference between two lists of gradients."""
    return max(float((one - other).abs().max()) for one, other in zip(found, expected, strict=True))


def of_a_pack(rank: int, world_size: int) -> dict[str, float]:
    """By how much the gradients of a divided pack are off, for every way to divide it and both kinds of attention."""
    model, samples = Small(), range(len(LENGTHS))
    layout, tokens = bw.Layout(LENGTHS), documents(samples)
    model.loss(tokens, Whole(layout)).backward()
    expected = model.gradients()
    found = {}
    for how in HOW:
        for kind in (Gathering, Ring):
            part = kind(layout, rank, range(world_size), how, 8, dist.group.WORLD)
            model.loss(tokens, part).backward()
            found[f"{kind.__name__} {how}"] = off(model.summed(), expected)
    return found


def of_a_hybrid_plan(rank: int, world_size: int) -> dict[str, float]:
    """The same for the steps of a hybrid plan: packs of several groups of ranks, run one after the other."""
    model = Small()
    plan = bw.hybrid(LENGTHS * 2, ranks=world_size, tokens_per_rank=32, cost=bw.costs.quadratic(8), batch_size=8)
    groups = {ranks: dist.new_group(list(ranks)) for ranks in plan.rank_groups}
    found, sizes = {}, set()
    for step in range(plan.steps):
        samples = plan.samples(step) % len(LENGTHS)
        model.loss(documents(samples), Whole(bw.Layout([LENGTHS[n] for n in samples]))).backward()
        expected = model.gradients()
        for kind in (Gathering, Ring):
            for pack in plan.parts(step, rank):
                own = pack.samples % len(LENGTHS)
                layout = bw.Layout([LENGTHS[n] for n in own])
                sizes.add(len(pack.group))
                if len(pack.group) == 1:
                    part: Any = Whole(layout)
                else:
                    part = kind(layout, pack.part, pack.group, "blocks", 8, groups[pack.group])
                assert part.places.numel() <= 32
                model.loss(documents(own), part).backward()
            found[f"{kind.__name__} step {step}"] = off(model.summed(), expected)
    assert len(sizes) > 1
    return found


def parts_of_rollouts(rank: int, world_size: int) -> list[list[int]]:
    """The parts that every rank computes from the lengths of all, of which it has some itself."""
    own = torch.from_numpy(np.random.default_rng(rank).integers(16, 4096, 100))
    everyone = [torch.empty_like(own) for _ in range(world_size)]
    dist.all_gather(everyone, own)
    lengths = torch.cat(everyone)
    split = bw.partition(
        lengths * (24_576 + lengths),
        limits={"tokens": (lengths, 16_384)},
        together=torch.arange(len(lengths)) // 4,
        multiple=world_size,
    )
    return [part.tolist() for part in split.parts]
