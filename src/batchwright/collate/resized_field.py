"""Images and other grids of different heights and widths, resized or padded to one size and stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from typing_extensions import override

from ..errors import Infeasible, check_bool, check_integer, one_of, shown
from ..readings import as_list
from . import memory
from .arguments import further_keys
from .column import FieldValues
from .fields import Context, Field
from .padding import Padding, pad_grid
from .values import Fill, Held

__all__ = ["Grid", "ResizedField", "resized"]

How = Literal["resize", "pad"]
Mode = Literal["bilinear", "bicubic", "nearest"]


@dataclass(slots=True, eq=False)
class Grid(Held):
    """N grids as one tensor N x ... x H x W, and the height and width of each sample."""

    held: Tensor
    sizes: tuple[tuple[int, int], ...]
    how: How

    @override
    def sample(self, number: int) -> Tensor:
        """The sample; a padded one exactly as it was, a resized one at the common size."""
        if self.how == "resize":
            return self.held[number]
        height, width = self.sizes[number]
        return self.held[number, ..., :height, :width]

    @override
    def select(self, numbers: Sequence[int]) -> Self:
        chosen = self.held[torch.tensor(numbers, device=self.held.device)]
        return self._holding(chosen, sizes=tuple(self.sizes[number] for number in numbers))

    @override
    def replaced(self, model: Any) -> Self | None:
        places = (0, -2, -1)
        fits = isinstance(model, Tensor) and model.ndim >= 3
        fits = fits and all(model.shape[place] == self.held.shape[place] for place in places)
        return self._holding(model) if fits else None

    @override
    def also(self, what: str) -> Any:
        sizes = torch.tensor(self.sizes, device=self.held.device)
        if what == "sizes":
            return sizes
        if what == "mask":
            if self.how == "resize":
                return torch.ones(len(self), *self.held.shape[-2:], dtype=torch.bool, device=sizes.device)
            height, width = (torch.arange(extent, device=sizes.device) for extent in self.held.shape[-2:])
            return (height < sizes[:, :1])[:, :, None] & (width < sizes[:, 1:])[:, None, :]
        raise Infeasible(f"a resized field has no {shown(what)}", "ask for 'sizes' or 'mask'")

    @property
    @override
    def fill(self) -> Fill:
        places = len(self) * self.held.shape[-2] * self.held.shape[-1]
        real = places if self.how == "resize" else sum(height * width for height, width in self.sizes)
        return Fill(real, places - real)


@dataclass(frozen=True)
class ResizedField(Field):
    """See `resized`."""

    size: tuple[int, int] | Literal["largest"]
    multiple: int
    how: How
    mode: Mode
    antialias: bool
    pad: float
    also: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        one_of(self.how, "how", get_args(How))
        one_of(self.mode, "mode", get_args(Mode))
        if not isinstance(self.size, str) and (len(self.size) != 2 or min(self.size) < 1):
            raise Infeasible(
                f"size is {shown(self.size)}", "pass size=(height, width), each 1 or more, or size='largest'"
            )
        Padding(value=self.pad, multiple=self.multiple)  # checks them

    @property
    @override
    def offers(self) -> tuple[str, ...]:
        return ("sizes", "mask")

    @override
    def gather(self, column: FieldValues, context: Context) -> Grid:
        images = column.tensors()
        for number, image in enumerate(images):
            if image.layout is not torch.strided or image.is_nested or image.device != images[0].device:
                column.refuse_unlike(images)
            if image.ndim < 2 or 0 in image.shape:
                raise Infeasible(
                    f"{column.at(number)} has shape {tuple(image.shape)}, and an image has a "
                    "height and a width of 1 or more as its last two sizes",
                    "give every image as ... x height x width",
                )
            if image.shape[:-2] != images[0].shape[:-2]:
                raise column.mismatch(
                    images,
                    number,
                    "equal sizes but for height and width (its last two)",
                    "give every image as ... x height x width",
                )
        sizes = tuple((image.shape[-2], image.shape[-1]) for image in images)
        extents = self._extents(sizes)
        if self.how == "pad":
            self._fits(column, images, extents)
            dims = (images[0].ndim - 2, images[0].ndim - 1)
            try:
                return Grid(pad_grid(images, dims=dims, extents=extents, value=self.pad), sizes, self.how)
            except Infeasible as error:
                raise Infeasible(
                    f"{column.at(0)}: {error.fact}",
                    "pass a pad value that the field's dtype has, or how='resize' and mode='nearest'",
                ) from None
        scaled = [self._scaled(column, number, image, extents) for number, image in enumerate(images)]
        return Grid(memory.stack(scaled), sizes, self.how)

    def _extents(self, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
        if self.size == "largest":
            height, width = max(height for height, _ in sizes), max(width for _, width in sizes)
        else:
            height, width = self.size
        return -(-height // self.multiple) * self.multiple, -(-width // self.multiple) * self.multiple

    @staticmethod
    def _fits(column: FieldValues, images: Sequence[Tensor], extents: tuple[int, int]) -> None:
        for number, image in enumerate(images):
            if image.shape[-2] > extents[0] or image.shape[-1] > extents[1]:
                raise Infeasible(
                    f"{column.at(number)} has shape {tuple(image.shape)}, larger than the {extents} it is padded to",
                    "pass size='largest' or how='resize'",
                )

    def _scaled(self, column: FieldValues, number: int, image: Tensor, extents: tuple[int, int]) -> Tensor:
        if tuple(image.shape[-2:]) == extents:
            return image
        if self.mode == "nearest":
            return _nearest(image, extents)
        if not (image.is_floating_point() or image.dtype is torch.uint8):
            raise Infeasible(
                f"{column.at(number)} holds {image.dtype}, which has no {self.mode} values in between",
                "pass mode='nearest' (masks, labels), or convert the image in the dataset",
            )
        planes = image.reshape(1, -1, *image.shape[-2:])
        try:
            grown = interpolate(planes, size=extents, mode=self.mode, antialias=self.antialias, align_corners=False)
        except NotImplementedError:  # torch lacks it for floats of 16 and 8 bits on the CPU
            raise Infeasible(
                f"{column.at(number)} holds {image.dtype}, for which torch has no {self.mode} "
                f"with antialias={self.antialias} on {image.device.type}",
                "convert the image to float32 in the dataset, or pass mode='nearest'",
            ) from None
        return grown.reshape(*image.shape[:-2], *extents)


def _nearest(image: Tensor, extents: tuple[int, int]) -> Tensor:
    """The value of the nearest pixel, for any dtype: as torch's `nearest-exact`, index floor((i + 1/2) * in / out)."""
    for dim, extent in ((-2, extents[0]), (-1, extents[1])):
        numbers = torch.arange(extent, device=image.device)
        image = image.index_select(dim, (2 * numbers + 1) * image.shape[dim] // (2 * extent))
    return image


def _chosen(size: Any) -> Any:
    """Check `size`: (height, width), or "largest"."""
    if isinstance(size, str):
        return one_of(size, "size", ("largest",), or_else="(height, width)")
    try:
        extents = tuple(as_list(size, "size"))
    except TypeError:  # a number, None, a tensor without dimensions
        raise Infeasible(f"size is {shown(size)}", "pass size=(height, width), or size='largest'") from None
    return tuple(check_integer(extent, "a height or width in size") for extent in extents)


def resized(
    size: Sequence[int] | Literal["largest"] = "largest",
    *,
    multiple: int = 1,
    how: How = "resize",
    mode: Mode = "bilinear",
    antialias: bool = True,
    pad: float = 0,
    also: dict[str, str] | None = None,
) -> ResizedField:
    """Grids (... x H x W) of different heights and widths, resized or padded to one size and stacked N x ... x H x W.

    Args:
        size: the common (height, width), or `"largest"`: the largest of each in the batch.
        multiple: both are rounded up to a multiple of this.
        how: `"resize"` interpolates every image to the common size; `"pad"` pads it at the bottom and the right, and
            `unbatch` returns the original.
        mode: `"bilinear"` or `"bicubic"` as in torch's `interpolate` (float or uint8), or `"nearest"` for masks of any
            dtype, which then keep their values.
        antialias: whether the first two smooth images that become smaller.
        pad: the value of padding.
        also: further keys of the batch: `"sizes"` (int64, N x 2, the original heights and widths) or `"mask"` (bool,
            N x H x W, True where an image is).

    Example:
        >>> import torch, batchwright as bw
        >>> collate = bw.Collate(image=bw.resized(multiple=8, how="pad", also={"image_sizes": "sizes"}))
        >>> batch = collate([{"image": torch.ones(3, 10, 6)}, {"image": torch.ones(3, 7, 9)}])
        >>> batch["image"].shape, batch["image_sizes"].tolist()
        (torch.Size([2, 3, 16, 16]), [[10, 6], [7, 9]])
    """
    return ResizedField(
        size=_chosen(size),
        multiple=multiple,
        how=how,
        mode=mode,
        antialias=check_bool(antialias, "antialias"),
        pad=pad,
        also=further_keys(also),
    )
