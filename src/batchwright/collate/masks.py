"""Attention masks for packed samples: dense ones, and those of flex attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import Infeasible

__all__ = ["block_mask", "mask"]


def mask(segments: Tensor, *, causal: bool = True) -> Tensor:
    """bool, ... x length x length: True if a query may attend to a key; `segments` are numbered along the last dimension.

    Example:
        >>> from batchwright.collate.layout import Layout
        >>> mask(Layout([2, 1]).segments).int()
        tensor([[1, 0, 0],
                [1, 1, 0],
                [0, 0, 1]], dtype=torch.int32)
    """
    if not segments.ndim:
        raise Infeasible("segments is one number", "pass the number of each element's sample, such as layout.segments")
    together = segments[..., :, None] == segments[..., None, :]
    if not causal:
        return together
    length = segments.shape[-1]
    return together & torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()


def block_mask(segments: Tensor, *, causal: bool = True) -> Any:
    """The `BlockMask` of flex attention; `segments` are numbered along the last dimension (length, or packs x length)."""
    from torch.nn.attention.flex_attention import create_block_mask

    if segments.is_meta:
        raise Infeasible("segments are on the meta device, which has no values", "pass segments on another device")
    if segments.ndim not in (1, 2):
        raise Infeasible(f"segments have {segments.ndim} dimensions", "pass them as length, or packs x length")
    rows = segments if segments.ndim == 2 else segments[None]
    if not rows.numel():
        raise Infeasible("a block mask is asked for of 0 elements", "leave out batches whose samples are all empty")

    def together(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = rows[batch, query] == rows[batch, key]
        return same & (query >= key) if causal else same

    count, length = rows.shape
    return create_block_mask(together, count, None, length, length, device=str(segments.device))
