"""The guarantees of a plan of tasks, measured on its micro-batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import whole
from .report import Audit, Finding

if TYPE_CHECKING:
    from ..plans.tasks import TaskPlan

__all__ = ["audit"]


def audit(plan: TaskPlan, *, batches: int = 1000, first: int = 0) -> Audit:
    """Measure what a plan of tasks promises over micro-batches first..first+batches-1 of a run whose multiple is 1.

    - G2 one task: samples of a micro-batch that are not its task's.
    - G3 drift: the largest distance of a task from its share of all turns so far, in turns; the bound is the plan's.
    - G4 order: micro-batches that are not the next ones of their task's own plan.

    What the micro-batches of a task promise is its own plan's to keep: audit `plan.children`.
    """
    batches, first = whole(batches, "batches", least=1), whole(first, "first", least=0)
    weights, had = plan.weights_of_tasks, plan.turns.counts(first)
    total = sum(weights)
    strangers, drift, strayed = (0.0, "nowhere above 0"), (0.0, "nowhere above 0"), 0
    sizes = [child.groups.sample_count for child in plan.children]
    for number in range(first, first + batches):
        task = plan.names.index(plan.task_of(number))
        samples = plan[number] - plan.starts[task]
        outside = float(np.count_nonzero((samples < 0) | (samples >= sizes[task])))
        strangers = max(strangers, (outside, f"micro-batch {number}, task {plan.names[task]!r}"))
        epoch, place = divmod(had[task], plan.children[task].epoch_length())
        strayed += not np.array_equal(samples, plan.children[task].epoch(epoch)[place])
        had[task] += 1
        off = [abs(one * total - weight * (number + 1)) / total for one, weight in zip(had, weights, strict=True)]
        drift = max(drift, (max(off), f"micro-batch {number}, task {plan.names[off.index(max(off))]!r}"))
    return Audit(
        first,
        batches,
        (
            Finding("G2 one task", 0, *strangers),
            Finding("G3 drift", plan.bound, *drift),
            Finding("G4 order", 0, strayed, f"{strayed} of {batches} micro-batches"),
        ),
    )
