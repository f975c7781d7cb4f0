"""Collated fields: their interface, and the simple kinds."""

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

# Most values are no frozen dataclasses: making a frozen one takes three times as long, and small batches consist of
# them.


@dataclass(frozen=True)
class Fill:
    """The number of positions of a field with elements of samples, and of positions with padding."""

    real: int
    padded: int


class Value(ABC):
    """One collated field: what the model gets, the samples in it, and how it is moved to another device."""

    @property
    @abstractmethod
    def model(self) -> Any:
        """The value that the batch, as a mapping, has under the name of the field."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def sample(self, number: int) -> Any:
        """The value of sample `number`."""

    @abstractmethod
    def transferred(self, transfer: Transfer) -> Value:
        """A copy with `transfer` applied to its tensors."""

    @abstractmethod
    def select(self, numbers: Sequence[int]) -> Value:
        """The field for the samples `numbers`, in this order."""

    def leaves(self, name: str) -> dict[str, Value]:
        """The fields under `name` that are no containers, by full name, with dots."""
        return {name: self}

    def also(self, what: str) -> Any:
        """A description of this field by name, such as lengths or a mask."""
        raise Infeasible(f"a {type(self).__name__} field has no {shown(what)}", "declare the field as bw.ragged()")

    def replaced(self, model: Any) -> Value | None:
        """This field if the model gets `model` in its place; None if the samples cannot be found in `model`."""
        return None

    @property
    def fill(self) -> Fill | None:
        """The number of real and padded positions, or None for fields that cannot have padding."""
        return None


@dataclass(slots=True, eq=False)
class Held(Value):
    """A field that is kept as the model gets it; if nothing else is said, a tensor with one row for each sample.

    Args:
        held: the value that the model gets.
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
        """A copy with another value, and other attributes."""
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
    """Python numbers, one for each sample, as a vector; samples get Python numbers back."""

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
    """Any objects, one for each sample, in a list."""

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
    """A value that all samples share: a loss in a mapping that a trainer made again, a weight of each class."""

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
    """The result of a function in torch's `default_collate_fn_map`, or of its treatment of sequences.

    Samples are read from it by number if it has one entry for each.
    """

    way_out: str = "declare the field: bw.opaque() gives each sample back"
    """The way out in the message if samples cannot be read from it."""
    of_columns: bool = False
    """Whether its entries are parts of all samples. Then their number says nothing, though it may be that of the samples."""

    @override
    def sample(self, number: int) -> Any:
        with suppress(TypeError):  # of what has no length
            if not self.of_columns and len(self.held) == self.count and not isinstance(self.held, Mapping):
                return self.held[number]
        raise Infeasible(
            f"a {type(self.held).__name__} holds all {self.count} samples of a field together",
            self.way_out,
        )

    @override
    def select(self, numbers: Sequence[int]) -> Opaque:
        return Opaque([self.sample(number) for number in numbers])
