"""Stretches of samples as samples of their own: what a plan that splits or truncates means by a number."""

from __future__ import annotations

import copy
import dataclasses
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Infeasible, shown
from ..lengths.cut import Integers

__all__ = ["CutBy", "Pieces"]

CutBy = Sequence[str | int] | Callable[[Any, slice], Any]
"""The names or numbers of the parts of a sample that are cut, or a function from (sample, slice) to the cut sample."""

_FUNCTION = "pass a function: plan.pieces(dataset, cut=lambda sample, piece: ...)"


@dataclass(frozen=True)
class Pieces:
    """A map-style dataset of stretches of the samples of another; made by `PackedPlan.pieces`.

    Attributes:
        dataset: what is split.
        offsets: where the items of each sample begin, int64 (samples + 1), or None where every sample is one item.
        length: of every piece but the last of a sample; None where nothing is cut.
        cut: what of a sample is cut; None where samples themselves can be sliced.
    """

    dataset: Any
    offsets: Integers | None
    length: int | None
    cut: CutBy | None = None

    def __post_init__(self) -> None:
        named = isinstance(self.cut, Sequence) and not isinstance(self.cut, (str, bytes)) and len(self.cut) > 0
        if not (self.cut is None or named or callable(self.cut)):
            raise Infeasible(
                f"cut is {shown(self.cut)}",
                'pass a list of names or numbers of parts, as cut=["input_ids"], or a function (sample, slice) -> sample',
            )

    def __len__(self) -> int:
        return len(self.dataset) if self.offsets is None else int(self.offsets[-1])

    def stretch(self, item: int) -> tuple[int, slice]:
        """The sample of an item, and where in it the item lies."""
        if self.length is None:
            return item, slice(None)
        if self.offsets is None:
            return item, slice(0, self.length)
        if not 0 <= item < len(self):
            raise IndexError(f"item {item} of {len(self)}")
        sample = int(np.searchsorted(self.offsets, item, side="right")) - 1
        place = item - int(self.offsets[sample])
        return sample, slice(place * self.length, (place + 1) * self.length)

    def __getitem__(self, item: int) -> Any:
        number, piece = self.stretch(item)
        return self._cut(self.dataset[number], number, piece)

    def __getattr__(self, name: str) -> Any:
        if name != "__getitems__" or not hasattr(self.dataset, name):  # what torch's loaders ask for whole batches
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._several

    def _several(self, items: Sequence[int]) -> list[Any]:
        """The pieces of a batch, of samples that the dataset fetches together."""
        places = [self.stretch(item) for item in items]
        samples = self.dataset.__getitems__([number for number, _ in places])
        return [self._cut(sample, *place) for sample, place in zip(samples, places, strict=True)]

    def _cut(self, sample: Any, number: int, piece: slice) -> Any:
        if self.length is None:
            return sample
        if callable(self.cut):
            return self.cut(sample, piece)
        called = f"sample {number}"
        if type(sample).__name__ == "Identity" and hasattr(sample, "labels"):
            raise Infeasible(
                f"{called} comes from bw.identified, and numbers are those of pieces",
                "wrap the pieces: bw.identified(plan.pieces(dataset, cut=...))",
            )
        if self.cut is None:
            return self._taken(_sequence(sample, called), number, piece, called)
        return _with_parts(
            sample, self.cut, lambda part, name: self._taken(part, number, piece, f"{called}, part {name!r},"), called
        )

    def _taken(self, whole: Any, number: int, piece: slice, called: str) -> Any:
        """A stretch of a sequence that is as long as the plan has it."""
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
    """A sample that is one sequence; containers of several are refused, whatever their slices would be."""
    kind = type(sample)
    if not isinstance(sample, (Mapping, tuple)) and not dataclasses.is_dataclass(kind):
        try:
            len(sample), sample[:0]
        except (TypeError, LookupError):  # not to be sliced
            pass
        else:
            return sample
    raise Infeasible(
        f"{called} is a {kind.__name__}, and plan.pieces is not told what of it to cut",
        'name the parts: plan.pieces(dataset, cut=["input_ids", "labels"]); or pass a function (sample, slice) -> sample',
    )


def _with_parts(sample: Any, names: Sequence[str | int], taken: Callable[[Any, str | int], Any], called: str) -> Any:
    """The sample with these parts cut, of the type that it had."""
    named = hasattr(sample, "_fields")
    record = named or (dataclasses.is_dataclass(sample) and not isinstance(sample, type))
    if not record and not _copies_apart(sample):
        raise Infeasible(
            f"{called} is a {type(sample).__name__}, not known to be copied without what it holds being shared",
            f"leave cut out if samples are sequences themselves, or {_FUNCTION}",
        )
    try:
        if record:
            parts = {str(name): taken(getattr(sample, str(name)), name) for name in names}
            return sample._replace(**parts) if named else dataclasses.replace(sample, **parts)
        changed: Any = list(sample) if isinstance(sample, tuple) else copy.copy(sample)
        for name in names:
            changed[name] = taken(sample[name], name)
        return tuple(changed) if isinstance(sample, tuple) else changed
    except (AttributeError, LookupError, TypeError):
        raise Infeasible(
            f"{called}, a {type(sample).__name__}, has no parts {list(names)} that can be cut and put back",
            "name parts that every sample has, or pass a function (sample, slice) -> sample",
        ) from None


def _copies_apart(sample: Any) -> bool:
    """Whether what is assigned to a copy of a sample surely leaves the sample itself alone."""
    if isinstance(sample, (dict, list, tuple, UserDict)):
        return True
    return any(kind.__module__.startswith("torch_geometric.data") for kind in type(sample).__mro__)
