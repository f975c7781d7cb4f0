"""The laws of worlds: a summary is of the run, and going on in another world loses and repeats nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest

from batchwright import Infeasible
from batchwright.plans.by_length import LengthPlan
from batchwright.plans.evaluation import EvaluationPlan
from batchwright.plans.fixed import FixedPlan
from batchwright.plans.tasks import TaskPlan

from .laws import quietly

__all__ = ["resumes_in_another_world", "sums_up_the_run"]


def sums_up_the_run(make: Callable[[int], Any], seed: int, step_size: int) -> None:
    """A summary for a step size says what all ranks together draw in an epoch; without one it is of the plan's own steps."""
    plan = make(seed)
    length = plan.epoch_length(step_size)
    assert length == len(plan.epoch(0, step_size))
    summary = quietly(lambda: plan.summary(step_size))
    steps = summary.steps * summary.ranks if hasattr(summary, "ranks") else summary.epoch_batches
    assert steps == length
    if isinstance(plan, TaskPlan):
        assert sum(task.batches for task in summary.tasks) == pytest.approx(length)
    elif isinstance(plan, FixedPlan) and summary.group_count == len(summary.groups):
        drawn = sum(line.passes * line.size for line in summary.groups)
        assert drawn == pytest.approx(length * plan.batch_size)
    if hasattr(summary, "step_size"):
        assert summary.step_size == step_size
        assert (f"steps of {step_size}" in str(summary).splitlines()[0]) == (step_size > 1)
    if plan.stepped(step_size).step_size == step_size:
        assert str(quietly(lambda: plan.stepped(step_size).summary())) == str(summary)


def resumes_in_another_world(make: Callable[[int], Any], seed: int, worlds: list[int], cuts: list[int]) -> None:
    """G9: a run that is cut and gone on with in other worlds loses nothing, repeats nothing, and becomes even again.

    Every epoch has as many lists as `len` says, on all ranks, but the one that the world changed in.
    """
    plan = make(seed)
    drawn: list[list[Any]] = []
    state: dict[str, Any] = {}
    longest = 1
    for number, world in enumerate(worlds):
        accumulate = 1 + (seed + number) % 3
        samplers = [plan.sampler(rank=rank, world_size=world, accumulate=accumulate) for rank in range(world)]
        for sampler in samplers:
            sampler.load_state_dict(state)
            assert 0 <= sampler.state_dict()["consumed"] < plan.epoch_length(world * accumulate)
        longest = max(longest, plan.epoch_length(world * accumulate))
        # of the last world so many that one of the plan's epochs lies behind all that was planned in other steps
        epochs = 3 + longest // plan.epoch_length(world * accumulate) if number == len(worlds) - 1 else 1
        taken = 0
        given: list[tuple[int, int, list[Any]]] = []
        for _ in range(epochs):
            epoch, begun = samplers[0].epoch, samplers[0].batches_done
            left = len(samplers[0]) - begun
            iterators = [iter(sampler) for sampler in samplers]
            of_epoch = 0
            while epochs > 1 or taken < cuts[number]:
                step = quietly(lambda iterators=iterators: [next(iterator, None) for iterator in iterators])
                assert len({batch is None for batch in step}) == 1
                if step[0] is None:
                    break
                given.append((epoch, begun + of_epoch, step))
                drawn += [batch for batch in step if batch is not None]
                if isinstance(plan, EvaluationPlan):
                    real = [sampler.real(begun + of_epoch, epoch=epoch) for sampler in samplers]
                    drawn[-world:] = [batch[:count] for batch, count in zip(drawn[-world:], real, strict=True)]
                of_epoch, taken = of_epoch + 1, taken + 1
            assert of_epoch == left if epochs > 1 else of_epoch <= left
        says_what_it_gave(samplers[-1], given)
        states = [sampler.state_dict() for sampler in samplers]
        assert all(other == states[0] for other in states)
        json.dumps(states[0])
        if taken:
            state = states[0]
    comes_in_order(plan, drawn)
    is_even_again(plan, drawn, worlds[-1] * accumulate, states[0])


def says_what_it_gave(sampler: Any, given: list[tuple[int, int, list[Any]]]) -> None:
    """A sampler says what was in the first and last batches given since it was resumed; not in those before."""
    for epoch, number, step in given[:3] + given[-3:]:
        assert [batch.tolist() for batch in sampler.all_ranks(number, epoch=epoch)] == step
    if given and given[0][:2] > (0, 0):
        epoch, number, _ = given[0]
        before = (epoch, number - 1) if number else (epoch - 1, 0)
        with pytest.raises(Infeasible, match="came before this run was resumed"):
            sampler.all_ranks(before[1], epoch=before[0])


def comes_in_order(plan: Any, drawn: list[list[Any]]) -> None:
    """What all ranks together were given: every micro-batch, or every sample, or every task's next, once and in order."""
    if isinstance(plan, LengthPlan) and plan.same_samples:  # every epoch has all samples
        everything = sorted(plan.admission.emitted(plan.admission.items(np.arange(plan.epoch_samples))).tolist())
        gone: list[int] = []
        for batch in drawn:
            gone += batch
            assert len(gone) <= len(everything)
            if len(gone) == len(everything):
                assert sorted(gone) == everything
                gone = []
        assert len(set(gone)) == len(gone)
    elif isinstance(plan, LengthPlan):  # windows take what the order has, in order
        drawn_items = [plan.admission.items_in(np.array(batch))[0] for batch in drawn]
        ends = np.cumsum([batch.size for batch in drawn_items])
        ordered = plan.admission.items(plan.order_plan.order.take(0, 2 * int(ends[-1]) + 2))
        apart: Counter[int] = Counter()
        last = 0
        for number, (batch, begin, end) in enumerate(zip(drawn_items, [0, *ends], ends, strict=False)):
            apart.update(batch.tolist())
            apart.subtract(ordered[begin:end].tolist())
            if not any(apart.values()):
                last = number + 1
        assert len(drawn) - last <= 2 * plan.windows.batches_between_boundaries + 64
        assert last > 0 or len(drawn) <= 2 * plan.windows.batches_between_boundaries + 64
    elif isinstance(plan, EvaluationPlan):  # every epoch has all samples in the order, whatever worlds it went through
        ordered = plan.sequence.samples(0, plan.sequence.count).tolist()
        gone = [*chain.from_iterable(drawn)]
        assert gone == (ordered * (1 + len(gone) // len(ordered)))[: len(gone)]
    elif isinstance(plan, TaskPlan) and plan.unit == "step":  # every task has its own micro-batches
        had = [0] * len(plan.names)
        for batch in drawn:
            known = [child[had[i]] + plan.starts[i] for i, child in enumerate(plan.children)]
            (task,) = (i for i, own in enumerate(known) if own.tolist() == batch)
            had[task] += 1
    else:
        assert drawn == [batch for batch, _ in zip(plan.lists(0, 1, len(drawn)), drawn, strict=True)]


def is_even_again(plan: Any, drawn: list[list[Any]], step: int, state: dict[str, Any]) -> None:
    """After an epoch in a world, its steps are steps of the plan: all but one of each window, or epoch."""
    if not isinstance(plan, LengthPlan):
        return
    assert state["plan"]["step_size"] == step
    assert "then" not in state["plan"]
    if not plan.same_samples:
        return
    in_steps = plan.stepped(step)
    length = in_steps.epoch_batches
    epoch = (state["origin"] + state["consumed"]) // length - 1  # the last that was gone through
    begin = len(drawn) - (state["origin"] + state["consumed"] - epoch * length)
    steps = {
        frozenset(map(tuple, map(sorted, drawn[at : at + step])))
        for at in range(len(drawn) % step, len(drawn), step)
        if at >= begin
    }
    whole = [
        frozenset(map(tuple, map(sorted, batches))) for batches in _in_steps(in_steps, epoch * length, length, step)
    ]
    assert sum(one not in steps for one in whole) <= 1


def _in_steps(plan: Any, first: int, length: int, step: int) -> Iterator[list[list[int]]]:
    for at in range(first, first + length, step):
        yield list(plan.lists(at, 1, step))
