"""`batchwright compare`: what different plans put into micro-batches of the same data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import targets
from ..files import Column
from ..groups import Groups
from ..plans.balanced import balanced, shuffled, weighted
from ..plans.budgeted import budgeted
from ..plans.packed import packed
from ..plans.plan import Plan
from .inspecting import lengths_of

__all__ = ["Ways", "compared", "ways"]


class Ways(NamedTuple):
    """Ways to fill batches with the same data.

    Attributes:
        plans: by name, what makes the plan.
        groups: the labels.
        lengths: of the samples, if there are any.
        capacity: of a pack.
    """

    plans: dict[str, Callable[[], Plan]]
    groups: Groups
    lengths: np.ndarray | None
    capacity: int


def ways(files: str, label: str, length: str | None, batch_size: int, seed: int) -> Ways:
    """The ways that `compare` compares."""
    labels = Column(files, label)
    groups = Groups.from_labels(labels)
    rates = 1.0 / groups.sizes[groups.codes]
    plans: dict[str, Callable[[], Plan]] = {
        "shuffle": lambda: shuffled(len(labels), batch_size, seed=seed),
        "weighted with replacement": lambda: weighted(rates, batch_size, draw="random", seed=seed),
        "uniform": lambda: balanced(groups, batch_size, seed=seed),
        "square root": lambda: balanced(groups, batch_size, target=targets.power(0.5), seed=seed),
    }
    lengths, budget = None, 0
    if length is not None:
        lengths = lengths_of(Column(files, length), files, length)
        budget = max(1, int(max(lengths.max(), batch_size * lengths.mean())))
        plans["budgets"] = lambda: budgeted(lengths, budget, seed=seed)
        plans["packing"] = lambda: packed(lengths, budget, seed=seed)
    return Ways(plans, groups, lengths, budget)


def compared(ways: Ways, batches: int, watch: Callable[[Iterator[int]], Iterator[int]] = iter) -> list[dict[str, Any]]:
    """What is in the first micro-batches of each plan.

    Args:
        ways: the plans.
        batches: how many micro-batches are measured, at most an epoch.
        watch: called with the numbers of all micro-batches that are measured, and returns an iterator over them.
    """
    facts = []

    def measuring() -> Iterator[int]:
        for at, (name, make) in enumerate(ways.plans.items()):
            measure = _PlanMeasurement(name, make(), ways)
            for number in range(min(batches, measure.plan.epoch_length())):
                measure.add(number)
                yield at * batches + number
            facts.append(measure.facts())

    for _ in watch(measuring()):
        pass
    return facts


class _PlanMeasurement:
    """Composition of the micro-batches of a plan; of lengths, padding and how unequal neighbours are."""

    def __init__(self, name: str, plan: Plan, ways: Ways) -> None:
        self.name, self.plan, self.groups, self.lengths = name, plan, ways.groups, ways.lengths
        self.capacity = ways.capacity if name == "packing" else None
        self.rarest = int(ways.groups.sizes.argmin())
        self.seen = np.zeros(ways.groups.sample_count, bool)
        self.count = self.missing = self.repeats = self.drawn = 0
        self.padded = self.used = 0.0
        self.work: list[float] = []

    def add(self, number: int) -> None:
        batch = self.plan[number]
        self.count += 1
        self.missing += not (self.groups.codes[batch] == self.rarest).any()
        self.repeats += batch.size - np.unique(batch).size
        self.seen[batch] = True
        self.drawn += batch.size
        if self.lengths is not None:
            long = self.lengths[batch]
            self.used += long.sum()
            self.padded += self.capacity if self.capacity is not None else long.max() * long.size
            self.work.append(float(long.sum()))

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "plan": self.name,
            "micro_batches": self.count,
            "epoch_batches": self.plan.epoch_length(),
            "samples_a_batch": self.drawn / self.count,
            "missing_rarest": self.missing / self.count,
            "covered": float(self.seen.mean()),
            "repeats_in_a_batch": self.repeats / self.drawn,
        }
        if self.lengths is not None:
            mean = sum(self.work) / self.count
            facts["padding"] = float(1 - self.used / self.padded) if self.padded else 0.0
            facts["largest_work_over_mean"] = max(self.work) / mean if mean else 1.0
        return facts
