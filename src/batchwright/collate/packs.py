"""Packs: samples end to end in sequences of a fixed length, as packed plans yield them, with seams that do not leak."""

from __future__ import annotations

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

__all__ = ["OFFERS", "PackRules", "Packed", "Plot", "Room", "Shape", "laid_out", "pointed_into"]

Room = Literal["nothing", "dummy", "extend"]
Shape = Literal["flat", "row", "packs"]

_DESCRIPTIONS = ("positions", "segments", "cu_seqlens", "offsets", "lengths", "max_length", "mask")
_MASKS = ("causal_mask", "full_mask", "causal_blocks", "full_blocks")
OFFERS = _DESCRIPTIONS + _MASKS
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class PackRules:
    """How samples are laid into packs: see `Collate.packs`."""

    capacity: int | None = None
    packs: int = 1
    align: int = 1
    room: Room = "nothing"
    seams: tuple[str, ...] = ()
    shape: Shape = "row"

    def __post_init__(self) -> None:
        one_of(self.room, "room", get_args(Room))
        one_of(self.shape, "shape", get_args(Shape))
        for called in ("packs", "align", "capacity"):
            if called != "capacity" or self.capacity is not None:
                check_integer(getattr(self, called), called, least=1)
        if self.packs > 1 and self.capacity is None:
            raise Infeasible(f"packs={self.packs} are filled up to a capacity, and none is given", "pass capacity=...")
        if self.room != "nothing" and self.capacity is None:
            raise Infeasible(
                f"room={shown(self.room)} fills packs up to a capacity, and none is given", "pass capacity=..."
            )
        if self.capacity is not None and self.capacity % self.align:
            raise Infeasible(
                f"capacity {self.capacity} is no multiple of align {self.align}",
                f"pass a multiple of align as capacity, such as capacity={self.aligned(self.capacity)}",
            )

    @property
    def fills(self) -> bool:
        """Whether packs hold anything but the samples' own elements."""
        return self.align > 1 or self.room != "nothing"

    def aligned(self, length: int) -> int:
        """What a sample of this length takes of a pack."""
        return -(-length // self.align) * self.align

    def cut(self, lengths: Sequence[int]) -> list[int]:
        """How many of these samples each pack holds, if each takes what fits of the sequence."""
        if self.capacity is None:
            return [len(lengths)]
        sizes = [0]
        room = self.capacity
        for length in map(self.aligned, lengths):
            if length > room and sizes[-1]:
                sizes.append(0)
                room = self.capacity
            sizes[-1] += 1
            room -= length
        if len(sizes) > self.packs:
            raise Infeasible(
                f"{len(lengths)} samples of {sum(map(self.aligned, lengths))} elements fill {len(sizes)} packs of "
                f"{self.capacity}, packs is {self.packs}",
                f"pass packs={len(sizes)} or more, or packs=plan, the one that bw.packed made",
            )
        return sizes


@dataclass(frozen=True)
class Plot:
    """Where everything lies in a batch of packs, the same for all its packed fields.

    Args:
        own: each sample's own length.
        segments: the stretches that attention must keep apart: the samples as aligned, and dummies.
        packs: how many elements each pack holds.
        segment_counts: how many segments each pack holds.
        homes: the segment of each sample.
    """

    own: Layout
    segments: Layout
    packs: Layout
    segment_counts: tuple[int, ...]
    homes: tuple[int, ...]

    @classmethod
    def lay(cls, lengths: Sequence[int], pack_sizes: Sequence[int], rules: PackRules) -> Plot:
        """Lay samples of these lengths, `pack_sizes[k]` of them in pack k, by the rules."""
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
            left = 0 if rules.capacity is None else rules.capacity - held
            if left < 0:
                raise Infeasible(
                    f"pack {number} of {size} samples holds {held} elements, its capacity is {rules.capacity}",
                    "plan for this capacity and for lengths as aligned; where the plan splits samples load its pieces, "
                    "plan.pieces(dataset, cut=[...]), where it truncates them bw.ragged(truncate_to=plan.truncate_to)",
                )
            if left and rules.room == "dummy":
                own.append(left)
            elif left and rules.room == "extend":
                own[-1] += left
            segments += own
            packs.append(sum(own))
            segment_counts.append(len(own))
        if rules.shape == "packs" and len(set(packs)) > 1:
            raise Infeasible(
                f"packs hold from {min(packs)} to {max(packs)} elements and shape='packs' wants them equal",
                "pass capacity=... and room='dummy' or room='extend'",
            )
        return cls(Layout(lengths), Layout(segments), Layout(packs), tuple(segment_counts), tuple(homes))

    @cached_property
    def places(self) -> Layout:
        """A stretch for each sample from its first element to the next sample's, over whatever padding lies between."""
        starts = [self.segments.starts[home] for home in self.homes]
        return Layout([end - start for start, end in pairwise([*starts, self.segments.total])])

    @property
    def gaps(self) -> list[int]:
        """How many elements of padding each segment holds after a sample's own: all of a dummy's."""
        gaps = list(self.segments.counts)
        for home, length in zip(self.homes, self.own.counts, strict=True):
            gaps[home] -= length
        return gaps


@dataclass(frozen=True)
class Packed(Value):
    """One ragged field laid into packs.

    Args:
        tensor: all packs end to end.
        plot: where everything lies in it.
        shape: what the model sees: `"flat"`, `"row"` (1 x all) or `"packs"` (packs x capacity).
        seams: what stood at the first element of each sample before it was masked, or None.
    """

    tensor: Tensor
    plot: Plot
    shape: Shape
    seams: Tensor | None = None

    @classmethod
    def laid(cls, ragged: Ragged, plot: Plot, rules: PackRules, *, masked: bool) -> Packed:
        """Lay a ragged field; `masked` puts its pad value at each sample's first element."""
        if not (rules.fills or masked):
            return cls(ragged.packed, plot, rules.shape)
        pieces = ragged.list
        pad = fill_value(ragged.padding.value, pieces[0].dtype)
        tensor = _filled(pieces, plot, pad) if rules.fills else ragged.packed
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
        """The segments, which attention must keep apart."""
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
            return made.unsqueeze(1) if form == "mask" and self.shape != "flat" else made  # room for the heads
        if what not in _DESCRIPTIONS:
            raise Infeasible(f"a packed field has no {shown(what)}", f"ask for one of {', '.join(OFFERS)}")
        if what == "mask":
            return self._shaped(self._real())
        if what == "segments":
            return self._segments()
        described = getattr(self.layout, what)
        return self._shaped(described) if what == "positions" else described

    def _segments(self) -> Tensor:
        numbers = self._shaped(self.layout.segments)
        return numbers - numbers[:, :1] if self.shape == "packs" else numbers  # each pack counts its own from 0

    def _real(self) -> Tensor:
        """bool: True where a sample's own element is."""
        own = [0] * len(self.plot.segments)
        for home, length in zip(self.plot.homes, self.plot.own.counts, strict=True):
            own[home] = length
        lengths = torch.tensor(own, device=self.tensor.device)
        return self.layout.positions < lengths[self.layout.segments]

    @property
    @override
    def fill(self) -> Fill:
        return Fill(self.plot.own.total, self.plot.segments.total - self.plot.own.total)


def _filled(pieces: Sequence[Tensor], plot: Plot, pad: float | complex | bool) -> Tensor:
    """The samples and the padding between them, in one concatenation."""
    gaps = plot.gaps
    filler = pieces[0].new_full([sum(gaps), *pieces[0].shape[1:]], pad).split_with_sizes(gaps)
    homes = dict(zip(plot.homes, pieces, strict=True))
    parts = chain.from_iterable((homes[n], gap) if n in homes else (gap,) for n, gap in enumerate(filler))
    return memory.cat(list(parts))


def _overwritten(tensor: Tensor, places: Tensor, value: float | complex | bool) -> Tensor:
    """The tensor, which nobody else holds, with another value at these places of dim 0."""
    if tensor.requires_grad:
        return tensor.index_fill(0, places, value)
    try:
        return tensor.index_fill_(0, places, value)
    except (
        NotImplementedError
    ):  # torch has no index_fill of unsigned and 8-bit floating types, but their bits can be set
        bits = _BITS[tensor.dtype.itemsize]
        tensor.view(bits).index_fill_(0, places, tensor.new_full((1,), value).view(bits).item())
        return tensor


def _seams(plot: Plot) -> Tensor:
    """The place of the first element of every sample that has one."""
    starts = plot.segments.starts
    places = [starts[home] for home, length in zip(plot.homes, plot.own.counts, strict=True) if length]
    return torch.tensor(places, dtype=torch.int64, device="cpu")


def laid_out(
    fields: Mapping[str, Ragged], pack_sizes: Sequence[int], rules: PackRules, called: Callable[[int], str]
) -> dict[str, Packed]:
    """The fields, which run along each other, laid into packs of `pack_sizes` samples."""
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
    """The field `name`, whose indices point into fields that now lie elsewhere; None where a field has not moved."""
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
