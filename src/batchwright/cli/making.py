"""What the commands tell about columns and about several plans, and what they write beside a recipe."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import targets
from ..columns import as_numbers
from ..errors import Infeasible, shown
from ..files import Column
from ..groups import Groups
from ..index_files import write_deal, write_index
from ..orders import Dealt
from ..plans.balanced import balanced, shuffled, weighted
from ..plans.budgeted import budgeted
from ..plans.fixed import FixedPlan
from ..plans.packed import packed
from ..plans.plan import Plan

__all__ = ["Ways", "compared", "describe_files", "relative_to", "ways", "write_index_of"]


def relative_to(written: Any, folder: Path) -> Any:
    """A recipe whose relative paths begin at `folder` instead of the working directory."""
    if isinstance(written, list):
        return [relative_to(part, folder) for part in written]
    if not isinstance(written, dict):
        return written
    if "column" in written and not os.path.isabs(written["in"]):
        return written | {"in": Path(os.path.relpath(written["in"], folder)).as_posix()}
    return {key: relative_to(part, folder) for key, part in written.items()}


def write_index_of(plan: Plan, recipe: Path, arguments: Mapping[str, Any]) -> Path:
    """Write the index of a recipe's labels beside it, and what its micro-batches are dealt from if they are simple."""
    folder = write_index(recipe, arguments, recipe.parent)
    deal = plan.order.deal if isinstance(plan, FixedPlan) and isinstance(plan.order, Dealt) else None
    if deal is not None:
        write_deal(recipe, arguments, plan.fingerprint, deal, plan.epoch_batches)
    return folder


def describe_files(files: str, label: str | None, length: str | None, by: list[str]) -> dict[str, Any]:
    """What is in data files: counts and imbalance of labels, quantiles of lengths."""
    names = Column.names(files)
    facts: dict[str, Any] = {"files": files, "columns": names}
    for name in [*([label] if label is not None else []), *by]:
        column = Column(files, name)
        facts.setdefault("labels", {})[name] = _label_counts(column)
        facts["samples"] = len(column)
    if length is not None:
        column = Column(files, length)
        there, missing = _present(column)
        numbers = _lengths(there, files, length)
        facts["samples"] = len(column)
        facts["lengths"] = {
            "column": length,
            "missing": missing,
            "total": float(numbers.sum()),
            "mean": float(numbers.mean()),
            "quantiles": {str(at): float(np.quantile(numbers, at)) for at in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)},
        }
    if "samples" not in facts:
        facts["samples"] = len(Column(files, names[0]))
    return facts


def _lengths(values: Any, files: str, name: str) -> np.ndarray:
    try:
        lengths = as_numbers(values, called=f"column {shown(name)}")
    except Infeasible as error:
        raise Infeasible(error.fact, "pass the name of a column of numbers as --length") from None
    if not lengths.size:
        raise Infeasible(f"column {name} of {files} has 0 values", "pass a file of at least one sample")
    return lengths


def _present(column: Column) -> tuple[Any, int]:
    """The values of a column that are there, and how many are missing."""
    if column.coded() is not None or np.asarray(column).dtype.kind not in "Of":
        return column, 0
    values = np.asarray(column)
    empty = np.fromiter((value is None or value != value for value in values.tolist()), bool, values.size)
    return values[~empty].tolist() if values.dtype.kind == "O" else values[~empty], int(empty.sum())


def _label_counts(column: Column) -> dict[str, Any]:
    labels, missing = _present(column)
    groups = Groups.from_keys(labels, called="labels")
    sizes, order = groups.sizes, np.argsort(-groups.sizes, kind="stable")
    shares = sizes / sizes.sum()
    return {
        "groups": groups.group_count,
        "imbalance": float(sizes.max() / sizes.min()),
        "effective_groups": float(math.exp(-(shares * np.log(shares)).sum())),
        "counts": [[groups.names[group], int(sizes[group])] for group in order.tolist()],
        "missing": missing,
    }


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
        lengths = _lengths(Column(files, length), files, length)
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
