"""The cache of compiled kernels on disk: where it is looked for, and what is done with a damaged kernel."""

from __future__ import annotations

import functools
import hashlib
import logging
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator

__all__ = ["kept_in", "use_checked_cache"]

_LOG = logging.getLogger("batchwright")
_DIGEST_BYTES = 16
_BESIDE = Path(__file__).parent / "__pycache__"


def use_checked_cache(dispatcher: Any) -> None:
    """Let a function of numba keep its machine code on disk, with a digest that is compared before the code is run.

    Numba itself unpickles any content of a cache file. An empty or truncated file (a full disk, a killed container)
    would break every later process, and damaged machine code would run.

    Kernels are written where numba can write: the folder in `NUMBA_CACHE_DIR`, beside the source, or the cache of the user.
    They are also read beside the source where that may not be written, so that a container image can bring them for any
    user.
    """
    dispatcher._cache = _CheckedCache(dispatcher.py_func)


def kept_in(dispatcher: Any) -> Path | None:
    """The folder that a kernel is written to; None if there is none that can be written."""
    locator = dispatcher._cache._impl.locator
    return None if isinstance(locator, _Nowhere) else Path(locator.get_cache_path())


@functools.cache
def _sources() -> str:
    """A digest of all files here: a kernel calls functions in other files, and numba compares it with its own file only."""
    hasher = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        hasher.update(source.read_bytes())
    return hasher.hexdigest()


class _Nowhere(_CacheLocator):
    """The place of kernels where no folder can be written: they are only read beside the source."""

    def __init__(self, function: Any) -> None:
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Nowhere:
        return cls(py_func)

    def ensure_cache_path(self) -> None:
        raise OSError("no folder can be written")

    def get_cache_path(self) -> str:
        return str(_BESIDE)

    def get_disambiguator(self) -> str:
        return str(self._line)

    def get_source_stamp(self) -> str:
        return _sources()


class _Places(CompileResultCacheImpl):
    # Numba reads this list from the class.
    _locator_classes = [*CompileResultCacheImpl._locator_classes, _Nowhere]  # type: ignore[list-item]  # noqa: RUF012  # as it is there


class _CheckedCache(FunctionCache):
    """The cache of one function; machine code that cannot be saved is used anyway."""

    _impl_class = _Places

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        folders = dict.fromkeys([Path(self._cache_path), _BESIDE])
        files = [_CheckedFile(str(folder), self._impl.filename_base, _sources()) for folder in folders]
        self._cache_file = files[0]
        self._files = files

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        for file in self._files:
            self._cache_file = file
            found = super().load_overload(sig, target_context)
            if found is not None:
                return found
        self._cache_file = self._files[0]
        _say_once(isinstance(self._impl.locator, _Nowhere))
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # a folder that may not be written, or has no room
            super().save_overload(sig, data)


@functools.cache
def _say_once(nowhere: bool) -> None:
    """Say that this process compiles, since its first batch waits for that."""
    if nowhere:
        _LOG.warning(
            "kernels are compiled, which takes some seconds in every process: no folder can be written to keep them; set "
            "NUMBA_CACHE_DIR to one, or run python -m batchwright.kernels when the image is built"
        )
    else:
        _LOG.warning(
            "kernels are compiled, which takes some seconds once on this machine; "
            "python -m batchwright.kernels does it ahead"
        )


class _CheckedFile(IndexDataCacheFile):
    """The index and the data of one function; a file that cannot be read counts as missing."""

    def load(self, key: Any) -> Any:
        try:
            return super().load(key)
        except OSError:  # a folder that may not be read
            return None
        except Exception as error:
            _LOG.warning("the cached kernel %s is damaged (%s), it is compiled again", self._index_path, error)
            return None

    def save(self, key: Any, data: Any) -> None:
        try:
            super().save(key, data)
        except OSError:
            raise
        except Exception:  # the index is damaged
            self.flush()
            super().save(key, data)

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(_digest(content) + content)

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()
        if content[:_DIGEST_BYTES] != _digest(content[_DIGEST_BYTES:]):
            raise ValueError(f"{name} is not what was saved")
        return pickle.loads(content[_DIGEST_BYTES:])


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
