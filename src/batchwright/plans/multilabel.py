"""Samples with several labels at once: weights that bring every label's rate to its target."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..calls import recorded
from ..columns import by_label
from ..errors import Infeasible, check_number, exactly, shown, warn
from ..kernels.hashing import child_key
from ..label_sets import label_sets
from ..targets import resolve
from ..targets.raking import MOST_SUMS, REACHED, solve_raking
from ..targets.target import rounded
from ..values import plain
from .balanced import by_weight, checked
from .fixed import FixedPlan
from .repeats import LEAST_REPEATS, above, check_repeats, repeats_note

__all__ = ["Rates", "multilabel", "multilabel_weights"]

_WORST_SHOWN = 8


@dataclass(frozen=True)
class Rates:
    """Weights for samples with several labels, and the rate of every label they lead to; `print` it.

    Attributes:
        weights: float64, one a sample, of mean 1: how often it is drawn while as many are drawn as there are samples.
        names: the labels.
        natural: the rate of every label among the samples.
        wanted: its target.
        reached: its expected rate in what is sampled.
        notes: how often samples come, and what the limits of that cost, in words.
    """

    weights: np.ndarray
    names: list[Hashable]
    natural: np.ndarray
    wanted: np.ndarray
    reached: np.ndarray
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"{'label':<20}{'natural':>12}{'wanted':>12}{'reached':>12}"
        rows = zip(self.names, self.natural, self.wanted, self.reached, strict=True)
        return "\n".join(
            [head, *(f"{str(name)[:19]:<20}{a:>12.6f}{b:>12.6f}{c:>12.6f}" for name, a, b, c in rows), *self.notes]
        )


def multilabel_weights(
    labels: Any, *, target: Any = "uniform", min_repeats: float = LEAST_REPEATS, max_repeats: float = 10
) -> Rates:
    """The weights nearest to equal ones under which every label's rate is as close as can be to its target.

    Nearest in relative entropy: samples are weighted by `exp(sum of a multiplier for each of their labels)`, none below
    `min_repeats` or above `max_repeats` times the mean. This is exponential tilting, or raking over label indicators.
    A higher floor keeps more of the samples in use, a lower one brings rates nearer to their targets; `notes` has both.

    Args:
        labels: the labels of every sample: a sparse matrix of scipy or torch, a two-dimensional array of shape
            (n_samples, n_labels), 1 where the label holds and 0 where not, a data frame of such columns, named by label,
            or a list of lists of labels. 4,096 labels at most.
        target: the wanted rate of every label, as a mapping from label (column number for matrices) to the share of
            samples that carry it; or any other target, whose shares are taken of as many labels a sample as there are now.
        min_repeats: how often each sample is drawn at least, on average, while as many samples are drawn as there are: 0
            to 1. With 0.1 every sample comes once in 10 epochs on average, and within 30 for certain; 0 limits nothing, and
            samples may then never come. Samples with a label of rate 0 are left out all the same.
        max_repeats: how often at most, 1 or more; infinity limits nothing.

    Raises:
        Infeasible: no labels at all, a rate outside 0 to 1, or a label that no sample carries.

    Warns:
        PoorWarning: a label's rate cannot be reached.

    Example:
        >>> rates = multilabel_weights([["cat"], ["cat", "dog"], ["cat"], []], target={"cat": 0.75, "dog": 0.5})
        >>> rates.reached.round(6).tolist(), rates.weights.round(3).tolist()
        ([0.75, 0.5], [0.5, 2.0, 0.5, 1.0])
    """
    names, starts, attributes = label_sets(labels)
    samples = starts.size - 1
    counts = np.bincount(attributes, minlength=len(names))
    if not samples or not len(names):
        raise Infeasible(f"there are {samples} samples with {len(names)} labels", "pass one of each at least")
    if len(names) > MOST_SUMS:
        raise Infeasible(
            f"there are {len(names)} labels, the most is {MOST_SUMS}: time grows with their cube",
            "leave rare labels out, or join them",
        )
    least, most = check_repeats(min_repeats, max_repeats)
    wanted = _wanted(names, counts, samples, target)
    cell, first, sizes = _cells(starts, attributes)
    spans = np.diff(starts)[first]
    cell_starts = np.concatenate([[0], np.cumsum(spans)])
    within = np.arange(cell_starts[-1]) - np.repeat(cell_starts[:-1], spans)
    natural = sizes / samples
    labels_of_cells = attributes[np.repeat(starts[first], spans) + within]
    found = solve_raking(natural, cell_starts, labels_of_cells, wanted, floor=above(least), cap=most)
    repeats = np.array([rounded(weight) for weight in (found.shares / natural).tolist()])
    notes = [repeats_note(repeats, sizes, least, most)]
    off = float(np.abs(found.reached - wanted).max())
    if off > REACHED and least:
        free = solve_raking(natural, cell_starts, labels_of_cells, wanted, cap=most)
        free_off = float(np.abs(free.reached - wanted).max())
        rare = int(sizes[free.shares < natural * least].sum())
        if rare:
            notes.append(
                f"with min_repeats=0 the label furthest off would miss its rate by {free_off:.3g} instead of {off:.3g}, and "
                f"{rare} of {samples} samples would come less than once in {math.ceil(1 / least - 1e-9)} epochs"
            )
    _warn_of_gaps(names, wanted, found.reached)
    return Rates(repeats[cell], names, counts / samples, wanted, found.reached, tuple(notes))


@recorded
def multilabel(
    labels: Any,
    batch_size: int,
    *,
    target: Any = "uniform",
    min_repeats: float = LEAST_REPEATS,
    max_repeats: float = 10,
    epoch: int | Literal["natural"] = "natural",
    seed: int = 0,
) -> FixedPlan:
    """Batches from samples with several labels each, every label at its wanted rate as nearly as can be.

    `multilabel_weights` finds how often each sample is to come (and reports the rate every label reaches); samples are then
    dealt so that each comes floor or ceil of that.

    Args:
        labels: see `multilabel_weights`.
        batch_size: samples in every micro-batch.
        target: see `multilabel_weights`.
        min_repeats: see `multilabel_weights`; left out, every sample comes once in 10 epochs on average, and within 30 for
            certain.
        max_repeats: see `multilabel_weights`.
        epoch: "natural" or a number of micro-batches.
        seed: 0 to 2^64 - 1.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.multilabel([["a"], ["a", "b"], ["a"], []] * 25, 8, target={"a": 0.75, "b": 0.5})
        >>> int((plan[3] % 4 == 1).sum())
        4
    """
    batch_size, _, seed = checked(batch_size, 1, seed)
    rates = multilabel_weights(labels, target=target, min_repeats=min_repeats, max_repeats=max_repeats)
    order = np.argsort(-np.abs(rates.reached - rates.wanted), kind="stable")[:_WORST_SHOWN].tolist()
    notes = [
        f"label {rates.names[label]!r}: rate {rates.natural[label]:.6g} of all samples, {rates.reached[label]:.6g} of what "
        f"is sampled, {rates.wanted[label]:.6g} wanted"
        for label in order
    ]
    return by_weight(rates.weights, batch_size, draw="exact", epoch=epoch, seed=seed, notes=(*rates.notes, *notes))


def _warn_of_gaps(names: list[Hashable], wanted: np.ndarray, reached: np.ndarray) -> None:
    gaps = np.abs(reached - wanted)
    worst = int(gaps.argmax())
    if gaps[worst] > REACHED:
        warn(
            f"{np.count_nonzero(gaps > REACHED)} of {len(names)} labels miss their rate, label {names[worst]!r} the most: "
            f"it reaches {reached[worst]:.4g} of {wanted[worst]:.4g}; print(multilabel_weights(...)) shows all, a lower "
            "min_repeats, a higher max_repeats or other rates come closer"
        )


def _wanted(names: list[Hashable], counts: np.ndarray, samples: int, target: Any) -> np.ndarray:
    """The wanted rate of every label, float64."""
    target = by_label(target)
    if isinstance(target, Mapping):
        wanted = _given_rates(names, target)
    else:
        chosen = resolve(target)
        if not chosen.stays:
            raise Infeasible(
                f"the target {chosen} moves, and weights are found once for all epochs",
                "pass a target whose shares stay, such as 'natural' or a mapping",
            )
        wanted = chosen.shares(counts, names=names) * counts.sum() / samples
    for name, rate, count in zip(names, wanted.tolist(), counts.tolist(), strict=True):
        if not 0 <= rate <= 1:
            raise Infeasible(
                f"label {shown(name)} has a wanted rate of {exactly(rate)}",
                "pass target as a mapping from label to a rate from 0 to 1",
            )
        if rate and not count:
            raise Infeasible(
                f"label {shown(name)} has a wanted rate of {exactly(rate)} but no sample", "give it the rate 0"
            )
    return wanted


def _given_rates(names: list[Hashable], rates: Mapping[Any, Any]) -> np.ndarray:
    """The rate of every label, from a mapping that must have these labels and no others."""
    rates = {plain(name): rate for name, rate in rates.items()}
    known = set(names)
    for name in rates:
        if name not in known:
            raise Infeasible(f"label {shown(name)} has a rate but no sample", "leave it out of the target")
    for name in names:
        if name not in rates:
            raise Infeasible(f"label {shown(name)} has no wanted rate", "give every label of the data a rate")
    return np.array([float(check_number(rates[name], f"the rate of label {name!r}")) for name in names])


def _cells(starts: np.ndarray, attributes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples with the same labels together: the cell of every sample, a sample of every cell, samples in each cell."""
    words = np.array([child_key(0, number) for number in range(int(attributes.max(initial=0)) + 1)], np.uint64)
    running = np.concatenate([[np.uint64(0)], np.cumsum(words[attributes])])
    _, first, cell, sizes = np.unique(
        running[starts[1:]] - running[starts[:-1]], return_index=True, return_inverse=True, return_counts=True
    )
    spans = np.diff(starts)
    same = np.array_equal(spans[first[cell]], spans) and np.array_equal(
        attributes[np.repeat(starts[first[cell]] - starts[:-1], spans) + np.arange(attributes.size)], attributes
    )
    if same:
        return cell, first, sizes
    everyone = np.arange(starts.size - 1)  # two sets of labels have one hash: every sample is a cell of its own
    return everyone, everyone, np.ones(everyone.size, np.int64)
