"""A seed is checked by every builder, before anything is built, in the same words."""

from __future__ import annotations

import functools
import inspect
import pathlib
import tarfile
import tempfile
from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

import batchwright as bw

LABELS = ["cat"] * 6 + ["dog"] * 4
LENGTHS = list(range(1, 11))
SHAPES = [(length, 1) for length in LENGTHS]
ORDER = bw.balanced(LABELS, 2)

BUILDERS: dict[str, Callable[[Any], Any]] = {
    "balanced": lambda seed: bw.balanced(LABELS, 4, seed=seed),
    "balanced, random": lambda seed: bw.balanced(LABELS, 4, draw="random", seed=seed),
    "shuffled": lambda seed: bw.shuffled(10, 4, seed=seed),
    "weighted": lambda seed: bw.weighted([1.0] * 10, 4, seed=seed),
    "mixed": lambda seed: bw.mixed({"a": 8, "b": 2}, 4, seed=seed),
    "hierarchical": lambda seed: bw.hierarchical([LABELS], [2, 2], seed=seed),
    "rotating": lambda seed: bw.rotating(LABELS, 2, per_class=2, seed=seed),
    "rotating, given": lambda seed: bw.rotating(LABELS, [["cat"], ["dog"]], per_class=2, seed=seed),
    "raked": lambda seed: bw.raked({"label": LABELS}, {"label": "uniform"}, 4, seed=seed),
    "multilabel": lambda seed: bw.multilabel([["a"], ["b"], ["a", "b"], []] * 5, 2, target="natural", seed=seed),
    "budgeted": lambda seed: bw.budgeted(LENGTHS, 20, seed=seed),
    "budgeted, ordered": lambda seed: bw.budgeted(LENGTHS, 20, order=ORDER, seed=seed),
    "packed": lambda seed: bw.packed(LENGTHS, 20, seed=seed),
    "packed, ordered": lambda seed: bw.packed(LENGTHS, 20, order=ORDER, seed=seed),
    "bucketed": lambda seed: bw.bucketed(SHAPES, 2, buckets=2, seed=seed),
    "bucketed, ordered": lambda seed: bw.bucketed(SHAPES, 2, buckets=2, order=ORDER, seed=seed),
    "grouped": lambda seed: bw.grouped(LENGTHS, 2, seed=seed),
    "grouped, ordered": lambda seed: bw.grouped(LENGTHS, 2, order=ORDER, seed=seed),
    "hybrid": lambda seed: bw.hybrid(LENGTHS, ranks=2, tokens_per_rank=8, seed=seed),
    "evaluation": lambda seed: bw.evaluation(10, 4, order="shuffled", seed=seed),
    "split": lambda seed: bw.split(LABELS, {"train": 0.8, "test": 0.2}, seed=seed),
    "online.balanced": lambda seed: bw.online.balanced(range(9), key=lambda n: n % 2, batch_size=2, seed=seed),
    "online.budgeted": lambda seed: bw.online.budgeted(range(1, 9), length=int, max_tokens=16, seed=seed),
    "online.packed": lambda seed: bw.online.packed(range(1, 9), length=int, capacity=16, seed=seed),
    "online.Sharded": lambda seed: bw.online.Sharded([0, 10], range, seed=seed),
    "online.tar": lambda seed: bw.online.tar(files() / "a.tar", seed=seed),
    "online.parquet": lambda seed: bw.online.parquet(files() / "a.parquet", seed=seed),
    "online.jsonl": lambda seed: bw.online.jsonl(files() / "a.jsonl", seed=seed),
    "online.arrow": lambda seed: bw.online.arrow(files() / "a.arrow", seed=seed),
    "online.huggingface": lambda seed: bw.online.huggingface(datasets.Dataset.from_dict({"a": [1]}), seed=seed),
}


@functools.cache
def files():
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "a.jsonl").write_text("1\n")
    tarfile.open(folder / "a.tar", "w").close()
    table = pyarrow.table({"a": [1]})
    pyarrow.parquet.write_table(table, folder / "a.parquet")
    with pyarrow.OSFile(str(folder / "a.arrow"), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return folder


BAD = [-1, 2**64, 10**5000, 2.5, 0.0, float("nan"), None, True, np.True_, "3", b"3", [3], np.array([3]), 1j]
BAD += [torch.tensor(True), torch.tensor(2.0), torch.tensor([1, 2]), torch.tensor(1, device="meta")]


@pytest.mark.parametrize("builder", BUILDERS)
def test_what_is_no_seed_is_refused(builder):
    for seed in BAD:
        with pytest.raises(bw.Infeasible, match=r"^seed is ") as caught:
            BUILDERS[builder](seed)
        assert len(str(caught.value)) < 300


@pytest.mark.filterwarnings("ignore:samples repeat within a micro-batch:batchwright.PoorWarning")
@pytest.mark.parametrize("builder", BUILDERS)
def test_a_seed_may_be_of_any_integer_type(builder):
    for seed in (0, 2**64 - 1, np.uint8(3), np.int64(3), np.uint64(2**64 - 1), np.array(3), torch.tensor(3)):
        BUILDERS[builder](seed)
    alike = [BUILDERS["budgeted"](seed).fingerprint for seed in (3, np.int8(3), torch.tensor(3))]
    assert len(set(alike)) == 1


def test_every_public_function_with_a_seed_is_among_them():
    tried = {name.split(",")[0] for name in BUILDERS}
    for prefix, module in (("", bw), ("online.", bw.online)):
        for name in module.__all__:
            made = getattr(module, name)
            if callable(made) and "seed" in inspect.signature(made).parameters:
                assert prefix + name in tried
