"""Several attributes at once, each with its own margin: raking."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ..errors import Infeasible, check_bool, check_mapping, exactly, shown
from ..groups import Groups
from ..orders.shares import TargetShares
from ..targets import explicit, resolve
from ..targets.raking import MOST_SUMS, REACHED, Raking, solve_raking
from ..targets.target import rounded
from .balanced import balanced
from .fixed import FixedPlan
from .repeats import LEAST_REPEATS, above, check_repeats, repeats_note

__all__ = ["raked"]

_LOWER = (0.01, 0.001, 0.0)  # floors that are tried where margins cannot be met with the usual one


def raked(
    attributes: Mapping[Any, Any],
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
    """Batches in which every attribute has its own wanted margin: outcome x scanner x age band.

    Samples are grouped by the cell of all attributes; the shares of cells are those of least relative entropy from the
    natural ones that meet every margin (raking, Deming and Stephan 1940), and are then dealt exactly. The summary tells how
    far the count of a level can be from its margin in one micro-batch.

    Args:
        attributes: a column of labels (or `Groups`) by the attribute's name; 4,096 levels in all at most.
        margins: by attribute the wanted shares of its levels, anything a target may be: a mapping, "uniform", "natural", ...
        batch_size: samples in every micro-batch.
        min_repeats: how often each sample is drawn at least, on average, while as many samples are drawn as there are: 0
            to 1. Left out, 0.1, so that every sample comes once in 10 epochs on average and within 30 for certain; where
            margins can only be met with less, the largest of 0.01, 0.001 and 0 that meets them, and the summary says so.
            Samples of a level of share 0 are left out all the same.
        max_repeats: how often at most, 1 or more; left out, nothing is limited.
        closest: where margins cannot be met together, meet them as closely as possible (least squares of the gaps) and
            tell the gaps in the summary, instead of refusing.
        epoch: as for `balanced`.
        distinct: as for `balanced`.
        seed: 0 to 2^64 - 1.

    Raises:
        Infeasible: attributes without a margin or of different lengths, or margins that cannot be met: with the attribute
            and level that is furthest off.

    Example:
        >>> import batchwright as bw
        >>> sex, site = list("mmmmff"), list("aabbab")
        >>> plan = bw.raked({"sex": sex, "site": site}, {"sex": "uniform", "site": {"a": 0.25, "b": 0.75}}, 8)
        >>> sorted((sex[i], site[i]) for i in plan[0])[::2]  # a quarter of the men at a, as of the women
        [('f', 'a'), ('f', 'b'), ('m', 'a'), ('m', 'b')]
    """
    closest = check_bool(closest, "closest")
    for name in [*check_mapping(attributes, "attributes"), *check_mapping(margins, "margins")]:
        if name not in attributes or name not in margins:
            lacks = "no margin" if name in attributes else "no column"
            raise Infeasible(f"attribute {shown(name)} has {lacks}", "give every attribute a column and a margin")
    least, most = check_repeats(
        LEAST_REPEATS if min_repeats is None else min_repeats, math.inf if max_repeats is None else max_repeats
    )
    parts = {
        name: column if isinstance(column, Groups) else Groups.from_labels(column)
        for name, column in attributes.items()
    }
    counts = {name: part.sample_count for name, part in parts.items()}
    if len(set(counts.values())) > 1:
        raise Infeasible(f"the columns are of different lengths: {shown(counts)}", "pass one value a sample in each")
    cells = Groups.combine(*parts.values())
    levels = sum(part.group_count for part in parts.values())
    if levels > MOST_SUMS:
        raise Infeasible(
            f"the {len(parts)} attributes have {levels} levels in all, the most is {MOST_SUMS}: time grows with their cube",
            "join rare levels, or balance the largest attribute by itself",
        )
    wanted = {name: TargetShares(resolve(margins[name]), part) for name, part in parts.items()}
    for name, shares in wanted.items():
        if not shares.target.stays:
            raise Infeasible(
                f"the margin of {shown(name)} moves: {shares.target}",
                "pass margins whose shares stay, such as 'uniform' or a mapping",
            )
    representatives = np.array([cells.samples(cell)[0] for cell in cells.names])
    numbers = np.stack([np.asarray(part.group_of(representatives), np.int64) for part in parts.values()], axis=1)
    firsts = np.cumsum([0, *(part.group_count for part in parts.values())])
    natural = cells.sizes / cells.sample_count
    goals = np.concatenate([shares.of(0) for shares in wanted.values()])

    def nearest(floor: float) -> Raking:
        starts = np.arange(0, numbers.size + 1, len(parts))
        return solve_raking(natural, starts, (numbers + firsts[:-1]).reshape(-1), goals, floor=above(floor), cap=most)

    asked = least
    found = nearest(least)
    if not _meets(found, goals) and min_repeats is None:
        lower = ((floor, nearest(floor)) for floor in _LOWER)
        met = next(((floor, tried) for floor, tried in lower if _meets(tried, goals)), None)
        least, found = met if met is not None else (least, found) if closest else (0.0, nearest(0.0))
    gaps = _gaps(parts, wanted, found.reached)
    worst = max(gaps, key=lambda gap: abs(gap[2] - gap[3]))
    if not _meets(found, goals) and not closest:
        limits = [] if min_repeats is None else [f"min_repeats={exactly(min_repeats)}"]
        limits += [] if max_repeats is None else [f"max_repeats={exactly(max_repeats)}"]
        capped = f" with {' and '.join(limits)}" if limits else ""
        raise Infeasible(
            f"the margins cannot be met together{capped}: {shown(worst[0])} {shown(worst[1])} reaches {exactly(worst[3])} "
            f"of {exactly(worst[2])}",
            f"change that margin, {'widen these limits, ' if limits else ''}or pass closest=True",
        )
    shares_by_cell = dict(zip(cells.names, [rounded(share) for share in found.shares.tolist()], strict=True))
    total = sum(shares_by_cell.values())
    target = explicit({cell: share / total for cell, share in shares_by_cell.items()})
    notes = [
        f"margin {name!r}: {level!r} reaches {reached:.6g} of {share:.6g}"
        for name, level, share, reached in gaps
        if abs(share - reached) > REACHED
    ]
    notes.append(repeats_note(found.shares / natural, cells.sizes, least, most))
    if least < asked:
        notes.append(
            f"with min_repeats={asked:g} the margins cannot be met together, the floor was lowered to {least:g}; "
            f"pass min_repeats={asked:g} and closest=True to keep it"
        )
    notes += _bounds(parts, numbers, found.shares * batch_size)
    asked_for = ", ".join(f"{name!r}: {resolve(margins[name])}" for name in parts)
    target = replace(
        target, shown=f"raked({{{asked_for}}}, min_repeats={least:g}, max_repeats={max_repeats})", notes=tuple(notes)
    )
    return balanced(cells, batch_size, target=target, epoch=epoch, distinct=distinct, seed=seed)


def _meets(found: Raking, goals: np.ndarray) -> bool:
    return bool(np.abs(found.reached - goals).max() <= REACHED)


def _gaps(
    parts: Mapping[Any, Groups], wanted: Mapping[Any, TargetShares], reached: np.ndarray
) -> list[tuple[Hashable, Hashable, float, float]]:
    """Attribute, level, wanted and reached share of every level."""
    levels = [(name, level) for name, part in parts.items() for level in part.names]
    goals = np.concatenate([wanted[name].of(0) for name in parts])
    return [(*level, float(goal), float(got)) for level, goal, got in zip(levels, goals, reached, strict=True)]


def _bounds(parts: Mapping[Any, Groups], numbers: np.ndarray, quotas: np.ndarray) -> list[str]:
    """How far the count of a level can be from its quota in one micro-batch: its cells are floor or ceil of theirs."""
    part_of_cell = quotas - np.floor(quotas + 1e-6)
    uneven = part_of_cell > 1e-6
    notes = []
    for (name, part), levels in zip(parts.items(), numbers.T, strict=True):
        over = np.bincount(levels, weights=np.where(uneven, 1 - part_of_cell, 0), minlength=part.group_count)
        under = np.bincount(levels, weights=np.where(uneven, part_of_cell, 0), minlength=part.group_count)
        bound = float(np.maximum(over, under).max())
        notes.append(f"in a micro-batch the levels of {name!r} are within {bound:.3g} samples of their margin")
    return notes
