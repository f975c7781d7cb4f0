"""Whether the parts of a `ConcatDataset` come in the order of the plan's sources or tasks."""

from __future__ import annotations

from itertools import accumulate, takewhile
from typing import Any

import numpy as np
from torch.utils.data import ConcatDataset

from ..base_plan import BasePlan
from ..calls import made_of, parts_of
from ..errors import Infeasible, shown, warn
from ..groups import Groups

__all__ = ["check_parts"]

_WAY_OUT = "concatenate the data sets of the sources in the order of plan.groups.names, or pass check_data=False"


def check_parts(plan: BasePlan, dataset: Any) -> None:
    """Compare the parts of a `ConcatDataset` with the sources or tasks of a plan.

    Two parts of one size that changed places are seen only if the plan was made of the same data sets, as objects.

    Raises:
        Infeasible: the parts are those of the sources, or have their sizes, in another order.

    Warns:
        PoorWarning: a source ends within a part.
    """
    while type(dataset).__module__.startswith(f"{__package__.partition('.')[0]}."):  # pieces, weighted, identified
        dataset = getattr(dataset, "dataset", None)
    if not isinstance(dataset, ConcatDataset):
        return
    sources = _sources(plan, len(dataset))
    if sources is None:
        return
    _check_objects(plan, sources, dataset)
    sizes = sources.sizes.tolist()
    parts = [len(part) for part in parts_of(dataset)]
    ends = set(np.cumsum(parts).tolist())
    wrong = next((number for number, end in enumerate(np.cumsum(sizes).tolist()) if end not in ends and end), None)
    if wrong is None:
        return
    name, size = sources.names[wrong], sizes[wrong]
    if sorted(filter(None, parts)) == sorted(filter(None, sizes)):
        found = [part for part in parts if part][sum(map(bool, sizes[:wrong]))]
        raise Infeasible(
            f"source {shown(name)} of the plan has {size} samples, and in its place the ConcatDataset has a part of {found}",
            _WAY_OUT,
        )
    warn(
        f"source {shown(name)} of the plan, of {size} samples, ends within a part of the ConcatDataset, so some of its "
        f"samples may be those of another source; {_WAY_OUT}."
    )


def _check_objects(plan: BasePlan, sources: Groups, dataset: ConcatDataset[Any]) -> None:
    """Refuse a part that is, or is part of, the data set of one source and has the place of another."""
    objects = made_of(plan.order_plan)
    if len(objects) != sources.group_count:
        return
    begins: dict[int, set[int]] = {}
    parts = parts_of(dataset)
    for part, begin in zip(parts, accumulate(map(len, parts), initial=0), strict=False):
        begins.setdefault(id(part), set()).add(begin)
    for name, source, start in zip(sources.names, objects, sources.starts.tolist(), strict=False):
        begin = start
        for part in takewhile(lambda part: id(part) in begins, source):  # others say nothing, and have no length here
            found = begins[id(part)]
            if begin not in found:
                raise Infeasible(
                    f"source {shown(name)} of the plan has the samples from {start} on, and its data set begins at sample "
                    f"{min(found)} of the ConcatDataset",
                    _WAY_OUT,
                )
            begin += len(part)


def _sources(plan: BasePlan, sample_count: int) -> Groups | None:
    """The groups of a plan that lie one behind the other in its data set, as sources and tasks do; None without them."""
    of_order = plan.order_plan.groups  # a plan that splits samples has other numbers than its order
    for groups in (plan.groups, of_order):
        if groups.index is None and groups.starts.size and groups.sample_count == sample_count:
            return groups
    return None
