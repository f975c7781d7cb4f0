"""A digest of what a batch holds, by its content: two passes that give the same have the same digests."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch

from .batch import StreamBatch

__all__ = ["Unlike", "digested"]

_DEEPEST = 40  # containers in containers; one that holds itself has no end
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic, np.dtype, torch.dtype, enum.Enum, type)


class Unlike(Exception):
    """Raised for a value of which it cannot be told whether another is the same; says its type."""


def digested(batch: Any) -> str | Unlike:
    """A digest of what a batch holds, its samples and what it knows of itself; or what in it cannot be compared."""
    told: Sequence[Any] = (
        (list(batch), list(batch.groups), list(batch.packs)) if isinstance(batch, StreamBatch) else [batch]
    )
    try:
        return _of(told, 0).hex()
    except Unlike as unlike:
        return unlike


def _of(value: Any, depth: int) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    _add(found.update, value, depth)
    return found.digest()


def _add(put: Callable[[bytes], None], value: Any, depth: int) -> None:
    """Put a value into a digest, after its kind, so that 1 and "1" differ; the order of dictionaries does not count."""
    kind = type(value)
    if depth == _DEEPEST:
        raise Unlike(f"{kind.__module__}.{kind.__qualname__}, nested more than {_DEEPEST} times")
    put(f"<{kind.__module__}.{kind.__qualname__}>".encode())
    inner = depth + 1
    if isinstance(value, _PLAIN):
        put(repr(value).encode(errors="replace"))
    elif isinstance(value, Mapping):
        for pair in sorted(_of(name, inner) + _of(entry, inner) for name, entry in value.items()):
            put(pair)
    elif isinstance(value, AbstractSet):
        for entry in sorted(_of(entry, inner) for entry in value):
            put(entry)
    elif isinstance(value, (bytearray, memoryview)):
        put(bytes(value))
    elif isinstance(value, torch.Tensor):
        found = value.detach().cpu()
        put(f"{found.dtype}{tuple(found.shape)}".encode())
        if found.layout != torch.strided or found.is_quantized:
            put(repr(found).encode())
        else:
            put(found.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray):
        put(f"{value.dtype}{value.shape}".encode())
        if value.dtype.hasobject:
            _add(put, value.ravel().tolist(), inner)
        else:
            put(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Sequence):
        put(f"{len(value)}".encode())
        for entry in value:
            put(_of(entry, inner))
    elif is_dataclass(value):
        for field in fields(value):
            put(_of(getattr(value, field.name), inner))
    else:
        _add_object(put, value, kind, inner)


def _add_object(put: Callable[[bytes], None], value: Any, kind: type, depth: int) -> None:
    """An object of another class: an image or array by its content, others by their text or their attributes."""
    if hasattr(kind, "tobytes") and hasattr(kind, "getpalette"):  # an image of PIL, whose text names its address
        put(f"{value.mode}{value.size}{value.getpalette()}".encode())
        put(value.tobytes())
        return
    if hasattr(kind, "__array__") or hasattr(kind, "__array_interface__"):
        _add(put, np.asarray(value), depth)
        return
    text = "" if getattr(kind, "__repr__", None) is getattr(object, "__repr__", None) else repr(value)
    if text and not _ADDRESS.search(text):
        put(text.encode(errors="replace"))
    elif vars_of := getattr(value, "__dict__", None):
        _add(put, vars_of, depth)
    else:
        raise Unlike(f"{kind.__module__}.{kind.__qualname__}")
