"""Scans the files of an index on many machines: each task reads some files there, and sends back what the index holds.

The files must be readable on every machine: a shared folder, or a URL. The machines need this library and pyarrow.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Infeasible
from .parts import FinishedPart
from .scans import library_of
from .sources import DataFile

__all__ = ["CLUSTERS", "scan_on_cluster"]


class Task(NamedTuple):
    """What one task scans: the number of its part, and its files."""

    number: int
    files: Sequence[DataFile]


Sent = tuple[int, dict[str, bytes] | Infeasible]
"""The number of a part, and its files by the ending of their names; or why it was refused."""
Scan = Callable[[Task], Sent]


def scan_on_cluster(
    engine: str, partial: Path, units: Sequence[Sequence[DataFile]],
    write: Callable[[Path, Sequence[DataFile]], FinishedPart], report: Callable[[int, int, int], None],
) -> list[FinishedPart]:  # fmt: skip
    """Scan the parts that are not finished yet, on the machines of a cluster.

    Args:
        engine: a key of `CLUSTERS`.
        partial: the folder of the parts.
        units: the files of each part.
        write: scans one part, given where to write it and its files; it is called on other machines.
        report: called with the parts that are finished, how many there are, and the rows so far.
    """
    parts = [FinishedPart.read(partial / f"{number:06d}") for number in range(len(units))]
    tasks = [Task(number, units[number]) for number, part in enumerate(parts) if part is None]

    def scan(task: Task) -> Sent:
        with tempfile.TemporaryDirectory() as folder:
            try:
                write(Path(folder) / "part", task.files)
            except Infeasible as error:  # sent back as it is: the clusters would wrap it in errors of their own
                return task.number, error
            return task.number, {file.name.removeprefix("part"): file.read_bytes() for file in Path(folder).iterdir()}

    for number, sent in CLUSTERS[engine](scan, tasks) if tasks else ():
        if isinstance(sent, Infeasible):
            raise sent
        parts[number] = _received(partial / f"{number:06d}", sent)
        known = [part for part in parts if part is not None]
        report(len(known), len(parts), sum(sum(part.rows.values()) for part in known))
    return [part for part in parts if part is not None]


def _received(path: Path, sent: dict[str, bytes]) -> FinishedPart | None:
    for ending in sorted(sent, key=".json".__eq__):  # the file that says that a part is complete comes last
        unfinished = path.with_name(path.name + ending + ".new")
        unfinished.write_bytes(sent[ending])
        os.replace(unfinished, path.with_name(path.name + ending))
    return FinishedPart.read(path)


def _ray(scan: Scan, tasks: Sequence[Task]) -> Iterator[Sent]:
    """Tasks of Ray; those whose worker or machine dies are run again, elsewhere."""
    ray = library_of("ray", "ray")
    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"))
    remote = ray.remote(max_retries=_RETRIES)(scan)
    waiting, running = list(reversed(tasks)), list[Any]()
    most = max(2, 2 * int(ray.cluster_resources().get("CPU", 1)))  # more would only fill the object store
    while waiting or running:
        while waiting and len(running) < most:
            running.append(remote.remote(waiting.pop()))
        done, running = ray.wait(running)
        yield from ray.get(done)


def _spark(scan: Scan, tasks: Sequence[Task]) -> Iterator[Sent]:
    """Jobs of Spark, of some tasks each, so that what was sent back fits in memory; Spark runs failed tasks again."""
    sql = library_of("pyspark.sql", "spark")
    context = sql.SparkSession.builder.getOrCreate().sparkContext
    most = max(2, 2 * int(context.defaultParallelism))
    for first in range(0, len(tasks), most):
        some = list(tasks[first : first + most])
        yield from context.parallelize(some, len(some)).map(scan).collect()


_RETRIES = 8
CLUSTERS: dict[str, Callable[[Scan, Sequence[Task]], Iterator[Sent]]] = {"ray": _ray, "spark": _spark}
