"""The type of every plan, with all methods that users call."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..interface import BasePlan
from ..orders.protocol import fingerprint_of

if TYPE_CHECKING:
    from torch.nn import Module

    from ..sampler import BatchSampler, Fetch

__all__ = ["Plan"]


class Plan(BasePlan):
    """A pure rule that says what is in every micro-batch, and so how often each sample comes.

    `plan[t]` is micro-batch t, for t below 89 * 2**32 (the last is one less). It depends only on the plan's arguments: not
    on the process, the rank, or earlier calls. Made by `balanced`, `budgeted`, `packed`, `alternating` and other builders.

    Attributes:
        groups: who is in which group, by the numbers that the plan yields.

    Example:
        >>> import batchwright as bw
        >>> def first(plan: bw.Plan) -> list[int]:
        ...     return plan[0].tolist()
        >>> len(first(bw.shuffled(10, batch_size=4)))
        4
    """

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that two plans share exactly if their arguments are the same."""
        return fingerprint_of(self.identity)

    @abstractmethod
    def summary(self) -> Any:
        """What the plan does, in numbers; `print` it."""

    @abstractmethod
    def audit(self) -> Any:
        """Measure what the plan guarantees on what it yields; see `batchwright.audit`."""

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
        from ..sampler import BatchSampler  # it imports torch, which a plan does without

        return BatchSampler(self, rank=rank, world_size=world_size, accumulate=accumulate, fetch=fetch)
