"""Samples with several labels each: weights that bring the rate of every label to its target."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..aligned import aligned
from ..calls import recorded
from ..errors import Infeasible, check_number, exactly, shortened, shown, warn
from ..inputs.columns import by_label
from ..inputs.label_sets import LabelRates, LabelSets, label_sets
from ..inputs.values import plain
from ..kernels.hashing import child_key
from ..targets import resolve
from ..targets.raking import MOST_SUMS, REACHED, solve_raking
from ..targets.target import to_twelve_digits
from .balanced import by_weight, check_batch_arguments
from .fixed import FixedPlan
from .repeats import LEAST_REPEATS, above, check_repeats, repeats_note

__all__ = ["Rates", "multilabel", "multilabel_weights"]

_WORTH_A_WORD = 0.01  # rates that are missed by more than this part of them are warned of


@dataclass(frozen=True)
class Rates:
    """Weights for samples with several labels, and the rate of each label under these weights; `print` it.

    Attributes:
        weights: float64 (n_samples,), with mean 1: how often each sample is drawn in as many draws as there are samples.
        names: the labels.
        natural: the rate of each label in the dataset, float64 (n_labels,).
        wanted: the target rate of each label, float64 (n_labels,).
        reached: the expected rate of each label in the draws, float64 (n_labels,).
        notes: texts: how often samples are drawn, and what `min_repeats` costs.
    """

    weights: np.ndarray
    names: list[Hashable]
    natural: np.ndarray
    wanted: np.ndarray
    reached: np.ndarray
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [["label", "natural", "wanted", "reached"]]
        for name, *rates in zip(self.names, self.natural, self.wanted, self.reached, strict=True):
            rows.append([shortened(name), *(f"{rate:.6f}" for rate in rates)])
        return "\n".join([*aligned(rows), *self.notes])


def multilabel_weights(
    labels: Any, *, target: Any = "uniform", min_repeats: float = LEAST_REPEATS, max_repeats: float = 10
) -> Rates:
    """Sample weights, as equal as possible, that bring the rate of every label to its target.

    Use it to see the weights and the rates before training; `multilabel` makes a plan of them. The weight of a sample is
    `exp(m1 + m2 + ...)`, with one multiplier m for each of its labels. Of all weights that reach the targets, these have the
    smallest relative entropy to equal weights (exponential tilting, or raking over label indicators). No weight is below
    `min_repeats` or above `max_repeats` times the mean. A larger `min_repeats` keeps more samples in use; a smaller one
    brings the rates closer to their targets. `notes` has the numbers of both.

    Args:
        labels: the labels of every sample: a scipy or torch sparse matrix or an array-like of shape (n_samples, n_labels),
            1 if the sample has the label and 0 if not; a data frame of such columns, named by label; or a list of lists of
            labels. At most 4,096 labels.
        target: the wanted rate of every label: a mapping from label (for matrices, the column number) to the share of
            samples that have it, 0 to 1. Or any other target; its shares are multiplied by the mean number of labels of a
            sample in the dataset.
        min_repeats: how often each sample is drawn at least, on average, in as many draws as there are samples; 0 to 1.
            With 0.1 every sample is drawn once in 10 epochs on average, and at least once in any 30. With 0 there is no
            limit, and samples may never be drawn. Samples with a label of rate 0 are never drawn in any case.
        max_repeats: how often each sample is drawn at most, on average; 1 or more. Infinity means no limit.

    Returns:
        The weights, and the rates that they lead to.

    Raises:
        Infeasible: there are no labels, a rate is outside 0 to 1, or no sample has a label whose rate is above 0.

    Warns:
        PoorWarning: the rate of a label cannot be reached.

    Example:
        >>> rates = multilabel_weights([["cat"], ["cat", "dog"], ["cat"], []], target={"cat": 0.75, "dog": 0.5})
        >>> rates.reached.round(6).tolist(), rates.weights.round(3).tolist()
        ([0.75, 0.5], [0.5, 2.0, 0.5, 1.0])
    """
    return _rates(label_sets(labels), target, min_repeats, max_repeats)


def _rates(sets: LabelSets, target: Any, min_repeats: float, max_repeats: float) -> Rates:
    names, starts, attributes = sets
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
    # All samples with the same set of labels get the same weight, so the problem is solved for each set once.
    cell, first, sizes = _cells(starts, attributes)
    spans = np.diff(starts)[first]
    cell_starts = np.concatenate([[0], np.cumsum(spans)])
    within = np.arange(cell_starts[-1]) - np.repeat(cell_starts[:-1], spans)
    natural = sizes / samples
    labels_of_cells = attributes[np.repeat(starts[first], spans) + within]
    found = solve_raking(natural, cell_starts, labels_of_cells, wanted, floor=above(least), cap=most)
    repeats = np.array([to_twelve_digits(weight) for weight in (found.shares / natural).tolist()])
    notes = [repeats_note(repeats, sizes, least, most)]
    off = float(np.abs(found.reached - wanted).max())
    if off > REACHED and least:  # the floor may be the reason: solve without it, to say what it costs
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
    """Batches in which every label of multi-label samples has its wanted rate, as closely as possible.

    `multilabel_weights` computes how often each sample should be drawn, and reports the rate that each label reaches. The
    plan then draws each sample that often, rounded down or up. What is exact is how often samples come. The rates of labels
    follow from that: they hold over many micro-batches, and a single one may have more or fewer samples with a label.
    `plan.summary()` has the expected rates; `plan.audit()` and `plan.report().tables["labels"]` measure them.

    The time to build the plan grows at most with the cube of the number of labels: seconds of processor time with a few
    hundred, and up to a minute with 1,000 to 2,000.

    Args:
        labels: see `multilabel_weights`.
        batch_size: samples in every micro-batch.
        target: see `multilabel_weights`.
        min_repeats: see `multilabel_weights`. By default every sample is drawn once in 10 epochs on average, and at least
            once in any 30.
        max_repeats: see `multilabel_weights`.
        epoch: "natural" (as many draws as there are samples, rounded up) or a number of micro-batches.
        seed: int from 0 to 2^64 - 1.

    Returns:
        A plan of micro-batches of one size.

    Raises:
        Infeasible: see `multilabel_weights`; or the batch size or the seed is out of range.

    Warns:
        PoorWarning: the rate of a label cannot be reached, or samples repeat within a micro-batch.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.multilabel([["a"], ["a", "b"], ["a"], []] * 25, 8, target={"a": 0.75, "b": 0.5})
        >>> int((plan[3] % 4 == 1).sum())
        4
    """
    batch_size, _, seed = check_batch_arguments(batch_size, 1, seed)
    sets = label_sets(labels)
    rates = _rates(sets, target, min_repeats, max_repeats)
    plan = by_weight(rates.weights, batch_size, draw="exact", epoch=epoch, seed=seed, notes=rates.notes)
    plan.label_rates = LabelRates(*sets, rates.natural, rates.wanted, rates.reached)
    return plan


def _warn_of_gaps(names: list[Hashable], wanted: np.ndarray, reached: np.ndarray) -> None:
    gaps = np.abs(reached - wanted)
    beyond = gaps - REACHED - _WORTH_A_WORD * wanted
    worst, missed = int(beyond.argmax()), np.count_nonzero(beyond > 0)
    if missed:
        warn(
            f"{missed} of {len(names)} labels miss their rate, label {names[worst]!r} the most: "
            f"it reaches {reached[worst]:.4g} of {wanted[worst]:.4g}; print(multilabel_weights(...)) shows all, a lower "
            "min_repeats, a higher max_repeats or other rates come closer"
        )


def _wanted(names: list[Hashable], counts: np.ndarray, samples: int, target: Any) -> np.ndarray:
    """The wanted rate of each label, float64 (n_labels,)."""
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
    """The rate of each label, from a mapping that must have exactly these labels."""
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
    """Cells of samples that have the same labels: the cell of each sample, one sample of each cell, the size of each cell.

    A cell is found by the sum of the hashes of its labels, which takes no loop in Python. Two sets of labels may have the
    same sum, so the result is compared with the labels themselves.
    """
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
