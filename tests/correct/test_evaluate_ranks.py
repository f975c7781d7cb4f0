"""`evaluate` with the loader of a plan: every sample counts once, on any number of ranks."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import batchwright as bw
from batchwright.correct import LogitAdjustment, evaluate
from batchwright.correct.evaluate import measure

from .. import processes
from ..examples import examples


def predicted(samples: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(samples)
    logits = torch.randn(samples, 2, generator=generator, dtype=torch.float64)
    classes, domains = torch.randint(2, (2, samples), generator=generator)
    return TensorDataset(logits, classes, domains)


ADJUSTMENT = LogitAdjustment([[0.5, 0.5], [0.2, 0.8]], [[0.9, 0.1], [0.5, 0.5]])


def evaluated(loader: Any) -> dict[str, Any]:
    return asdict(evaluate(nn.Identity(), loader, adjustment=ADJUSTMENT, domains=lambda batch: batch[2]))


def expected(dataset: TensorDataset) -> Any:
    logits, classes, domains = dataset.tensors
    adjusted = ADJUSTMENT(logits, domains=domains)
    return {
        "as_trained": asdict(measure(logits, classes, [0, 1])),
        "corrected": asdict(measure(adjusted, classes, [0, 1])),
    }


def check(found: dict[str, Any], dataset: TensorDataset) -> None:
    for part, metrics in expected(dataset).items():
        for name, value in metrics.items():
            assert found[part][name] == pytest.approx(value, rel=1e-12, nan_ok=True), (part, name)


@examples(25)
@given(samples=st.integers(1, 30), batch_size=st.integers(1, 7), accumulate=st.integers(1, 8), plain=st.booleans())
def test_fillers_do_not_count(samples: int, batch_size: int, accumulate: int, plain: bool) -> None:
    """Steps of several batches have fillers in one process too."""
    dataset = predicted(samples)
    plan = bw.evaluation(dataset, batch_size)
    loader: Any = plan.loader(dataset, accumulate=accumulate)
    if plain:
        loader = DataLoader(dataset, batch_sampler=plan.sampler(accumulate=accumulate))
    for _ in range(2):
        check(evaluated(loader), dataset)


def test_a_look_before_it_leaves_nothing_out() -> None:
    dataset = predicted(20)
    loader = bw.evaluation(dataset, 4).loader(dataset)
    list(islice(loader, 1))
    check(evaluated(loader), dataset)


def of_ranks(rank: int, world_size: int, sizes: list[int]) -> list[list[dict[str, Any]]]:
    """What this rank measures: with the ranks of the group, with its own, and alone."""
    found = []
    for size in sizes:
        dataset = predicted(size)
        plan = bw.evaluation(dataset, 4)
        loaders = [
            plan.loader(dataset),
            plan.loader(dataset, rank=world_size - 1 - rank, world_size=world_size),
            plan.loader(dataset, rank=0, world_size=1),
        ]
        found.append(list(map(evaluated, loaders)))
    if rank == 0:  # alone
        found.append([evaluated(plan.loader(dataset, rank=0, world_size=1))])
    return found


@pytest.mark.parametrize("world", [2, 4])
def test_every_rank_measures_all_samples(world: int) -> None:
    sizes = [101, 3]  # of the second, some ranks have fillers alone
    first, *others = processes.run(of_ranks, world, sizes)
    check(first.pop()[0], predicted(sizes[-1]))
    for size, kinds in zip(sizes, first, strict=True):
        for found in kinds:
            check(found, predicted(size))
    assert all(repr(other) == repr(first) for other in others)


def test_a_sampler_of_an_evaluation_may_be_the_loader_itself() -> None:
    dataset = predicted(20)
    sampler = bw.evaluation(dataset, 4).sampler()

    logits, classes, domains = dataset.tensors
    found = evaluate(
        nn.Identity(),
        sampler,
        adjustment=ADJUSTMENT,
        forward=lambda model, numbers: model(logits[numbers]),
        targets=lambda numbers: classes[numbers],
        domains=lambda numbers: domains[numbers],
    )
    check(asdict(found), dataset)
