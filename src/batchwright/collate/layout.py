"""`Layout`: how a packed dimension is divided among samples. All indices into packed dimensions are computed here."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import accumulate, islice
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from ..errors import Infeasible, check_integer, one_of, shown
from ..readings import as_list, reading
from .memory import lasting
from .shards import How, Shard, rank_indices

__all__ = ["SIDES", "Layout", "Side"]

Side = Literal["right", "left"]
SIDES = get_args(Side)
Kept = TypeVar("Kept")

_MOST_SAMPLES = 1 << 24  # of a batch: a list without end is refused
_INT32_MOST = 2**31 - 1
_CPU = torch.device("cpu")


class Layout:
    """The lengths of N samples in a packed dimension, and every tensor that indexes it; each is computed at first use.

    Total and longest length are Python integers, so reading them does not wait for a device.

    Args:
        counts: the N lengths, integers of 0 or more.
        device: the device of the tensors.

    Example:
        >>> layout = Layout([2, 0, 3])
        >>> layout.offsets, layout.max_length, layout.total
        (tensor([0, 2, 2, 5]), 3, 5)
        >>> layout.segments, layout.positions
        (tensor([0, 0, 2, 2, 2]), tensor([0, 1, 0, 1, 2]))
    """

    def __init__(self, counts: Iterable[int], device: torch.device | str = _CPU) -> None:
        try:
            own = counts if type(counts) is tuple else tuple(islice(counts, _MOST_SAMPLES + 1))
            if len(own) > _MOST_SAMPLES:
                raise Infeasible(f"there are more than {_MOST_SAMPLES} lengths", "pass one for each sample of a batch")
            total = sum(own)
        except TypeError:
            raise Infeasible(f"lengths are {shown(counts)}", "pass a list of whole numbers, one a sample") from None
        if not isinstance(device, torch.device):
            with reading(device, "device", "pass a device of torch, such as 'cpu' or 'cuda:0'"):
                device = torch.device(device)
        if type(total) is not int or bool in map(type, own):  # some are numbers of numpy or torch, or no numbers
            own = tuple([check_integer(count, "a length") for count in own])
            total = sum(own)
        self.counts, self.total, self.device = own, total, device
        self._kept: dict[Hashable, Any] = {}
        self.max_length = max(own) if own else 0
        if self.min_length < 0:
            raise Infeasible(f"a length is {self.min_length}, the least is 0", "pass lengths of 0 or more")

    @classmethod
    def _of(cls, counts: tuple[int, ...]) -> Layout:
        """The layout of sizes of tensors, one or more, in a third of the time that the constructor takes to check them."""
        made = cls.__new__(cls)
        made.counts, made.device, made._kept = counts, _CPU, {}
        made.total, made.max_length = sum(counts), max(counts)
        return made

    def on(self, device: torch.device) -> Layout:
        """The same layout with its tensors on `device`; always the same object, so that fields share the tensors."""
        if device == self.device:
            return self
        return self._once(str(device), lambda: Layout(self.counts, device))

    def select(self, numbers: Sequence[int]) -> Layout:
        """The layout of the samples `numbers`, in this order; always the same object, so that fields share it."""
        chosen, count = tuple(as_list(numbers, "numbers")), len(self.counts)
        for number in chosen:
            if not -count <= number < count:
                raise IndexError(f"sample {number} of a layout of {count}")
        return self._once(chosen, lambda: Layout([self.counts[number] for number in chosen], self.device))

    @property
    def min_length(self) -> int:
        """The shortest length; few ask for it."""
        return min(self.counts) if self.counts else 0

    @property
    def starts(self) -> tuple[int, ...]:
        """N + 1 Python integers: where each sample starts, and the end."""
        return self._once("starts", lambda: tuple(accumulate(self.counts, initial=0)))

    @property
    def lengths(self) -> Tensor:
        """int64, N: the length of each sample."""
        lengths = self._kept.get("lengths")  # as `_once`, but faster: most batches need it
        if lengths is None:
            lengths = self._kept["lengths"] = self._tensor(self.counts)
        return lengths

    @property
    def offsets(self) -> Tensor:
        """int64, N + 1: `starts` as a tensor."""
        return self._once("offsets", lambda: self._tensor(self.starts))

    @property
    def first(self) -> Tensor:
        """int64, N: the packed index of the first element of each sample."""
        return self.offsets[:-1]

    @property
    def cu_seqlens(self) -> Tensor:
        """int32, N + 1: `offsets` as variable-length attention kernels need them."""
        if self.total > _INT32_MOST:
            raise Infeasible(
                f"{self.total} packed elements do not fit 32-bit offsets, which end at {_INT32_MOST}",
                "use `offsets`, or pack fewer samples",
            )
        return self._once("cu_seqlens", lambda: self.offsets.to(torch.int32))

    @property
    def segments(self) -> Tensor:
        """int64, total: the sample of each packed element."""
        return self._once("segments", lambda: self.repeated(range(len(self.counts))))

    @property
    def positions(self) -> Tensor:
        """int64, total: the index of each packed element within its sample."""
        return self._once("positions", lambda: self._numbered([-start for start in self.starts[:-1]]))

    def shard(
        self,
        rank: int,
        size: int,
        how: How = "blocks",
        *,
        block: int | None = None,
    ) -> Shard:
        """The elements that one rank of a context-parallel group holds; every rank computes its own.

        Args:
            rank: within the group, from 0.
            size: ranks in the group.
            how: "blocks" of neighbouring elements, dealt so that all ranks have like numbers and like work of causal
                attention; "head_tail": of twice as many chunks as ranks, one from the front and the one as far from the
                end; "per_document": the same within every document.
            block: elements in a block, int. If left out, 128, or so few less (64, 32, ...) that no rank has more than
                1 % above the mean work.

        Raises:
            Infeasible: the rank is outside the group, or `how` is no such word.

        Example:
            >>> layout = Layout([6, 2])
            >>> [layout.shard(rank, 2, block=2).places.tolist() for rank in range(2)]
            [[4, 5, 6, 7], [0, 1, 2, 3]]
        """
        size = check_integer(size, "size", least=1)
        rank = check_integer(rank, "rank", least=0)
        if rank >= size:
            raise Infeasible(f"rank is {rank} in a group of {size}", f"pass a rank of 0 to {size - 1}")
        places = rank_indices(self.starts, size, how, block)[rank]
        at = torch.from_numpy(places).to(self.device)
        positions, segments = self.positions[at], self.segments[at]
        begins = (np.diff(places, prepend=-2) != 1) | (np.diff(segments.cpu().numpy(), prepend=-1) != 0)
        borders = np.append(np.flatnonzero(begins), places.size).astype(np.int32)
        queries, work = torch.from_numpy(borders).to(self.device), int(positions.sum()) + places.size
        return Shard(at, positions, segments, queries, self.cu_seqlens, work)

    def unshard(self, size: int, how: How = "blocks", *, block: int | None = None) -> Tensor:
        """int64, total: puts what all ranks of a group hold, gathered rank by rank, into the packed order.

        Example:
            >>> layout, packed = Layout([6, 2]), torch.arange(8) * 10
            >>> gathered = torch.cat([packed[layout.shard(rank, 2, block=2).places] for rank in range(2)])
            >>> gathered[layout.unshard(2, block=2)].tolist()
            [0, 10, 20, 30, 40, 50, 60, 70]
        """
        gathered = np.concatenate(rank_indices(self.starts, size, how, block))
        inverse = np.empty(gathered.size, np.int64)
        inverse[gathered] = np.arange(gathered.size)
        return torch.from_numpy(inverse).to(self.device)

    def repeated(self, values: Sequence[int]) -> Tensor:
        """int64, total: the value of each sample, repeated for each of its elements."""
        if self.device.type == "cpu" and not torch.compiler.is_compiling():  # numpy is several times as fast there
            lengths = self._once("numpy", lambda: np.array(self.counts, dtype=np.int64))
            if len(values) != lengths.size:
                raise Infeasible(f"{len(values)} values are for {lengths.size} samples", "pass one integer a sample")
            return torch.from_numpy(np.asarray(values, dtype=np.int64).repeat(lengths))
        return torch.repeat_interleave(self._tensor(values), self.lengths, output_size=self.total)

    def _numbered(self, values: Sequence[int]) -> Tensor:
        """The value of each sample, repeated for each element, plus the index of the element in the packed dimension."""
        repeated = self.repeated(values)
        return repeated.add_(torch.arange(self.total, device=self.device))

    def _tensor(self, numbers: Sequence[int]) -> Tensor:
        if torch.compiler.is_compiling():
            return torch.tensor(numbers, dtype=torch.int64, device=self.device)
        if torch.is_inference_mode_enabled():
            return lasting(lambda: self._tensor(numbers))
        if not len(numbers):  # `frombuffer` refuses to make an empty tensor
            return torch.zeros(0, dtype=torch.int64, device=self.device)
        # Two thirds of the time that an array of numpy takes: most batches have lengths.
        tensor = torch.frombuffer(array("q", numbers), dtype=torch.int64)
        return tensor if self.device.type == "cpu" else tensor.to(self.device, non_blocking=True)

    def _once(self, name: Hashable, make: Callable[[], Kept]) -> Kept:
        """Compute a value once and keep it; not `cached_property`, whose lock breaks the graph of `torch.compile`."""
        kept: Kept | None = self._kept.get(name)
        if kept is None:
            kept = self._kept[name] = lasting(make)
        return kept

    def mask(self, length: int, side: Side = "right") -> Tensor:
        """bool, N x length: True at elements of samples, False at padding, for this padded length."""
        if _whole(length) < 0:
            raise Infeasible(f"length is {length}", "pass a length of 0 or more")
        places = torch.arange(length, device=self.device)
        if one_of(side, "side", SIDES) == "left":
            return places >= length - self.lengths[:, None]
        return places < self.lengths[:, None]

    def packed_to_padded(self, length: int, side: Side = "right") -> Tensor:
        """int64, total: the index of each packed element in the flattened N x length padded tensor."""
        if _whole(length) < self.max_length:
            raise Infeasible(
                f"length is {length}, the longest sample has {self.max_length}", "pass at least that length"
            )
        moves = [number * length - start for number, start in enumerate(self.starts[:-1])]
        if one_of(side, "side", SIDES) == "left":
            moves = [move + length - count for move, count in zip(moves, self.counts, strict=True)]
        return self._numbered(moves)

    def padded_to_packed(self, length: int, side: Side = "right") -> Tensor:
        """int64, N x length: the packed index of each padded position, -1 for padding."""
        places = self.packed_to_padded(length, side)
        slots = torch.full((len(self.counts) * length,), -1, dtype=torch.int64, device=self.device)
        slots[places] = torch.arange(self.total, device=self.device)
        return slots.view(len(self.counts), length)

    def __len__(self) -> int:
        return len(self.counts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.counts == other.counts

    def __hash__(self) -> int:
        return hash(self.counts)

    def __reduce__(self) -> tuple[Any, ...]:
        return Layout, (self.counts, str(self.device))

    def __repr__(self) -> str:
        return f"Layout({len(self)} samples, {self.total} elements, longest {self.max_length})"


def _whole(length: int) -> int:
    """A padded length: a whole number. A compiled function, which has a symbol for it, would be compiled for each."""
    return length if torch.compiler.is_compiling() else operator.index(length)
