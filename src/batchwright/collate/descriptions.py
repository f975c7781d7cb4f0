"""Descriptions of ragged fields for models: lengths, offsets, segments, positions, masks."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor
from typing_extensions import override

from ..errors import Infeasible, shown
from .layout import Layout
from .padding import Padding
from .values import Value

__all__ = ["DESCRIPTIONS", "WithLengths"]

DESCRIPTIONS = ("lengths", "first", "offsets", "cu_seqlens", "max_length", "segments", "positions", "mask")


class WithLengths(Value):
    """A field with lengths: the lengths of its samples along each ragged dimension describe it."""

    dims: tuple[int, ...]
    padding: Padding

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """How the packed dimension is divided among the samples."""

    @property
    @abstractmethod
    def axes(self) -> tuple[Layout, ...]:
        """The lengths along each ragged axis; `layout` has their products."""

    @property
    @abstractmethod
    def padded(self) -> Tensor:
        """N x ...: every sample padded with `padding.value` to a common length."""

    @override
    def also(self, what: str) -> Any:
        if what not in DESCRIPTIONS:
            raise Infeasible(f"a ragged field has no {shown(what)}", f"ask for one of {', '.join(DESCRIPTIONS)}")
        return getattr(self, what)

    @property
    def lengths(self) -> Tensor:
        """int64, N: the length of each sample."""
        return self.layout.lengths

    @property
    def first(self) -> Tensor:
        """int64, N: the packed index of each sample's first element."""
        return self.layout.first

    @property
    def offsets(self) -> Tensor:
        """int64, N + 1: where each sample starts in the packed form, and the end."""
        return self.layout.offsets

    @property
    def cu_seqlens(self) -> Tensor:
        """int32, N + 1: `offsets` for attention functions."""
        return self.layout.cu_seqlens

    @property
    def max_length(self) -> int:
        """The length of the longest sample, a Python integer."""
        return self.layout.max_length

    @property
    def segments(self) -> Tensor:
        """int64: the sample of each packed element."""
        return self.layout.segments

    @property
    def positions(self) -> Tensor:
        """int64: the place of each packed element within its sample."""
        return self.layout.positions

    @property
    def mask(self) -> Tensor:
        """bool, of the padded form's ragged shape: True where a sample's own element is."""
        if len(self.dims) == 1:
            return self.layout.mask(self.padded.shape[self.dims[0] + 1], self.padding.side)
        together = [
            axis.mask(self.padded.shape[d + 1], self.padding.side) for d, axis in zip(self.dims, self.axes, strict=True)
        ]
        mask = together[0]
        for axis_mask in together[1:]:
            mask = mask.unsqueeze(-1) & axis_mask.reshape(len(mask), *[1] * (mask.ndim - 1), -1)
        return mask

    @property
    def packed_to_padded(self) -> Tensor:
        """int64: the place of each packed element in the padded form, its first two dimensions flattened."""
        self._one_axis("packed_to_padded")
        return self.layout.packed_to_padded(self.padded.shape[1], self.padding.side)

    @property
    def padded_to_packed(self) -> Tensor:
        """int64, N x length: the packed index of each padded place, -1 for padding."""
        self._one_axis("padded_to_packed")
        return self.layout.padded_to_packed(self.padded.shape[1], self.padding.side)

    def _one_axis(self, what: str) -> None:
        if self.dims != (0,):
            raise Infeasible(
                f"{what} maps fields ragged along dim 0; this one is ragged along {self.dims}", "use `mask`"
            )
