"""What other modules need of a plan: an endless sequence of micro-batches, and how often each sample comes in it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import numpy as np

from .errors import Infeasible, check_integer, shown
from .inputs.columns import sample_numbers
from .micro_batches import MicroBatches, Slice, whole_steps
from .public import internal

if TYPE_CHECKING:
    from .groups import Groups
    from .inputs.label_sets import LabelRates
    from .lengths.cutter import Cutter
    from .lengths.pack_cutter import PackBorders
    from .orders import ShareChange, SharedOrder
    from .orders.inclusion import InclusionRates

__all__ = ["BasePlan", "NumberColumn"]


class NumberColumn(Protocol):
    """A number for each sample: an array, or a column that is widened only where it is read."""

    def __getitem__(self, samples: Any) -> np.ndarray: ...


class BasePlan(MicroBatches):
    """What samplers, audits and corrections need of a plan; `plans.plan.Plan` adds what users need.

    `plan[t]` is micro-batch t, for t below 89 * 2**32. It depends only on the plan's arguments:
    not on the process, the rank, or earlier calls.

    Attributes:
        groups: the groups of samples, by the numbers that the plan yields.
        named: whether samplers yield pairs (task, number in the task's dataset) in place of indices.
        order: of plans with a batch size, the order that they cut; else None.
        batch_size: samples in every micro-batch; None where sizes differ.
        label_rates: of `multilabel`, the labels of the samples and their rates; else None.
        cutter: of plans by lengths, what cuts items into micro-batches; else None.
        same_samples: whether every epoch has the same samples, each once, by the arguments of the plan alone.
        children: of plans of tasks, the plan of each; of others none.
        unit: "step" where a task keeps all micro-batches of a step, else "batch".
    """

    groups: Groups
    named: bool = False
    order: SharedOrder | None = None
    batch_size: int | None = None
    label_rates: LabelRates | None = None
    cutter: Cutter | None = None
    same_samples: bool = False
    children: Sequence[Any] = ()
    unit: str = "batch"
    _drawn: tuple[int, InclusionRates] | None = None

    @property
    @abstractmethod
    def run_identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch of a run, by name, as short text.

        A target that is a function of the epoch is represented by its shares in the first 4 epochs. No step size is
        included: a run chooses its own, and its state stores the step sizes of its tasks.
        """

    @property
    @abstractmethod
    def run_fingerprint(self) -> str:
        """16 hexadecimal digits: equal for two plans if and only if their `run_identity` is equal."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch, by name, as short text: `run_identity` and the step sizes."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """16 hexadecimal digits: equal for two plans if and only if their `identity` is equal."""

    @property
    @abstractmethod
    def shortcomings(self) -> list[str]:
        """Warnings for users: samples that repeat within a micro-batch, or are practically never drawn."""

    @property
    @abstractmethod
    def settles_after(self) -> float | None:
        """The epochs after which shares no longer change: 0 if they never change, None if they may always change."""

    @property
    @abstractmethod
    def mean_batch_size(self) -> float:
        """Samples in a micro-batch, on average."""

    @property
    def shards_change_rates(self) -> bool:
        """Whether samples come more or less often in some epochs only because few shards are open: no share changes."""
        return False

    @property
    def order_plan(self) -> BasePlan:
        """The plan whose order is cut: of plans by lengths the one that was given, else the plan itself."""
        return self

    @property
    def share_changes(self) -> tuple[ShareChange, ...]:
        """The changes of the shares of a plan with a batch size during the run."""
        return ()

    @property
    def pack_borders(self) -> PackBorders | None:
        """Finds where the packs of a micro-batch start; None of plans that make no packs."""
        return None

    @property
    def splits(self) -> bool:
        """Whether the plan yields numbers of pieces of samples, not of samples."""
        return False

    @property
    def divides_samples(self) -> bool:
        """Whether a sample may be in several micro-batches of a step, each of which runs a part of it."""
        return False

    @property
    def planned_lengths(self) -> NumberColumn | None:
        """The lengths that the plan was made from, which `planned_lengths[samples]` gives as an array; None of other plans.

        Of several lengths of a sample, these are the first.
        """
        return None

    @property
    def padded_budget(self) -> tuple[NumberColumn, float] | None:
        """The lengths to which the plan counts each sample to be padded, and the most that a micro-batch may have of them.

        None of plans without such a budget.
        """
        return None

    @abstractmethod
    def inclusion_rates(self, start: float, stop: float) -> InclusionRates:
        """The inclusion rates of all samples from epoch `start` to epoch `stop`, which may be fractions."""

    @abstractmethod
    def shares(self, epoch: int = 0) -> np.ndarray:
        """The share of every group in an epoch, float64 in the order of `groups.names`, summing to 1."""

    def stepped(self, step_size: int) -> BasePlan:
        """The plan with steps of `step_size` micro-batches: those of a step have like costs, one bucket, or one task.

        Step k is the micro-batches k * step_size to (k + 1) * step_size - 1; in a run, `step_size` is world size x
        accumulate. `Position.start_of_epoch` calls this for the run of a sampler; users need not. Plans of micro-
        batches of a fixed size return themselves: a step means nothing there.

        Args:
            step_size: 1 or more.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.budgeted([9, 7, 5, 3, 2, 1], max_tokens=9, padded=False).stepped(2)
            >>> plan.step_size, plan.epoch_batches
            (2, 4)
        """
        check_integer(step_size, "step_size", least=1)
        return self

    @abstractmethod
    def resumed(self, plan_state: Mapping[str, Any], batch: int) -> MicroBatches:
        """The micro-batches of a run that resumes from a state; the inverse of `plan_state`.

        Args:
            plan_state: what `plan_state` returned.
            batch: the micro-batch that `plan_state` was called with.

        Raises:
            Infeasible: a state of this plan cannot hold this.
        """

    def with_shares_of(self, plan: Any) -> BasePlan:
        """See `MicroBatches`; `plan` may be the sequence of a run of this plan."""
        return self

    def epoch_length(self, step_size: int = 1) -> int:
        """Micro-batches in an epoch of a run, rounded up to a multiple; none is repeated for that, the sequence is endless.

        Args:
            step_size: world size x accumulate of the run.
        """
        return whole_steps(self.stepped(check_integer(step_size, "step_size", least=1)).epoch_batches, step_size)

    def epoch(self, epoch: int, step_size: int = 1) -> Slice:
        """The micro-batches of an epoch of a run, as a sequence; it assumes that the run never changed its world size.

        Args:
            epoch: 0 or more.
            step_size: world size x accumulate of the run.
        """
        epoch, length = check_integer(epoch, "epoch", least=0), self.epoch_length(step_size)
        return Slice(self.stepped(step_size), epoch * length, length)

    def __iter__(self) -> NoReturn:
        """Refused, since a plan is endless and a loop over it would never end.

        Raises:
            TypeError: always.
        """
        raise TypeError("a plan is endless: give plan.sampler() to a DataLoader, loop over plan.epoch(0)")

    def locate(self, indices: Any) -> tuple[list[Hashable], np.ndarray]:
        """The group of each sample, and its index within the group; for a mixture, the source and the index there.

        Args:
            indices: array-like of shape (samples,), the numbers that the plan yields.

        Example:
            >>> import batchwright as bw
            >>> names, numbers = bw.mixed({"web": 100, "books": 10}, batch_size=4).locate([105, 7])
            >>> names, numbers.tolist()
            (['books', 'web'], [5, 7])
        """
        return self.groups.locate(indices)

    def drawn_before(self, batches: float) -> np.ndarray:
        """How many samples of each group came in so many micro-batches from the start, float64 (groups,); an expectation."""
        if batches <= 0:
            return np.zeros(self.groups.group_count)
        shares = self.prior_between(0, max(1, round(batches)))
        drawn: np.ndarray = shares * (batches * self.mean_batch_size)
        return drawn

    def drawn_in(self, epoch: int) -> InclusionRates:
        """The inclusion rates of an epoch; the result for the last epoch is kept."""
        epoch = check_integer(epoch, "epoch", least=0)
        number, kept = epoch if self.rates_change else 0, self._drawn
        if kept is None or kept[0] != number:
            kept = self._drawn = number, self.inclusion_rates(number, number + 1)
        return kept[1]

    def prior_between(self, start: int, stop: int, groups: Groups | None = None) -> np.ndarray:
        """The mean wanted share of every group over micro-batches start..stop-1, float64 (groups,).

        Micro-batches are counted from the start of the plan, through all epochs, in a run with a world size of 1.
        Without `groups`, the shares are those of the plan's own groups.
        """
        if not 0 <= start < stop:
            raise Infeasible(f"there are no micro-batches from {start} to {stop}", "pass 0 <= start < stop")
        return self.drawn_between(start, stop).prior(self.groups if groups is None else groups)

    @internal
    def drawn_between(self, start: int, stop: int) -> InclusionRates:
        """The inclusion rates of micro-batches start..stop-1, counted as `prior_between` does.

        They are those of the wanted shares; where samples come in an order that is no random one, what is drawn is counted.
        """
        length = self.epoch_length()
        return self.inclusion_rates(start / length, stop / length)

    def rates(self, indices: Any, *, epoch: int = 0) -> np.ndarray:
        """The expected share of each of these samples in the draws of an epoch, float64, in the shape of `indices`."""
        return self.drawn_in(epoch).rates(sample_numbers(indices))

    @cached_property
    def natural_prior(self) -> np.ndarray:
        """The share of every group among all samples, float64 in the order of `groups.names`."""
        prior: np.ndarray = self.groups.sizes / self.groups.grouped_count
        return prior

    @property
    def why_rates_change(self) -> str:
        """Why samples come more or less often from epoch to epoch, for messages."""
        return "shares move" if self.settles_after != 0 else "open shards change"

    @cached_property
    def rates_change(self) -> bool:
        """Whether samples come more or less often from epoch to epoch: shares change or are set, or few shards are open."""
        return self.settles_after != 0 or self.shards_change_rates

    def horizon(self) -> int:
        """The micro-batches over which `sampled_prior` averages: until all shares have settled, at least one epoch.

        Raises:
            Infeasible: shares may always change, so there is no single prior.
        """
        if self.settles_after is None:
            raise Infeasible(
                "the shares of this plan may move without end, so it has no one prior",
                "pass batches=, the micro-batches to take the mean over, or call plan.prior_between(start, stop) or "
                "LogitAdjustment.from_sampler(sampler)",
            )
        return math.ceil(max(1, self.settles_after) * self.epoch_length())

    @cached_property
    def sampled_prior(self) -> np.ndarray:
        """The share of every group in what is sampled, float64 in the order of `groups.names`.

        If shares change, it is the mean over the epochs until they settle, else it is that of epoch 0. With `local=`
        epochs may differ where open shards lack a group; `prior_between` gives it for any micro-batches.

        Raises:
            Infeasible: shares may always change, so there is no single prior.
        """
        return self.prior_between(0, self.horizon())

    def weights(self, indices: Any, *, epoch: int | None = None) -> np.ndarray:
        """The weight of each sample that corrects for the sampling, float64: natural over sampled inclusion rate.

        The mean of `weight * value` over the sampled stream estimates the mean of `value` over all samples without bias
        (Horvitz and Thompson 1952); the weights themselves average to 1. If shares were set during a run, these are the
        weights of what comes next.

        Args:
            indices: numbers of samples, array-like of any shape.
            epoch: the epoch in which they are drawn; needed if shares change, and of plans with `local=`.

        Raises:
            Infeasible: a sample is never drawn, so it has no weight; or shares change and no epoch is given.

        Example:
            >>> import batchwright as bw
            >>> bw.balanced(["cat", "cat", "cat", "dog"], batch_size=2).weights([0, 3]).tolist()
            [1.5, 0.5]
        """
        if epoch is not None:
            epoch = check_integer(epoch, "epoch", least=0)
        elif self.rates_change:
            raise Infeasible(
                f"the plan's {self.why_rates_change}, a sample has another weight in another epoch",
                "pass epoch=..., the epoch that the samples are drawn in",
            )
        samples = sample_numbers(indices)
        rates = self.rates(samples, epoch=epoch or 0)
        if rates.size and rates.min() <= 0:
            never = int(samples.flat[rates.argmin()])
            number = int(self.groups.group_of(never))
            whose = (
                f"of group {shown(self.groups.names[number])}" if number < self.groups.group_count else "of no group"
            )
            raise Infeasible(
                f"sample {never} {whose} is never drawn, no weight makes up for that",
                "ask for the weights of drawn samples",
            )
        found: np.ndarray = 1 / (self.groups.grouped_count * rates)
        return found
