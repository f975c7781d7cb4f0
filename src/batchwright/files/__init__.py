"""Columns of data files, by reference: the path, the name, and a fingerprint of the values."""

from __future__ import annotations

from .column import Column, Digest, typed_texts
from .folder import FORMAT, META, CheckSum, Folder, is_index, sealed, stamp_of
from .paths import files_of, kind_of, suffix_kind
from .readers import READERS, Texts, names_in, parts_of_saved, shard_rows

__all__ = [
    "FORMAT",
    "META",
    "READERS",
    "CheckSum",
    "Column",
    "Digest",
    "Folder",
    "Texts",
    "files_of",
    "is_index",
    "kind_of",
    "names_in",
    "parts_of_saved",
    "sealed",
    "shard_rows",
    "stamp_of",
    "suffix_kind",
    "typed_texts",
]
