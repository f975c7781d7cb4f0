"""Measures a plan for a report: checks what was asked, walks, and audits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..audit import Audit
from ..base_plan import BasePlan
from ..errors import Infeasible, check_integer
from ..inputs.columns import numbers_of_plan
from .measure import Walked
from .pictures import MeasuredBatches
from .reading import MOST_BATCHES, Shuffle, checked_step_size, reader_of
from .report import Report

__all__ = ["measure_plan"]

_MOST_SAMPLES = 1 << 24, 1 << 20  # that are measured; plans by lengths take longer to plan
_AUDITED = 1000  # micro-batches


def measure_plan(
    plan: Any,
    *,
    epoch: int,
    world_size: int,
    accumulate: int,
    lengths: Any,
    costs: Any,
    audit: Audit | None,
    title: str | None,
) -> Report:
    """Measure a plan for a report; see `Plan.report`."""
    epoch = check_integer(epoch, "epoch", least=0)
    step_size = checked_step_size(world_size, accumulate)
    lengths_of_samples, costs_of_samples = _columns(plan, lengths, costs)
    length, batches = plan.epoch_length(step_size), _batches_measured(plan, step_size)
    plan.stepped(step_size).check_batch(epoch * length)
    walk = Walked(
        plan,
        reader_of(plan.stepped(step_size), lengths_of_samples, costs_of_samples),
        Shuffle(plan, lengths_of_samples, costs_of_samples, seed=epoch),
        epoch * length,
        batches,
    )
    walk.go()
    notes = list(plan.shortcomings)
    if audit is None:
        try:
            audit = plan.audit_of_run(step_size, epoch=epoch, batches=min(_AUDITED, batches))
        except Infeasible as error:  # of more samples than can be counted
            notes.append(f"the guarantees were not measured: {error.fact}")
    return Report(
        title=title or "What goes into the batches",
        plan=repr(plan),
        fingerprint=plan.fingerprint,
        epoch=epoch,
        samples=plan.groups.sample_count,
        groups=plan.groups.group_count,
        world_size=world_size,
        accumulate=accumulate,
        walk=MeasuredBatches(walk.first, batches, length, walk.planned.drawn, walk.first + walk.at),
        audit=audit,
        notes=notes,
        shares=walk.shares(),
        composition=walk.composition(),
        presence=walk.presence(),
        passes=walk.passes(),
        drift=walk.drift(audit),
        lengths=walk.lengths_found(),
        padding=walk.padding(),
        cost=walk.cost(world_size, accumulate),
        labels=walk.labels_held(),
    )


def _columns(plan: BasePlan, lengths: Any, costs: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The length and the cost of every sample, where they were given.

    Raises:
        Infeasible: a column has not one value for each sample, or the plan has its own.
    """
    count = plan.groups.sample_count
    lengths = None if lengths is None else numbers_of_plan(lengths, count, called="lengths")
    costs = None if costs is None else numbers_of_plan(costs, count, called="costs")
    if plan.cutter is not None and not (lengths is None and costs is None):
        raise Infeasible("a plan by lengths has its own lengths and costs", "leave lengths and costs out")
    if lengths is None and plan.cutter is None and not plan.divides_samples and plan.planned_lengths is not None:
        lengths = plan.planned_lengths[:]  # an evaluation by lengths
    return lengths, costs


def _batches_measured(plan: BasePlan, step_size: int) -> int:
    """How many micro-batches of an epoch are measured: all, or whole steps of as many samples as take seconds."""
    length, samples = plan.epoch_length(step_size), _MOST_SAMPLES[plan.cutter is not None]
    most = min(MOST_BATCHES, int(samples / max(1, plan.mean_batch_size)))
    return length if length <= most else max(1, most // step_size) * step_size
