"""Plans for evaluation: every sample exactly once, over any number of ranks."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sized
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..calls import recorded
from ..errors import Infeasible, check_integer, check_number, exactly, one_of, seed_number, shown
from ..groups import Groups
from ..inputs import columns
from ..kernels.array_types import Floats, Integers
from ..lengths.identity import fields_as_text
from ..lengths.packing import pack
from ..lengths.spans import Even, Limited, Span, Spans
from ..micro_batches import AS_IT_WAS, MOST_RANKS, MicroBatches, counted
from ..orders.finite import Finite, InFileOrder, Listed, Shuffled
from ..position import number_of
from ..public import internal
from .balanced import check_epoch, check_sample_count
from .each_once import EachOnce
from .evaluation_summary import EvaluationSummary
from .length_arguments import refuse_too_long

if TYPE_CHECKING:
    from ..audit import Audit

__all__ = ["EvaluationPlan", "evaluation"]

OrderName = Literal["file", "shuffled", "length"]
TooLong = Literal["refuse", "alone"]


class EvaluationPlan(EachOnce):
    """A plan in which every epoch has each sample exactly once; made by `evaluation`.

    A micro-batch is a run of consecutive places of one finite order. So the micro-batches of all ranks, step by step, are
    that order. The last step may need *fillers*: samples of the dataset that only keep a rank busy and do not count. They
    come last in their micro-batch, and their micro-batches come last in the step. `real` says how many samples of a
    micro-batch count.

    All epochs are the same. An epoch is a whole number of steps, so every rank has the same number of micro-batches. If the
    world size changes during an epoch, the rest of the order is cut again for the new step size.

    Attributes:
        sequence: the order of the samples.
        spans: how the order is cut.
        groups: one group of all samples.
        start: the place in the order where micro-batch `first` begins. It is 0 unless the world size changed during an
            epoch.
    """

    start = 0

    def __init__(self, sequence: Finite, spans: Spans, *, lengths: Floats | None = None) -> None:
        self.sequence = sequence
        self.spans = spans
        # Of micro-batches; None where lengths are not known.
        self._costs = spans if isinstance(spans, Limited) else None
        if lengths is not None:
            self._costs = Limited(lengths[sequence.samples(0, sequence.count)], math.inf, padded=True)
        self.groups = Groups.from_sizes({"all": sequence.count})
        self.epoch_batches = spans.count(0, 1)

    def __getitem__(self, batch: int) -> np.ndarray:
        """The samples of micro-batch `batch`, int64 of shape (samples of the micro-batch,), fillers last."""
        first, last, size = self.span(counted(batch))
        samples = self.sequence.samples(first, last)
        if size == last - first:
            return samples
        filler = self.sequence.samples(self.spans.filler, self.spans.filler + 1)
        return np.concatenate([samples, np.repeat(filler, size - (last - first))])

    @cached_property
    def planned_lengths(self) -> np.ndarray | None:
        """See `BasePlan`; None where batches have a size."""
        if not isinstance(self.spans, Limited):
            return None
        lengths = np.empty(self.sequence.count)
        lengths[self.sequence.samples(0, self.sequence.count)] = self.spans.costs
        return lengths

    @property
    def padded_budget(self) -> tuple[np.ndarray, float] | None:
        """See `BasePlan`."""
        if not isinstance(self.spans, Limited) or not self.spans.padded or self.planned_lengths is None:
            return None
        return self.planned_lengths, self.spans.limit

    def real(self, batch: int) -> int:
        """How many samples of a micro-batch count; the others come last and are fillers.

        Args:
            batch: the number of the micro-batch, from 0.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.evaluation(5, batch_size=4).stepped(2)
            >>> [(plan[t].tolist(), plan.real(t)) for t in range(2)]
            [([0, 1, 2], 3), ([3, 4, 4], 2)]
        """
        first, last, _ = self.span(counted(batch))
        return last - first

    def span(self, batch: int) -> Span:
        """The first place of a micro-batch in the order, the place after its last, and its size with fillers."""
        if self._is_rest(batch):
            return self.spans.span(self.start, self.step_size, batch - self.first)
        return self.spans.span(0, self.step_size, batch % self.epoch_batches)

    def stepped(self, step_size: int) -> EvaluationPlan:
        """The same plan with steps of `step_size` micro-batches; see `Plan`."""
        if check_integer(step_size, "step_size", least=1) == self.step_size and not self.start:
            return self
        found = copy.copy(self)
        found.step_size, found.start, found.first = step_size, 0, 0
        found.epoch_batches = self.spans.count(0, step_size)
        return found

    def with_step_size_from(self, batch: int, step_size: int) -> tuple[EvaluationPlan, int]:
        """The plan in steps of another size: the rest of the order is cut again; see `MicroBatches`."""
        if step_size == self.step_size and batch % step_size == 0:
            return self, batch
        return self._rest_from(batch // self.epoch_batches, self.span(batch).first, step_size)

    def without_past(self, batch: int) -> tuple[EvaluationPlan, int]:
        """See `MicroBatches`: after the epoch in which the world size changed, the plan is that of a fresh run."""
        return (self if self._is_rest(batch) else self.stepped(self.step_size)), batch

    def plan_state(self, batch: int, since: int) -> dict[str, Any]:
        """The step size, and the place in the order where the rest begins, if there is a rest; see `MicroBatches`."""
        return {"step_size": self.step_size} | ({"start": self.start} if self._is_rest(batch) else {})

    def resumed(self, plan_state: Mapping[str, Any], batch: int) -> MicroBatches:
        """The micro-batches of a run whose state holds `plan_state`; see `Plan`."""
        if set(plan_state) - {"step_size", "start"} or "step_size" not in plan_state:
            raise Infeasible(f"the state says {shown(dict(plan_state))} of a plan for evaluation", AS_IT_WAS)
        step_size = number_of(plan_state["step_size"], "the state's step_size")
        start = number_of(plan_state.get("start", 0), "the state's start")
        if not (1 <= step_size <= MOST_RANKS and 0 <= start <= self.sequence.count):
            raise Infeasible(
                f"the state's step_size is {step_size} and it begins at place {start} of {self.sequence.count}, the largest "
                f"step is {MOST_RANKS}",
                AS_IT_WAS,
            )
        found, _ = self._rest_from(batch // self.spans.count(0, step_size), start, step_size)
        return found

    def _rest_from(self, epoch: int, start: int, step_size: int) -> tuple[EvaluationPlan, int]:
        """The plan whose epoch `epoch` has only the places from `start` on, and the micro-batch where that epoch begins."""
        found = self.stepped(step_size)
        # The rest has fewer micro-batches than an epoch. It is placed at the end of the epoch, so that all later epochs
        # begin where they begin in a fresh run.
        end = (epoch + 1) * found.epoch_batches
        if not start:
            return found, epoch * found.epoch_batches
        found = copy.copy(found)
        found.start, found.first = start, end - self.spans.count(start, step_size)
        return found, found.first

    def _is_rest(self, batch: int) -> bool:
        """Whether a micro-batch belongs to the epoch in which the world size changed."""
        end = self.first - self.first % self.epoch_batches + self.epoch_batches
        return bool(self.start) and self.first <= batch < end

    @cached_property
    def run_identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch, by name, as short text; see `BasePlan`."""
        return {
            "plan": "evaluation",
            "order": self.sequence.identity,
            "cut": self.spans.kind,
            **fields_as_text(self.spans),
        }

    def summary(self, step_size: int | None = None) -> EvaluationSummary:
        """Steps, fillers and balance on `step_size` ranks; see `Plan.summary`."""
        step_size = self.step_size if step_size is None else step_size
        in_steps = self.stepped(step_size)
        batches, last = in_steps.epoch_batches, in_steps.epoch_batches - step_size
        fillers = [len(in_steps[batch]) - in_steps.real(batch) for batch in range(last, batches)]
        idle = sum(not in_steps.real(batch) for batch in range(last, batches))
        padding, balance = None, 1.0
        if self._costs is not None:
            spans = [in_steps.span(batch) for batch in range(batches)]
            costs = np.array([self._costs.cost(span.first, span.last) for span in spans])
            padded = self._costs.padded and costs.sum()
            padding = float(1 - self._costs.costs.sum() / costs.sum()) if padded else 0.0
            full = costs[:last].reshape(-1, step_size)
            busy = full[full.sum(axis=1) > 0]
            balance = float((busy.max(axis=1) / busy.mean(axis=1)).mean()) if busy.size else 1.0
        return EvaluationSummary(
            self.sequence.count,
            step_size,
            batches // step_size,
            sum(fillers),
            idle,
            padding,
            balance,
            self.shortcomings,
        )

    def audit(self, *, step_size: int = 1, epochs: int = 1, first: int = 0) -> Audit:
        """Measure guarantees G1, G4 and G8 on the micro-batches of the plan; see `audit.audit_evaluation`."""
        from ..audit import audit_evaluation

        return audit_evaluation(self, step_size=step_size, epochs=epochs, first=first)

    @internal
    def audit_of_run(self, step_size: int, *, epoch: int = 0, batches: int = 1000) -> Audit:
        """See `Plan`: of the epoch."""
        return self.audit(step_size=step_size, first=epoch)

    def __repr__(self) -> str:
        return f"<plan: evaluation of {self.sequence.count} samples in {self.epoch_batches} micro-batches>"


@recorded
def evaluation(
    samples: int | Sized,
    batch_size: int | None = None,
    *,
    max_tokens: float | None = None,
    capacity: int | None = None,
    order: OrderName = "file",
    too_long: TooLong = "refuse",
    seed: int = 0,
) -> EvaluationPlan:
    """A plan that yields every sample exactly once over all ranks, in equally many steps on each.

    Use it for validation, tests and prediction. `torch.utils.data.DistributedSampler` repeats samples until all ranks have
    equally many, so metrics depend on the number of ranks. Here a rank that has no sample left gets a filler: a real
    sample that keeps it busy, so that no collective operation hangs. `sampler.real(step)` is the number of samples in a
    batch that count; `batchwright.correct.Means` leaves the others out.

    All epochs are equal. The batches of all ranks, step by step, have the samples in their order.

    Args:
        samples: how many samples there are, or a dataset that has a length. With `max_tokens`, `capacity` or
            `order="length"`: array-like of shape (n_samples,), the lengths of the samples, 0 or more; with both `capacity`
            and `order="length"`, which packs them, whole numbers of 1 or more.
        batch_size: samples in every batch. The batches of the last step are smaller, and equal in size.
        max_tokens: instead of `batch_size`: the most tokens of a padded batch: longest sample times number of samples.
        capacity: instead of `batch_size`: the largest sum of lengths in a list, for packs and for ragged batches.
        order: "file" (sample 0 first), "shuffled" (by `seed`, the same in every epoch), or "length" (longest first, for
            the least padding; with `capacity`, packs by best fit, the fullest first).
        too_long: samples longer than `max_tokens` or `capacity`: "refuse", or "alone" in a batch of their own.
        seed: of `order="shuffled"`, 0 to 2^64 - 1.

    Returns:
        A plan. Its `sampler()` goes into a `DataLoader`; `plan.real(t)` is how many samples of micro-batch t count.

    Raises:
        Infeasible: no samples; none or several of `batch_size`, `max_tokens` and `capacity`; a sample that is too long;
            lengths that are no numbers of 0 or more, or for packs not whole numbers of 1 or more.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.evaluation(10, batch_size=4)
        >>> [list(plan.sampler(rank=rank, world_size=2)) for rank in range(2)]
        [[[0, 1, 2, 3], [8]], [[4, 5, 6, 7], [9]]]
    """
    limits = {"batch_size": batch_size, "max_tokens": max_tokens, "capacity": capacity}
    given = [name for name, limit in limits.items() if limit is not None]
    if len(given) != 1:
        raise Infeasible(
            f"{' and '.join(given)} were passed" if given else "none of batch_size, max_tokens and capacity was passed",
            "pass one of batch_size, max_tokens and capacity",
        )
    order, seed = one_of(order, "order", get_args(OrderName)), seed_number(seed)
    too_long = one_of(too_long, "too_long", get_args(TooLong))
    if batch_size is not None:
        size = check_integer(batch_size, "batch_size", least=1)
        if order == "length":
            lengths = _lengths(samples)
            listed = Listed(_longest_first(lengths))
            return EvaluationPlan(listed, Even(listed.count, size), lengths=lengths)
        count = _some(check_sample_count(samples))
        check_epoch(-(-count // size), "")
        return EvaluationPlan(_plain(order, count, seed), Even(count, size))
    lengths = _lengths(samples)
    called = given[0]
    limit = float(check_number(limits[called], called))
    if limit <= 0:
        raise Infeasible(f"{called} is {exactly(limit)}", f"pass {called} above 0")
    over = lengths > limit
    if over.any() and too_long == "refuse":
        longest = exactly(lengths.max())
        refuse_too_long(
            f"sample {over.argmax()} has length {exactly(lengths[over][0])}, {called} is {exactly(limit)}",
            over,
            f"{called}={longest} or more",
            ["'alone'"],
        )
    if called == "capacity" and order == "length":
        return _packed(samples, lengths, limit)
    sequence: Finite = Listed(_longest_first(lengths)) if order == "length" else _plain(order, lengths.size, seed)
    costs = lengths[sequence.samples(0, lengths.size)]
    return EvaluationPlan(sequence, Limited(costs, limit, padded=called == "max_tokens"))


def _plain(order: OrderName, count: int, seed: int) -> Finite:
    return InFileOrder(count) if order == "file" else Shuffled(count, seed)


def _packed(samples: Any, lengths: Floats, capacity: float) -> EvaluationPlan:
    """Best-fit packs, the fullest first; a sample over the capacity is a pack of its own."""
    whole = columns.whole_numbers(samples, called="lengths", least=1)
    long, fitting = np.flatnonzero(lengths > capacity), np.flatnonzero(lengths <= capacity)
    packing = pack(whole[fitting], int(capacity))
    packs = [long[at : at + 1] for at in range(long.size)]
    packs += np.split(fitting[packing.members], packing.offsets[1:-1]) if fitting.size else []
    packs.sort(key=lambda members: -float(lengths[members].sum()))
    listed = np.concatenate(packs)
    begins = np.cumsum([0, *(members.size for members in packs)])
    return EvaluationPlan(Listed(listed), Limited(lengths[listed], capacity, padded=False, packs=begins))


def _lengths(samples: Any) -> Floats:
    """A column of lengths, float64 (samples,)."""
    lengths = columns.lengths_of(samples)
    _some(lengths.size)
    return lengths.astype(np.float64)


def _longest_first(lengths: Floats) -> Integers:
    return np.argsort(-lengths, kind="stable")


def _some(count: int) -> int:
    """A number of samples, checked."""
    if count < 1:
        raise Infeasible(
            "there are 0 samples to evaluate", "pass a dataset of 1 sample or more, or skip the evaluation"
        )
    return count
