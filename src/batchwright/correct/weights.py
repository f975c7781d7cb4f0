"""Loss weights that correct for the sampling, and the cost of clipping them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aligned import aligned
from ..errors import Infeasible, check_integer, check_number, exactly, listed, noted, shown, typed
from ..readings import reading
from .class_priors import check_plan, class_groups

if TYPE_CHECKING:
    from ..base_plan import BasePlan
    from ..groups import Groups
    from ..orders.inclusion import InclusionRates

__all__ = ["ClippedGroup", "ClippingReport", "Weighted", "Weights"]


class Weights:
    """The weight of each sample: its natural rate over the rate of the plan, at most `clip`.

    The mean of weight x value over the sampled batches estimates the mean of value over all samples; without clipping,
    the estimate has no bias (Horvitz and Thompson 1952). Clipping gives less variance and some bias (Ionides 2008);
    `report` shows how much.

    Args:
        plan: the plan of the training.
        clip: the largest weight, above 0; None or infinity means no limit.

    Raises:
        Infeasible: `clip` is not above 0, or `plan` is not a plan.

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
        self.plan = check_plan(plan)
        self.clip = clip

    def __call__(self, indices: Any, *, epoch: int | None = None) -> np.ndarray:
        """The weights of these samples, float64; pass the epoch if the target moves.

        Raises:
            Infeasible: a sample is never drawn, or the target moves and no epoch is given.
        """
        weights = self.plan.weights(indices, epoch=epoch)
        return weights if self.clip is None else np.minimum(weights, self.clip)

    def lasting(self) -> Weights:
        """These weights, after a check that they are the same in every epoch.

        Raises:
            Infeasible: shares change, so a sample has different weights in different epochs.
        """
        if self.plan.rates_change:
            raise Infeasible(
                f"the plan's {self.plan.why_rates_change}, a sample has another weight in another epoch",
                "call weights(indices, epoch=...) in the training loop instead",
            )
        return self

    def report(self, *, batches: int | None = None, classes: Any = None) -> ClippingReport:
        """Report the cost of clipping, group by group.

        Args:
            batches: the micro-batches of all ranks over which the mean is taken; None: the epochs until shares have
                settled.
            classes: the groups of the report, array-like of shape (n_samples,), or `Groups`; those of the plan if left
                out.

        Raises:
            Infeasible: `batches` is no integer of at least 1, or None while shares may always change, or `classes` is of
                other samples.
        """
        if batches is not None:
            batches = check_integer(batches, "batches", least=1)
        groups = class_groups(classes, self.plan)
        table = np.zeros((3, groups.group_count))
        for share, drawn in _spans(self.plan, batches):
            table += share * self._by_group(drawn, groups)
        natural = groups.sizes / self.plan.groups.grouped_count
        rows = zip(groups.names, natural, *table[:2], strict=True)
        found = tuple(ClippedGroup(name, *map(float, numbers)) for name, *numbers in rows)
        return ClippingReport(found, float(table[1].sum() ** 2 / table[2].sum()))

    def _by_group(self, drawn: InclusionRates, groups: Groups) -> np.ndarray:
        """By group, the share of all draws, this times the weight, and times the weight squared: float64 (3, groups)."""
        by_groups = len(drawn) == 1 and drawn[0].groups is groups  # one weight a group
        rates = drawn[0].shares if by_groups else drawn.rates(np.arange(groups.sample_count))
        sizes = groups.sizes if by_groups else np.ones(groups.sample_count)
        # Of samples that are never drawn no weight is needed: 0 instead of infinity, which would spoil the sums.
        full = np.divide(sizes, self.plan.groups.grouped_count * rates, out=np.zeros(rates.size), where=rates > 0)
        weights = full if self.clip is None else np.minimum(full, self.clip)
        found = np.stack([rates, rates * weights, rates * weights**2])
        if by_groups:
            return found
        count = groups.group_count
        return np.stack([np.bincount(groups.codes, weights=row, minlength=count + 1)[:count] for row in found])


def _spans(plan: BasePlan, batches: int | None) -> Iterator[tuple[float, InclusionRates]]:
    """Spans in which every sample has one weight: the part of all draws in each, and its inclusion rates."""
    if not plan.rates_change:
        yield 1.0, plan.inclusion_rates(0, 1)
        return
    # By epochs, because shares change only between epochs.
    stop = (plan.horizon() if batches is None else batches) / plan.epoch_length()
    for epoch in range(math.ceil(stop)):
        end = min(epoch + 1, stop)
        yield (end - epoch) / stop, plan.inclusion_rates(epoch, end)


@dataclass(frozen=True)
class ClippedGroup:
    """One group of a `ClippingReport`.

    Attributes:
        name: the label.
        natural: its share of all samples.
        sampled: its share of the sampled batches.
        estimated: its share of the weighted batches.
    """

    name: Hashable
    natural: float
    sampled: float
    estimated: float

    @property
    def full(self) -> float:
        """The mean weight before clipping; 0 if the group is never sampled."""
        return self.natural / self.sampled if self.sampled else 0.0

    @property
    def weight(self) -> float:
        """The mean weight after clipping."""
        return self.estimated / self.sampled if self.sampled else 0.0


@dataclass(frozen=True)
class ClippingReport:
    """The effect of weights on an estimate of the natural mean; prints as a table.

    Attributes:
        groups: one line for each group.
        efficiency: the effective number of samples divided by the real one: (mean weight)^2 / mean squared weight (Kish
            1965).
    """

    groups: tuple[ClippedGroup, ...]
    efficiency: float

    @property
    def lost(self) -> float:
        """The part of the natural mean that is missing in the weighted one; 0 if nothing is clipped."""
        return sum(group.natural - group.estimated for group in self.groups)

    def bias(self, means: Mapping[Any, float]) -> float:
        """The expected weighted mean minus the natural mean, for a value with these means by group.

        Exact if all samples of a group are drawn equally often; else for values that do not depend on how often they
        are drawn.

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
        return "\n".join([*aligned([head, *rows]), foot])


class Weighted:
    """A map-style dataset whose samples include their weight, so that any collate function puts it into the batch.

    A tuple or list gets the weight as its last field, a dict as the field `"weight"`; any other sample becomes
    `(sample, weight)`. The weight is a numpy float32, so that `default_collate` makes a float32 tensor of them. With
    sample ids, wrap it: `bw.identified(Weighted(dataset, weights))`.

    Args:
        dataset: a map-style dataset; its `__getitems__(list)` is used if it has one.
        weights: the weights; of a plan whose target does not move.

    Raises:
        Infeasible: the target of the plan moves, so a sample has different weights in different epochs, or the dataset
            has another number of samples. A sample with a field `"weight"` of its own is refused when it is read.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["cat"] * 9 + ["dog"], batch_size=2)
        >>> number, square, weight = Weighted([(i, i * i) for i in range(10)], Weights(plan))[9]
        >>> print(number, square, weight)
        9 81 0.2
    """

    def __init__(self, dataset: Any, weights: Weights) -> None:
        if not isinstance(weights, Weights):
            raise Infeasible(f"weights is {typed(weights)}", "pass Weights(plan)")
        samples = weights.plan.groups.sample_count
        with reading(dataset, "dataset", "pass the dataset that the plan is of"):
            count = len(dataset) if hasattr(dataset, "__len__") else samples
        if count != samples:
            raise Infeasible(
                f"the dataset has {count} samples, the plan of the weights yields {samples} numbers",
                "pass the dataset that the plan is of",
            )
        self.dataset = dataset
        self.weights = weights.lasting()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return _with_weight(self._sample(index), self.weights([index]).astype(np.float32)[0], index)

    def _sample(self, index: int) -> Any:
        with noted(f"while sample {index} was read from the {type(self.dataset).__name__}"):
            return self.dataset[index]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """The samples of a batch; their weights are computed in one call."""
        fetch = getattr(self.dataset, "__getitems__", None)
        samples = fetch(indices) if fetch else [self._sample(index) for index in indices]
        weights = self.weights(indices).astype(np.float32)
        return [_with_weight(*found) for found in zip(samples, weights, indices, strict=True)]


def _with_weight(sample: Any, weight: np.float32, index: int) -> Any:
    if isinstance(sample, dict):
        if "weight" in sample:
            raise Infeasible(
                f"sample {index} of the dataset has a field 'weight' of its own, {shown(sample['weight'])}",
                "give that field another name in the dataset",
            )
        return {**sample, "weight": weight}
    if isinstance(sample, (tuple, list)) and not hasattr(sample, "_fields"):
        return type(sample)([*sample, weight])
    return sample, weight
