"""Makes a `Batch` of changed entries, after a trainer or a pytree function has changed the values of another batch."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from .entries import same_rows
from .structure import Tree
from .values import Value

__all__ = ["rebuilt", "remember", "showing"]


class Changeable(Protocol):
    """What is needed of a `Batch` to make one with other values; the attributes are its own."""

    _root: Tree
    _keys: dict[str, Value | tuple[str, str]]
    _entries: dict[str, Value]
    _shown: dict[str, Any]

    def __getitem__(self, key: str, /) -> Any: ...
    def __setitem__(self, key: str, value: Any, /) -> None: ...
    def __delitem__(self, key: str, /) -> None: ...
    def _with(self, root: Tree, **changed: Any) -> Self: ...


Changed = TypeVar("Changed", bound=Changeable)

_listed = threading.local()
"""`batch`: a weak reference to the batch whose items this thread asked for last.

A trainer calls `type(batch)({name: move(value) for name, value in batch.items()})`, so the constructor sees only values.
The last batch of this thread is most likely theirs, and `rebuilt` checks it. The reference is weak, so it keeps no memory.
"""


def remember(batch: Changeable) -> None:
    """Remember that the items of this batch were asked for: a mapping made of them may become a Batch again."""
    _listed.batch = weakref.ref(batch)


def showing(batch: Changed, values: Mapping[str, Any]) -> Changed | None:
    """The batch with exactly these entries; None if a tensor among them has another number of rows than before."""
    kept, changed, children = {}, {}, {}
    for name, value in values.items():
        before = batch[name] if name in batch._keys else value
        if not same_rows(before, value):
            return None
        child = batch._keys.get(name)
        if child is not None and before is value:
            kept[name] = value
            continue
        own = child.replaced(value) if isinstance(child, Value) and name in batch._root.children else None
        if own is not None and name not in batch._entries:
            children[name] = own
        else:
            changed[name] = value
    made = batch._with(replace(batch._root, children=batch._root.children | children) if children else batch._root)
    for name in batch._keys.keys() - values.keys():
        del made[name]
    for name, value in changed.items():
        made[name] = value
    if tuple(made._keys) != tuple(values):
        made = made._with(made._root, keys=tuple(values))
    made._shown.update(kept)
    return made


def rebuilt(values: Mapping[str, Any]) -> Changeable | None:
    """The batch whose items this thread asked for last, with these values; None if none of its tensors is among them."""
    if torch.compiler.is_compiling():
        return None
    reference: weakref.ref[Changeable] | None = getattr(_listed, "batch", None)
    batch = reference() if reference is not None else None
    if batch is None:
        return None
    known = batch._shown
    shows = any(isinstance(value, Tensor) and value.ndim and known.get(name) is value for name, value in values.items())
    return showing(batch, values) if shows else None
