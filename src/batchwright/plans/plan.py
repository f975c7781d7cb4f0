"""The type of every plan, with all methods that users call."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from ..interface import BasePlan

if TYPE_CHECKING:
    from torch.nn import Module

    from ..sampler import BatchSampler, Fetch

__all__ = ["Plan"]


class Plan(BasePlan):
    """An endless list of micro-batches that depends only on its arguments and the seed.

    `plan[t]` is micro-batch t, for t below 89 * 2**32 (the last is one less). It depends only on the plan's arguments:
    not on the process, the rank, or earlier calls. Made by `balanced`, `budgeted`, `packed`, `alternating` and other
    builders.

    Attributes:
        groups: the groups of samples, by the numbers that the plan yields.

    Example:
        >>> import batchwright as bw
        >>> def first(plan: bw.Plan) -> list[int]:
        ...     return plan[0].tolist()
        >>> len(first(bw.shuffled(10, batch_size=4)))
        4
    """

    @abstractmethod
    def summary(self) -> Any:
        """The plan in numbers; `print` it."""

    @abstractmethod
    def audit(self) -> Any:
        """Measure the guarantees of the plan on its micro-batches; see `batchwright.audit`."""

    def check(self, model: Module, *, example: Any = None, classes: Any = None, world_size: int = 1) -> None:
        """Check that batches are large enough for the BatchNorm layers of a model; see `batchwright.correct.check`."""
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
