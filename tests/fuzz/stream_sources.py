"""Sources that programs of streams read: of each kind one, over numbered samples of which the reading may fail."""

from __future__ import annotations

import atexit
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from torch.utils.data import ChainDataset, IterableDataset, get_worker_info

from batchwright import online


class Samples(Sequence[int]):
    """The numbers `start` to `stop` - 1; a reading of some of them fails, of others only the first time.

    Args:
        start: the first number.
        stop: the number after the last.
        fails: those of which every reading fails.
        once: those of which the first reading fails in this program.
        error: what is raised.
    """

    def __init__(
        self,
        start: int,
        stop: int,
        fails: Sequence[int] = (),
        once: Sequence[int] = (),
        error: type[BaseException] = OSError,
        *,
        failed: set[int],
    ) -> None:
        self.start, self.stop, self.error = start, stop, error
        self.fails, self.once, self.failed = fails, once, failed

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, at: Any) -> Any:
        number = self.start + at
        if not self.start <= number < self.stop:
            raise IndexError(at)
        if number in self.fails:
            raise self.error("disk gone")
        if number in self.once and number not in self.failed:
            self.failed.add(number)
            raise self.error("disk gone")
        return number

    def __iter__(self) -> Iterator[int]:
        return Reading(self)

    def __repr__(self) -> str:
        return f"S({self.start}, {self.stop})"


class Reading(Iterator[int]):
    """Goes on with the next sample after a reading that failed."""

    def __init__(self, samples: Sequence[int], at: int = 0) -> None:
        self.samples, self.at = samples, at

    def __next__(self) -> int:
        if self.at >= len(self.samples):
            raise StopIteration
        self.at += 1
        sample: int = self.samples[self.at - 1]
        return sample


class Plain(IterableDataset[int]):
    """An iterable of which nothing is known."""

    def __init__(self, samples: Sequence[int]) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[int]:
        return iter(self.samples)


class Turning(Plain):
    """Another order in every epoch."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        turn = self.epoch * 5 % max(1, len(self.samples))
        return Reading(Turned(self.samples, turn))


class Turned(Sequence[int]):
    def __init__(self, samples: Sequence[int], turn: int) -> None:
        self.samples, self.turn = samples, turn

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, at: Any) -> Any:
        return self.samples[(at + self.turn) % len(self.samples)]


class Standing(Plain):
    """Has a state of its own; a pass begins again unless a state was loaded."""

    next = first = 0

    def __iter__(self) -> Iterator[int]:
        self.next, self.first = self.first, 0
        return self.rest()

    def rest(self) -> Iterator[int]:
        while self.next < len(self.samples):
            self.next += 1
            yield self.samples[self.next - 1]

    def state_dict(self) -> dict[str, int]:
        return {"next": self.next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.next = self.first = state["next"]


class Cursor(Reading):
    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at = state["at"]


class Cursors(Plain):
    """Its iterators have a state."""

    def __iter__(self) -> Iterator[int]:
        return Cursor(self.samples)


class Forgetting(Standing):
    """Has a state that does not say where it stands."""

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.next = self.first = 0


class Splitting(Plain):
    """Gives each worker of each rank its part."""

    def __init__(self, samples: Sequence[int], rank: int, world: int) -> None:
        super().__init__(samples)
        self.rank, self.world = rank, world

    def __iter__(self) -> Iterator[int]:
        worker = get_worker_info()
        own, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for at in range(self.rank * workers + own, len(self.samples), self.world * workers):
            yield self.samples[at]


class BreakingOff(Plain):
    """Raises at a sample, and ends there, as generators do."""

    def __init__(self, samples: Sequence[int], at: int) -> None:
        super().__init__(samples)
        self.at = at

    def __iter__(self) -> Iterator[int]:
        yield from (self.samples[at] for at in range(self.at))
        raise OSError("disk gone")


class Endless:
    def __iter__(self) -> Iterator[int]:
        return count()


class Own:
    """A source of a user's own class, of which nothing is known but how it is read."""

    def __init__(self, source: Any) -> None:
        self.name, self.reader, self.deal = source.name, source.reader, source.deal


def same(samples: Sequence[int]) -> Sequence[int]:
    return samples


def torch_chain(*sources: Any) -> ChainDataset:
    return ChainDataset(sources)


_FOLDER = tempfile.TemporaryDirectory()
atexit.register(_FOLDER.cleanup)
_NUMBERS = count()


def _files(write: Callable[[Path, list[dict[str, Any]]], None], ending: str) -> Callable[..., Path]:
    """A function that writes rows into files in a folder of their own, and returns the folder."""

    @lru_cache(maxsize=1000)
    def written(start: int, stop: int, files: int, groups: tuple[int, ...] = ()) -> Path:
        folder = Path(_FOLDER.name, str(next(_NUMBERS)))
        folder.mkdir()
        size = max(1, -(-(stop - start) // files))
        for number, first in enumerate(range(start, stop, size)):
            rows = [{"n": n} for n in range(first, min(stop, first + size))]
            if groups:  # of one group each
                rows = [{**row, "g": groups[number % len(groups)]} for row in rows]
            write(folder / f"{number:03}.{ending}", rows)
        return folder

    return written


def _write_json(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)))


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=7)


def _write_arrow(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow

    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def _write_tar(path: Path, rows: list[dict[str, Any]]) -> None:
    import webdataset

    with webdataset.TarWriter(str(path)) as tar:
        for row in rows:
            tar.write({"__key__": f"{row['n']:05}", "json": row})


_json, _parquet = _files(_write_json, "jsonl"), _files(_write_parquet, "parquet")
_arrow, _tar = _files(_write_arrow, "arrow"), _files(_write_tar, "tar")


def jsonl(*rows: Any, **more: Any) -> Any:
    return online.jsonl(_json(*rows), **more)


def parquet(*rows: Any, **more: Any) -> Any:
    return online.parquet(_parquet(*rows), **more)


def arrow(*rows: Any, **more: Any) -> Any:
    return online.arrow(_arrow(*rows), **more)


def tar(*rows: Any, **more: Any) -> Any:
    return online.tar(_tar(*rows), **more)


def hugging_face(start: int, stop: int, shards: int) -> Any:
    import datasets

    return datasets.Dataset.from_dict({"n": range(start, stop)}).to_iterable_dataset(num_shards=shards)


def number_of(sample: Any) -> int:
    """The number of a sample of any of these."""
    if isinstance(sample, dict):
        row = sample.get("json", sample)
        return int(row["n"])
    return int(sample)


SOURCES = {
    kind.__name__: kind
    for kind in (
        *(Plain, Turning, Standing, Cursors, Forgetting, Splitting, BreakingOff, Endless, Own, same, torch_chain),
        *(jsonl, parquet, arrow, tar, hugging_face, Turned),
    )
}
"""What a program may name, besides the laws."""
