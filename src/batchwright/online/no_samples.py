"""Refuses objects that only seem to hold samples; what takes sources asks here, wrappers of sources too."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch.utils.data

from ..errors import Infeasible, listed, shown
from ..files.paths import suffix_kind
from ..loader.loader import Loader
from ..loader.loops import Batches, Epoch
from .equal_stop import EqualStop
from .file_shards import READERS

__all__ = ["GIVES", "check_order", "check_samples"]

GIVES = "_gives"
"""The attribute of a class of this package that says what its objects give to a loop: "batches", or "parts"."""
_WITHOUT_ORDER = (set, frozenset)
_UNORDERED = "whose order is another in each process"


def check_samples(value: Any, name: str) -> None:
    """Check that a value can be read as samples.

    Raises:
        Infeasible: it cannot, although something (letters, columns, batches) could be read from it.
    """
    refused = _no_samples(value)
    if refused is not None:
        fact, way_out = refused
        raise Infeasible(f"source {name!r} {fact}", way_out)


def check_order(values: Any, called: str, whose: str) -> None:
    """Check that values in place of a list are no set, and no text, of which each letter would be one.

    Raises:
        Infeasible: they are.
    """
    if isinstance(values, (str, bytes, os.PathLike)):
        raise Infeasible(
            f"the {called} of {whose} are {shown(values)}, one {type(values).__name__}", f"pass [{called}]"
        )
    if isinstance(values, _WITHOUT_ORDER):
        raise Infeasible(
            f"the {called} of {whose} are a {type(values).__name__}, {_UNORDERED}", f"pass sorted({called})"
        )


def _no_samples(value: Any) -> tuple[str, str] | None:
    """Why a value cannot be read as samples, and what to pass in place of it; None if it can."""
    if value is None:
        return "is None", "pass an iterable dataset, a sequence, or online.Sharded(shards, read)"
    if isinstance(value, type):
        return f"is the class {value.__name__}", "pass an object of that class"
    article = f"is a {type(value).__name__}"
    return (
        _no_file(value, article)
        or _no_batches(value, article)
        or _no_table(value, article)
        or _no_order(value, article)
    )


def _no_file(value: Any, article: str) -> tuple[str, str] | None:
    read = "pass online.Sharded([path], read), where read(path) gives the samples of a file"
    if isinstance(value, (str, os.PathLike)):
        reader = READERS.get(suffix_kind(str(value)))
        if reader is not None:
            return f"{article}, {shown(value)}", f"pass online.{reader}({shown(str(value))})"
        readers = listed(f"online.{name}(path)" for name in READERS.values())
        return f"{article}, {shown(value)}", f"pass the reader of its format ({readers}), or a list of samples"
    if isinstance(value, (bytes, bytearray)):
        return f"{article}, {shown(value)}", f"{read}, or a list of samples"
    if isinstance(value, io.IOBase) or (hasattr(value, "read") and hasattr(value, "readline")):
        return f"{article}: an open file gives its lines, and gives them once", read
    return None


def _no_batches(value: Any, article: str) -> tuple[str, str] | None:
    loader = torch.utils.data.DataLoader
    if isinstance(value, loader) and (
        value.batch_sampler is not None or isinstance(value.sampler, torch.utils.data.BatchSampler)
    ):
        return f"{article}, which gives batches", "pass its samples: loader.dataset"
    if isinstance(value, (Loader, Epoch, Batches)):
        return f"{article}, which gives the batches of a plan", "pass the dataset of the loader: loader.dataset"
    gives = getattr(type(value), GIVES, "")
    if gives == "batches":
        return f"{article}, which gives the batches of a stream", "pass the source of that stream"
    if gives:
        return "is a stream, which shares its samples among readers by itself", "pass the stream as it is"
    if isinstance(value, EqualStop):
        return f"{article}, which gives the batches of a loader", "pass the dataset of that loader"
    if isinstance(value, torch.utils.data.Sampler) or (hasattr(value, "sampler") and hasattr(value, "fingerprint")):
        return f"{article}, which gives the numbers of samples", "pass the dataset that they are numbers of"
    return None


def _no_table(value: Any, article: str) -> tuple[str, str] | None:
    if isinstance(value, Mapping):
        entries = f"{article} with {len(value):,} entries"
        return entries, "pass one of its values, or list(source.values())"
    if hasattr(value, "iloc"):
        return (f"{article} of columns", 'pass source.to_dict("records")') if hasattr(value, "columns") else None
    if hasattr(value, "collect") and hasattr(value, "lazy"):
        return f"{article} of columns, not computed yet", "pass source.collect().to_dicts()"
    if hasattr(value, "to_dicts"):
        return f"{article} of columns", "pass source.to_dicts()"
    if hasattr(value, "to_pylist") and hasattr(value, "schema"):
        return f"{article} of columns", "pass source.to_pylist()"
    if hasattr(value, "read_all") and hasattr(value, "schema"):
        return f"{article} of tables", "pass source.read_all().to_pylist()"
    return None


def _no_order(value: Any, article: str) -> tuple[str, str] | None:
    if isinstance(value, _WITHOUT_ORDER):
        return f"{article}, {_UNORDERED}", "pass sorted(source), or a list of them"
    if hasattr(value, "reader") and hasattr(value, "name") and not isinstance(value, Iterable):
        return f"{article}, which is a source by itself", "pass it as it is"
    if not isinstance(value, Iterable) and callable(value):
        return f"{article}, which is to be called", "pass what it returns, or an object whose __iter__ returns that"
    counted = hasattr(type(value), "__getitem__") and hasattr(type(value), "__len__")
    if not isinstance(value, Iterable) and not counted:
        return (
            f"{article}, which cannot be iterated and has no __getitem__ with __len__",
            "pass an iterable dataset, a sequence, or online.Sharded(shards, read)",
        )
    if counted and not isinstance(value, torch.utils.data.IterableDataset):
        try:
            len(value)
        except TypeError as error:  # arrays without dimensions, sparse matrices
            return f"{article} without a length ({error})", "pass its samples as a list"
    return None
