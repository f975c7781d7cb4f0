"""Registers `Batch` with torch: how pytree functions take a batch apart, and how `default_collate` joins several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch.utils._pytree import KeyEntry, MappingKey, register_pytree_node
from torch.utils.data import default_collate
from torch.utils.data._utils.collate import default_collate_fn_map

from .batch import Batch
from .rebuilt import showing

__all__ = ["Rest"]


class Rest:
    """The part of a batch that is not a leaf of a pytree. Batches with the same names have the same structure, as dicts do.

    Args:
        names: the names of the entries, in order.
        batch: the batch that was taken apart; None if the structure was read from a file.
    """

    __slots__ = ("batch", "names")

    def __init__(self, names: tuple[str, ...], batch: Batch | None) -> None:
        self.names = names
        self.batch = batch

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rest) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return repr(self.names)


def _flatten(batch: Batch) -> tuple[list[Any], Rest]:
    names = tuple(batch)
    return [batch[name] for name in names], Rest(names, batch)


def _flatten_with_keys(batch: Batch) -> tuple[list[tuple[KeyEntry, Any]], Rest]:
    values, rest = _flatten(batch)
    return [(MappingKey(name), value) for name, value in zip(rest.names, values, strict=True)], rest


def _unflatten(values: Iterable[Any], rest: Rest) -> Batch:
    """The batch with other values; it keeps its sample ids and side channel if the values have the same number of rows."""
    named = dict(zip(rest.names, values, strict=True))
    made = None if rest.batch is None else showing(rest.batch, named)
    return Batch(named) if made is None else made


def _joined(batches: Sequence[Batch], *, collate_fn_map: Any = None) -> Batch:
    """Batches stacked entry by entry, as dicts are. Each is one sample of the result, so the sample ids are dropped."""
    return Batch({name: default_collate([batch[name] for batch in batches]) for name in batches[0]})


register_pytree_node(  # torch passes it on to its C++ pytree, now or when that is imported
    Batch,
    _flatten,
    _unflatten,
    serialized_type_name="batchwright.Batch",
    flatten_with_keys_fn=_flatten_with_keys,
    to_dumpable_context=lambda rest: list(rest.names),
    from_dumpable_context=lambda names: Rest(tuple(names), None),
)
default_collate_fn_map[Batch] = _joined
