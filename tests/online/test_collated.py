"""Batches of streams in `bw.Collate`: the groups of the samples stand beside the fields, as those of a plan do."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

import batchwright as bw
from batchwright import online

pytestmark = [pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")]

WORDS = [{"x": float(n), "label": "rare" if n % 7 == 0 else "most"} for n in range(200)]
NUMBERS = [{"x": float(n), "label": n % 3} for n in range(200)]


def balance(samples, **more):
    return online.balanced(samples, **{"key": "label", "batch_size": 8, "buffer": 40} | more)


def pure():
    parts = {"a": range(50), "b": range(50, 90)}
    return online.Sharded(parts, lambda name: [{"x": float(n), "label": name} for n in parts[name]], groups=list(parts))


STREAMS = {
    "words": lambda: balance(WORDS),
    "numbers": lambda: balance(NUMBERS),
    "yes or no": lambda: balance(NUMBERS, key=lambda sample: sample["label"] == 0),
    "repeated": lambda: balance(WORDS, when_short="repeat"),
    "shards of one group each": lambda: balance(pure()),
    "mixed": lambda: online.mixed({"a": WORDS, "b": WORDS}, batch_size=8, target={"a": 0.75, "b": 0.25}),
}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_the_groups_of_a_batch_stand_aside(kind, workers):
    known = list(STREAMS[kind]())
    for loader in (
        STREAMS[kind]().loader(num_workers=workers, collate=bw.Collate()),
        DataLoader(STREAMS[kind](), batch_size=None, num_workers=workers, collate_fn=bw.Collate()),
    ):
        for batch, samples in zip(loader, known, strict=True):
            groups = batch.aside.groups
            assert (groups.tolist() if isinstance(groups, torch.Tensor) else groups) == samples.groups
            assert isinstance(groups, torch.Tensor) == (kind in ("numbers", "yes or no"))
            assert batch["x"].tolist() == [sample["x"] for sample in samples]
            assert "group" not in batch


def test_groups_of_the_users_own_stay_and_packs_have_none():
    labelled = bw.identified(NUMBERS, group=["own"] * 200)
    batch = bw.Collate()(next(iter(online.balanced(labelled, key=lambda it: it.sample["label"], batch_size=4))))
    assert batch.aside.groups == ["own"] * 4
    batch = bw.Collate(group=bw.aside())(next(iter(balance([{"group": n % 3} for n in range(90)], key="group"))))
    assert batch.aside.groups.tolist() == batch.data["group"].tolist()
    rows = [{"ids": [1] * (1 + n % 5)} for n in range(40)]
    packs = online.packed(rows, length=lambda row: len(row["ids"]), capacity=16, packs=2)
    assert bw.Collate(ids=bw.ragged()).packs()(next(iter(packs))).aside.groups is None
