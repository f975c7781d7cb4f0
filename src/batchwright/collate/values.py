"""What a collated field is: an interface, and the forms that need no more than a line a method."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from typing_extensions import override

from ..errors import Infeasible, shown

__all__ = ["Common", "Extension", "Fill", "Held", "Opaque", "Scalars", "Stacked", "Transfer", "Value"]

Transfer = Callable[[Tensor], Tensor]

# The values that every small batch is made of are not frozen dataclasses, which would triple the time of making one.


@dataclass(frozen=True)
class Fill:
    """How many places of a field hold samples' own elements, and how many hold padding."""

    real: int
    padded: int


class Value(ABC):
    """One collated field: what the model sees, the samples it came from, and how its tensors travel."""

    @property
    @abstractmethod
    def model(self) -> Any:
        """What the batch, as a mapping, shows under the field's name."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def sample(self, number: int) -> Any:
        """What sample `number` held."""

    @abstractmethod
    def transferred(self, transfer: Transfer) -> Value:
        """The same field with `transfer` applied to the tensors that hold it."""

    @abstractmethod
    def select(self, numbers: Sequence[int]) -> Value:
        """The field of the samples `numbers`, in that order."""

    def leaves(self, name: str) -> dict[str, Value]:
        """The fields under `name` that are no containers, by full name: the names on the way joined by dots."""
        return {name: self}

    def also(self, what: str) -> Any:
        """A further tensor that indexes or describes this field, by name."""
        raise Infeasible(f"a {type(self).__name__} field has no {shown(what)}", "declare the field as bw.ragged()")

    def replaced(self, model: Any) -> Value | None:
        """This field where the model sees `model` in its place; None where samples cannot be told from that."""
        return None

    @property
    def fill(self) -> Fill | None:
        """Real and padded places of what the model sees, or None where the question does not arise."""
        return None


@dataclass(slots=True, eq=False)
class Held(Value):
    """A field that is held as the model sees it: a tensor of one row a sample, where a kind of its own says no more.

    Args:
        held: what the model sees.
    """

    held: Any

    @property
    @override
    def model(self) -> Any:
        return self.held

    def __len__(self) -> int:
        return len(self.held)

    @override
    def sample(self, number: int) -> Any:
        return self.held[number]

    @override
    def transferred(self, transfer: Transfer) -> Self:
        return self._holding(transfer(self.held))

    @override
    def select(self, numbers: Sequence[int]) -> Value:
        return self._holding(self.held[torch.tensor(numbers, device=self.held.device)])

    def _holding(self, held: Any, **changed: Any) -> Self:
        """The same field of other things."""
        made = copy.copy(self)
        for name, value in {"held": held, **changed}.items():
            setattr(made, name, value)
        return made


@dataclass(slots=True, eq=False)
class Stacked(Held):
    """Samples of one shape along a new first dimension."""

    held: Tensor

    @override
    def replaced(self, model: Any) -> Self | None:
        fits = isinstance(model, Tensor) and not model.is_nested and model.shape[:1] == (len(self),)
        return self._holding(model) if fits else None


@dataclass(slots=True, eq=False)
class Scalars(Stacked):
    """Python numbers, one a sample, as one vector; samples get numbers of their own type back."""

    @override
    def sample(self, number: int) -> Any:
        if self.held.is_meta:
            raise Infeasible(
                "a batch on the meta device holds no numbers", "take samples of it before it is moved there"
            )
        return self.held[number].item()

    @override
    def replaced(self, model: Any) -> Self | None:
        return Stacked.replaced(self, model) if isinstance(model, Tensor) and model.ndim == 1 else None


@dataclass(slots=True, eq=False)
class Opaque(Held):
    """Anything at all, one a sample, in a list."""

    held: list[Any]

    @override
    def transferred(self, transfer: Transfer) -> Self:
        return self._holding([transfer(value) if isinstance(value, Tensor) else value for value in self.held])

    @override
    def select(self, numbers: Sequence[int]) -> Self:
        return self._holding([self.held[number] for number in numbers])

    @override
    def replaced(self, model: Any) -> Self | None:
        return self._holding(model) if isinstance(model, list) and len(model) == len(self) else None


@dataclass(slots=True, eq=False)
class Common(Held):
    """What all samples have in common: a loss in a mapping that a trainer rebuilt, a weight of each class."""

    count: int

    def __len__(self) -> int:
        return self.count

    @override
    def sample(self, number: int) -> Any:
        return self.held

    @override
    def transferred(self, transfer: Transfer) -> Self:
        return self._holding(tree_map(lambda leaf: transfer(leaf) if isinstance(leaf, Tensor) else leaf, self.held))

    @override
    def select(self, numbers: Sequence[int]) -> Value:
        return self._holding(self.held, count=len(numbers))


@dataclass(slots=True, eq=False)
class Extension(Common):
    """What a type registered with torch's `default_collate_fn_map` was collated to: torch's business, passed on.

    Samples are taken of it by number where it has one entry for each.
    """

    way_out: str = "declare the field: bw.opaque() gives each sample back"
    """What to do where it has no samples to take."""

    @override
    def sample(self, number: int) -> Any:
        with suppress(TypeError):  # of what has no length
            if len(self.held) == self.count and not isinstance(self.held, Mapping):
                return self.held[number]
        raise Infeasible(
            f"a {type(self.held).__name__} holds all {self.count} samples of a field together",
            self.way_out,
        )

    @override
    def select(self, numbers: Sequence[int]) -> Opaque:
        return Opaque([self.sample(number) for number in numbers])
