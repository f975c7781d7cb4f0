"""Packs: samples concatenated to sequences of limited length, with the borders between them marked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from typing_extensions import override

from ..errors import Infeasible, check_integer, one_of, shown
from . import masks, memory
from .layout import Layout
from .padding import fill_value
from .ragged_value import Ragged
from .values import Fill, Transfer, Value

__all__ = ["OFFERS", "PackFill", "PackRules", "Packed", "Plot", "Shape", "laid_out", "pointed_into"]

PackFill = Literal["nothing", "dummy", "extend"]
Shape = Literal["flat", "row", "packs"]

_OF_LENGTHS = ("cu_seqlens", "real_cu_seqlens", "offsets", "lengths", "max_length")
_DESCRIPTIONS = ("positions", "segments", "seq_idx", *_OF_LENGTHS, "mask", "thd")
_MASKS = ("causal_mask", "full_mask", "causal_blocks", "full_blocks")
OFFERS = _DESCRIPTIONS + _MASKS
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def rounded_up(length: int, multiple: int) -> int:
    """The least multiple that is not below a length."""
    return -(-length // multiple) * multiple


@dataclass(frozen=True)
class PackRules:
    """The rules for placing samples in packs; see `Collate.packs`."""

    capacity: int | None = None
    packs: int = 1
    align: int = 1
    fill: PackFill = "nothing"
    seams: tuple[str, ...] = ()
    shape: Shape = "row"
    multiple: int | None = None

    def __post_init__(self) -> None:
        one_of(self.fill, "fill", get_args(PackFill))
        one_of(self.shape, "shape", get_args(Shape))
        for called in ("packs", "align", "capacity", "multiple"):
            if called in ("packs", "align") or getattr(self, called) is not None:
                object.__setattr__(self, called, check_integer(getattr(self, called), called, least=1))
        if self.packs > 1 and self.capacity is None:
            raise Infeasible(f"packs={self.packs} are filled up to a capacity, and none is given", "pass capacity=...")
        if self.multiple is not None and self.fill == "nothing":
            raise Infeasible(
                f"packs are filled up to a multiple of {self.multiple}, and fill is 'nothing'",
                "pass fill='dummy' or fill='extend'",
            )
        if self.fill != "nothing" and self.capacity is None and self.multiple is None:
            raise Infeasible(
                f"fill={shown(self.fill)} fills packs up to a capacity, and none is given",
                "pass capacity=..., or multiple=...",
            )
        if self.capacity is not None and self.capacity % self.align:
            raise Infeasible(
                f"capacity {self.capacity} is no multiple of align {self.align}",
                f"pass a multiple of align as capacity, such as capacity={self.aligned(self.capacity)}",
            )
        if self.capacity is not None and self.capacity % (self.multiple or 1):
            assert self.multiple is not None
            raise Infeasible(
                f"capacity {self.capacity} is no multiple of multiple {self.multiple}, so a full pack is none either",
                f"pass such a capacity, as capacity={rounded_up(self.capacity, math.lcm(self.multiple, self.align))}",
            )

    @property
    def fills(self) -> bool:
        """Whether packs have padding."""
        return self.align > 1 or self.fill != "nothing"

    def aligned(self, length: int) -> int:
        """The elements that a sample of this length takes in a pack."""
        return rounded_up(length, self.align)

    def room(self, held: int) -> int:
        """The elements of padding after the last sample of a pack; below 0 if it is too full."""
        if self.capacity is not None and (self.multiple is None or held > self.capacity):
            return self.capacity - held
        return rounded_up(held, self.multiple or 1) - held

    def cut(self, lengths: Sequence[int]) -> list[int]:
        """How many samples each pack gets, if each takes the next samples that fit."""
        if self.capacity is None:
            return [len(lengths)]
        sizes = [0]
        left = self.capacity
        for length in map(self.aligned, lengths):
            # A sample above the capacity gets a pack of its own here; `Plot.lay` refuses it, with both numbers.
            if length > left and sizes[-1]:
                sizes.append(0)
                left = self.capacity
            sizes[-1] += 1
            left -= length
        if len(sizes) > self.packs:
            raise Infeasible(
                f"{len(lengths)} samples of {sum(map(self.aligned, lengths))} elements fill {len(sizes)} packs of "
                f"{self.capacity}, packs is {self.packs}",
                f"make the plan from the lengths of these samples, if it was made from others; else pass "
                f"packs={len(sizes)} or more, or packs=plan, the one that bw.packed made",
            )
        return sizes


@dataclass(frozen=True)
class Plot:
    """The places of all samples and padding in a batch of packs, the same for all its packed fields.

    Args:
        own: the length of each sample.
        segments: the parts that attention must keep separate: samples with their padding, and dummies.
        packs: the number of elements of each pack.
        segment_counts: the number of segments of each pack.
        homes: the segment of each sample.
    """

    own: Layout
    segments: Layout
    packs: Layout
    segment_counts: tuple[int, ...]
    homes: tuple[int, ...]

    @classmethod
    def lay(cls, lengths: Sequence[int], pack_sizes: Sequence[int], rules: PackRules) -> Plot:
        """Place samples of these lengths, `pack_sizes[k]` of them in pack k, by the rules."""
        segments: list[int] = []
        homes: list[int] = []
        packs: list[int] = []
        segment_counts: list[int] = []
        start = 0
        for number, size in enumerate(pack_sizes):
            own = [rules.aligned(length) for length in lengths[start : start + size]]
            start += size
            homes += range(len(segments), len(segments) + size)
            held = sum(own)
            left = rules.room(held)
            if left < 0:
                raise Infeasible(
                    f"pack {number} of {size} samples holds {held} elements, its capacity is {rules.capacity}",
                    "plan for this capacity and for lengths as aligned; where the plan splits samples load its pieces, "
                    "plan.pieces(dataset, cut=[...]), where it truncates them bw.ragged(truncate_to=plan.truncate_to)",
                )
            # A dummy is a segment of its own, so that no sample attends to padding; "extend" adds it to the last
            # sample.
            if left and rules.fill == "dummy":
                own.append(left)
            elif left and rules.fill == "extend":
                own[-1] += left
            segments += own
            packs.append(sum(own))
            segment_counts.append(len(own))
        if rules.shape == "packs" and len(set(packs)) > 1:
            raise Infeasible(
                f"packs hold from {min(packs)} to {max(packs)} elements and shape='packs' wants them equal",
                "pass capacity=... and fill='dummy' or fill='extend'",
            )
        return cls(Layout(lengths), Layout(segments), Layout(packs), tuple(segment_counts), tuple(homes))

    @cached_property
    def places(self) -> Layout:
        """For each sample the elements from its first to the next sample's first, with the padding between them."""
        starts = [self.segments.starts[home] for home in self.homes]
        return Layout([end - start for start, end in pairwise([*starts, self.segments.total])])

    @property
    def gaps(self) -> list[int]:
        """The number of padding elements in each segment; in a dummy, all of them."""
        gaps = list(self.segments.counts)
        for home, length in zip(self.homes, self.own.counts, strict=True):
            gaps[home] -= length
        return gaps


@dataclass(frozen=True)
class Packed(Value):
    """One ragged field, in packs.

    Args:
        tensor: all packs, concatenated.
        plot: the places of samples and padding in it.
        shape: the shape that the model gets: `"flat"`, `"row"` (1 x all) or `"packs"` (packs x capacity).
        seams: the first element of each sample before it was masked, or None.
    """

    tensor: Tensor
    plot: Plot
    shape: Shape
    seams: Tensor | None = None

    @classmethod
    def laid(cls, ragged: Ragged, plot: Plot, rules: PackRules, *, masked: bool) -> Packed:
        """Place a ragged field in packs; `masked` replaces the first element of each sample by the pad value."""
        if not (rules.fills or masked):
            return cls(ragged.packed, plot, rules.shape)
        pad = fill_value(ragged.padding.value, ragged.dtype)
        tensor = _filled(ragged.list, plot, pad) if rules.fills else ragged.packed
        if not masked:
            return cls(tensor, plot, rules.shape)
        starts = _seams(plot)
        kept = memory.settle(tensor[starts])
        return cls(_overwritten(tensor, starts, pad), plot, rules.shape, kept)

    @property
    @override
    def model(self) -> Tensor:
        return self._shaped(self.tensor)

    def _shaped(self, flat: Tensor) -> Tensor:
        match self.shape:
            case "flat":
                return flat
            case "row":
                return flat.unsqueeze(0)
            case "packs":
                return flat.reshape(len(self.plot.packs), -1, *flat.shape[1:])

    @property
    def layout(self) -> Layout:
        """The segments, which attention must keep separate."""
        return self.plot.segments.on(self.tensor.device)

    def __len__(self) -> int:
        return len(self.plot.own)

    @override
    def sample(self, number: int) -> Tensor:
        start = self.plot.segments.starts[self.plot.homes[number]]
        own = self.tensor.narrow(0, start, self.plot.own.counts[number])
        if self.seams is None or not len(own):
            return own
        place = sum(count > 0 for count in self.plot.own.counts[:number])
        return torch.cat([self.seams[place : place + 1], own[1:]])

    @override
    def transferred(self, transfer: Transfer) -> Packed:
        seams = None if self.seams is None else transfer(self.seams)
        return Packed(transfer(self.tensor), self.plot, self.shape, seams)

    @override
    def select(self, numbers: Sequence[int]) -> Packed:
        raise Infeasible("samples in packs have their places", "sort or select before packing, or call unbatch() first")

    @override
    def also(self, what: str) -> Any:
        if what in _MASKS:
            kind, _, form = what.partition("_")
            make = masks.mask if form == "mask" else masks.block_mask
            rows = self.also("segments")
            made = make(rows, causal=kind == "causal")
            return made.unsqueeze(1) if form == "mask" and self.shape != "flat" else made  # a dimension for the heads
        if what not in _DESCRIPTIONS:
            raise Infeasible(f"a packed field has no {shown(what)}", f"ask for one of {', '.join(OFFERS)}")
        if what == "mask":
            return self._shaped(self._real())
        if what == "thd":  # tokens x heads x width, the name that Transformer Engine has for packed sequences
            return what
        if what == "real_cu_seqlens":
            return Layout(self._real_lengths(), self.tensor.device).cu_seqlens
        if what in ("segments", "seq_idx"):
            return self._segments() if what == "segments" else self._segments().to(torch.int32)
        described = getattr(self.layout, what)
        return self._shaped(described) if what == "positions" else described

    def _segments(self) -> Tensor:
        numbers = self._shaped(self.layout.segments)
        # In each pack, segments are counted from 0.
        return numbers - numbers[:, :1] if self.shape == "packs" else numbers

    def _real_lengths(self) -> list[int]:
        """Of each segment without its padding; 0 of a dummy."""
        own = [0] * len(self.plot.segments)
        for home, length in zip(self.plot.homes, self.plot.own.counts, strict=True):
            own[home] = length
        return own

    def _real(self) -> Tensor:
        """bool: True at elements of samples, False at padding."""
        lengths = torch.tensor(self._real_lengths(), device=self.tensor.device)
        return self.layout.positions < lengths[self.layout.segments]

    @property
    @override
    def fill(self) -> Fill:
        return Fill(self.plot.own.total, self.plot.segments.total - self.plot.own.total)


def _filled(pieces: Sequence[Tensor], plot: Plot, pad: float | complex | bool) -> Tensor:
    """Concatenate the samples and the padding between them in one call."""
    gaps = plot.gaps
    filler = pieces[0].new_full([sum(gaps), *pieces[0].shape[1:]], pad).split_with_sizes(gaps)
    homes = dict(zip(plot.homes, pieces, strict=True))
    parts = chain.from_iterable((homes[n], gap) if n in homes else (gap,) for n, gap in enumerate(filler))
    return memory.cat(list(parts))


def _overwritten(tensor: Tensor, places: Tensor, value: float | complex | bool) -> Tensor:
    """Set a value at these places of dim 0; the tensor is changed in place, as no other object has it."""
    if tensor.requires_grad:
        return tensor.index_fill(0, places, value)
    try:
        return tensor.index_fill_(0, places, value)
    except NotImplementedError:  # torch has no index_fill for unsigned and 8-bit floating types: set their bits
        bits = _BITS[tensor.dtype.itemsize]
        tensor.view(bits).index_fill_(0, places, tensor.new_full((1,), value).view(bits).item())
        return tensor


def _seams(plot: Plot) -> Tensor:
    """The place of the first element of every sample that is not empty."""
    starts = plot.segments.starts
    places = [starts[home] for home, length in zip(plot.homes, plot.own.counts, strict=True) if length]
    return torch.tensor(places, dtype=torch.int64, device="cpu")


def laid_out(
    fields: Mapping[str, Ragged], pack_sizes: Sequence[int], rules: PackRules, called: Callable[[int], str]
) -> dict[str, Packed]:
    """Place fields of equal lengths in packs of `pack_sizes` samples."""
    lead, first = next(iter(fields.items()))
    plot = Plot.lay(first.layout.counts, pack_sizes, rules)
    for name, ragged in fields.items():
        pairs = zip(ragged.layout.counts, plot.own.counts, strict=True)
        odd = next((number for number, (length, own) in enumerate(pairs) if length != own), None)
        if odd is not None:
            raise Infeasible(
                f"field {shown(name)} of {called(odd)} has shape {tuple(ragged.sample(odd).shape)}, "
                f"{shown(lead)} has {tuple(first.sample(odd).shape)}",
                "give the fields of a pack equal lengths, or name those that run along each other in `along`",
            )
    packed = {}
    for name, ragged in fields.items():
        try:
            packed[name] = Packed.laid(ragged, plot, rules, masked=name in rules.seams)
        except Infeasible as error:
            raise Infeasible(
                f"field {shown(name)}: {error.fact}", "declare it as bw.ragged(pad=...) with a number of its dtype"
            ) from None
    return packed


def pointed_into(indices: Ragged, places: Sequence[Layout | None], name: str) -> Ragged:
    """The field `name`, with indices into fields that are now in packs; None in `places` if a field is not."""
    shift = tuple(there or before for there, before in zip(places, indices.shift, strict=True))
    most = torch.iinfo(indices.dtype).max
    total = max(target.total for target in shift)
    if total - 1 > most:
        raise Infeasible(
            f"field {shown(name)} holds {indices.dtype}, whose largest index is {most}, and the packs have {total} "
            "elements",
            "convert it to a wider integer in the dataset",
        )
    return Ragged(
        "list",
        indices.list,
        axes=indices.axes,
        dims=indices.dims,
        form=indices.form,
        padding=indices.padding,
        shift=shift,
    ).settle()
