"""A dataset of pieces of samples, for plans that split or truncate samples: item i of the plan is item i here."""

from __future__ import annotations

import copy
import dataclasses
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Infeasible, check_integer, shown
from ..kernels.array_types import Integers
from ..readings import as_list

__all__ = ["CutBy", "Pieces"]

CutBy = Sequence[str | int] | Callable[[Any, slice], Any]
"""The names or numbers of the parts of a sample that are cut, or a function from (sample, slice) to the cut sample."""

_FUNCTION = "pass a function: plan.pieces(dataset, cut=lambda sample, piece: ...)"


@dataclass(frozen=True)
class Pieces:
    """A map-style dataset whose items are pieces of the samples of another dataset; made by `PackedPlan.pieces`.

    Attributes:
        dataset: the map-style dataset whose samples are split.
        offsets: the number of the first item of each sample, and the number of items, int64 (samples + 1,); None if every
            sample is one item.
        length: the length of every piece, except that the last piece of a sample may be shorter; None if nothing is cut.
        cut: which parts of a sample are cut, see `CutBy`; None if the samples themselves are sliced.
    """

    dataset: Any
    offsets: Integers | None
    length: int | None
    cut: CutBy | None = None

    def __post_init__(self) -> None:
        cut = self.cut
        named = isinstance(cut, Sequence) and not isinstance(cut, (str, bytes)) and len(cut) > 0
        if named and not callable(cut):
            named = all(isinstance(part, (str, int)) for part in as_list(cut or (), "cut"))
        if not (cut is None or named or callable(cut)):
            raise Infeasible(
                f"cut is {shown(self.cut)}",
                'pass a list of names or numbers of parts, as cut=["input_ids"], or a function (sample, slice) -> sample',
            )

    def __len__(self) -> int:
        return len(self.dataset) if self.offsets is None else int(self.offsets[-1])

    def slice_of(self, item: int) -> tuple[int, slice]:
        """The number of the sample that an item is a piece of, and the slice of the sample that it is."""
        if self.length is None:
            return item, slice(None)
        if self.offsets is None:
            return item, slice(0, self.length)
        item = check_integer(item, "item")
        if not 0 <= item < len(self):
            raise IndexError(f"item {item} of {len(self)}")
        sample = int(np.searchsorted(self.offsets, item, side="right")) - 1
        place = item - int(self.offsets[sample])
        return sample, slice(place * self.length, (place + 1) * self.length)

    def __getitem__(self, item: int) -> Any:
        number, piece = self.slice_of(item)
        return self._cut(self.dataset[number], number, piece)

    def __getattr__(self, name: str) -> Any:
        if name != "__getitems__" or not hasattr(self.dataset, name):  # torch asks for it, to fetch a batch in one call
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._several

    def _several(self, items: Sequence[int]) -> list[Any]:
        """The items of a batch; the dataset fetches their samples in one call."""
        places = [self.slice_of(item) for item in items]
        samples = self.dataset.__getitems__([number for number, _ in places])
        return [self._cut(sample, *place) for sample, place in zip(samples, places, strict=True)]

    def _cut(self, sample: Any, number: int, piece: slice) -> Any:
        if self.length is None:
            return sample
        if callable(self.cut):
            return self.cut(sample, piece)
        called = f"sample {number}"
        # By name, because to import `Identity` is to import torch.
        if type(sample).__name__ == "Identity" and hasattr(sample, "labels"):
            raise Infeasible(
                f"{called} comes from bw.identified, and numbers are those of pieces",
                "wrap the pieces: bw.identified(plan.pieces(dataset, cut=...))",
            )
        if self.cut is None:
            return self._piece_of(_sequence(sample, called), number, piece, called)
        found = _with_parts(
            sample,
            self.cut,
            lambda part, name: self._piece_of(part, number, piece, f"{called}, part {name!r},"),
            called,
        )
        _refuse_forgotten(sample, self.cut, self.length, called)
        return found

    def _piece_of(self, whole: Any, number: int, piece: slice, called: str) -> Any:
        """A piece of a sequence, whose length must be the one that the plan has for this sample."""
        assert self.length is not None
        length = len(whole)
        if self.offsets is None:
            fits, wanted = length > 0, "1 or more"
        else:
            count = int(self.offsets[number + 1] - self.offsets[number])
            least, most = (count - 1) * self.length + 1, count * self.length
            fits, wanted = least <= length <= most, f"{least} to {most}"
        if not fits:
            raise Infeasible(
                f"{called} has length {length}, the plan has it as {wanted}",
                "plan with the lengths of this dataset along the first dimension, name in cut what has them, or "
                + _FUNCTION,
            )
        return whole[piece]


def _sequence(sample: Any, called: str) -> Any:
    """The sample, if it is one sequence. A container of several parts is refused, even if it can be sliced."""
    kind = type(sample)
    if not isinstance(sample, (Mapping, tuple)) and not dataclasses.is_dataclass(kind):
        try:
            len(sample), sample[:0]
        except (TypeError, LookupError):  # it cannot be sliced
            pass
        else:
            return sample
    raise Infeasible(
        f"{called} is a {kind.__name__}, and plan.pieces is not told what of it to cut",
        'name the parts: plan.pieces(dataset, cut=["input_ids", "labels"]); or pass a function (sample, slice) -> sample',
    )


def _with_parts(sample: Any, names: Sequence[str | int], part_of: Callable[[Any, str | int], Any], called: str) -> Any:
    """A copy of the sample, of the same type, with these parts cut."""
    named = hasattr(sample, "_fields")
    record = named or (dataclasses.is_dataclass(sample) and not isinstance(sample, type))
    if not record and not _copies_apart(sample):
        raise Infeasible(
            f"{called} is a {type(sample).__name__}, and a copy of it may share its contents",
            f"leave cut out if samples are sequences themselves, or {_FUNCTION}",
        )
    try:
        if record:
            parts = {str(name): part_of(getattr(sample, str(name)), name) for name in names}
            return sample._replace(**parts) if named else dataclasses.replace(sample, **parts)
        changed: Any = list(sample) if isinstance(sample, tuple) else copy.copy(sample)
        for name in names:
            changed[name] = part_of(sample[name], name)
        return tuple(changed) if isinstance(sample, tuple) else changed
    except (AttributeError, LookupError, TypeError):
        raise Infeasible(
            f"{called}, a {type(sample).__name__}, has no parts {list(names)} that can be cut and put back",
            "name parts that every sample has, or pass a function (sample, slice) -> sample",
        ) from None


def _refuse_forgotten(sample: Any, names: Sequence[str | int], length: int, called: str) -> None:
    """Refuse a part that is as long as one that is cut, and would come whole with every piece."""
    parts = _parts_of(sample)
    whole = len(parts[names[0]]) if names[0] in parts else 0
    if whole <= length:
        return
    for name, part in parts.items():
        several = isinstance(part, list) or len(getattr(part, "shape", ()))
        if name not in names and several and len(part) == whole:
            raise Infeasible(
                f"{called}, part {shown(name)} is as long as part {shown(names[0])}, {whole}, and cut does not name it",
                f"pass cut={shown([*names, name])}, or, if it belongs to every piece, a function (sample, slice) -> sample",
            )


def _parts_of(sample: Any) -> dict[Any, Any]:
    """The parts of a sample by name or number."""
    if hasattr(sample, "_asdict"):
        return dict(sample._asdict())
    if isinstance(sample, (list, tuple)):
        return dict(enumerate(sample))
    if dataclasses.is_dataclass(sample):
        return {field.name: getattr(sample, field.name) for field in dataclasses.fields(sample)}
    return dict(sample.items()) if hasattr(sample, "items") else dict(sample)


def _copies_apart(sample: Any) -> bool:
    """Whether an assignment to a shallow copy of the sample is known to leave the sample itself unchanged.

    A shallow copy of another class may share the dictionary that holds its parts.
    """
    if isinstance(sample, (dict, list, tuple, UserDict)):
        return True
    return any(kind.__module__.startswith("torch_geometric.data") for kind in type(sample).__mro__)
