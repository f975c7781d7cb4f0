"""Plans for evaluation: every sample exactly once, over any number of ranks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Infeasible, check_integer, shown
from ..groups import Groups
from ..lengths.identity import fields_as_text
from ..lengths.stretches import Stretch, Stretches
from ..micro_batches import AS_IT_WAS, MicroBatches, counted
from ..orders.finite import Finite
from ..orders.inclusion import InclusionRates, Stratum
from ..position import number_of
from .plan import Plan

if TYPE_CHECKING:
    from ..audit import Audit
    from .evaluation_summary import EvaluationSummary

__all__ = ["EvaluationPlan"]

_MOST_IN_A_STEP = 1 << 17  # a state with a larger step size is damaged


class EvaluationPlan(Plan):
    """Micro-batches of which every epoch has each sample exactly once; made by `evaluation`.

    A micro-batch is a stretch of consecutive places of one order, so that the micro-batches of all ranks, step by step, are
    that order. The last step may need *fillers*: real samples that only keep a rank busy. They stand last in a micro-batch
    and in their step. `real` says how many samples of a micro-batch count.

    All epochs are alike. An epoch in steps of s micro-batches is a whole number of steps, so every rank has as many
    micro-batches as every other. A run that goes on in another world cuts what is left of the order anew.

    Attributes:
        sequence: the order of the samples.
        stretches: how the order is cut.
        groups: one group of all samples.
        begin: the place of the order that micro-batch `first` begins at; 0 but for a run that changed its world.
    """

    whole_epochs = True
    begin = 0

    def __init__(self, sequence: Finite, stretches: Stretches) -> None:
        self.sequence = sequence
        self.stretches = stretches
        self.groups = Groups.from_sizes({"all": sequence.count})
        self.epoch_batches = stretches.count(0, 1)

    def __getitem__(self, batch: int) -> np.ndarray:
        """The samples of micro-batch `batch`, int64 (samples of the micro-batch,), fillers last."""
        first, last, size = self.stretch(counted(batch))
        samples = self.sequence.samples(first, last)
        if size == last - first:
            return samples
        filler = self.sequence.samples(self.stretches.filler, self.stretches.filler + 1)
        return np.concatenate([samples, np.repeat(filler, size - (last - first))])

    def real(self, batch: int) -> int:
        """How many samples of a micro-batch count; the others stand last and are fillers.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.evaluation(5, batch_size=4).stepped(2)
            >>> [(plan[t].tolist(), plan.real(t)) for t in range(2)]
            [([0, 1, 2], 3), ([3, 4, 4], 2)]
        """
        first, last, _ = self.stretch(counted(batch))
        return last - first

    def stretch(self, batch: int) -> Stretch:
        """The places of the order that a micro-batch holds, and its size."""
        if self._is_rest(batch):
            return self.stretches.stretch(self.begin, self.step, batch - self.first)
        return self.stretches.stretch(0, self.step, batch % self.epoch_batches)

    def stepped(self, step: int) -> EvaluationPlan:
        """The plan with steps of `step` micro-batches, each a stretch of the order; see `Plan`."""
        if check_integer(step, "step", least=1) == self.step and not self.begin:
            return self
        found = copy.copy(self)
        found.step, found.begin, found.first = step, 0, 0
        found.epoch_batches = self.stretches.count(0, step)
        return found

    def gone_on_from(self, batch: int, step: int) -> tuple[EvaluationPlan, int]:
        """The list in other steps: what is left of the order is cut anew; see `MicroBatches`."""
        if step == self.step and batch % step == 0:
            return self, batch
        return self._gone_on(batch // self.epoch_batches, self.stretch(batch).first, step)

    def reached(self, batch: int) -> tuple[EvaluationPlan, int]:
        """See `MicroBatches`: after the epoch that the world changed in, the list is that of any run."""
        return (self if self._is_rest(batch) else self.stepped(self.step)), batch

    def carried(self, batch: int, since: int) -> dict[str, Any]:
        """The step size, and the place where what is left of the order begins; see `MicroBatches`."""
        return {"step": self.step} | ({"begin": self.begin} if self._is_rest(batch) else {})

    def resumed(self, carried: Mapping[str, Any], batch: int) -> MicroBatches:
        """The list of a run whose state holds this; see `Plan`."""
        if set(carried) - {"step", "begin"} or "step" not in carried:
            raise Infeasible(f"the state says {shown(dict(carried))} of a plan for evaluation", AS_IT_WAS)
        step = number_of(carried["step"], "the state's step")
        begin = number_of(carried.get("begin", 0), "the state's begin")
        if not (1 <= step <= _MOST_IN_A_STEP and 0 <= begin <= self.sequence.count):
            raise Infeasible(
                f"the state's step is {step} and it begins at place {begin} of {self.sequence.count}, the largest "
                f"step is {_MOST_IN_A_STEP}",
                AS_IT_WAS,
            )
        found, _ = self._gone_on(batch // self.stretches.count(0, step), begin, step)
        return found

    def _gone_on(self, epoch: int, begin: int, step: int) -> tuple[EvaluationPlan, int]:
        """The list in which epoch `epoch` has only the places from `begin` on, and where that begins."""
        found = self.stepped(step)
        end = (epoch + 1) * found.epoch_batches
        if not begin:
            return found, epoch * found.epoch_batches
        found = copy.copy(found)
        found.begin, found.first = begin, end - self.stretches.count(begin, step)
        return found, found.first

    def _is_rest(self, batch: int) -> bool:
        """Whether a micro-batch is of the epoch that the world changed in."""
        end = self.first - self.first % self.epoch_batches + self.epoch_batches
        return bool(self.begin) and self.first <= batch < end

    @cached_property
    def identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch, by name, as short text; see `Plan`."""
        return {
            "plan": "evaluation",
            "order": self.sequence.identity,
            "cut": type(self.stretches).__name__.lower(),
            **fields_as_text(self.stretches),
        }

    @property
    def shortcomings(self) -> list[str]:
        """Nothing: see `Plan`."""
        return []

    @property
    def settles_after(self) -> float:
        """0: no share ever changes."""
        return 0

    @property
    def mean_batch_size(self) -> float:
        """Samples that count in a micro-batch, on average."""
        return self.sequence.count / self.epoch_batches

    def inclusion_rates(self, start: float, stop: float) -> InclusionRates:
        """Every sample as often as every other; fillers do not count. See `Plan`."""
        return InclusionRates([Stratum(self.groups, 0, np.ones(1))])

    def shares(self, epoch: int = 0) -> np.ndarray:
        """1 for the one group of all samples, float64 (1,)."""
        return np.ones(1)

    def summary(self, multiple: int = 1) -> EvaluationSummary:
        """Steps, fillers and balance on `multiple` ranks; `print` it."""
        from .evaluation_summary import summarise

        return summarise(self, multiple)

    def audit(self, *, multiple: int = 1, epochs: int = 1, first: int = 0) -> Audit:
        """Measure guarantees G1, G4 and G8 on what the plan yields; see `audit.audit_evaluation`."""
        from ..audit import audit_evaluation

        return audit_evaluation(self, multiple=multiple, epochs=epochs, first=first)

    def __repr__(self) -> str:
        return f"<plan: evaluation of {self.sequence.count} samples in {self.epoch_batches} micro-batches>"
