"""Splits a dataset into exact fractions of every group, or into complete units that must not be divided."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import Infeasible, check_bool, check_mapping, check_number, exactly, seed_number, shown
from .groups import Groups
from .readings import reading
from .targets.target import fraction

if TYPE_CHECKING:
    import torch.utils.data

__all__ = ["Split", "split"]

_SUM_TOLERANCE = 1e-6  # fractions such as 1 / 3, written with a few digits, may miss 1 by this
_SWEEPS = 10  # over all units, at most; chosen by trial


@dataclass(frozen=True)
class Split:
    """The parts of a dataset, as sample numbers; `print` shows the size of each.

    Attributes:
        parts: for each part its sample numbers, ascending, int64. Every sample is in exactly one part.
        fractions: the wanted fraction of each part.
        groups: the groups of the labels.
        counts: int64 (parts, groups): samples of each group in each part.
    """

    parts: dict[Hashable, np.ndarray]
    fractions: dict[Hashable, float]
    groups: Groups
    counts: np.ndarray

    def __getitem__(self, part: Hashable) -> np.ndarray:
        """The sample numbers of a part.

        Raises:
            Infeasible: there is no such part.
        """
        way_out = f"pass one of {', '.join(map(shown, self.parts))}"
        with reading(part, "the part", way_out):
            known = part in self.parts
        if not known:
            raise Infeasible(f"no part is called {shown(part)}", way_out)
        return self.parts[part]

    @cached_property
    def off(self) -> float:
        """The largest distance of a group's count in a part from its fraction, in samples.

        Below 1 if the split is stratified and without `together`.
        """
        wanted = np.outer(list(self.fractions.values()), self.groups.sizes)
        return float(np.abs(self.counts - wanted).max())

    def subset(self, dataset: Any, part: Hashable) -> torch.utils.data.Subset[Any]:
        """A part as a `torch.utils.data.Subset`; plans find the labels of the dataset through it."""
        from torch.utils.data import Subset

        return Subset(dataset, self[part].tolist())

    def labels(self, part: Hashable) -> list[Hashable]:
        """The label of every sample of a part, in its order; pass it to `balanced` for a plan over the part."""
        codes = np.asarray(self.groups.group_of(self[part]))
        return [self.groups.names[code] for code in codes.tolist()]

    def __str__(self) -> str:
        sizes = {name: numbers.size for name, numbers in self.parts.items()}
        listed = ", ".join(f"{name!r} {size} ({self.fractions[name]:.4g} asked)" for name, size in sizes.items())
        return f"{listed}; the worst group is {self.off:.3g} samples off"


def split(
    labels: Any,
    fractions: Mapping[Any, float],
    *,
    stratify: bool = True,
    together: Any = None,
    seed: int = 0,
) -> Split:
    """Split a dataset into parts that have the same fraction of every group.

    Each part gets floor or ceil of its fraction of every group. Parts that got less in earlier groups get the ceils, so
    that the total sizes are right too. The result is the same in every process.

    With `together`, all samples of a unit are in one part, and fractions of groups are met as nearly as possible (see
    `Split.off`). Units are placed one by one, the largest first, each in the part where the sum of squared gaps becomes
    smallest; then they are moved as long as that makes the sum smaller.

    Args:
        labels: labels, array-like of shape (n_samples,), a dataset that knows its labels, or `Groups`.
        fractions: for each part the fraction of the samples; they sum to 1.
        stratify: whether the fractions hold within every group; otherwise only over all samples.
        together: the unit (patient, speaker, scene) of every sample, array-like of shape (n_samples,).
        seed: 0 to 2^64 - 1.

    Raises:
        Infeasible: fractions that are negative or do not sum to 1, or a column of another length.

    Example:
        >>> import batchwright as bw
        >>> parts = bw.split(["cat"] * 90 + ["dog"] * 10, {"train": 0.8, "val": 0.1, "test": 0.1})
        >>> {name: [int((numbers < 90).sum()), int((numbers >= 90).sum())] for name, numbers in parts.parts.items()}
        {'train': [72, 8], 'val': [9, 1], 'test': [9, 1]}
    """
    groups = labels if isinstance(labels, Groups) else Groups.from_labels(labels)
    if groups.grouped_count != groups.sample_count:
        raise Infeasible(
            f"{groups.sample_count - groups.grouped_count} of {groups.sample_count} samples are in no group",
            "split groups that hold every sample",
        )
    seed = seed_number(seed)
    given = check_mapping(fractions, "fractions").items()
    exact = [fraction(check_number(part, f"the fraction of {shown(name)}")) for name, part in given]
    if min(exact) < 0 or abs(float(sum(exact)) - 1) > _SUM_TOLERANCE:
        raise Infeasible(
            f"the fractions are {shown(dict(fractions))}, they sum to {exactly(sum(exact))}",
            "give fractions of 0 or more that sum to 1",
        )
    exact = [part / sum(exact) for part in exact]
    strata = groups if check_bool(stratify, "stratify") else Groups.from_sizes({"all": groups.sample_count})
    place = _by_sample(strata, exact, seed) if together is None else _by_unit(strata, exact, together, seed)
    parts = {name: np.flatnonzero(place == number) for number, name in enumerate(fractions)}
    counts = np.stack(
        [np.bincount(groups.group_of(numbers), minlength=groups.group_count) for numbers in parts.values()]
    )
    return Split(parts, {name: float(part) for name, part in zip(fractions, exact, strict=True)}, groups, counts)


def _by_sample(groups: Groups, exact: list[Fraction], seed: int) -> np.ndarray:
    """The part of every sample, int64, if samples are divided one by one, group after group."""
    place = np.empty(groups.sample_count, np.int64)
    carried = [Fraction(0)] * len(exact)  # what each part lacks from earlier groups, so that totals are right too
    for number, name in enumerate(groups.names):
        samples = groups.samples(name)
        counts, carried = _apportioned(samples.size, exact, carried)
        shuffled = samples[_shuffle(samples.size, seed, number)]
        place[shuffled] = np.repeat(np.arange(len(exact)), counts)
    return place


def _apportioned(size: int, exact: list[Fraction], lacked: list[Fraction]) -> tuple[list[int], list[Fraction]]:
    """Floor or ceil of each part's fraction of a group, ceil for the parts that lack most; and what they lack then."""
    wanted = [size * part for part in exact]
    counts = [int(amount) for amount in wanted]
    lacking = [amount - count + before for amount, count, before in zip(wanted, counts, lacked, strict=True)]
    most_lacking = sorted(
        (part for part in range(len(exact)) if wanted[part] > counts[part]), key=lambda p: (-lacking[p], p)
    )
    for part in most_lacking[: size - sum(counts)]:
        counts[part] += 1
        lacking[part] -= 1
    return counts, lacking


def _by_unit(groups: Groups, exact: list[Fraction], together: Any, seed: int) -> np.ndarray:
    """The part of every sample, int64, if units stay together."""
    units = together if isinstance(together, Groups) else Groups.from_keys(together, called="together")
    if units.sample_count != groups.sample_count:
        raise Infeasible(
            f"together names the unit of {units.sample_count} samples, there are {groups.sample_count}",
            "pass one unit a sample",
        )
    if units.grouped_count != units.sample_count:
        raise Infeasible(
            f"{units.sample_count - units.grouped_count} of {units.sample_count} samples are in no unit of `together`",
            "pass units that hold every sample",
        )
    codes = np.asarray(groups.codes, np.int64)
    holds = np.zeros((units.group_count, groups.group_count), np.int64)
    np.add.at(holds, (np.asarray(units.codes, np.int64), codes), 1)
    weight = 1 / np.maximum(groups.sizes, 1)  # a sample of a small group matters more
    mixed = _shuffle(units.group_count, seed, 0)
    # Units that differ by less than a factor of two come in random order.
    with np.errstate(divide="ignore"):  # a unit without samples comes last
        size_class = np.floor(np.log2((holds[mixed] * weight).sum(axis=1)))
    order = mixed[np.argsort(-size_class, kind="stable")].tolist()
    gap = np.outer([float(part) for part in exact], groups.sizes)
    closed = np.array([part == 0 for part in exact])
    part_of = np.full(units.group_count, -1)
    for sweep in range(_SWEEPS):
        moved = False
        for unit in order:
            if sweep:
                gap[part_of[unit]] += holds[unit]
            # Placing the unit in a part changes the part's squared gap by (gap - holds)^2 - gap^2.
            change = ((holds[unit] - 2 * gap) * holds[unit] * weight**2).sum(axis=1)
            change[closed] = np.inf
            best = int(np.argmin(np.round(change, 12)))  # rounded: platforms may differ in the last bits
            moved |= best != part_of[unit]
            part_of[unit] = best
            gap[best] -= holds[unit]
        if not moved:
            break
    found: np.ndarray = part_of[np.asarray(units.codes, np.int64)]
    return found


def _shuffle(count: int, seed: int, group: int) -> np.ndarray:
    """A keyed permutation of 0..count-1."""
    from .kernels.hashing import PURPOSE, child_key
    from .kernels.permutation import permutation

    images = np.empty(count, np.int64)
    if count:
        key = child_key(child_key(seed, PURPOSE.SPLIT), group)
        permutation(np.arange(count), count, np.uint64(key), images, False)
    return images
