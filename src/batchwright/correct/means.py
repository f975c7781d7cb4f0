"""Means over all samples of an evaluation, over all ranks, with fillers left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..distributed import summed
from ..errors import Infeasible, listed, shown, typed

if TYPE_CHECKING:
    from ..sampler import BatchSampler

__all__ = ["Means"]


class Means:
    """Sums values of samples list by list; `result` is their means over all ranks.

    Use it for validation losses and metrics that are means over samples or over tokens. The result does not depend on how
    many ranks there are: fillers (see `batchwright.evaluation`) are left out, whole numbers are summed exactly and all
    others in float64. A mean over ranks of each rank's own mean would weigh the samples of ranks that have fewer too much.

    Args:
        sampler: what yields this rank's lists.

    Raises:
        Infeasible: it is no sampler.

    Example:
        >>> import batchwright as bw
        >>> sampler = bw.evaluation(5, batch_size=2).sampler()
        >>> means = Means(sampler)
        >>> for step, samples in enumerate(sampler):
        ...     means.add(step, number=samples, even=[sample % 2 == 0 for sample in samples])
        >>> means.result()
        {'number': 2.0, 'even': 0.6}
    """

    def __init__(self, sampler: BatchSampler) -> None:
        if not hasattr(sampler, "accumulate"):
            raise Infeasible(
                f"a sampler is needed, this is {typed(sampler)}", "pass what plan.sampler(...) gives your loader"
            )
        self.sampler = sampler
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, step: int, *, epoch: int | None = None, **values: Any) -> None:
        """Add the values of this rank's list number `step` of an epoch (the present one if left out).

        Args:
            step: the loop's own count, from 0; after a resume from `sampler.step`.
            epoch: which epoch it is of.
            values: by name, a tensor or a list of shape (samples of the list,), one value a sample in the order of the
                list, those of fillers included. Or a pair of two such, sums and amounts: a mean over tokens is the pair of
                each sample's summed loss and its number of tokens.

        Raises:
            Infeasible: the values are not one for each sample of a list of this step, or names change between steps.
        """
        real = self.sampler.real(step, epoch=epoch)
        if self._sums and self._sums.keys() != values.keys():
            raise Infeasible(
                f"step {step} has values called {listed(values)}, an earlier one {listed(self._sums)}",
                "add the same names in every step",
            )
        for name, value in values.items():
            over, under = value if isinstance(value, tuple) else (value, None)
            sums = _sum(over, real, name)
            amounts = torch.tensor(real) if under is None else _sum(under, real, name)
            before = self._sums.get(name)
            self._sums[name] = (sums, amounts) if before is None else (before[0] + sums, before[1] + amounts)

    def result(self, *, process_group: dist.ProcessGroup | None = None) -> dict[str, float]:
        """The means over all ranks of the group: one all-reduce, the same numbers on every rank.

        Args:
            process_group: the ranks that were evaluated on; all of them if left out.

        Returns:
            By name, the sum of all values over the number of samples, or over the sum of all amounts; NaN where that is 0.

        Raises:
            Infeasible: nothing was added.
        """
        if not self._sums:
            raise Infeasible("there are means of 0 values", "call means.add(step, loss=...) in every step")
        table = torch.stack([part.double() for pair in self._sums.values() for part in pair])
        totals = summed(table, process_group).reshape(-1, 2)
        means = (totals[:, 0] / totals[:, 1]).tolist()
        return dict(zip(self._sums, means, strict=True))


def _sum(values: Any, real: int, name: str) -> Tensor:
    """The sum of the first values, on the CPU: exact for whole numbers, in float64 for others."""
    found = torch.as_tensor(values).detach()
    if found.dim() != 1 or len(found) < real:
        raise Infeasible(
            f"{shown(name)} has shape {tuple(found.shape)}, the list has {real} samples that count",
            'pass one value a sample, such as the loss with reduction="none"',
        )
    counted = found[:real].cpu()
    return counted.double().sum() if counted.is_floating_point() else counted.sum(dtype=torch.int64)
