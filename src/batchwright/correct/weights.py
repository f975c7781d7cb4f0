"""Loss weights that give a sampled stream the mean of the natural one, and what clipping them costs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Infeasible, check_number, exactly, listed, noted, shown, typed
from .class_priors import checked, who_is_in
from .table import text_table

if TYPE_CHECKING:
    from ..groups import Groups
    from ..interface import BasePlan
    from ..orders.inclusion import Strata

__all__ = ["ClippedGroup", "ClippingReport", "Weighted", "Weights"]


class Weights:
    """The weight of each sample: natural over sampled inclusion rate, at most `clip`.

    The mean of weight x value over the sampled stream estimates the mean of value over all samples, without bias where
    nothing is clipped (Horvitz & Thompson 1952). Clipping trades variance for a bias that `report` states (Ionides 2008).

    Args:
        plan: what samples.
        clip: the largest weight, above 0; None or infinity clips nothing.

    Raises:
        Infeasible: `clip` is not above 0, or `plan` is no plan.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["cat"] * 9 + ["dog"], batch_size=2)
        >>> Weights(plan)([0, 9]).round(6).tolist(), Weights(plan, clip=1.5)([0, 9]).round(6).tolist()
        ([1.8, 0.2], [1.5, 0.2])
    """

    def __init__(self, plan: BasePlan, *, clip: float | None = None) -> None:
        clip = clip if clip is None else check_number(clip, "clip", or_infinite=True)
        if clip is not None and not clip > 0:
            raise Infeasible(f"clip is {exactly(clip)}, it must be above 0", "pass the largest weight allowed, or None")
        self.plan = checked(plan)
        self.clip = clip

    def __call__(self, indices: Any, *, epoch: int | None = None) -> np.ndarray:
        """The weights of these samples, float64, in an epoch of a target that moves.

        Raises:
            Infeasible: a sample is never drawn, or the target moves and no epoch is given.
        """
        weights = self.plan.weights(indices, epoch=epoch)
        return weights if self.clip is None else np.minimum(weights, self.clip)

    def lasting(self) -> Weights:
        """These weights, once it is known that they hold in every epoch.

        Raises:
            Infeasible: shares move, so that a sample has another weight in another epoch.
        """
        if self.plan.moves:
            raise Infeasible(
                "the plan's target moves, a sample has another weight in another epoch",
                "call weights(indices, epoch=...) in the training loop instead",
            )
        return self

    def report(self, *, batches: int | None = None, classes: Any = None) -> ClippingReport:
        """What clipping costs, group by group.

        Args:
            batches: over how many micro-batches, all ranks together; None: over the epochs until shares have settled.
            classes: the groups to tell of, a column of labels or `Groups`; the plan's own if left out.

        Raises:
            Infeasible: `batches` is None and shares may move without end, or `classes` is of other samples.
        """
        groups = who_is_in(classes, self.plan)
        table = np.zeros((3, groups.group_count))
        for share, strata in _stretches(self.plan, batches):
            table += share * self._by_group(strata, groups)
        natural = groups.sizes / self.plan.groups.grouped_count
        rows = zip(groups.names, natural, *table[:2], strict=True)
        found = tuple(ClippedGroup(name, *map(float, numbers)) for name, *numbers in rows)
        return ClippingReport(found, float(table[1].sum() ** 2 / table[2].sum()))

    def _by_group(self, strata: Strata, groups: Groups) -> np.ndarray:
        """How much of what is drawn every group is, that much weighted, and weighted twice over: float64 (3, groups)."""
        whole = len(strata) == 1 and strata[0].groups is groups  # one weight a group
        rates = strata[0].shares if whole else strata.rates(np.arange(groups.sample_count))
        sizes = groups.sizes if whole else np.ones(groups.sample_count)
        full = np.divide(sizes, self.plan.groups.grouped_count * rates, out=np.zeros(rates.size), where=rates > 0)
        weights = full if self.clip is None else np.minimum(full, self.clip)
        found = np.stack([rates, rates * weights, rates * weights**2])
        if whole:
            return found
        count = groups.group_count
        return np.stack([np.bincount(groups.codes, weights=row, minlength=count + 1)[:count] for row in found])


def _stretches(plan: BasePlan, batches: int | None) -> Iterator[tuple[float, Strata]]:
    """Stretches in each of which a sample has one weight, and the part of the whole that each is."""
    if not plan.moves:
        yield 1.0, plan.strata(0, 1)
        return
    stop = (plan.horizon() if batches is None else batches) / plan.epoch_length()
    for epoch in range(math.ceil(stop)):
        end = min(epoch + 1, stop)
        yield (end - epoch) / stop, plan.strata(epoch, end)


@dataclass(frozen=True)
class ClippedGroup:
    """One group of a `ClippingReport`.

    Attributes:
        name: the user's label.
        natural: its share of all samples.
        sampled: its share of the sampled stream.
        estimated: the share of the natural mean that the weighted stream gives it.
    """

    name: Hashable
    natural: float
    sampled: float
    estimated: float

    @property
    def full(self) -> float:
        """The weight that makes up for the difference, a mean over what is sampled; 0 where nothing is."""
        return self.natural / self.sampled if self.sampled else 0.0

    @property
    def weight(self) -> float:
        """The weight after clipping, a mean over what is sampled."""
        return self.estimated / self.sampled if self.sampled else 0.0


@dataclass(frozen=True)
class ClippingReport:
    """What weights do to an estimate of the natural mean; prints as a table.

    Attributes:
        groups: group by group.
        efficiency: effective over real number of samples, (mean weight)^2 / mean squared weight (Kish 1965).
    """

    groups: tuple[ClippedGroup, ...]
    efficiency: float

    @property
    def lost(self) -> float:
        """The share of the natural stream that the weighted one does not stand for; 0 where nothing is clipped."""
        return sum(group.natural - group.estimated for group in self.groups)

    def bias(self, means: Mapping[Any, float]) -> float:
        """Expectation of the weighted mean minus the natural mean, for a value with these means by group.

        Exact where the samples of a group are drawn equally often; else for a value that does not depend on how often.

        Raises:
            Infeasible: a group has no mean.
        """
        missing = [group.name for group in self.groups if group.name not in means]
        if missing:
            raise Infeasible(
                f"means lacks {len(missing)} of {len(self.groups)} groups: {listed(map(shown, missing))}",
                "name them all",
            )
        return sum((group.estimated - group.natural) * means[group.name] for group in self.groups)

    def __str__(self) -> str:
        head = ["group", "natural", "sampled", "full weight", "weight", "estimated"]
        rows = [[str(g.name), g.natural, g.sampled, g.full, g.weight, g.estimated] for g in self.groups]
        foot = f"lost: {self.lost:.3g} of the natural stream; efficiency {self.efficiency:.3g}"
        return f"{text_table(head, rows)}\n{foot}"


class Weighted:
    """A map-style dataset whose samples bring their weight, so that any collate function stacks it with the batch.

    A tuple or list gets the weight as its last field, a dict as the field `"weight"`; any other sample becomes
    `(sample, weight)`. The weight is a numpy float32, so that `default_collate` makes a float32 tensor of them.

    Args:
        dataset: map-style: `dataset[i]`, with `__getitems__(list)` used where it has one.
        weights: the weights; of a plan whose target does not move.

    Raises:
        Infeasible: the plan's target moves, so that a sample has another weight in another epoch, or the dataset has
            another number of samples.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["cat"] * 9 + ["dog"], batch_size=2)
        >>> Weighted([(i, i * i) for i in range(10)], Weights(plan))[9]
        (9, 81, np.float32(0.2))
    """

    def __init__(self, dataset: Any, weights: Weights) -> None:
        if not isinstance(weights, Weights):
            raise Infeasible(f"weights is {typed(weights)}", "pass Weights(plan)")
        samples = weights.plan.groups.sample_count
        if hasattr(dataset, "__len__") and len(dataset) != samples:
            raise Infeasible(
                f"the dataset has {len(dataset)} samples, the plan of the weights yields {samples} numbers",
                "pass the dataset that the plan is of",
            )
        self.dataset = dataset
        self.weights = weights.lasting()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return _with_weight(self._sample(index), self.weights([index]).astype(np.float32)[0])

    def _sample(self, index: int) -> Any:
        with noted(f"while sample {index} was read from the {type(self.dataset).__name__}"):
            return self.dataset[index]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """The samples of a whole batch, whose weights are looked up at once."""
        fetch = getattr(self.dataset, "__getitems__", None)
        samples = fetch(indices) if fetch else [self._sample(index) for index in indices]
        weights = self.weights(indices).astype(np.float32)
        return [_with_weight(sample, weight) for sample, weight in zip(samples, weights, strict=True)]


def _with_weight(sample: Any, weight: np.float32) -> Any:
    if isinstance(sample, dict):
        return {**sample, "weight": weight}
    if isinstance(sample, (tuple, list)) and not hasattr(sample, "_fields"):
        return type(sample)([*sample, weight])
    return sample, weight
