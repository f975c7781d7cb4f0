"""Collates one batch: takes the samples apart part by part; fields that index others are collated last."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import default_collate
from torch.utils.data._utils.collate import (
    collate_float_fn,
    collate_int_fn,
    collate_numpy_array_fn,
    collate_numpy_scalar_fn,
    collate_tensor_fn,
    default_collate_fn_map,
)

from ..errors import Infeasible, listed, noted, shown, typed
from ..readings import check_count
from .column import FieldValues
from .declaration_text import declaration
from .fields import Field, ScalarField, StackField
from .frames import MISSING, WAITING, Frame, FramePart, Gathering
from .graphs import gather_graphs, is_graph
from .identity import Identity
from .memory import settle
from .structure import Structure, Tree, structure_of
from .values import Extension, Opaque, Stacked, Value

__all__ = ["BatchGathering"]

# Used instead of torch's functions: the results are the same, but nothing is cast or dropped silently.
_INSTEAD_OF: dict[Any, Field] = {
    collate_tensor_fn: StackField(),
    collate_numpy_array_fn: StackField(),
    collate_numpy_scalar_fn: StackField(),
    collate_int_fn: ScalarField(),
    collate_float_fn: ScalarField(),
}


class BatchGathering(Gathering):
    """Collates one batch: takes its samples apart, and collates undeclared parts as torch does."""

    def container(
        self, samples: Sequence[Any], structure: Structure, spec: Mapping[str, Any], path: tuple[str, ...] = ()
    ) -> Tree:
        """Collate containers part by part, in the order of their parts."""
        if structure.kind is not dict and is_graph(structure.kind):
            return gather_graphs(self, samples, spec, path)
        frame = self.frames.of(structure, spec, path)
        self._alike(samples, frame)
        children: dict[str, Value] = {}
        for read, name, field, part in frame.steps:
            try:
                values = list(map(read, samples))
                if len(values) < len(samples):  # a sample raised StopIteration, which ends `map`
                    values = [read(sample) for sample in samples]
            except MISSING as error:
                raise self._missing(samples, structure, part) from error
            if field is None and part.inner is None:
                kind = type(values[0])
                if kind in default_collate_fn_map:
                    field = _INSTEAD_OF.get(default_collate_fn_map[kind])
            value = None if field is None else field.at_once(values, self)
            if value is not None:
                children[name] = value
                continue
            column = FieldValues(part.path, values, self.called)
            if field is None:
                children[name] = self._undeclared(column, part)
            else:
                self.put(children, name, field, column)
        return Tree(structure, children, len(samples))

    def finish(self, root: Tree) -> None:
        """Collate the fields that index others, which are collated by now."""
        self.done = {name: value for name, value in root.leaves().items() if value is not WAITING}
        for children, name, field, column in self.waiting:
            children[name] = field.gather(column, self)
        self.waiting = ()  # columns refer to this object: the cycle would keep their tensors until garbage is collected

    def _undeclared(self, column: FieldValues, part: FramePart) -> Value:
        first = column.values[0]
        registered = default_collate_fn_map.get(type(first)) or _registered(first)
        instead = _INSTEAD_OF.get(registered)
        if instead is not None and part.inner is None:
            return instead.gather(column, self)
        structure = structure_of(first) if registered is None else None
        if structure is not None:
            return self.container(column.values, structure, part.inner or {}, part.path)
        if part.inner is not None:
            raise Infeasible(
                f"{column.at(0)} is {typed(first)}, declared as a container",
                column.declared("bw.stack()"),
            )
        return _joined_by_torch(column)

    def _missing(self, samples: Sequence[Any], structure: Structure, part: FramePart) -> Infeasible:
        number = next((n for n, sample in enumerate(samples) if not _has(structure, sample, part.key)), 0)
        return Infeasible(
            f"field {shown('.'.join(part.path))} is missing in {self.called(number)} ({typed(samples[number])}); "
            f"{self.called(0)} has {listed(structure.names)}",
            "give every sample the same fields",
        )

    def _alike(self, samples: Sequence[Any], frame: Frame) -> None:
        """Refuse containers without parts, or whose parts differ from those of the first sample or the declaration."""
        if frame.checks_more or "torch_geometric" in sys.modules:
            self._check_more(samples, frame)
            if frame.structure.reads == "attribute":
                return
        try:
            count = sum(map(len, samples))
        except TypeError:  # a sample may have no length
            count = -1
        # Only the total number of parts is compared, which is faster. A part that is missing in one sample while another
        # sample has one too many is found later, when columns are read.
        if count != len(samples) * len(frame.parts):
            raise self._unlike(samples, frame)

    def _check_more(self, samples: Sequence[Any], frame: Frame) -> None:
        """Refuse what containers of few structures can be: without a part, of another type, or making a missing part."""
        structure = frame.structure
        if not structure.keys:
            raise Infeasible(
                f"{self.called(0)} has no fields{frame.place}",
                _of_any_length(samples, frame) or "leave empty samples out",
            )
        if frame.absent:
            self.refuse_absent(frame)
        self._of_one_type(samples, frame)
        if structure.fills and structure.reads == "item":
            for part in frame.parts:
                if not all(part.key in sample for sample in samples):
                    raise self._missing(samples, structure, part)

    def _of_one_type(self, samples: Sequence[Any], frame: Frame) -> None:
        """Refuse records of another type, whose other fields would be lost, and graphs, which would be read as mappings."""
        kinds: list[type] = list(map(type, samples))
        first = frame.structure.kind
        if kinds.count(first) < len(kinds):
            for number, kind in enumerate(kinds):
                if kind is not first and (frame.structure.reads == "attribute" or is_graph(kind)):
                    raise self._of_another_type(number, samples[number], frame)

    def _of_another_type(self, number: int, sample: Any, frame: Frame) -> Infeasible:
        other = structure_of(sample)
        fields = f" with the fields {listed(other.names)}" if other else ""
        return Infeasible(
            f"{self.called(number)} is {typed(sample)}{fields}{frame.place}, {self.called(0)} is of type "
            f"{frame.structure.kind.__name__} with the fields {listed(frame.structure.names)}",
            "give every sample the same type",
        )

    def _unlike(self, samples: Sequence[Any], frame: Frame) -> Infeasible:
        structure = frame.structure
        number = next((n for n, sample in enumerate(samples) if not _counts(sample, len(structure.keys))), 0)
        other = structure_of(samples[number])
        if number == 0:
            return Infeasible(
                f"{self.called(0)} is {typed(samples[0])}, whose length is not the number of the keys that it names: "
                f"{listed(structure.names)}",
                "let the dataset return a dict",
            )
        of_any_length = _of_any_length(samples, frame)
        if of_any_length and other is not None and other.kind is structure.kind:
            return Infeasible(
                f"{self.called(number)} has {len(other.keys)} items{frame.place}, {self.called(0)} has "
                f"{len(structure.keys)}",
                of_any_length,
            )
        found = f"is {typed(samples[number])}" if other is None else f"has the fields {listed(other.names)}"
        return Infeasible(
            f"{self.called(number)} {found}{frame.place}, {self.called(0)} has {listed(structure.names)}",
            of_any_length or "give every sample the same fields",
        )


def _of_any_length(samples: Sequence[Any], frame: Frame) -> str | None:
    """The text of a declaration for lists or tuples of different lengths, by their contents; None for anything else."""
    if frame.structure.kind not in (list, tuple) or not frame.path:
        return None
    item = next(chain.from_iterable(sample for sample in samples if isinstance(sample, (list, tuple))), 0)
    if isinstance(item, (bool, int, float, complex, list)):
        return declaration(frame.path, "bw.ragged()")
    return declaration(frame.path, "bw.media()" if isinstance(item, (Tensor, np.ndarray)) else "bw.opaque()")


def _counts(sample: Any, count: int) -> bool:
    """Whether the sample has `count` parts."""
    return hasattr(sample, "__len__") and len(sample) == count


def _has(structure: Structure, sample: Any, key: Any) -> bool:
    if structure.fills:
        return key in sample
    try:
        structure.column([sample], key)
    except MISSING:
        return False
    return True


def _registered(value: Any) -> Any:
    """The function for a base class of this value in the table of `default_collate`, in torch's order; None if none fits."""
    return next((function for kind, function in default_collate_fn_map.items() if isinstance(value, kind)), None)


def _joined_by_torch(column: FieldValues) -> Value:
    if isinstance(column.values[0], Identity):
        raise Infeasible(
            f"{column.at(0)} is a sample of bw.identified within another sample",
            "call bw.identified on the outermost dataset: bw.identified(bw.correct.Weighted(dataset, weights))",
        )
    check_count(column.values[0], column.at(0))
    try:
        with noted(
            f"{column.at(0)} and of those after it, each {typed(column.values[0])}, was joined by default_collate"
        ):
            joined = default_collate(list(column.values))
    except (TypeError, RuntimeError, ValueError) as error:
        raise Infeasible(
            f"{column.at(0)} is {typed(column.values[0])}, which "
            f"default_collate refuses ({shown(str(error).splitlines()[0])[1:-1]})",
            column.declared("bw.opaque()"),
        ) from error
    count = len(column.values)
    if isinstance(joined, Tensor) and joined.shape[:1] == (count,):
        return Stacked(settle(joined))
    # Torch transposes a sequence that has no function of its own: entry i is then of place i in every sample. A function
    # returns a tuple for several parts, such as padded values and their lengths.
    of_columns = _registered(column.values[0]) is None or isinstance(joined, tuple)
    if isinstance(joined, list) and len(joined) == count and not of_columns:
        return Opaque(joined)
    return Extension(joined, count, of_columns=of_columns)
