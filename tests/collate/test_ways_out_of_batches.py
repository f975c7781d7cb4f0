"""The way out that a refusal of a batch names is followed: samples and their ids, what a batch is asked for, attention."""

from __future__ import annotations

import sys
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset

import batchwright as bw

from ..refusals import cases, told_and_followed

ONES = torch.ones
ROWS = [{"x": ONES(n), "y": n} for n in (1, 2, 3)]
BATCH = bw.Collate(x=bw.ragged(), y=bw.scalar())(ROWS)
STACKED = bw.Collate(y=bw.scalar())([{"y": n} for n in range(3)])
WEIGHTS = bw.correct.Weights(bw.balanced([0, 0, 1], 2))
MASK = torch.tensor([True, False, True])
DOCUMENTS = [{"input_ids": [5, 6, 7, 8]}, {"input_ids": [9, 10]}]


class Lines(IterableDataset):
    """Samples without numbers."""

    def __iter__(self) -> Any:
        return iter(ROWS)


class Together(list):
    """A dataset that reads the samples of a batch together, as `read` says."""

    def __init__(self, samples: Any, read: Any) -> None:
        super().__init__(samples)
        self.read = read

    def __getitems__(self, indices: list[int]) -> Any:
        return self.read(self, indices)


class Drained(dict):
    """A sample whose part `x` is what an iterator gives next."""

    def __init__(self, items: list[Any], *default: Any) -> None:
        super().__init__(x=1)
        self.items, self.default = iter(items), default

    def __getitem__(self, name: str) -> Any:
        return next(self.items, *self.default)


class Averaging(nn.Module):
    """Every token sees the mean of all that it is called with."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(11, 4)

    def get_input_embeddings(self) -> nn.Module:
        return self.table

    def forward(self, input_ids: torch.Tensor, **_: Any) -> torch.Tensor:
        seen = self.table(input_ids)
        return seen + seen.mean(1, keepdim=True)


def llama(**changed: Any) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(vocab_size=11, **size, **changed))


def checked(model: nn.Module, also: Any, **rules: Any) -> None:
    bw.attention.check(model, bw.Collate(input_ids=bw.ragged()).packs(also=also, **rules), DOCUMENTS)


def without_tensordict() -> Any:
    with patch.dict(sys.modules, {"tensordict": None}):  # as where it is not installed
        return BATCH.to_tensordict()


def padded_epoch() -> Any:
    """The documents in padded batches of a budget, seen by a model that has no packs."""
    plan = bw.budgeted([len(sample["input_ids"]) for sample in DOCUMENTS], 8)
    collate = bw.Collate(input_ids=bw.ragged(pad=0))
    loader = DataLoader(bw.identified(DOCUMENTS), batch_sampler=plan.sampler(), collate_fn=collate)
    return [Averaging()(batch["input_ids"]) for batch in loader]


def looked_up(values: Any) -> Any:
    return bw.Collate().knowing(known=lambda ids: values)([bw.identified(ROWS[:1])[0]]).aside.columns["known"]


def of_a_stream(*less: int) -> Any:
    """A batch of two samples and their groups, and of what is left if some are taken out of it."""
    batch = next(iter(bw.online.balanced([{"y": n} for n in range(8)], key="y", batch_size=2, target="natural")))
    for at in less:
        del batch[at]
    return batch


def blocks(samples: Any) -> Any:
    return bw.Collate(x=bw.ragged()).packs(also={"mask": "causal_blocks"})(samples)["mask"]


TABLE = {
    "one number as segments": (
        lambda: bw.attention.mask(torch.tensor(1)),
        "pass the number of each element's sample, such as layout.segments",
        lambda: bw.attention.mask(bw.Layout([2, 1]).segments),
    ),
    "segments without values": (
        lambda: bw.attention.block_mask(torch.zeros(2, device="meta")),
        "pass segments on another device",
        lambda: bw.attention.block_mask(torch.zeros(2)),
    ),
    "segments of three dimensions": (
        lambda: bw.attention.block_mask(torch.zeros(1, 1, 2)),
        "pass them as length, or packs x length",
        lambda: bw.attention.block_mask(torch.zeros(1, 2)),
    ),
    "a key that is no entry": (
        lambda: bw.Batch({"y": ONES(2)}, keys=["x"]),
        "pass keys among y",
        lambda: bw.Batch({"y": ONES(2)}, keys=["y"]),
    ),
    "what is shown is no pair": (
        lambda: bw.Batch({"y": ONES(2)}, also={"x": 1}),
        "pass also as names with pairs of text, the field and what of it is shown",
        lambda: bw.Batch({"y": ONES(2)}),
    ),
    "no samples": (
        lambda: list(DataLoader(ROWS, batch_sampler=[[0], []], collate_fn=bw.Collate())),
        "leave empty batches out of the batch sampler",
        lambda: list(DataLoader(ROWS, batch_sampler=[[0]], collate_fn=bw.Collate())),
    ),
    "a sample that ends": (
        lambda: bw.Collate()([Drained([])]),
        "let it raise another error, or give next() a default",
        lambda: bw.Collate()([Drained([], 0)]),
    ),
    "other groups than samples": (
        lambda: bw.Collate()(of_a_stream(0)),
        "leave the lists of a stream as they are, or pass list(batch), which has no groups",
        lambda: (bw.Collate()(of_a_stream()), bw.Collate()(list(of_a_stream(0)))),
    ),
    "no samples selected": (
        lambda: BATCH.select([]),
        "select one or more",
        lambda: BATCH.select([0]),
    ),
    "an entry without a name": (
        lambda: BATCH.copy().update({0: ONES(3)}),
        "set entries by their names: batch['weight'] = weights",
        lambda: BATCH.copy().update({"weight": ONES(3)}),
    ),
    "tensordict is not installed": (
        without_tensordict,
        "install it with `pip install tensordict`, or take the entries: dict(batch)",
        lambda: dict(BATCH),
    ),
    "one number selected": (
        lambda: BATCH.select(1),
        "pass a list of them: batch.select([0])",
        lambda: BATCH.select([0]),
    ),
    "a slice": (
        lambda: BATCH.select([slice(0, 2)]),
        "batch.select(range(3)[start:stop]) gives a batch of some",
        lambda: BATCH.select(range(3)[0:2]),
    ),
    "a mask": (
        lambda: BATCH.select(MASK),
        "of a mask, batch.select([n for n, chosen in enumerate(mask) if chosen]) gives the batch",
        lambda: BATCH.select([n for n, chosen in enumerate(MASK) if chosen]),
    ),
    "a long mask as a number": (
        lambda: BATCH[ONES(5000) > 0],
        "of a mask, batch.select([n for n, chosen in enumerate(mask) if chosen]) gives the batch",
        lambda: BATCH.select([n for n, chosen in enumerate(MASK.numpy()) if chosen]),
    ),
    "sorted by a field without lengths": (
        lambda: BATCH.sorted_by("y"),
        "sort by one of the ragged fields: x",
        lambda: BATCH.sorted_by("x"),
    ),
    "sorted without ragged fields": (
        lambda: STACKED.sorted_by("y"),
        "declare a field as bw.ragged()",
        lambda: bw.Collate(x=bw.ragged())(ROWS).sorted_by("x"),
    ),
    "restored after selecting": (
        lambda: BATCH.sorted_by("x").select([0, 0]).restore(),
        "restore the batch first and select then: batch.restore().select(numbers)",
        lambda: BATCH.sorted_by("x").restore().select([0, 0]),
    ),
    "outputs of other samples": (
        lambda: BATCH.sorted_by("x").restore(ONES(2)),
        "pass a tensor whose dimension 0 is this batch's samples",
        lambda: BATCH.sorted_by("x").restore(ONES(3)),
    ),
    "outputs in a list": (
        lambda: BATCH.sorted_by("x").restore([1, 2, 3]),
        "pass a tensor whose dimension 0 is this batch's samples",
        lambda: BATCH.sorted_by("x").restore(torch.tensor([1, 2, 3])),
    ),
    "a slice of a dataset": (
        lambda: bw.identified(ROWS)[1:3],
        "index with a list: dataset[list(range(start, stop))]",
        lambda: bw.identified(ROWS)[list(range(1, 3))],
    ),
    "a look-up that gives one number": (
        lambda: looked_up(3),
        "return one value for each sample, in a list or an array",
        lambda: looked_up([3]),
    ),
    "a look-up that gives a tensor of no dimension": (
        lambda: looked_up(torch.tensor(3)),
        "return one value for each sample, in a list or an array",
        lambda: looked_up(torch.tensor([3])),
    ),
    "a look-up that gives a mapping": (
        lambda: looked_up({0: 3}),
        "return one value for each sample, in a list or an array",
        lambda: looked_up(list({0: 3}.values())),
    ),
    "a look-up that gives a set": (
        lambda: looked_up({3}),
        "return one value for each sample, in a list or an array",
        lambda: looked_up(np.array([3])),
    ),
    "a look-up that gives too many": (
        lambda: looked_up([3, 4]),
        "return one value for each sample, in a list or an array",
        lambda: looked_up([3]),
    ),
    "one number as a column": (
        lambda: bw.identified(ROWS, group=torch.tensor(1)),
        "pass a list or an array",
        lambda: bw.identified(ROWS, group=[1, 2, 1]),
    ),
    "a column too short": (
        lambda: bw.identified(ROWS, group=["a"]),
        "give one value for each sample",
        lambda: bw.identified(ROWS, group=["a", "b", "a"]),
    ),
    "a column that is a number": (
        lambda: bw.identified(ROWS, group=3),
        "pass a list or an array",
        lambda: (bw.identified(ROWS, group=[3, 3, 3]), bw.identified(ROWS, group=np.array([3, 3, 3]))),
    ),
    "a column that is read once": (
        lambda: bw.identified(ROWS, group=(sample["y"] for sample in ROWS)),
        "pass a list or an array",
        lambda: bw.identified(ROWS, group=[sample["y"] for sample in ROWS]),
    ),
    "a column that is a set": (
        lambda: bw.identified(ROWS, group={5, 6, 7}),
        "pass a list or an array",
        lambda: bw.identified(ROWS, group=sorted({5, 6, 7}))[2],
    ),
    "a column that is a text": (
        lambda: bw.identified(ROWS, group="dog"),
        "pass a list or an array",
        lambda: bw.identified(ROWS, group=["dog"] * 3)[2],
    ),
    "a dataset identified twice": (
        lambda: bw.identified(bw.identified(ROWS, group=[1, 2, 1]), task=[0, 0, 1])[0],
        "call bw.identified once, on the outermost dataset, with all columns",
        lambda: bw.identified(ROWS, group=[1, 2, 1], task=[0, 0, 1])[0],
    ),
    "a part of a dataset identified twice": (
        lambda: bw.identified(Subset(bw.identified(ROWS), [2])).__getitems__([0]),
        "call bw.identified once, on the outermost dataset, with all columns",
        lambda: bw.identified(Subset(ROWS, [2])).__getitems__([0]),
    ),
    **{
        f"weights of identified samples, {name}": (
            lambda samples=samples: bw.Collate()([bw.correct.Weighted(bw.identified(samples), WEIGHTS)[0]]),
            "call bw.identified on the outermost dataset: bw.identified(bw.correct.Weighted(dataset, weights))",
            lambda samples=samples: bw.Collate()([bw.identified(bw.correct.Weighted(samples, WEIGHTS))[0]]),
        )
        for name, samples in (("rows", ROWS), ("tuples", [(1.0, 2)] * 3))
    },
    "a dataset without a length": (
        lambda: bw.identified(Lines()),
        "pass a map-style dataset, which has __len__ and __getitem__",
        lambda: bw.identified(list(Lines())),
    ),
    "too few read together": (
        lambda: bw.identified(Together(ROWS, lambda rows, indices: rows[:1])).__getitems__([0, 1]),
        "let it return a list with one sample for each index",
        lambda: bw.identified(Together(ROWS, lambda rows, indices: [rows[n] for n in indices])).__getitems__([0, 1]),
    ),
    "nothing read together": (
        lambda: bw.identified(Together(ROWS, lambda rows, indices: None)).__getitems__([0, 1]),
        "let it return a list with one sample for each index",
        lambda: bw.identified(Together(ROWS, lambda rows, indices: [rows[n] for n in indices])).__getitems__([0, 1]),
    ),
    "a block mask of empty samples": (
        lambda: blocks([{"x": ONES(0)}, {"x": ONES(0)}]),
        "leave out batches whose samples are all empty",
        lambda: blocks([{"x": ONES(0)}, {"x": ONES(1)}]),
    ),
    "a model that caches": (
        lambda: checked(llama(), bw.attention.HUGGING_FACE),
        "set use_cache=False in the model's config",
        lambda: checked(llama(use_cache=False), bw.attention.HUGGING_FACE),
    ),
    "a model that mixes all": (
        lambda: checked(Averaging(), {"position_ids": "positions"}),
        "train on samples that are padded instead of packed: bw.budgeted(...) and bw.Collate",
        padded_epoch,
    ),
    "flat packs for a model that takes rows": (
        lambda: checked(llama(use_cache=False), bw.attention.HUGGING_FACE, shape="flat"),
        "pass shape='row' or shape='packs' to packs(...)",
        lambda: [checked(llama(use_cache=False), bw.attention.HUGGING_FACE, shape=shape) for shape in ("row", "packs")],
    ),
}
CASES = cases("refuse way_out follow", TABLE)


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name):
    told_and_followed(CASES[name])
