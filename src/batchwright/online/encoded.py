"""Values as JSON: what a state holds is written and read without running any code of it, as unpickling would.

Arrays and tensors stand in it as the bytes of `.npy` files, in base64. A value is equal, and of the same type, when it is
read again.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import torch

__all__ = ["Unwritable", "decoded", "encoded"]

_AS_IS = frozenset({int, str, bool, type(None)})
# Tensors of these types have no type of NumPy; their bits are kept as integers.
_BITS = {torch.bfloat16: torch.int16}
_BITS |= {kind: torch.uint8 for name, kind in vars(torch).items() if name.startswith("float8_")}


class Unwritable(Exception):
    """A value that has no form in JSON; says which."""


def encoded(value: Any) -> Any:
    """A value as JSON types: objects have one entry, whose name says what they stand for.

    Raises:
        Unwritable: there is no form for its type.
    """
    kind = type(value)
    if kind in _AS_IS:
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is list:
        return value if _AS_IS.issuperset(map(type, value)) else [encoded(one) for one in value]
    write = _WRITE.get(kind)
    if write is not None:
        name, found = write(value)
        return {name: found}
    if isinstance(value, np.generic) and value.dtype != object:
        return {"scalar": _npy(np.asarray(value))}
    raise Unwritable(f"{kind.__module__}.{kind.__qualname__}")


def decoded(value: Any) -> Any:
    """The value that `encoded` wrote."""
    if type(value) is list:
        return value if _AS_IS.issuperset(map(type, value)) else [decoded(one) for one in value]
    if type(value) is dict:
        [(name, found)] = value.items()
        return _READ[name](found)
    return value


def _npy(array: np.ndarray) -> str:
    if array.dtype.hasobject:
        raise Unwritable("an array of objects")
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return base64.b64encode(file.getvalue()).decode()


def _of_npy(text: str) -> np.ndarray:
    array: np.ndarray = np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)
    return array


def _tensor(value: torch.Tensor) -> tuple[str, Any]:
    if value.is_sparse or value.layout != torch.strided:
        raise Unwritable("a sparse tensor")
    bits = _BITS.get(value.dtype)
    try:
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        array = (plain if bits is None else plain.view(bits)).numpy()
    except (RuntimeError, TypeError):  # nested, quantized, without data, of a type that NumPy does not have
        raise Unwritable(f"torch.Tensor of {value.dtype} on {value.device}") from None
    gradient = [True] if value.requires_grad else []
    return "tensor", [str(value.dtype).removeprefix("torch."), _npy(array), *gradient]


def _of_tensor(found: list[Any]) -> torch.Tensor:
    name, text, *gradient = found
    tensor = torch.from_numpy(np.array(_of_npy(text)))
    kind = getattr(torch, name)
    tensor = tensor.view(kind) if kind in _BITS else tensor
    return tensor.requires_grad_() if gradient else tensor


_WRITE: dict[type, Callable[[Any], tuple[str, Any]]] = {
    tuple: lambda value: ("tuple", encoded(list(value))),
    dict: lambda value: (
        ("dict", dict(zip(value, encoded(list(value.values())), strict=True)))
        if all(type(key) is str for key in value)
        else ("pairs", [[encoded(key), encoded(one)] for key, one in value.items()])
    ),
    bytes: lambda value: ("bytes", base64.b64encode(value).decode()),
    set: lambda value: ("set", encoded(sorted(value, key=repr))),
    frozenset: lambda value: ("frozenset", encoded(sorted(value, key=repr))),
    complex: lambda value: ("complex", [repr(value.real), repr(value.imag)]),
    Decimal: lambda value: ("decimal", str(value)),
    np.ndarray: lambda value: ("array", _npy(value)),
    torch.Tensor: _tensor,
}
_READ: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "tuple": lambda found: tuple(decoded(found)),
    "dict": lambda found: dict(zip(found, decoded(list(found.values())), strict=True)),
    "pairs": lambda found: {decoded(key): decoded(one) for key, one in found},
    "bytes": base64.b64decode,
    "set": lambda found: set(decoded(found)),
    "frozenset": lambda found: frozenset(decoded(found)),
    "complex": lambda found: complex(*map(float, found)),
    "decimal": Decimal,
    "array": _of_npy,
    "scalar": lambda found: _of_npy(found)[()],
    "tensor": _of_tensor,
}
