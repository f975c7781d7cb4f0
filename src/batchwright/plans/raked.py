"""Raking: several attributes at once, each with its own wanted shares."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..calls import recorded
from ..errors import Infeasible, check_bool, check_integer, check_mapping, did_you_mean, exactly, refused_of, shown
from ..groups import Groups
from ..inputs.tables import by_column
from ..orders.shares import TargetShares
from ..targets import explicit, resolve
from ..targets.raking import MOST_SUMS, REACHED, Raking, solve_raking
from ..targets.target import to_twelve_digits
from .balanced import balanced
from .fixed import FixedPlan
from .repeats import LEAST_REPEATS, above, check_repeats, repeats_note

__all__ = ["raked"]

_LOWER = (0.01, 0.001, 0.0)  # floors that are tried if the margins cannot be met with the default one


@recorded
def raked(
    attributes: Any,
    margins: Mapping[Any, Any],
    batch_size: int,
    *,
    min_repeats: float | None = None,
    max_repeats: float | None = None,
    closest: bool = False,
    epoch: int | Literal["natural", "largest", "smallest"] = "natural",
    distinct: bool = False,
    seed: int = 0,
) -> FixedPlan:
    """Batches in which every attribute, such as outcome, scanner and age band, has its own wanted shares.

    A cell is a combination of one level of each attribute. Of all shares of cells that meet every margin, those with
    the least relative entropy from the natural shares are used (raking, Deming and Stephan 1940); they are exact in
    every batch. The summary says how far the count of a level can be from its margin in a micro-batch.

    The time to build the plan grows at most with the cube of the number of levels: seconds of processor time with 2,000,
    and about half a minute with 4,000.

    Args:
        attributes: for each attribute, by name, labels, array-like of shape (n_samples,), int or str, or `Groups`; or a
            table, such as a data frame, whose columns without a margin are left out. At most 4,096 levels in all.
        margins: for each attribute the wanted shares of its levels, any target: a mapping, "uniform", "natural", ...
        batch_size: samples in every micro-batch.
        min_repeats: how often each sample is drawn at least, on average, in as many draws as there are samples; 0 to 1.
            If left out, 0.1: every sample comes once in 10 epochs on average, and always within 30. If the margins can
            only be met with less, the largest of 0.01, 0.001 and 0 that meets them is used, and the summary says so.
            Samples of a level of share 0 are never drawn.
        max_repeats: how often each sample is drawn at most, on average; 1 or more; no limit if left out.
        closest: whether margins that cannot be met together are met as nearly as possible (least squares of the gaps),
            with the gaps in the summary, instead of refused.
        epoch: as for `balanced`.
        distinct: as for `balanced`.
        seed: int from 0 to 2^64 - 1.

    Raises:
        Infeasible: attributes lack a margin or have different lengths, or the margins cannot be met; the message names
            the level that is farthest from its share.

    Example:
        >>> import batchwright as bw
        >>> sex, site = list("mmmmff"), list("aabbab")
        >>> plan = bw.raked({"sex": sex, "site": site}, {"sex": "uniform", "site": {"a": 0.25, "b": 0.75}}, 8)
        >>> sorted((sex[i], site[i]) for i in plan[0])[::2]  # a quarter of the men at a, as of the women
        [('f', 'a'), ('f', 'b'), ('m', 'a'), ('m', 'b')]
    """
    closest = check_bool(closest, "closest")
    batch_size = check_integer(batch_size, "batch_size", least=1)
    wanted = Margins.of(attributes, margins)
    asked, most = check_repeats(
        LEAST_REPEATS if min_repeats is None else min_repeats, math.inf if max_repeats is None else max_repeats
    )
    least, found = _fitted(wanted, asked, most, may_lower=min_repeats is None, closest=closest)
    if not wanted.met(found) and not closest:
        _refuse(wanted, found, {"min_repeats": min_repeats, "max_repeats": max_repeats})
    notes = [
        f"margin {name!r}: {level!r} reaches {reached:.6g} of {share:.6g}"
        for name, level, share, reached in wanted.gaps(found)
        if abs(share - reached) > REACHED
    ]
    notes.append(repeats_note(found.shares / wanted.natural, wanted.cells.sizes, least, most))
    if least < asked:
        notes.append(
            f"with min_repeats={asked:g} the margins cannot be met together, the floor was lowered to {least:g}; "
            f"pass min_repeats={asked:g} and closest=True to keep it"
        )
    shares = [to_twelve_digits(share) for share in found.shares.tolist()]
    target = explicit(dict(zip(wanted.cells.names, (np.array(shares) / sum(shares)).tolist(), strict=True)))
    text = f"raked({{{wanted.shown}}}, min_repeats={least:g}, max_repeats={max_repeats})"
    target = replace(target, shown=text, notes=(*notes, *wanted.bounds(found.shares * batch_size)))
    return balanced(wanted.cells, batch_size, target=target, epoch=epoch, distinct=distinct, seed=seed)


@dataclass(frozen=True)
class Margins:
    """The wanted shares of the levels of every attribute; validated."""

    levels: dict[Hashable, Groups]  # by attribute the samples of each level
    cells: Groups  # the samples of each cell of all attributes
    goals: np.ndarray  # float64 (levels,), one attribute after the other
    shown: str  # as they were passed

    @classmethod
    def of(cls, attributes: Any, margins: Any) -> Margins:
        """Parse the arguments of `raked`."""
        columns = check_mapping(by_column(attributes), "attributes")
        own = columns if columns is attributes else ()  # a table may have others
        for name in [*own, *check_mapping(margins, "margins")]:
            if name not in columns or name not in margins:
                lacks = "no margin" if name in columns else "no column"
                others = {*columns, *margins} - {name}
                raise Infeasible(
                    f"attribute {shown(name)} has {lacks}",
                    f"give every attribute a column and a margin{did_you_mean(name, others)}",
                )
        levels = {}
        for name in columns:
            if name in margins:
                with refused_of(f"attribute {shown(name)}"):
                    levels[name] = Groups.from_labels(columns[name])
        sizes = {name: part.sample_count for name, part in levels.items()}
        if len(set(sizes.values())) > 1:
            raise Infeasible(f"the columns are of different lengths: {shown(sizes)}", "pass one value a sample in each")
        cells = Groups.combine(*levels.values())
        return cls(
            levels, cells, _goals(levels, margins), ", ".join(f"{name!r}: {resolve(margins[name])}" for name in levels)
        )

    @property
    def natural(self) -> np.ndarray:
        """The natural share of each cell, float64 (cells,)."""
        natural: np.ndarray = self.cells.sizes / self.cells.sample_count
        return natural

    @cached_property
    def level_of_cell(self) -> np.ndarray:
        """The level of each cell in every attribute, from 0, int64 (cells, attributes)."""
        # A cell has at least one sample, and all of its samples have the same levels.
        samples = np.array([self.cells.samples(cell)[0] for cell in self.cells.names])
        return np.stack([np.asarray(part.group_of(samples), np.int64) for part in self.levels.values()], axis=1)

    def nearest(self, floor: float, cap: float) -> Raking:
        """The shares of cells, nearest to the natural ones, that meet the margins within limits on repeats."""
        first = np.cumsum([0, *(part.group_count for part in self.levels.values())])[:-1]
        starts = np.arange(0, self.level_of_cell.size + 1, len(self.levels))
        levels = (self.level_of_cell + first).reshape(-1)
        return solve_raking(self.natural, starts, levels, self.goals, floor=above(floor), cap=cap)

    def met(self, found: Raking) -> bool:
        """Whether these shares meet every margin."""
        return bool(np.abs(found.reached - self.goals).max() <= REACHED)

    def gaps(self, found: Raking) -> list[tuple[Hashable, Hashable, float, float]]:
        """Attribute, level, wanted and reached share of every level."""
        levels = [(name, level) for name, part in self.levels.items() for level in part.called]
        values = zip(levels, self.goals.tolist(), found.reached.tolist(), strict=True)
        return [(*level, goal, reached) for level, goal, reached in values]

    def bounds(self, quotas: np.ndarray) -> list[str]:
        """Notes on how far the count of a level can be from its quota: each of its cells has floor or ceil of its own."""
        part_of_cell = quotas - np.floor(quotas + 1e-6)
        uneven = part_of_cell > 1e-6
        notes = []
        for (name, part), levels in zip(self.levels.items(), self.level_of_cell.T, strict=True):
            over = np.bincount(levels, weights=np.where(uneven, 1 - part_of_cell, 0), minlength=part.group_count)
            under = np.bincount(levels, weights=np.where(uneven, part_of_cell, 0), minlength=part.group_count)
            bound = float(np.maximum(over, under).max())
            notes.append(f"in a micro-batch the levels of {name!r} are within {bound:.3g} samples of their margin")
        return notes


def _goals(levels: Mapping[Hashable, Groups], margins: Mapping[Any, Any]) -> np.ndarray:
    """The wanted shares of all levels, float64 (levels,)."""
    count = sum(part.group_count for part in levels.values())
    if count > MOST_SUMS:
        raise Infeasible(
            f"the {len(levels)} attributes have {count} levels in all, the most is {MOST_SUMS}: time grows with their cube",
            "join rare levels, or balance the largest attribute by itself",
        )
    wanted = []
    for name, part in levels.items():
        with refused_of(f"attribute {shown(name)}"):
            margin = TargetShares(resolve(margins[name]), part)
            if not margin.target.stays:
                raise Infeasible(
                    f"the margin moves: {margin.target}",
                    "pass margins whose shares stay, such as 'uniform' or a mapping",
                )
            wanted.append(margin.of(0))
    return np.concatenate(wanted)


def _fitted(margins: Margins, least: float, most: float, *, may_lower: bool, closest: bool) -> tuple[float, Raking]:
    """The floor on repeats, and the shares of cells: the floor is lowered if the margins can only be met so."""
    found = margins.nearest(least, most)
    if margins.met(found) or not may_lower:
        return least, found
    for floor in _LOWER:
        lower = margins.nearest(floor, most)
        if margins.met(lower):
            return floor, lower
    return (least, found) if closest else (floor, lower)


def _refuse(margins: Margins, found: Raking, limits: dict[str, float | None]) -> None:
    """Refuse margins that cannot be met together."""
    name, level, share, reached = max(margins.gaps(found), key=lambda gap: abs(gap[2] - gap[3]))
    given = " and ".join(f"{called}={exactly(limit)}" for called, limit in limits.items() if limit is not None)
    raise Infeasible(
        f"the margins cannot be met together{' with ' if given else ''}{given}: {shown(name)} {shown(level)} reaches "
        f"{exactly(reached)} of {exactly(share)}",
        f"change that margin, {'widen these limits, ' if given else ''}or pass closest=True",
    )
