"""The cache of compiled kernels on disk; a damaged kernel is compiled again."""

from __future__ import annotations

import hashlib
import logging
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["use_checked_cache"]

_LOG = logging.getLogger(__name__)
_DIGEST_BYTES = 16


def use_checked_cache(dispatcher: Any) -> None:
    """Let a function of numba keep its machine code on disk, with a digest that is compared before the code is run.

    Numba itself unpickles any content of a cache file. An empty or truncated file (a full disk, a killed container)
    would break every later process, and damaged machine code would run.
    """
    dispatcher._cache = _CheckedCache(dispatcher.py_func)


class _CheckedCache(FunctionCache):
    """The cache of one function; machine code that cannot be saved is used anyway."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        made = self._cache_file
        self._cache_file = _CheckedFile(made._cache_path, self._impl.filename_base, made._source_stamp)

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # a folder that may not be written, or has no room
            super().save_overload(sig, data)


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
