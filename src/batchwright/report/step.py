"""What is in one step of a run, for a debugger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Infeasible, check_integer, escaped, shortened
from ..exported import Exported, of_one_type
from ..micro_batches import LAST
from .reading import checked_step_size

__all__ = ["MicroBatch", "Step", "batch_at", "step_at"]

_SAMPLES = 12  # of a micro-batch that are shown
_GROUPS = 6
_SHOWN = 16  # micro-batches


@dataclass(frozen=True)
class MicroBatch:
    """One micro-batch of a step.

    Attributes:
        number: in the plan.
        rank: the rank that takes it.
        samples: the numbers of its samples, int64 (samples,).
        groups: the group of each, an array of integers of shape (samples,), places in `plan.groups.names`.
        real: how many of the samples count: all, but where evaluation fills up.
        cost: what it costs; None where the plan does not know.
        rows: the row of the data set that each is a piece of, int64 (samples,); None where samples are not split.
    """

    number: int
    rank: int
    samples: np.ndarray
    groups: np.ndarray
    real: int
    cost: float | None
    rows: np.ndarray | None = None


@dataclass(frozen=True)
class Step(Exported):
    """What is in one step of a run; `print` it, or export its table: one row a sample.

    Attributes:
        step: its number, through all epochs; None of a batch of a loader or a sampler.
        epoch: the epoch that it is in.
        step_in_epoch: its number in the epoch; of a batch, the batch's.
        micro_batches: those of the step, or of one rank.
        names: the names of the groups.
    """

    step: int | None
    epoch: int
    step_in_epoch: int
    micro_batches: list[MicroBatch]
    names: Any

    @property
    def samples(self) -> np.ndarray:
        """All samples, micro-batch after micro-batch, int64 (samples,)."""
        return np.concatenate([batch.samples for batch in self.micro_batches])

    def columns(self) -> dict[str, list[Any]]:
        """See `Exported`."""
        batches = self.micro_batches
        each = [batch.samples.size for batch in batches]
        groups = np.concatenate([batch.groups for batch in batches]).tolist()
        rows = [batch.rows for batch in batches if batch.rows is not None]
        return {
            "rank": np.repeat([batch.rank for batch in batches], each).tolist(),
            "micro_batch": np.repeat([batch.number for batch in batches], each).tolist(),
            "slot": [slot for count in each for slot in range(count)],
            "sample": self.samples.tolist(),
            **({"row": np.concatenate(rows).tolist()} if rows else {}),
            "group": of_one_type([self._name(group) for group in groups]),
        }

    def _name(self, group: int) -> Any:
        return self.names[group] if group < len(self.names) else None

    def __str__(self) -> str:
        lines = [f"{self._called}, {self.samples.size} {self._of}"]
        for batch in self.micro_batches[:_SHOWN]:
            cost = "" if batch.cost is None else f", cost {batch.cost:,.6g}"
            fillers = batch.samples.size - batch.real
            filled = f", the last {fillers} of them fillers" if fillers else ""
            lines.append(
                f"rank {batch.rank}, micro-batch {batch.number}: {batch.samples.size} {self._of}{filled}{cost}"
            )
            lines.append(f"  {_first(batch.samples)}")
            if batch.rows is not None:
                lines.append(f"  of rows {_first(batch.rows)}")
            if len(self.names) > 1 and len(self.names) < batch.samples.size * _GROUPS:
                lines.append(f"  {self._counts(batch.groups)}")
        left = len(self.micro_batches) - _SHOWN
        return "\n".join([*lines, *([f"... {left} more micro-batches"] if left > 0 else [])])

    @property
    def _called(self) -> str:
        place = f"{self.step_in_epoch} of epoch {self.epoch}"
        return f"batch {place}" if self.step is None else f"step {self.step}: step {place}"

    @property
    def _of(self) -> str:
        return "pieces" if any(batch.rows is not None for batch in self.micro_batches) else "samples"

    def _counts(self, groups: np.ndarray) -> str:
        held, counts = np.unique(groups, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        counted = [f"{escaped(shortened(self._name(int(held[at]))))} {counts[at]}" for at in order[:_GROUPS]]
        return ", ".join(counted) + (f" and {held.size - _GROUPS} more groups" if held.size > _GROUPS else "")

    def __repr__(self) -> str:
        return f"<{self._called}: {len(self.micro_batches)} micro-batches, {self.samples.size} {self._of}>"

    def _repr_html_(self) -> str:
        return f"<p>{self._called}</p>{super()._repr_html_()}"


def _first(numbers: np.ndarray) -> str:
    return f"{' '.join(map(str, numbers[:_SAMPLES].tolist()))}{' ...' if numbers.size > _SAMPLES else ''}"


def step_at(plan: Any, step: int, rank: int | None, world_size: int, accumulate: int) -> Step:
    """See `Plan.at`."""
    step_size = checked_step_size(world_size, accumulate)
    step = check_integer(step, "step", least=0)
    if (step + 1) * step_size > LAST + 1:
        last = (LAST + 1) // step_size - 1
        raise Infeasible(f"step {step} is past the last, {last}", f"ask for 0 to {last}")
    if rank is not None:
        rank = check_integer(rank, "rank", least=0, most=world_size - 1)
    in_steps, length, first = plan.stepped(step_size), plan.epoch_length(step_size), step * step_size
    batches = _micro_batches(plan, in_steps, first, step_size, world_size, rank)
    return Step(step, first // length, first % length // step_size, batches, plan.groups.called)


def batch_at(plan: Any, before: Any, number: int, world_size: int, fetched_by_all: int, rank: int | None) -> Step:
    """See `Loader.at`; `before` is the position before the batch."""
    if rank is not None:
        rank = check_integer(rank, "rank", least=0, most=world_size - 1)
    batches = _micro_batches(plan, before.sequence, before.micro_batch, fetched_by_all, world_size, rank)
    return Step(None, before.epoch, number, batches, plan.groups.called)


def _micro_batches(
    plan: Any, sequence: Any, first: int, count: int, world_size: int, rank: int | None
) -> list[MicroBatch]:
    """`count` micro-batches of a sequence from `first` on, which the ranks take in turn; or those of one rank."""
    batches = []
    for number in range(first + (rank or 0), first + count, 1 if rank is None else world_size):
        samples = sequence[number]
        cost = plan.cost(samples) if plan.cutter is not None else None
        of = np.asarray(plan.groups.group_of(samples))
        rows = plan.rows(samples) if plan.splits else None
        batches.append(
            MicroBatch(number, (number - first) % world_size, samples, of, sequence.real(number), cost, rows)
        )
    return batches
