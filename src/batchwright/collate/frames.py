"""Frames: how containers of one structure are taken apart by their declarations, computed once for all batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..errors import Infeasible, listed, shown
from .arguments import by_name
from .column import FieldValues
from .declaration_text import declaration
from .fields import Aside, Context, Field
from .structure import Structure
from .values import Opaque, Value

__all__ = ["MISSING", "WAITING", "Frame", "FramePart", "Frames", "Gathering"]

_Spec = Field | Mapping[str, Any] | Sequence[Any]
_MOST_FRAMES = 256  # then all are dropped: datasets whose samples have ever new keys must not fill the memory
MISSING = (KeyError, IndexError, AttributeError, TypeError)
"""The errors that containers raise for a missing part."""


@dataclass(frozen=True, slots=True)
class FramePart:
    """One part of a container: its key, its name, its path, and how it is collated."""

    key: Any
    name: str
    path: tuple[str, ...]
    field: Field | None
    inner: Mapping[str, Any] | None

    @classmethod
    def of(cls, key: Any, name: str, path: tuple[str, ...], declared: _Spec | None) -> FramePart:
        """The part under `key`, declared as a field, as a container of fields, or not at all."""
        field = declared if isinstance(declared, Field) else None
        inner = None if declared is None or isinstance(declared, Field) else by_name(declared)
        return cls(key, name, (*path, name), field, inner)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """How containers of one structure are taken apart, in the order of their parts."""

    structure: Structure
    path: tuple[str, ...]
    parts: tuple[FramePart, ...]
    absent: tuple[str, ...]
    """Declared parts that the structure does not have."""
    steps: tuple[tuple[Callable[[Any], Any], str, Field | None, FramePart], ...]
    """What reads each part of a sample, its name, its declared field, and the part: used for every batch."""
    checks_more: bool
    """Whether more of the containers is checked than how many parts they have."""

    @property
    def place(self) -> str:
        """The place of these containers within a sample, for messages."""
        return _place(self.path)


class Frames:
    """The frames that one collate function has used so far; most batches have the structure of the batch before."""

    def __init__(self, also: Mapping[str, tuple[str, str]]) -> None:
        self.also = also
        self._made: dict[tuple[Structure, tuple[str, ...]], Frame] = {}

    def of(self, structure: Structure, spec: Mapping[str, Any], path: tuple[str, ...]) -> Frame:
        """The frame of containers of this structure under `path`, declared by `spec`; it keeps no template."""
        structure = structure.bare
        frame = self._made.get((structure, path))
        if frame is None:
            names = structure.names
            self._refuse_two_of_one_name(structure, spec, path)
            keyed = zip(structure.keys, names, strict=True)
            parts = tuple(FramePart.of(key, name, path, spec.get(name)) for key, name in keyed)
            steps = tuple((structure.reader(part.key), part.name, part.field, part) for part in parts)
            absent = tuple(name for name in spec if name not in names)
            checks_more = not parts or bool(absent) or structure.reads == "attribute" or structure.fills
            frame = Frame(structure, path, parts, absent, steps, checks_more)
            if len(self._made) >= _MOST_FRAMES:
                self._made.clear()
            self._made[structure, path] = frame
        return frame

    def _refuse_two_of_one_name(self, structure: Structure, spec: Mapping[str, Any], path: tuple[str, ...]) -> None:
        names = structure.names
        if len(set(names)) < len(names):
            twice = max(names, key=names.count)
            keys = [shown(key) for key, name in zip(structure.keys, names, strict=True) if name == twice]
            raise Infeasible(
                f"the keys {' and '.join(keys[:2])} of the samples{_place(path)} have one name, {shown(twice)}",
                "rename one",
            )
        for name in () if path else names:
            if name in self.also and not isinstance(spec.get(name), Aside):
                field, what = self.also[name]
                raise Infeasible(
                    f"the batch would have two keys {shown(name)}, a field of the samples and {shown(what)} of field "
                    f"{shown(field)}",
                    f"rename the key in the `also` that declares it, or put the samples' own aside; "
                    f"{declaration([name], 'bw.aside()')}",
                )

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the frames: every process makes its own from its first batch.
        return Frames, (self.also,)


class Gathering(Context):
    """A batch that is being gathered: the names of its samples for messages, and the fields that wait for others."""

    waiting: tuple[tuple[dict[str, Value], str, Field, FieldValues], ...] = ()

    def __init__(self, frames: Frames, ids: Value | None) -> None:
        self.layouts = {}
        self.frames = frames
        self.ids = ids

    def name_by(self, samples: Sequence[Any], structure: Structure, key: str) -> None:
        """Use part `key` of the samples as their ids in messages."""
        if self.ids is None and key in structure.keys:
            with suppress(*MISSING):  # `container` raises later, with a message
                self.ids = Opaque(structure.column(samples, key))

    def called(self, number: int) -> str:
        """The name of sample `number` in a message."""
        if self.ids is None:
            return f"sample {number} of the batch"
        return f"sample {shown(self.ids.sample(number))} (number {number} of the batch)"

    def put(self, children: dict[str, Value], name: str, field: Field, column: FieldValues) -> None:
        """Collate a declared field as the child `name`, now or when the fields that it indexes are collated."""
        if not field.after:
            children[name] = field.gather(column, self)
            return
        children[name] = WAITING  # keeps its place among the children until `finish`
        self.waiting = (*self.waiting, (children, name, field, column))

    def refuse_absent(self, frame: Frame) -> None:
        """Refuse containers without a part that is declared."""
        if frame.absent:
            raise Infeasible(
                f"field {shown('.'.join((*frame.path, frame.absent[0])))} is missing in {self.called(0)}, "
                f"which has {listed(frame.structure.names)}",
                "give every sample the declared fields, or do not declare it",
            )


WAITING = Opaque([])
"""Keeps the place of a field in its container until the fields that it indexes are collated."""


def _place(path: tuple[str, ...]) -> str:
    return f" in {shown('.'.join(path))}" if path else ""
