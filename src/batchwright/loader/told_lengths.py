"""Whether the samples of a batch are as long as the lengths say that the plan was made from."""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..collate import Batch
from ..collate.identity import Identity
from ..collate.packs import Packed
from ..collate.ragged_value import Ragged
from ..errors import exactly, shown

__all__ = ["ToldLengths"]

# What is no fault: speech that is played up to 10 % faster or slower, and a few special tokens.
_RATIO, _SLACK = 1.25, 2
_DISTINCT = 4  # lengths that a field must share with the plan, so that it is no accident
# A field that stays the same while the length in the plan doubles may be padded to a multiple; not one of more elements.
_NO_ROUNDING = 16
_LOOKED_AT = 8  # items of a list, to see whether they are numbers
_SCALARS = (bool, int, float, complex, np.generic, type(None))
_SUM, _LONGEST = "all fields together", "the longest field"
_WAY_OUT = (
    "pass the lengths of what this data set yields, in its order, after it is tokenized, truncated and padded; or "
    "check_data=False, if they are meant so."
)


_Row = tuple[float, int, int]
"""A sample: its length in the plan, that in a field, and its number."""


class ToldLengths:
    """Compares the samples of batches with the lengths that their plan was told.

    Plans count in any unit: tokens without special ones, seconds, patches. So a field fits where its samples are in the
    order of their lengths in the plan. A field that has exactly these lengths must keep them. Something is wrong if no field
    of the samples fits, nor all of them together, nor the longest of them.
    """

    def __init__(self) -> None:
        self._agreed: defaultdict[str, set[float]] = defaultdict(set)  # lengths in the plan that a field has too
        self._exact: str | None = None  # a field that has the lengths of the plan
        self._misfits: dict[str, str] = {}  # fields that do not fit, and what shows it
        self._shortest: dict[str, _Row] = {}  # by field, the sample that is the shortest in the plan

    def misfit(self, samples: Sequence[int], told: list[float], batch: Any, read: Sequence[Any]) -> str | None:
        """What is wrong with the lengths of a batch, for a warning; None if nothing is seen to be.

        Args:
            samples: the numbers of the samples.
            told: their lengths in the plan.
            batch: what they were collated to.
            read: the samples as the data set gave them.
        """
        known: dict[str, list[int]] = {}
        complete = True
        try:
            for name, found in _lengths_in(batch, read):
                if found is None or len(found) != len(told):
                    complete = False
                    continue
                if name == self._exact and found == told:
                    return None
                known[name] = found
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError):
            return None  # samples that are unlike each other, joined by a function that knows them
        fits = self._one_fits(samples, told, known)
        self._exact = self._exact or next((name for name in known if len(self._agreed[name]) >= _DISTINCT), None)
        if (self._exact is not None or not fits) and len(known) > 1:
            columns = list(zip(*known.values(), strict=True))
            known |= {_SUM: list(map(sum, columns)), _LONGEST: list(map(max, columns))}
            self._one_fits(samples, told, known)
        if self._exact in known:
            self._exact = next((name for name, found in known.items() if found == told), self._exact)
            return _inexact(self._exact, samples, told, known[self._exact])
        if complete and known and self._misfits.keys() >= known.keys():
            return f"{self._misfits[next(iter(known))]}, so budgets and padding are not as planned; {_WAY_OUT}"
        return None

    def _one_fits(self, samples: Sequence[int], told: list[float], fields: dict[str, list[int]]) -> bool:
        """Whether the samples of a field are in the order of their lengths in the plan, as far as they were seen."""
        for name, found in fields.items():
            self._note_agreement(name, told, found)
        return any(
            name not in self._misfits and self._fits(name, samples, told, found) for name, found in fields.items()
        )

    def _note_agreement(self, name: str, told: list[float], found: list[int]) -> None:
        count = sum(map(operator.eq, told, found))
        if count and 2 * count >= len(told):
            self._agreed[name].update(length for length, own in zip(told, found, strict=True) if length == own)
        elif len(self._agreed[name]) < _DISTINCT:  # it was an accident
            self._agreed[name].clear()

    def _fits(self, name: str, samples: Sequence[int], told: list[float], found: list[int]) -> bool:
        rows = list(zip(told, found, samples, strict=True))
        longest, shortest, most = max(rows), min(rows), max(found)
        shortest = self._shortest[name] = min(shortest, self._shortest.get(name, shortest))
        really = rows[found.index(most)]
        if most > _RATIO * longest[1] + _SLACK and really[0] < longest[0]:
            short = really
        elif 0 < 2 * shortest[0] <= longest[0] and _NO_ROUNDING <= longest[1] <= shortest[1]:
            short = shortest
        else:
            return True
        self._misfits[name] = (
            f"samples {short[2]} and {longest[2]} have lengths {exactly(short[0])} and {exactly(longest[0])} in the plan, "
            f"and {short[1]} and {longest[1]} elements in {_called(name)}"
        )
        return False


def _inexact(name: str, samples: Sequence[int], told: list[float], found: list[int]) -> str | None:
    """What to say of the first sample whose length is far from that in the plan."""
    for sample, length, own in zip(samples, told, found, strict=True):
        low, high = sorted((length, own))
        if high > _RATIO * low + _SLACK:
            costs = (
                "such batches exceed their budget" if own > length else "such batches leave much of their budget unused"
            )
            return (
                f"sample {sample} has length {exactly(length)} in the plan and {own} elements in {_called(name)}, where "
                f"others have exactly the length in the plan; {costs}; {_WAY_OUT}"
            )
    return None


def _called(name: str) -> str:
    return name if name in (_SUM, _LONGEST) else f"field {shown(name)}" if name else "them"


def _lengths_in(batch: Any, read: Sequence[Any]) -> Iterator[tuple[str, list[int] | None]]:
    """What may be called the length of the samples: of each field, along each dimension; None where that is not known."""
    if isinstance(batch, Batch):
        if batch._order is not None:  # another than that of the plan
            return
        ragged = [(name, value) for name, value in batch.fields.items() if isinstance(value, (Packed, Ragged))]
        for name, value in ragged:
            if isinstance(value, Packed):
                yield name, list(value.plot.own.counts)
                continue
            for dim, layout in zip(value.dims, value.axes, strict=True):
                yield f"{name}, dim {dim}" if dim else name, list(layout.counts)
            if len(value.axes) > 1:
                yield f"{name}, all of it", list(value.layout.counts)
        if ragged:
            return
    if isinstance(read[0], Identity):
        read = [sample.sample for sample in read]
    yield from _sizes_of("", read)


def _sizes_of(name: str, values: Sequence[Any]) -> Iterator[tuple[str, list[int] | None]]:
    first = values[0]
    if isinstance(first, (np.ndarray, torch.Tensor)):
        shapes = [value.shape for value in values]
        for dim in range(first.ndim):
            yield f"{name}, dim {dim}" if dim else name, [shape[dim] for shape in shapes]
        if first.ndim > 1:
            yield f"{name}, all of it", list(map(math.prod, shapes))
    elif isinstance(first, (list, tuple)) and all(isinstance(item, _SCALARS) for item in first[:_LOOKED_AT]):
        yield name, list(map(len, values))
    elif isinstance(first, (dict, list, tuple)):
        for key in first if isinstance(first, dict) else range(len(first)):
            yield from _sizes_of(f"{name}.{key}" if name else str(key), [value[key] for value in values])
    elif not isinstance(first, _SCALARS):
        yield name, None
