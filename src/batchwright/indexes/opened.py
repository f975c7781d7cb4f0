"""An index of data files on disk: which sample has which label, length and weight, and in which file it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Infeasible, check_integer, shown
from ..files.column import Column
from ..files.folder import Folder
from ..groups import Groups
from ..inputs.columns import numbers_within

__all__ = ["Index"]


class Index:
    r"""An index on disk, opened: the labels, lengths and weights of samples, and the file that each of them is in.

    Made by `bw.index`. Pass its columns wherever labels, lengths or weights are asked for; pass the index itself for its
    labels. The arrays are mapped from the disk, so all processes of a machine share them.

    Attributes:
        path: its folder.

    Example:
        >>> import tempfile, pathlib
        >>> import batchwright as bw
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "animals.csv").write_text("kind,n\ncat,3\ndog,5\ncat,2\n")
        >>> index = bw.index(folder / "animals.csv", label="kind", length="n", path=folder / "animals.index")
        >>> index.groups(), index.lengths[1], len(index)
        (Groups(2 groups of 3 samples: 'cat' 2, 'dog' 1), 5, 3)
        >>> bw.balanced(index, batch_size=2).groups.names
        ['cat', 'dog']
        >>> index[2]
        ('animals.csv', 2)
    """

    def __init__(self, folder: Folder) -> None:
        self.path = folder.path
        self._folder = folder

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, source: Any = True, check: bool | None = None) -> Index:
        r"""Open an index that `bw.index` wrote.

        Args:
            path: its folder.
            source: the folder or file that the data are in now; True for where they were when the index was written;
                None if the data are not on this machine, or are a copy: nothing is compared.
            check: True to read all of the index and compare it with its checksums, False to compare sizes only. If left
                out, an index of at most 32 MiB is read, and of a larger one sizes are compared.

        Raises:
            Infeasible: it is no index, it is damaged, or a data file is not there or has another size or time than when
                the index was written. Of more than 1,024 files some are compared, and all of them with `check=True`.

        Example:
            >>> import tempfile, pathlib
            >>> import batchwright as bw
            >>> folder = pathlib.Path(tempfile.mkdtemp())
            >>> _ = (folder / "animals.csv").write_text("kind\ncat\ndog\n")
            >>> _ = bw.index(folder / "animals.csv", label="kind", path=folder / "animals.index")
            >>> len(bw.Index.open(folder / "animals.index"))
            2
        """
        return cls(Folder(Path(path), source=source, check=check))

    @property
    def labels(self) -> Column:
        """The label of each sample: pass it where labels are asked for. The samples are grouped on disk already."""
        return self.column(self._role("label"))

    @property
    def lengths(self) -> Column:
        """The length of each sample: pass it where lengths are asked for."""
        return self.column(self._role("length"))

    @property
    def weights(self) -> Column:
        """The weight of each sample."""
        return self.column(self._role("weight"))

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return list(self._folder.columns)

    @property
    def files(self) -> list[str]:
        """The data files, in the order of the samples, from the folder of the data."""
        return self._folder.names

    @property
    def sizes(self) -> np.ndarray:
        """The samples in each data file, int64 of shape (n_files,)."""
        return np.diff(self._folder.first)

    @property
    def errors(self) -> dict[int, str]:
        """The samples that could not be read and what they raised; they are in no group."""
        return self._folder.errors

    def column(self, name: str) -> Column:
        """A column by its name; a plan that is made of it has a recipe.

        Raises:
            Infeasible: the index has no such column.
        """
        return Column.of_index(self._folder, name)

    def groups(self, *names: str) -> Groups:
        """The samples by the labels in a column, or by the combinations of several; by `label` if none is named.

        Raises:
            Infeasible: the index has no such column, or holds numbers of it.
        """
        columns = [self._grouped(name) for name in names or [self._role("label")]]
        return Groups.from_labels(columns[0]) if len(columns) == 1 else Groups.combine(*columns)

    def _grouped(self, name: str) -> Column:
        column = self.column(name)
        if "groups" not in self._folder.columns[name]:
            raise Infeasible(
                f"the index {shown(str(self.path))} holds column {shown(name)} as numbers",
                f"write it again with by=[{shown(name)}] too, to group samples by it",
            )
        return column

    def where(self, samples: Any) -> tuple[list[str], np.ndarray]:
        """The file of each of these samples, and its row in that file, from 0.

        Args:
            samples: numbers of samples, array-like of integers.

        Raises:
            Infeasible: there is no such sample.
        """
        wanted = np.atleast_1d(numbers_within(samples, len(self), "the index")).astype(np.int64)
        if wanted.ndim > 1:
            raise Infeasible(f"samples have {wanted.ndim} dimensions", "pass their numbers as a list")
        first = self._folder.first
        numbers = np.searchsorted(first, wanted, side="right") - 1
        return [self.files[number] for number in numbers.tolist()], wanted - first[numbers]

    def _role(self, role: str) -> str:
        name: str | None = self._folder.meta["roles"][role]
        if name is None:
            raise Infeasible(
                f"the index {shown(str(self.path))} has no {role}s, it has {', '.join(self.names)}",
                f"write it again with {role}=..., or pass index.column(name)",
            )
        return name

    def __len__(self) -> int:
        return self._folder.sample_count

    def __getitem__(self, sample: int) -> tuple[str, int]:
        number = check_integer(sample, "sample", least=0)
        if number >= len(self):
            raise IndexError(number)
        files, rows = self.where([number])
        return files[0], int(rows[0])

    def __repr__(self) -> str:
        return (
            f"Index({str(self.path)!r}: {len(self)} samples in {len(self.files)} files, columns {_joined(self.names)})"
        )


def _joined(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
