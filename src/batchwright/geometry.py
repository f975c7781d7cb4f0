"""The sizes of a training step: micro-batch, accumulation, replicas, device iterations."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from .errors import Infeasible, check_integer

if TYPE_CHECKING:
    from .base_plan import BasePlan
    from .run.sampler import BatchSampler

__all__ = ["Geometry"]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The sizes of a training step, in the words of trainers and of loaders for pipelined accelerators.

    Attributes:
        micro_batch: samples in one forward pass of one replica.
        accumulate: micro-batches whose gradients a replica adds up for one optimizer step.
        replicas: copies of the model, each on its own micro-batches.
        device_iterations: optimizer steps for which one call of the loader fetches the samples.

    Raises:
        Infeasible: a number below 1.

    Example:
        >>> import batchwright as bw
        >>> geometry = bw.Geometry(micro_batch=4, accumulate=8, replicas=2, device_iterations=3)
        >>> geometry.step_samples, geometry.rank_samples, geometry.fetch_samples, geometry.fetch
        (64, 32, 96, 24)
    """

    micro_batch: int
    accumulate: int = 1
    replicas: int = 1
    device_iterations: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, check_integer(getattr(self, field.name), field.name, least=1))

    @property
    def step_samples(self) -> int:
        """Samples in one optimizer step, over all replicas."""
        return self.rank_samples * self.replicas

    @property
    def rank_samples(self) -> int:
        """Samples of one replica in one optimizer step."""
        return self.micro_batch * self.accumulate

    @property
    def fetch(self) -> int:
        """Micro-batches in one fetch of one replica."""
        return self.accumulate * self.device_iterations

    @property
    def fetch_samples(self) -> int:
        """Samples in one fetch of one replica."""
        return self.micro_batch * self.fetch

    def sampler(self, plan: BasePlan, *, rank: int | None = None) -> BatchSampler:
        """A sampler each of whose batches is one fetch.

        Args:
            plan: a plan with micro-batches of `micro_batch` samples.
            rank: the replica that this process feeds. If left out, one process feeds all replicas: a batch then has the
                fetches of all of them, micro-batch by micro-batch in the order of the plan.

        Raises:
            Infeasible: the plan's micro-batches have another size.
        """
        size = plan.batch_size
        if size not in (None, self.micro_batch):
            raise Infeasible(
                f"micro_batch is {self.micro_batch}, the plan's micro-batches have {size} samples",
                f"build the plan with batch_size={self.micro_batch}",
            )
        together = self.replicas if rank is None else 1
        from .run.sampler import BatchSampler

        return BatchSampler(
            plan,
            rank=rank or 0,
            world_size=self.replicas // together,
            accumulate=self.accumulate * together,
            fetch=self.fetch * together,
        )
