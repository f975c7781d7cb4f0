"""What every plan is: micro-batches for a sampler, what they are made of for whoever corrects for it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..columns import sample_numbers
from ..errors import Infeasible, shown

if TYPE_CHECKING:
    from torch.nn import Module

    from ..groups import Groups
    from ..sampler import BatchSampler, Fetch
    from .position import Epoch, Position
    from .strata import Strata

__all__ = ["Plan"]


class Plan(ABC):
    """A pure rule that says what is in every micro-batch of every epoch, and so how often each sample comes.

    Everything depends on the plan's arguments alone: not on the process, the rank, or what was asked before.

    Attributes:
        groups: who is in which group, by the numbers that the plan yields.
    """

    groups: Groups
    _drawn: tuple[int, Strata] | None = None

    @property
    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Every argument that can change a micro-batch, by name, as short text.

        A target that is a function of the epoch is held by its shares in the first 4 epochs.
        """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """16 hexadecimal digits that two plans share exactly if their `identity` is the same."""

    @property
    @abstractmethod
    def shortcomings(self) -> list[str]:
        """What the plan delivers poorly, in words: samples that repeat within a micro-batch, or practically never come."""

    @abstractmethod
    def epoch_length(self, multiple: int = 1) -> int:
        """Micro-batches in an epoch, rounded up to a multiple."""

    @abstractmethod
    def epoch(self, epoch: int, multiple: int = 1) -> Epoch:
        """The micro-batches of an epoch of a run that always had this multiple."""

    @abstractmethod
    def epoch_at(self, position: Position) -> Epoch:
        """The whole epoch that a position lies in."""

    @abstractmethod
    def started(self, epoch: int, multiple: int) -> Position:
        """The beginning of an epoch in a run that always had this multiple."""

    @abstractmethod
    def moved(self, position: Position, epoch: int) -> Position:
        """The beginning of another epoch of the run that stands at `position`."""

    @abstractmethod
    def refitted(self, position: Position, multiple: int) -> Position:
        """The same place for a run that goes on with another multiple: nothing lost, nothing repeated."""

    @abstractmethod
    def check_position(self, position: Position) -> None:
        """Refuse a place that no run of this plan comes to, or whose epoch cannot be gone through from there.

        Raises:
            Infeasible: on every rank alike.
        """

    def located(self, position: Position) -> Position:
        """The same place, with what makes going on from it as cheap as can be: this is what a state holds."""
        return position

    @property
    @abstractmethod
    def settles_after(self) -> float | None:
        """After how many epochs no share moves any more: 0 if none ever does, None if some may for ever."""

    @property
    @abstractmethod
    def mean_batch_size(self) -> float:
        """Samples in a micro-batch, on average."""

    @abstractmethod
    def strata(self, start: float, stop: float) -> Strata:
        """What is drawn from epoch `start` to epoch `stop`, either of which may lie within one."""

    def __iter__(self) -> NoReturn:
        """A plan is endless; whoever loops over it forgot to ask for an epoch or a sampler.

        Raises:
            TypeError: always.
        """
        raise TypeError("a plan is endless: give plan.sampler() to a DataLoader, loop over plan.epoch(0)")

    def drawn_in(self, epoch: int) -> Strata:
        """What is drawn in an epoch; the one asked for last is kept."""
        number, kept = epoch if self.moves else 0, self._drawn
        if kept is None or kept[0] != number:
            kept = self._drawn = number, self.strata(number, number + 1)
        return kept[1]

    @abstractmethod
    def epochs_at(self, position: Position) -> float:
        """How many epochs of the plan were drawn before a position."""

    def prior_between(self, start: int, stop: int, groups: Groups | None = None) -> np.ndarray:
        """The mean wanted share of every group (the plan's own, if left out) over micro-batches start..stop-1, float64.

        Micro-batches are counted through all epochs of one process.
        """
        if not 0 <= start < stop:
            raise Infeasible(f"there are no micro-batches from {start} to {stop}", "pass 0 <= start < stop")
        length = self.epoch_length()
        return self.strata(start / length, stop / length).prior(self.groups if groups is None else groups)

    def rates(self, indices: Any, *, epoch: int = 0) -> np.ndarray:
        """The part of all that is drawn in an epoch that each of these samples is, in expectation, float64."""
        return self.drawn_in(epoch).rates(sample_numbers(indices))

    @cached_property
    def natural_prior(self) -> np.ndarray:
        """The share of every group among all samples, float64 in the order of `groups.names`."""
        prior: np.ndarray = self.groups.sizes / self.groups.grouped_count
        return prior

    @cached_property
    def moves(self) -> bool:
        """Whether a share changes from epoch to epoch, or may be set while a run is under way."""
        return self.settles_after != 0

    def horizon(self) -> int:
        """The micro-batches that `sampled_prior` is the mean over: until all shares have settled, one epoch at least.

        Raises:
            Infeasible: shares may move for ever, so that there is no one prior.
        """
        if self.settles_after is None:
            raise Infeasible(
                "the shares of this plan may move for ever, so it has no one prior",
                "pass batches=, the micro-batches to take the mean over, or call plan.prior_between(start, stop) or "
                "LogitAdjustment.from_sampler(sampler)",
            )
        return math.ceil((self.settles_after or 1) * self.epoch_length())

    @cached_property
    def sampled_prior(self) -> np.ndarray:
        """The share of every group in what is sampled, float64 in the order of `groups.names`.

        Where shares move the mean over the epochs until they settle; `prior_between` gives it for any stretch.

        Raises:
            Infeasible: shares may move for ever, so that there is no one prior.
        """
        return self.prior_between(0, self.horizon())

    def weights(self, indices: Any, *, epoch: int | None = None) -> np.ndarray:
        """How much each of these samples stands for: natural over sampled inclusion rate, float64.

        The mean of `weight * value` over the sampled stream estimates the mean of `value` over all samples without bias
        (Horvitz and Thompson 1952); the weights themselves average to 1. Where shares were set while a run was under way,
        they are the weights of what comes now.

        Args:
            indices: numbers of samples.
            epoch: which epoch they are drawn in; needed where shares move.

        Raises:
            Infeasible: a sample is never drawn, so nothing stands for it; or shares move and no epoch is given.

        Example:
            >>> import batchwright as bw
            >>> bw.balanced(["cat", "cat", "cat", "dog"], batch_size=2).weights([0, 3]).tolist()
            [1.5, 0.5]
        """
        if epoch is None and self.moves:
            raise Infeasible(
                "the plan's shares move, a sample has another weight in another epoch",
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

    def check(self, model: Module, *, example: Any = None, classes: Any = None, world_size: int = 1) -> None:
        """Refuse to feed a model whose BatchNorm layers these batches are too small for; see `batchwright.correct.check`."""
        from ..correct import check

        check(self, model, example=example, classes=classes, world_size=world_size)

    def sampler(
        self,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        accumulate: int = 1,
        fetch: Fetch = "micro",
    ) -> BatchSampler:
        """A batch sampler for `torch.utils.data.DataLoader(dataset, batch_sampler=...)`; see `batchwright.BatchSampler`."""
        from ..sampler import BatchSampler

        return BatchSampler(self, rank=rank, world_size=world_size, accumulate=accumulate, fetch=fetch)
