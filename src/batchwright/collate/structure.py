"""Takes samples that are containers apart, and makes containers of the same type from parts."""

from __future__ import annotations

import copy
import dataclasses
from collections import UserDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from operator import attrgetter, itemgetter
from typing import Any, Protocol

from typing_extensions import override

from ..errors import Infeasible, listed, shown
from .values import Transfer, Value

__all__ = ["Builder", "Structure", "Tree", "structure_of"]


class Builder(Protocol):
    """Makes containers from parts."""

    def build(self, parts: Mapping[str, Any]) -> Any:
        """A container with the parts of one sample."""

    def batch(self, parts: Mapping[str, Any], count: int) -> Any:
        """A container each of whose parts is of all `count` samples."""


@dataclass(frozen=True, eq=False)
class Structure:
    """The type of a container and the names of its parts, in order.

    Containers of one type with equal keys share one structure object, unless they need a template.

    Args:
        kind: the type of the container.
        keys: the key or name of each part.
        reads: `"item"` if parts are read by `container[key]`, `"attribute"` if by name.
        template: a container of this type without parts, of which new ones are copies, if the type needs one.
    """

    kind: Any
    keys: tuple[Any, ...]
    reads: str = "item"
    template: Any = None

    @cached_property
    def bare(self) -> Structure:
        """The shared structure of this type with these keys, without a template."""
        return self if self.template is None else _structure(self.kind, self.keys, self.reads)

    @property
    def interned(self) -> Structure:
        """The shared structure of this type with these keys."""
        return _structure(self.kind, self.keys, self.reads)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the parts as text, for declarations and messages."""
        return tuple(map(str, self.keys))

    @cached_property
    def fills(self) -> bool:
        """Whether containers of this type create missing parts, as a `defaultdict` does."""
        return hasattr(self.kind, "__missing__")

    def column(self, samples: Sequence[Any], key: Any) -> list[Any]:
        """Part `key` of every sample; raises KeyError, IndexError or AttributeError if a sample does not have it."""
        read = self.reader(key)
        return [read(sample) for sample in samples]

    def reader(self, key: Any) -> Callable[[Any], Any]:
        """What returns part `key` of a sample: a function in C, a tenth faster than an expression for each sample."""
        return itemgetter(key) if self.reads == "item" else attrgetter(key)

    def build(self, parts: Mapping[str, Any]) -> Any:
        """A container of this type with these parts.

        Raises:
            Infeasible: the constructor of the type does not accept the parts.
        """
        if self.kind is dict:  # first, because it is by far the most common, and there is one a sample
            return dict(zip(self.keys, parts.values(), strict=True))
        if issubclass(self.kind, tuple) and not hasattr(self.kind, "_fields"):
            return tuple(parts.values())
        if issubclass(self.kind, list):
            return list(parts.values())
        try:
            return self._built(dict(zip(self.keys, parts.values(), strict=True)))
        except Exception as error:
            raise Infeasible(
                f"a {self.kind.__name__} cannot be made again of its parts {listed(self.names)} "
                f"({type(error).__name__}: {shown(str(error))[1:-1]})",
                "let the dataset return a dict of them",
            ) from error

    def batch(self, parts: Mapping[str, Any], count: int) -> Any:
        """A container of this type each of whose parts is of all `count` samples."""
        return self.build(parts)

    def _built(self, keyed: dict[Any, Any]) -> Any:
        if hasattr(self.kind, "_fields"):
            return self.kind(*keyed.values())
        if self.reads == "attribute":
            return _record_of(self.kind, keyed)
        if self.template is not None:
            built = copy.copy(self.template)
            built.update(keyed)
            return built
        return self.kind(keyed)


def _record_of(kind: Any, parts: Mapping[str, Any]) -> Any:
    computed = {part.name for part in dataclasses.fields(kind) if not part.init}
    record = kind(**{name: value for name, value in parts.items() if name not in computed})
    for name in computed:
        object.__setattr__(record, name, parts[name])  # the record may be frozen
    return record


@lru_cache(maxsize=256)
def _structure(kind: Any, keys: tuple[Any, ...], reads: str = "item") -> Structure:
    return Structure(kind, keys, reads)


@lru_cache(maxsize=256)
def _numbered(kind: Any, length: int) -> Structure:
    return Structure(kind, tuple(range(length)))


@lru_cache(maxsize=256)
def _record(kind: type) -> Structure | None:
    """The structure of every instance of this type, if the type determines it."""
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _structure(kind, kind._fields, "attribute")
    if dataclasses.is_dataclass(kind):
        return _structure(kind, tuple(part.name for part in dataclasses.fields(kind)), "attribute")
    return None


def _emptied(sample: Mapping[Any, Any]) -> Any:
    """A container of the sample's type and attributes, without its parts; None if only the constructor can make one.

    It is not made by copying the sample and removing the parts: some containers keep their parts in another object,
    which copies share.
    """
    kind, attributes = type(sample), getattr(sample, "__dict__", {})
    if isinstance(sample, dict):
        if attributes is sample:  # its parts are its attributes too: only the constructor can do that
            return None
        try:
            template: Any = kind.__new__(kind)
        except TypeError:  # it needs arguments
            return None
        if attributes:
            vars(template).update(attributes)
        if isinstance(sample, defaultdict):
            template.default_factory = sample.default_factory
        return template
    if isinstance(sample, UserDict) and attributes.get("data", {}).keys() == sample.keys():
        template = kind.__new__(kind)
        vars(template).update(attributes, data={})
        return template
    return None


def structure_of(sample: Any) -> Structure | None:
    """The structure of a sample; None if it is no container."""
    kind: type = type(sample)
    if kind is dict:
        return _structure(kind, tuple(sample))
    record = _record(kind)
    if record is not None:
        return record
    if isinstance(sample, (tuple, list)):
        return _numbered(kind, len(sample))
    if isinstance(sample, Mapping):
        template = _emptied(sample)
        if template is None:
            return _structure(kind, tuple(sample))
        return Structure(kind, tuple(sample), template=template)
    # Not a `Mapping` by its type, but it can be read like one.
    if callable(getattr(sample, "keys", None)) and hasattr(sample, "__getitem__"):
        return _structure(kind, tuple(sample.keys()))
    return None


@dataclass(slots=True, eq=False)
class Tree(Value):
    """A container of collated fields, of the type that the samples had."""

    structure: Builder
    children: dict[str, Value]
    count: int
    """The number of samples."""
    derived: dict[str, Value] = field(default_factory=dict)
    """Parts that the model gets and no sample has: `batch` and `ptr` of graphs."""
    hidden: frozenset[str] = frozenset()
    """Names of children that samples get back, but the model does not get."""

    @property
    def shown(self) -> dict[str, Value]:
        """The parts that the model gets, by name."""
        if not self.derived and not self.hidden:
            return self.children
        return {name: child for name, child in self.children.items() if name not in self.hidden} | self.derived

    @property
    @override
    def model(self) -> Any:
        return self.structure.batch({name: child.model for name, child in self.shown.items()}, self.count)

    def __len__(self) -> int:
        return self.count

    @override
    def sample(self, number: int) -> Any:
        return self.structure.build({name: child.sample(number) for name, child in self.children.items()})

    @override
    def transferred(self, transfer: Transfer) -> Tree:
        return self.each(lambda child: child.transferred(transfer))

    @override
    def select(self, numbers: Sequence[int]) -> Tree:
        return replace(self.each(lambda child: child.select(numbers)), count=len(numbers))

    @override
    def replaced(self, model: Any) -> Tree | None:
        """For a container of the same type and parts, all of which can replace those here."""
        own, given = self.structure, structure_of(model)
        if given is None or not isinstance(own, Structure) or given.bare is not own.bare or self.derived or self.hidden:
            return None
        children = {}
        for key, (name, child) in zip(given.keys, self.children.items(), strict=True):
            (part,) = given.column([model], key)
            replaced = child.replaced(part)
            if replaced is None:
                return None
            children[name] = replaced
        return replace(self, children=children)

    def each(self, change: Callable[[Value], Value]) -> Tree:
        """The same container with every field changed."""
        children = {name: change(child) for name, child in self.children.items()}
        derived = {name: change(value) for name, value in self.derived.items()}
        return replace(self, children=children, derived=derived)

    @override
    def leaves(self, name: str = "") -> dict[str, Value]:
        prefix = f"{name}." if name else ""
        found: dict[str, Value] = {}
        for part, child in self.children.items():
            found |= child.leaves(prefix + part)
        return found

    @override
    def also(self, what: str) -> Any:
        raise Infeasible(f"a container of fields has no {shown(what)}", "declare `also` at a field inside it")
