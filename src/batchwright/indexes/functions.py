"""Fingerprints of functions: what a function does, as far as its code and the values that it holds tell."""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Iterable, Mapping
from inspect import unwrap
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from ..errors import typed
from ..inputs.arrays import as_array
from ..inputs.values import is_tensor

__all__ = ["NotComparable", "fingerprint_of"]

_LEAVES = frozenset({type(None), bool, int, float, complex, str, type(...), type(NotImplemented)})
_LISTS = frozenset({list, tuple})
_SETS = frozenset({set, frozenset})
_FUNCTIONS = (FunctionType, staticmethod, classmethod, property)
_VALUES = _LEAVES | _LISTS | _SETS | {bytes, dict}

# From Python 3.14 on a class has a function that makes its annotations, which holds all that the class defines.
_ANNOTATIONS = frozenset({"__annotate__", "__annotate_func__"})


class NotComparable(Exception):
    """A function holds a value that cannot be compared with that of another process; the message is its type."""


def fingerprint_of(function: Any, dataset: Any) -> str:
    """A fingerprint of a function, the same in every process.

    It is of its code, its defaults, the values of its closure and of its attributes, the state of the object that it
    belongs to, and the functions among them. Global values that it names are not compared, nor is the dataset.

    Args:
        function: a function from a sample to its value, or a key of the sample.
        dataset: the dataset that it may hold.

    Returns:
        32 hexadecimal digits.

    Raises:
        NotComparable: it holds a value that is not the same for every process, or cannot be read.
    """
    return _Fingerprints(dataset).of(function).hex()


class _Fingerprints:
    """Fingerprints of values, each from those of its parts.

    Args:
        dataset: it stands for itself, whatever its state.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._known: dict[int, tuple[Any, bytes]] = {}  # with the value, so that its id is not given to another one
        self._open: list[int] = []  # the values that are being read, for values that hold themselves

    def of(self, value: Any) -> bytes:
        """The fingerprint of any value."""
        if type(value) in _LEAVES:
            told = hex(value) if type(value) is int else repr(value)  # Python writes no long integer in decimals
            return f"{type(value).__name__} {told}".encode("utf-8", "surrogatepass")
        if value is self._dataset:
            return b"the dataset"
        place = id(value)
        if place in self._known:
            return self._known[place][1]
        if place in self._open:
            return f"within {self._open.index(place)}".encode()
        self._open.append(place)
        try:
            found = self._joined(type(value).__name__, self._parts(value))
        except NotComparable:
            raise
        except Exception:  # what objects raise that cannot be pickled, such as locks and files, is theirs to choose
            raise NotComparable(typed(value)) from None
        self._open.pop()
        self._known[place] = value, found
        return found

    @staticmethod
    def _joined(kind: str, parts: Iterable[bytes]) -> bytes:
        joined = hashlib.blake2b(kind.encode(), digest_size=16)
        for part in parts:
            joined.update(len(part).to_bytes(8, "little"))
            joined.update(part)
        return joined.digest()

    def _parts(self, value: Any) -> Iterable[bytes]:
        kind = type(value)
        if kind in (bytes, bytearray):
            return [value]
        if kind in _LISTS:
            return map(self.of, value)
        if kind in _SETS:
            return sorted(map(self.of, value))
        if kind is dict:
            return (self.of(part) for pair in value.items() for part in pair)
        return map(self.of, self._state(value))

    def _state(self, value: Any) -> Iterable[Any]:
        """The values that a value consists of."""
        if isinstance(value, CodeType):
            return [value.co_code, value.co_names, value.co_consts, getattr(value, "co_exceptiontable", b"")]
        if isinstance(value, FunctionType):
            return [value.__code__, value.__defaults__, value.__kwdefaults__, value.__closure__, vars(value)]
        if isinstance(value, CellType):
            try:
                return [value.cell_contents]
            except ValueError:  # it is not filled yet
                return []
        if isinstance(value, MethodType):
            return [value.__func__, value.__self__]
        if isinstance(value, (staticmethod, classmethod)):
            return [value.__func__]
        if isinstance(value, property):
            return [value.fget]
        if isinstance(value, ModuleType):
            return [value.__name__]
        if isinstance(value, BuiltinFunctionType):
            return [value.__qualname__, value.__module__, value.__self__]
        if isinstance(value, type):
            return [value.__module__, value.__qualname__, *map(_own, value.__mro__)]
        if is_tensor(value):
            return [as_array(value, called="a tensor")]
        return self._reduced(value)

    def _reduced(self, value: Any) -> Iterable[Any]:
        """What pickle would take of an object; with the function that it wraps, which pickle leaves to its name."""
        registered = copyreg.dispatch_table.get(type(value))
        reduced = value.__reduce_ex__(2) if registered is None else registered(value)
        if isinstance(reduced, str):
            wrapped = unwrap(value) if callable(value) else value
            return [reduced, getattr(value, "__module__", None), None if wrapped is value else wrapped]
        made, arguments, *rest = reduced
        state, *items = [*rest, None, None, None][:3]
        return [type(value), made, arguments, state, *(None if each is None else list(each) for each in items)]


def _own(kind: type) -> Mapping[str, Any]:
    """What a class itself defines that its objects use: methods and plain values, except what Python notes of it."""
    return {
        name: value
        for name, value in vars(kind).items()
        if name not in _ANNOTATIONS
        and (isinstance(value, _FUNCTIONS) or (type(value) in _VALUES and not name.startswith("__")))
    }
