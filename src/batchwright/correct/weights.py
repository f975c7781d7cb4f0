"""Loss weights that give a sampled stream the mean of the natural one, and what clipping them costs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Infeasible
from .class_priors import SampledPlan
from .table import text_table

__all__ = ["ClippedGroup", "ClippingReport", "Weighted", "Weights"]


class Weights:
    """The weight of each sample: natural over sampled inclusion rate, at most `clip`.

    The mean of weight x value over the sampled stream estimates the mean of value over all samples, without bias where
    nothing is clipped (Horvitz & Thompson 1952). Clipping trades variance for a bias that `report` states (Ionides 2008).

    Args:
        plan: what samples.
        clip: the largest weight, above 0; None clips nothing.

    Raises:
        Infeasible: `clip` is not above 0.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["cat"] * 9 + ["dog"], batch_size=2)
        >>> Weights(plan)([0, 9]).round(6).tolist(), Weights(plan, clip=1.5)([0, 9]).round(6).tolist()
        ([1.8, 0.2], [1.5, 0.2])
    """

    def __init__(self, plan: SampledPlan, *, clip: float | None = None) -> None:
        if clip is not None and not clip > 0:
            raise Infeasible(f"clip is {clip}, it must be above 0", "pass the largest weight allowed, or None")
        self.plan = plan
        self.clip = clip

    def __call__(self, indices: Any, *, epoch: int = 0) -> np.ndarray:
        """The weights of these samples, float64, in an epoch of a target that moves.

        Raises:
            Infeasible: a sample's group is never drawn.
        """
        weights = self.plan.weights(indices, epoch=epoch)
        return weights if self.clip is None else np.minimum(weights, self.clip)

    def lasting(self) -> Weights:
        """These weights, once it is known that they hold in every epoch.

        Raises:
            Infeasible: the plan's target moves, so that a sample has another weight in another epoch.
        """
        if self.plan.moves:
            raise Infeasible(
                "the plan's target moves, a sample has another weight in another epoch",
                "call weights(indices, epoch=...) in the training loop instead",
            )
        return self

    def report(self, *, batches: int | None = None) -> ClippingReport:
        """What clipping costs, group by group, over the first `batches` micro-batches (None: the plan's own prior)."""
        plan = self.plan
        sampled = plan.sampled_prior if batches is None else plan.prior_between(0, batches)
        natural = plan.natural_prior
        drawn = sampled > 0
        full = np.divide(natural, sampled, out=np.zeros_like(natural), where=drawn)
        kept = full if self.clip is None else np.minimum(full, self.clip)
        rows = zip(plan.groups.names, natural, sampled, full, kept, strict=True)
        return ClippingReport(tuple(ClippedGroup(name, *map(float, numbers)) for name, *numbers in rows))


@dataclass(frozen=True)
class ClippedGroup:
    """One group of a `ClippingReport`.

    Attributes:
        name: the user's label.
        natural: its share of all samples.
        sampled: its share of the sampled stream.
        full: the weight that makes up for the difference.
        weight: the weight after clipping.
    """

    name: Hashable
    natural: float
    sampled: float
    full: float
    weight: float

    @property
    def estimated(self) -> float:
        """The share of the natural mean that the weighted stream gives the group."""
        return self.sampled * self.weight


@dataclass(frozen=True)
class ClippingReport:
    """What weights do to an estimate of the natural mean; prints as a table."""

    groups: tuple[ClippedGroup, ...]

    @property
    def lost(self) -> float:
        """The share of the natural stream that the weighted one does not stand for; 0 where nothing is clipped."""
        return sum(group.natural - group.estimated for group in self.groups)

    @property
    def efficiency(self) -> float:
        """Effective over real number of samples, (mean weight)^2 / mean squared weight (Kish 1965)."""
        mean = sum(group.estimated for group in self.groups)
        return mean**2 / sum(group.estimated * group.weight for group in self.groups)

    def bias(self, means: Mapping[Any, float]) -> float:
        """Expectation of the weighted mean minus the natural mean, for a value with these means by group.

        Raises:
            Infeasible: a group has no mean.
        """
        missing = [group.name for group in self.groups if group.name not in means]
        if missing:
            raise Infeasible(f"means lacks {len(missing)} of {len(self.groups)} groups: {missing[:3]}", "name them all")
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
        Infeasible: the plan's target moves, so that a sample has another weight in another epoch.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["cat"] * 9 + ["dog"], batch_size=2)
        >>> Weighted([(i, i * i) for i in range(10)], Weights(plan))[9]
        (9, 81, np.float32(0.2))
    """

    def __init__(self, dataset: Any, weights: Weights) -> None:
        self.dataset = dataset
        self.weights = weights.lasting()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return _with_weight(self.dataset[index], self.weights([index]).astype(np.float32)[0])

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """The samples of a whole batch, whose weights are looked up at once."""
        fetch = getattr(self.dataset, "__getitems__", None)
        samples = fetch(indices) if fetch else [self.dataset[index] for index in indices]
        weights = self.weights(indices).astype(np.float32)
        return [_with_weight(sample, weight) for sample, weight in zip(samples, weights, strict=True)]


def _with_weight(sample: Any, weight: np.float32) -> Any:
    if isinstance(sample, dict):
        return {**sample, "weight": weight}
    if isinstance(sample, (tuple, list)) and not hasattr(sample, "_fields"):
        return type(sample)([*sample, weight])
    return sample, weight
