"""What a collated field is: an interface, and the forms that need no more than a line a method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from typing_extensions import override

from ..errors import Infeasible, shown

__all__ = ["Common", "Extension", "Fill", "Opaque", "Scalars", "Stacked", "Transfer", "Value"]

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

    @property
    def fill(self) -> Fill | None:
        """Real and padded places of what the model sees, or None where the question does not arise."""
        return None


@dataclass(slots=True, eq=False)
class Stacked(Value):
    """Samples of one shape along a new first dimension."""

    tensor: Tensor

    @property
    @override
    def model(self) -> Tensor:
        return self.tensor

    def __len__(self) -> int:
        return len(self.tensor)

    @override
    def sample(self, number: int) -> Tensor:
        return self.tensor[number]

    @override
    def transferred(self, transfer: Transfer) -> Stacked:
        return Stacked(transfer(self.tensor))

    @override
    def select(self, numbers: Sequence[int]) -> Stacked:
        return Stacked(self.tensor[torch.tensor(numbers, device=self.tensor.device)])


@dataclass(slots=True, eq=False)
class Scalars(Value):
    """Python numbers, one a sample, as one vector; samples get numbers of their own type back."""

    tensor: Tensor

    @property
    @override
    def model(self) -> Tensor:
        return self.tensor

    def __len__(self) -> int:
        return len(self.tensor)

    @override
    def sample(self, number: int) -> bool | int | float | complex:
        if self.tensor.is_meta:
            raise Infeasible(
                "a batch on the meta device holds no numbers", "take samples of it before it is moved there"
            )
        return self.tensor[number].item()

    @override
    def transferred(self, transfer: Transfer) -> Scalars:
        return Scalars(transfer(self.tensor))

    @override
    def select(self, numbers: Sequence[int]) -> Scalars:
        return Scalars(self.tensor[torch.tensor(numbers, device=self.tensor.device)])


@dataclass(frozen=True)
class Opaque(Value):
    """Anything at all, one a sample, in a list."""

    values: list[Any]

    @property
    @override
    def model(self) -> list[Any]:
        return self.values

    def __len__(self) -> int:
        return len(self.values)

    @override
    def sample(self, number: int) -> Any:
        return self.values[number]

    @override
    def transferred(self, transfer: Transfer) -> Opaque:
        return Opaque([transfer(value) if isinstance(value, Tensor) else value for value in self.values])

    @override
    def select(self, numbers: Sequence[int]) -> Opaque:
        return Opaque([self.values[number] for number in numbers])


@dataclass(frozen=True)
class Extension(Value):
    """What a type registered with torch's `default_collate_fn_map` was collated to: torch's business, passed on.

    Samples are taken of it by number where it has one entry for each.
    """

    joined: Any
    count: int
    way_out: str = "declare the field: bw.opaque() gives each sample back"
    """What to do where it has no samples to take."""

    @property
    @override
    def model(self) -> Any:
        return self.joined

    def __len__(self) -> int:
        return self.count

    @override
    def sample(self, number: int) -> Any:
        with suppress(TypeError):  # of what has no length
            if len(self.joined) == self.count and not isinstance(self.joined, Mapping):
                return self.joined[number]
        raise Infeasible(
            f"a {type(self.joined).__name__} holds all {self.count} samples of a field together",
            self.way_out,
        )

    @override
    def transferred(self, transfer: Transfer) -> Extension:
        joined = tree_map(lambda leaf: transfer(leaf) if isinstance(leaf, Tensor) else leaf, self.joined)
        return Extension(joined, self.count, self.way_out)

    @override
    def select(self, numbers: Sequence[int]) -> Opaque:
        return Opaque([self.sample(number) for number in numbers])


@dataclass(frozen=True)
class Common(Value):
    """A number, a word or nothing, which all samples have in common: a loss in a mapping that a trainer rebuilt."""

    value: Any
    count: int

    @property
    @override
    def model(self) -> Any:
        return self.value

    def __len__(self) -> int:
        return self.count

    @override
    def sample(self, number: int) -> Any:
        return self.value

    @override
    def transferred(self, transfer: Transfer) -> Common:
        return Common(transfer(self.value) if isinstance(self.value, Tensor) else self.value, self.count)

    @override
    def select(self, numbers: Sequence[int]) -> Common:
        return Common(self.value, len(numbers))
