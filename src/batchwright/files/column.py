"""A column of a data file, by reference."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import Infeasible, listed, shown
from ..inputs.arrays import EXACT_AS_FLOAT
from ..inputs.tables import Coded, coded
from ..inputs.values import FLOAT, INTEGER
from .folder import Folder, StoredGroups
from .paths import files_of, image_classes, kind_of
from .readers import READERS, Parts, Texts, column_names

__all__ = ["Column", "Digest", "typed_texts"]


class Column:
    r"""One column of a data file, by its path and its name.

    Pass it wherever a column of labels, lengths or weights is asked for. A plan that is made of such columns can be
    written as a recipe (`plan.to_recipe()`), which holds the path and a fingerprint of the values, not the values.

    The values are read at first use, and only of this column. Types do not depend on the libraries that are installed:
    in a CSV file, a column is of integers if all its values are, of floats if all are numbers, else of text.

    Args:
        path: a file, a folder, or a pattern such as `data/*.parquet`, whose files are joined in the order of their names:
            CSV and TSV, Parquet, JSON lines, `.npy`, `.pt` (read with `weights_only`), a folder of images (as torchvision's
            `ImageFolder` orders and labels them), Arrow, a folder that `datasets.Dataset.save_to_disk` wrote, or an
            index (`bw.index`), whose columns are mapped from the disk.
        name: the name of the column; may be left out for `.npy`, for a `.pt` file of one tensor, and for images.

    Raises:
        Infeasible: there is no such file or no such column, or it cannot be read.

    Example:
        >>> import tempfile, pathlib
        >>> import batchwright as bw
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "animals.csv"
        >>> _ = path.write_text("file,kind\n1.png,cat\n2.png,dog\n3.png,cat\n")
        >>> bw.balanced(bw.Column(path, "kind"), batch_size=2).groups
        Groups(2 groups of 3 samples: 'cat' 2, 'dog' 1)
    """

    def __init__(self, path: str | os.PathLike[str], name: str = "") -> None:
        if not isinstance(name, str):
            raise Infeasible(f"the name of a column is {shown(name)}", "pass it as text")
        self.path = os.fspath(path)
        self.name = name

    @classmethod
    def of_index(cls, folder: Folder, name: str) -> Column:
        """A column of an index that is opened already, and checked then."""
        folder.digest(name)  # refuses a name that it does not have
        column = cls(folder.path, name)
        vars(column)["folder"] = folder
        return column

    @cached_property
    def folder(self) -> Folder | None:
        """The index that this is a column of; None for other files."""
        files = files_of(self.path)
        return Folder(files[0].parent) if kind_of(files) == "index" else None

    def grouping(self) -> StoredGroups | None:
        """The samples by group, if this is a column of labels of an index: nothing has to be read or sorted for it."""
        return None if self.folder is None else self.folder.grouping(self.name)

    @cached_property
    def held(self) -> np.ndarray | Coded:
        """The values: an array of numbers, or text as codes. Of a column with missing values, an array of objects."""
        if self.folder is not None:
            return self.folder.values(self.name)
        files = files_of(self.path)
        kind = kind_of(files)
        if kind == "images":
            return _codes(image_classes(self.path, files))
        return _held(READERS[kind](files, self.name), self.name)

    @cached_property
    def digest(self) -> str:
        """A fingerprint of the values, 32 hexadecimal digits; the same on every machine."""
        return digest_of(self.held) if self.folder is None else self.folder.digest(self.name)

    def coded(self) -> Coded | None:
        """The values as codes, if they are kept so; see `tables.coded`."""
        return self.held if isinstance(self.held, Coded) else None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.held.array() if isinstance(self.held, Coded) else self.held
        # NumPy 1 does not know copy=None: only where the type differs.
        return np.asarray(array, dtype) if copy is None else np.array(array, dtype, copy=copy)

    def __len__(self) -> int:
        if self.folder is not None:
            return self.folder.sample_count
        return self.held.size if isinstance(self.held, Coded) else len(self.held)

    def __getitem__(self, sample: Any) -> Any:
        if isinstance(self.held, Coded):
            codes = self.held.codes[sample]
            return self.held.names[codes] if codes.ndim == 0 else [self.held.names[code] for code in codes.tolist()]
        found = self.held[sample]
        return found.tolist() if isinstance(found, (np.ndarray, np.generic)) else found

    def __getstate__(self) -> dict[str, Any]:
        # An index that is opened has been checked: another process only maps it again.
        return {key: value for key, value in vars(self).items() if key in ("path", "name", "folder")}

    @staticmethod
    def names(path: str | os.PathLike[str]) -> list[str]:
        r"""The names of the columns of a file, a folder or a pattern.

        Example:
            >>> import tempfile, pathlib
            >>> path = pathlib.Path(tempfile.mkdtemp()) / "animals.csv"
            >>> _ = path.write_text("file,kind\n1.png,cat\n")
            >>> Column.names(path)
            ['file', 'kind']
        """
        files = files_of(os.fspath(path))
        return column_names(files, kind_of(files))

    def __repr__(self) -> str:
        return f"Column({self.path!r}, {self.name!r})"


class Digest:
    """The fingerprint of a column, from its values in order.

    Args:
        names: the labels of a column of text, else empty.
        kind: "b", "i", "u" or "f" for booleans, integers, unsigned integers and floats.
        shape: the shape of the column.
    """

    def __init__(self, names: list[Any], kind: str, shape: tuple[int, ...]) -> None:
        self._wide = "<u4" if names else _WIDE[kind]
        named = json.dumps(names) if names else f"{kind} {shape}"
        self._hash = hashlib.blake2b(named.encode(), digest_size=16)

    def add(self, part: np.ndarray) -> None:
        """The next values; of text, their codes."""
        self._hash.update(np.ascontiguousarray(part, self._wide).data)

    def hexdigest(self) -> str:
        """32 hexadecimal digits."""
        return self._hash.hexdigest()


def digest_of(held: np.ndarray | Coded) -> str:
    """The fingerprint of the values of a column."""
    if isinstance(held, Coded):
        digest, numbers = Digest(held.names, "u", ()), held.codes
    elif held.dtype.kind == "O":
        return hashlib.blake2b(repr(held.tolist()).encode(), digest_size=16).hexdigest()
    else:
        digest, numbers = Digest([], held.dtype.kind, held.shape), held
    for part in np.array_split(numbers, -(-len(numbers) // _AT_ONCE) or 1):
        digest.add(part)
    return digest.hexdigest()


# In a fingerprint: the same bytes on every machine, whatever the width in the file.
_WIDE = {"b": "?", "i": "<i8", "u": "<u8", "f": "<f8"}
_AT_ONCE = 1 << 22  # values that are widened at once


def _held(values: Any, name: str) -> np.ndarray | Coded:
    """What a reader gave as an array of numbers or as codes."""
    if isinstance(values, Parts):
        parts = [_held(part, name) for part in values.parts]
        return _of_list(
            [each for part in parts for each in (part.array() if isinstance(part, Coded) else part).tolist()], name
        )
    if isinstance(values, Texts):
        texts = _codes(values.values) if isinstance(values.values, list) else coded(values.values)
        return np.empty(0) if texts is None else typed_texts(texts)
    if isinstance(values, np.ndarray):
        return _of_list(values.ravel().tolist(), name) if values.dtype.kind in "US" else values
    if isinstance(values, list):
        return _of_list(values, name)
    kind = str(values.type)
    if kind.startswith(("string", "large_string")):
        values = values.dictionary_encode()
    found = coded(values)
    if found is not None:
        return found
    if kind.startswith(("int", "uint", "float", "double", "halffloat", "bool")) and not values.null_count:
        return np.asarray(values.to_numpy())
    return _of_list(values.to_pylist(), name)


def _of_list(values: list[Any], name: str) -> np.ndarray | Coded:
    kinds = set(map(type, values))
    if kinds == {str}:
        return _codes(values)
    there = kinds - {type(None)}
    if len(there) > 1 and there != {int, float}:
        types = listed(sorted("text" if kind is str else kind.__name__ for kind in there))
        raise Infeasible(
            f"the values in column {shown(name)} are of several types: {types}",
            "use one type of values in all files: cast the column and write the files again",
        )
    if kinds <= {int, float} or kinds == {bool}:
        array = np.array(values)
        # NumPy makes floats of integers that no integer type holds together, and of those beside floats.
        if array.dtype.kind != "f" or all(type(each) is float or abs(each) <= EXACT_AS_FLOAT for each in values):
            return array
    array = np.empty(len(values), object)  # with missing values, or too large: refused by what reads the column
    array[:] = values
    return array


def _codes(texts: list[str]) -> Coded:
    places: dict[str, int] = {}
    codes = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int64, len(texts))
    names = sorted(places)
    rank = np.empty(len(names), np.min_scalar_type(len(names)))
    rank[[places[name] for name in names]] = np.arange(len(names))
    return Coded(names, rank[codes])


def typed_texts(texts: Coded) -> np.ndarray | Coded:
    """Texts as integers if all of them are, as floats if all are numbers; an empty text is a missing value."""
    there = [name for name in texts.names if name]
    whole = all(map(INTEGER.fullmatch, there))
    numbers = whole or all(map(FLOAT.fullmatch, there))
    if len(there) < len(texts.names):
        kind: type = int if whole else float if numbers else str
        objects = np.empty(len(texts.names), object)
        objects[:] = [kind(name) if name else None for name in texts.names]
        return np.asarray(objects[texts.codes])
    if not numbers:
        return texts
    values: list[Any] = [int(name) if whole else float(name) for name in there]
    return np.asarray(np.array(values, np.int64 if whole else np.float64)[texts.codes])
