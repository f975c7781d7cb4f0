"""Count, mean and sum of squared deviations of values, and how to merge those of two sets of values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Moments"]


@dataclass(frozen=True)
class Moments:
    """Moments per group and channel: `count` (G, 1), `mean` (G, C), and `squares` (G, C), of deviations from the mean.

    Example:
        >>> left, right = Moments.of(torch.tensor([[1.0], [2.0]])), Moments.of(torch.tensor([[6.0]]))
        >>> both = left.merged(right)
        >>> both.mean.item(), both.variance(unbiased=True).item()
        (3.0, 7.0)
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, values: Tensor, ids: Tensor | None = None, groups: int = 1) -> Moments:
        """The moments of `values` (N, C, ...) over all dimensions but C; by group, if `ids` (N,) are given.

        Differentiable, in the dtype of `values`. Two passes: a mean of squares minus a squared mean would lose digits.
        A group without samples has count, mean and squares 0.
        """
        flat = values.flatten(2) if values.dim() > 2 else values.unsqueeze(-1)
        samples, channels, positions = flat.shape
        if ids is None:
            ids = torch.zeros(samples, dtype=torch.int64, device=values.device)
        zero = values.new_zeros(groups, channels)
        count = values.new_zeros(groups, 1).index_add(0, ids, values.new_full((samples, 1), positions))
        mean = zero.index_add(0, ids, flat.sum(-1)) / count.clamp(min=1)
        centred = flat - mean[ids].unsqueeze(-1)
        return cls(count, mean, zero.index_add(0, ids, centred.square().sum(-1)))

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """`count`, `mean` and `squares`, as the constructor takes them."""
        return self.count, self.mean, self.squares

    def merged(self, other: Moments) -> Moments:
        """The moments of both sets of values together (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        share = other.count / count.clamp(min=1)
        shift = other.mean - self.mean
        squares = self.squares + other.squares + shift.square() * self.count * share
        return Moments(count, self.mean + shift * share, squares)

    def variance(self, *, unbiased: bool) -> Tensor:
        """The variance: squares / (count - 1) where `unbiased`, else squares / count."""
        return self.squares / (self.count - int(unbiased)).clamp(min=1)
