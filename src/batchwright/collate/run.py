"""The collating of one batch: samples are taken apart part by part, and the fields that index others come last."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
from .arguments import by_name
from .column import Column
from .fields import Context, Field, ScalarField, StackField
from .graphs import gather_graphs, is_graph
from .memory import settle
from .structure import Structure, Tree, structure_of
from .values import Extension, Opaque, Stacked, Value
from .wording import declaration

__all__ = ["Frames", "Run", "Spec"]

Spec = Field | Mapping[str, Any] | Sequence[Any]

# What default_collate does with these, done without casting or dropping anything.
_INSTEAD_OF: dict[Any, Field] = {
    collate_tensor_fn: StackField(),
    collate_numpy_array_fn: StackField(),
    collate_numpy_scalar_fn: StackField(),
    collate_int_fn: ScalarField(),
    collate_float_fn: ScalarField(),
}
_MISSING = (KeyError, IndexError, AttributeError, TypeError)
_MOST_FRAMES = 256


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a container: what finds it, its name, the names on the way to it, how it is collated."""

    key: Any
    name: str
    path: tuple[str, ...]
    field: Field | None
    inner: Mapping[str, Any] | None
    waits: bool

    @classmethod
    def of(cls, key: Any, name: str, path: tuple[str, ...], declared: Spec | None) -> Part:
        """The part under `key`, declared as a field, as a container of fields, or not at all."""
        field = declared if isinstance(declared, Field) else None
        inner = None if declared is None or isinstance(declared, Field) else by_name(declared)
        return cls(key, name, (*path, name), field, inner, field is not None and bool(field.after))


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """How containers of one structure are taken apart, in the order of their parts."""

    structure: Structure
    path: tuple[str, ...]
    parts: tuple[Part, ...]
    absent: tuple[str, ...]
    """Declared parts that the structure does not have."""

    @property
    def place(self) -> str:
        """Where in a sample these containers stand, for a message about one."""
        return _place(self.path)


class Frames:
    """The frames of the containers that one collate function has met: most batches are made as the one before was."""

    def __init__(self, also: Mapping[str, tuple[str, str]]) -> None:
        self.also = also
        self._made: dict[tuple[Structure, tuple[str, ...]], Frame] = {}

    def of(self, structure: Structure, spec: Mapping[str, Any], path: tuple[str, ...]) -> Frame:
        """The frame of containers of this structure, found under `path` and declared by `spec`; it keeps no template."""
        structure = structure.bare
        frame = self._made.get((structure, path))
        if frame is None:
            names = structure.names
            self._refuse_two_of_one_name(structure, path)
            parts = (Part.of(key, name, path, spec.get(name)) for key, name in zip(structure.keys, names, strict=True))
            frame = Frame(structure, path, tuple(parts), tuple(name for name in spec if name not in names))
            if len(self._made) >= _MOST_FRAMES:
                self._made.clear()
            self._made[structure, path] = frame
        return frame

    def _refuse_two_of_one_name(self, structure: Structure, path: tuple[str, ...]) -> None:
        names = structure.names
        if len(set(names)) < len(names):
            twice = max(names, key=names.count)
            keys = [shown(key) for key, name in zip(structure.keys, names, strict=True) if name == twice]
            raise Infeasible(
                f"the keys {' and '.join(keys[:2])} of the samples{_place(path)} have one name, {shown(twice)}",
                "rename one",
            )
        for name in () if path else names:
            if name in self.also:
                field, what = self.also[name]
                raise Infeasible(
                    f"the batch would have two keys {shown(name)}, a field of the samples and {shown(what)} of field "
                    f"{shown(field)}",
                    "rename the key in the `also` that declares it",
                )

    def __reduce__(self) -> tuple[Any, ...]:
        return Frames, (self.also,)


class Run(Context):
    """The collating of one batch: the context that its fields are gathered in, and which of them wait for others."""

    def __init__(self, frames: Frames, ids: Value | None) -> None:
        super().__init__()
        self.frames = frames
        self.ids = ids
        self.waiting: list[tuple[dict[str, Value], str, Field, Column]] = []

    def name_by(self, samples: Sequence[Any], structure: Structure, key: str) -> None:
        """Let messages call samples by the id that they carry as their part `key`."""
        if self.ids is None and key in structure.keys:
            with suppress(*_MISSING):  # `container` says what is missing
                self.ids = Opaque(structure.column(samples, key))

    def called(self, number: int) -> str:
        """What sample `number` is called in a message."""
        if self.ids is None:
            return f"sample {number} of the batch"
        return f"sample {shown(self.ids.sample(number))} (number {number} of the batch)"

    def container(
        self, samples: Sequence[Any], structure: Structure, spec: Mapping[str, Any], path: tuple[str, ...] = ()
    ) -> Tree:
        """Collate containers part by part, in the order of their parts."""
        if is_graph(structure.kind):
            return gather_graphs(self, samples, spec, path)
        frame = self.frames.of(structure, spec, path)
        self._alike(samples, frame)
        called = self.called
        children: dict[str, Value] = {}
        for part in frame.parts:
            try:
                column = Column(part.path, structure.column(samples, part.key), called)
            except _MISSING as error:
                raise self._missing(samples, structure, part) from error
            field = part.field
            if field is None:
                children[part.name] = self._undeclared(column, part)
            elif part.waits:
                self._wait(children, part.name, field, column)
            else:
                children[part.name] = field.gather(column, self)
        return Tree(structure, children, len(samples))

    def put(self, children: dict[str, Value], name: str, field: Field, column: Column) -> None:
        """Collate a declared field as the child `name`, as soon as the fields that it indexes are there."""
        if field.after:
            self._wait(children, name, field, column)
        else:
            children[name] = field.gather(column, self)

    def _wait(self, children: dict[str, Value], name: str, field: Field, column: Column) -> None:
        children[name] = _PLACE
        self.waiting.append((children, name, field, column))

    def finish(self, root: Tree) -> None:
        """Collate the fields that index others, now that those are there."""
        if not self.waiting:
            return
        self.done = {name: value for name, value in root.leaves().items() if value is not _PLACE}
        for children, name, field, column in self.waiting:
            children[name] = field.gather(column, self)
        self.waiting.clear()  # columns know this run by its `called`: leave no cycle that would keep their tensors

    def _undeclared(self, column: Column, part: Part) -> Value:
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

    def _missing(self, samples: Sequence[Any], structure: Structure, part: Part) -> Infeasible:
        number = next((n for n, sample in enumerate(samples) if not _has(structure, sample, part.key)), 0)
        return Infeasible(
            f"field {shown('.'.join(part.path))} is missing in {self.called(number)} ({typed(samples[number])}); "
            f"{self.called(0)} has {listed(structure.names)}",
            "give every sample the same fields",
        )

    def _alike(self, samples: Sequence[Any], frame: Frame) -> None:
        """Refuse containers without parts, or with other parts than the first's or the declaration's."""
        structure = frame.structure
        if not structure.keys:
            raise Infeasible(
                f"{self.called(0)} has no fields{frame.place}",
                _of_any_length(samples, frame) or "leave empty samples out",
            )
        self.refuse_absent(frame)
        if structure.reads == "attribute":
            for number, sample in enumerate(samples):
                if type(sample) is not structure.kind:  # what it holds beyond the first's fields would be lost
                    raise self._of_another_type(number, sample, frame)
            return
        kinds: set[Any] = set(map(type, samples))
        if "torch_geometric" in sys.modules and any(map(is_graph, kinds)):
            number = next(number for number, sample in enumerate(samples) if hasattr(sample, "__cat_dim__"))
            raise self._of_another_type(number, samples[number], frame)  # it would be taken for a mapping
        if structure.fills:
            for part in frame.parts:
                if not all(part.key in sample for sample in samples):
                    raise self._missing(samples, structure, part)
        with suppress(TypeError):  # of a sample that has no length
            if sum(map(len, samples)) == len(samples) * len(structure.keys):  # that none lacks a part, is found later
                return
        raise self._unlike(samples, frame)

    def refuse_absent(self, frame: Frame) -> None:
        """Refuse containers that lack a part which is declared."""
        if frame.absent:
            raise Infeasible(
                f"field {shown('.'.join((*frame.path, frame.absent[0])))} is missing in {self.called(0)}, "
                f"which has {listed(frame.structure.names)}",
                "give every sample the declared fields, or do not declare it",
            )

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
        found = f"is {typed(samples[number])}" if other is None else f"has the fields {listed(other.names)}"
        return Infeasible(
            f"{self.called(number)} {found}{frame.place}, {self.called(0)} has {listed(structure.names)}",
            _of_any_length(samples, frame) or "give every sample the same fields",
        )


_PLACE = Opaque([])
"""Keeps the place of a field among its container's, until `finish` has it."""


def _of_any_length(samples: Sequence[Any], frame: Frame) -> str | None:
    """The words that declare lists or tuples whose lengths differ, by what they hold; None where these are no such lists."""
    if frame.structure.kind not in (list, tuple) or not frame.path:
        return None
    item = next(chain.from_iterable(sample for sample in samples if isinstance(sample, (list, tuple))), 0)
    if isinstance(item, (bool, int, float, complex, list)):
        return declaration(frame.path, "bw.ragged()")
    return declaration(frame.path, "bw.media()" if isinstance(item, (Tensor, np.ndarray)) else "bw.opaque()")


def _place(path: tuple[str, ...]) -> str:
    return f" in {shown('.'.join(path))}" if path else ""


def _counts(sample: Any, count: int) -> bool:
    """Whether the sample has so many parts."""
    return hasattr(sample, "__len__") and len(sample) == count


def _has(structure: Structure, sample: Any, key: Any) -> bool:
    if structure.fills:
        return key in sample
    try:
        structure.column([sample], key)
    except _MISSING:
        return False
    return True


def _registered(value: Any) -> Any:
    """The function of `default_collate`'s extension table for a base of this value's type, as torch finds it, or None."""
    return next((function for kind, function in default_collate_fn_map.items() if isinstance(value, kind)), None)


def _joined_by_torch(column: Column) -> Value:
    try:
        with noted(
            f"{column.at(0)} and of those after it, each {typed(column.values[0])}, was joined by default_collate"
        ):
            joined = default_collate(list(column.values))
    except (TypeError, RuntimeError) as error:
        raise Infeasible(
            f"{column.at(0)} is {typed(column.values[0])}, which "
            f"default_collate refuses ({shown(str(error).splitlines()[0])[1:-1]})",
            column.declared("bw.opaque()"),
        ) from error
    count = len(column.values)
    if isinstance(joined, Tensor) and joined.shape[:1] == (count,):
        return Stacked(settle(joined))
    return Opaque(joined) if isinstance(joined, list) and len(joined) == count else Extension(joined, count)
