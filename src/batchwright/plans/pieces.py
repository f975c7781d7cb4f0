"""Stretches of samples as samples of their own: what a plan that splits or truncates means by a number."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Infeasible
from .cut import Integers

__all__ = ["CutBy", "Pieces"]

CutBy = Sequence[str | int] | Callable[[Any, slice], Any]
"""The names or numbers of the parts of a sample that are cut, or a function from (sample, slice) to the cut sample."""


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
        named = isinstance(self.cut, Sequence) and not isinstance(self.cut, (str, bytes))
        if not (self.cut is None or named or callable(self.cut)):
            raise Infeasible(
                f"cut is {self.cut!r}",
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
        sample = self.dataset[number]
        if self.length is None:
            return sample
        if self.cut is None:
            return _sliced(sample, piece, f"sample {number}")
        if callable(self.cut):
            return self.cut(sample, piece)
        return _with_parts(sample, self.cut, piece, f"sample {number}")


def _sliced(sample: Any, piece: slice, called: str) -> Any:
    """A stretch of a sample that is one sequence; containers of several are refused, whatever their slices would be."""
    kind = type(sample)
    if not isinstance(sample, (Mapping, tuple)) and not dataclasses.is_dataclass(kind):
        try:
            return sample[piece]
        except (TypeError, KeyError):  # not to be sliced
            pass
    raise Infeasible(
        f"{called} is a {kind.__name__}, and plan.pieces is not told what of it to cut",
        'name the parts: plan.pieces(dataset, cut=["input_ids", "labels"]); or pass a function (sample, slice) -> sample',
    )


def _with_parts(sample: Any, names: Sequence[str | int], piece: slice, called: str) -> Any:
    """The sample with these parts cut, of the type that it had."""
    try:
        if hasattr(sample, "_fields"):
            return sample._replace(**{str(name): getattr(sample, str(name))[piece] for name in names})
        if dataclasses.is_dataclass(sample) and not isinstance(sample, type):
            return dataclasses.replace(sample, **{str(name): getattr(sample, str(name))[piece] for name in names})
        changed: Any = list(sample) if isinstance(sample, tuple) else copy.copy(sample)
        for name in names:
            changed[name] = sample[name][piece]
    except (AttributeError, LookupError, TypeError):
        raise Infeasible(
            f"{called}, a {type(sample).__name__}, has no parts {list(names)} that can be cut and put back",
            "name parts that every sample has, or pass a function (sample, slice) -> sample",
        ) from None
    return tuple(changed) if isinstance(sample, tuple) else changed
