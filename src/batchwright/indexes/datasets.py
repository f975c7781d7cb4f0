"""Reads what an index holds from the samples of a map-style dataset, through the workers of a `DataLoader`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

from ..errors import Infeasible, empty_dataset, said, shown, typed, warn
from ..inputs.columns import sample_count
from ..inputs.values import missing, plain
from .functions import NotComparable, fingerprint_of
from .parts import FinishedPart, Wanted, Writer
from .sources import DataFile, IndexSource

__all__ = ["DatasetSource", "read_dataset"]

_ROWS = 1 << 16  # of a part: so many samples are read again after an interruption
_SOURCES = "pass the paths of data files, or a dataset that has a length and samples"
_AT_ONCE = 256  # samples that a worker sends together


class _ValuesRead(list[Any]):
    """What was read of the samples of a batch, one tuple a column."""


class DatasetSource:
    """A dataset, and what is read of each of its samples.

    Args:
        dataset: map-style.
        functions: for each column the function from a sample to its value; or a key of the sample, such as "label".
    """

    def __init__(self, dataset: Any, functions: Mapping[str, Any]) -> None:
        if isinstance(dataset, int):
            raise Infeasible(f"source is {shown(dataset)}, which has no samples", _SOURCES)
        try:
            self.dataset, self.count = dataset, sample_count(dataset, called="source")
        except Infeasible as refused:  # a number of samples would do elsewhere
            raise Infeasible(refused.fact, _SOURCES) from None
        self.given = functions
        self.functions: dict[str, Callable[[Any], Any]] = {}
        for name, function in functions.items():
            if not callable(function) and not isinstance(function, (str, int)):
                raise Infeasible(
                    f"{name} is {shown(function)}", "pass a function from a sample to its value, or a key of the sample"
                )
            self.functions[name] = function if callable(function) else itemgetter(function)
        if self.count == 0:
            raise empty_dataset("it has 0 samples")

    def source(self) -> IndexSource:
        """It as one file, whose name is its type. Its stamp is its length, its fingerprint, and the functions."""
        stamp = " ".join(
            filter(None, [str(self.count), str(getattr(self.dataset, "_fingerprint", "")), self.fingerprint])
        )
        return IndexSource("dataset", "", (DataFile(0, type(self.dataset).__name__, "", stamp, 0),))

    @cached_property
    def fingerprint(self) -> str:
        """A fingerprint of the functions; of those that cannot be compared another one each time, so that all are read."""
        found = []
        for name, function in self.given.items():
            try:
                found.append(fingerprint_of(function, self.dataset))
            except NotComparable as held:
                warn(
                    f"{name} holds a value {held}, which cannot be compared with that of an earlier call, so the index is "
                    "made again whenever bw.index is called; pass a function without it, or open the index that is there "
                    "with bw.Index.open"
                )
                found.append(uuid.uuid4().hex)
        return " ".join(found)

    def units(self) -> list[range]:
        """The samples of each part."""
        return [range(first, min(first + _ROWS, self.count)) for first in range(0, self.count, _ROWS)]

    def __getitem__(self, sample: int) -> list[Any] | str:
        """What is read of a sample, or what was raised."""
        try:
            held = self.dataset[sample]
            return [plain(function(held)) for function in self.functions.values()]
        except Exception as error:
            return said(error)

    def __len__(self) -> int:
        return self.count


def read_dataset(
    source: DatasetSource, partial: Path, wanted: Sequence[Wanted], num_workers: int, report: Callable[[int, int, int], None]
) -> list[FinishedPart]:  # fmt: skip
    """Scan a dataset, or go on with a scan that was interrupted."""
    units = source.units()
    parts: list[FinishedPart] = []
    while len(parts) < len(units) and (part := FinishedPart.read(partial / f"{len(parts):06d}")) is not None:
        parts.append(part)
    batches = _batches(source, sum(len(unit) for unit in units[: len(parts)]), num_workers)
    file = source.source().files[0]
    for number in range(len(parts), len(units)):
        with Writer(partial / f"{number:06d}", wanted) as writer:
            unit = units[number]
            _add(writer, file, list(source.functions), islice(batches, -(-len(unit) // _AT_ONCE)), unit.start)
            parts.append(writer.finished([file]))
        report(number + 1, len(units), units[number].stop)
    return parts


def _batches(source: DatasetSource, first: int, num_workers: int) -> Iterator[_ValuesRead | list[list[Any] | str]]:
    import torch
    from torch.utils.data import DataLoader

    loader = DataLoader(
        cast(Any, source),
        batch_size=_AT_ONCE,
        sampler=range(first, len(source)),
        num_workers=num_workers,
        collate_fn=_collated,
        generator=torch.Generator(),  # else the seeds of workers are drawn from the global one
    )
    return iter(loader)


def _collated(rows: list[list[Any] | str]) -> _ValuesRead | list[list[Any] | str]:
    """The rows of a batch as columns, which cost a tenth of the time later; as they are if one raised."""
    if any(isinstance(row, str) for row in rows):
        return rows
    return _ValuesRead(zip(*rows, strict=True))


def _add(writer: Writer, file: DataFile, names: Sequence[str], batches: Iterator[Any], first: int) -> None:
    """Write rows; those that raised are kept as errors."""
    held: list[list[Any]] = [[] for _ in names]
    for batch in batches:
        if isinstance(batch, _ValuesRead):
            for column, values in zip(held, batch, strict=True):
                column.extend(values)
            continue
        for row in batch:
            if isinstance(row, str):
                _flush(writer, file, names, held, first)
                writer.add_error(file, row)
                continue
            for column, value in zip(held, row, strict=True):
                column.append(value)
    _flush(writer, file, names, held, first)


def _flush(writer: Writer, file: DataFile, names: Sequence[str], held: list[list[Any]], first: int) -> None:
    if not held[0]:
        return
    before = first + writer.part.rows.get(file.number, 0)
    numbers = {each.name for each in writer.wanted if each.form == "numbers"}
    batch = {name: _array(name, values, name in numbers, before) for name, values in zip(names, held, strict=True)}
    writer.add(DataFile(file.number, file.name, f"the dataset {file.name}", file.stamp, 0), "typed", batch, first)
    for values in held:
        values.clear()


def _array(name: str, values: list[Any], as_number: bool, first: int) -> Any:
    """What a function gave of consecutive samples as an array of Arrow."""
    import pyarrow
    from pyarrow import compute, types

    way_out = (
        f"pass a function that returns one {'number' if as_number else 'number or one text'} for each sample as {name}"
    )
    try:
        array = pyarrow.array(values)
        number = types.is_integer(array.type) or types.is_floating(array.type)
        fits = number or (not as_number and (types.is_boolean(array.type) or types.is_string(array.type)))
    except (pyarrow.ArrowException, OverflowError):  # mixed types, objects, an integer of more than 64 bits
        fits = False
    absent = compute.index(compute.is_null(array, nan_is_null=True), True).as_py() if fits else -1
    if not fits:
        absent = next((place for place, value in enumerate(values) if missing(value)), -1)
    if absent >= 0:
        raise Infeasible(f"{name} of sample {first + absent} is {shown(values[absent])}, which is no value", way_out)
    if not fits:
        some = list(dict.fromkeys(map(typed, values)))
        raise Infeasible(f"{name} of the samples is {' and '.join(some[:2])}, such as {shown(values[0])}", way_out)
    return array
