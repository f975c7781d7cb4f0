"""What the commands tell about a plan: the samples of a step, when a sample comes, a table of the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Infeasible, check_integer
from ..files import Column
from ..micro_batches import LAST
from ..plans.fixed import FixedPlan
from ..plans.plan import Plan
from ..recipes import Run

__all__ = ["epoch_table", "occurrences", "step_of", "write_table"]

_AT_ONCE = 1 << 16  # samples
_MOST_COUNTED = 1 << 28  # samples: 1 GB of counts


def step_of(plan: Plan, run: Run, step: int, rank: int | None, shown: dict[str, Column]) -> dict[str, Any]:
    """The samples of a step: of every rank, or of one.

    Args:
        plan: the plan.
        run: its ranks and accumulation.
        step: 0 or more, counted through all epochs.
        rank: the rank, or None for all.
        shown: columns whose values are shown beside the numbers of the samples.
    """
    step = _counted(step, run)
    if rank is not None:
        rank = check_integer(rank, "rank", least=0, most=run.world_size - 1)
    batches, length = plan.with_step_size(run.step_size), plan.epoch_length(run.step_size)
    samples = []
    for within in range(run.step_size):
        number, at = step * run.step_size + within, within % run.world_size
        if rank is not None and rank != at:
            continue
        for slot, sample in enumerate(batches[number].tolist()):
            place = {"micro_batch": number, "rank": at, "slot": slot, "sample": sample}
            samples.append(place | {name: column[sample] for name, column in shown.items()})
    first = step * run.step_size
    return {
        "step": step,
        "epoch": first // length,
        "step_in_epoch": first % length // run.step_size,
        "samples": samples,
    }


def _counted(step: int, run: Run) -> int:
    return check_integer(step, "step", least=0, most=(LAST + 1) // run.step_size - 1)


def occurrences(
    plan: Plan, run: Run, sample: int, step: int, epochs: int, watch: Callable[[Iterator[int]], Any] = iter
) -> dict[str, Any]:
    """When a sample came last before a step, and when it comes next, within some epochs on either side.

    Args:
        plan: the plan.
        run: its ranks and accumulation.
        sample: the number of the sample.
        step: the step, counted through all epochs.
        epochs: how far to look.
        watch: called with how many micro-batches were looked at, one number at a time, and returns an iterator over them.
    """
    count = plan.groups.sample_count
    sample = check_integer(sample, "sample", least=0, most=count - 1)
    batches, length = plan.with_step_size(run.step_size), plan.epoch_length(run.step_size)
    middle = _counted(step, run) * run.step_size
    low, high = max(0, middle - epochs * length), middle + epochs * length
    backwards = _numbers_with(batches, sample, middle - 1, low - 1, -1)
    onwards = _numbers_with(batches, sample, middle, high, 1)
    found: list[int | None] = [None, None]

    def looking() -> Iterator[int]:
        looked = 0
        for way, numbers in enumerate((backwards, onwards)):
            for count, number in numbers:
                looked += count
                yield looked
                if number is not None:
                    found[way] = number
                    break

    for _ in watch(looking()):
        pass
    before, after = found
    return {
        "sample": sample,
        "step": step,
        "before": None if before is None else _place(before, run, length),
        "next": None if after is None else _place(after, run, length),
        "looked_at": {"first_step": low // run.step_size, "last_step": high // run.step_size - 1},
    }


def _place(number: int, run: Run, length: int) -> dict[str, int]:
    return {
        "step": number // run.step_size,
        "rank": number % run.step_size % run.world_size,
        "micro_batch": number,
        "epoch": number // length,
    }


def _numbers_with(batches: Any, sample: int, first: int, stop: int, stride: int) -> Iterator[tuple[int, int | None]]:
    """How many micro-batches were looked at, and the first among them that holds a sample, if one does.

    They are looked at from `first` on, before `stop`; `stride` is 1 or -1.
    """
    if isinstance(batches, FixedPlan):
        size = max(1, _AT_ONCE // batches.batch_size)
        while (stop - first) * stride > 0:
            taken = min(size, abs(stop - first))
            low = first if stride > 0 else first - taken + 1
            found = np.flatnonzero((batches.order.batches_at(low + np.arange(taken)) == sample).any(axis=1)) + low
            yield taken, int(found[::stride][0]) if found.size else None
            first += taken * stride
        return
    for number in range(first, stop, stride):
        yield 1, number if sample in batches[number] else None


def epoch_table(
    plan: Plan, run: Run, epochs: int, watch: Callable[[Iterator[int]], Any] = iter
) -> Iterator[dict[str, np.ndarray]]:
    """The first epochs as parts of a table: step, rank, slot, index, group and pass of every sample.

    `pass` is how often the sample came before in these epochs.

    Args:
        plan: the plan.
        run: its ranks and accumulation.
        epochs: how many epochs.
        watch: called with the numbers of the micro-batches, and returns an iterator over them.
    """
    batches, count = plan.with_step_size(run.step_size), epochs * plan.epoch_length(run.step_size)
    if plan.groups.sample_count > _MOST_COUNTED:
        raise Infeasible(
            f"the table counts every sample, and there are {plan.groups.sample_count}, more than {_MOST_COUNTED}",
            "write the table of a plan of fewer samples, or look at single steps with rewind",
        )
    seen = np.zeros(plan.groups.sample_count, np.int32)
    rows: list[tuple[int, np.ndarray]] = []
    held = 0
    for number in watch(iter(range(count))):
        batch = batches[number]
        rows.append((number, batch))
        held += batch.size
        if held >= _AT_ONCE or number == count - 1:
            yield _rows_of(rows, plan, run, seen)
            rows, held = [], 0


def _rows_of(rows: list[tuple[int, np.ndarray]], plan: Plan, run: Run, seen: np.ndarray) -> dict[str, np.ndarray]:
    sizes = [batch.size for _, batch in rows]
    numbers = np.repeat([number for number, _ in rows], sizes)
    index = np.concatenate([batch for _, batch in rows])
    order = np.argsort(index, kind="stable")  # how often an index stands earlier among these rows
    sorted_ = index[order]
    first = np.searchsorted(sorted_, sorted_)
    passes = np.empty(index.size, np.int64)
    passes[order] = seen[sorted_] + np.arange(index.size) - first
    np.add.at(seen, index, 1)
    return {
        "step": numbers // run.step_size,
        "rank": numbers % run.step_size % run.world_size,
        "slot": np.concatenate([np.arange(size) for size in sizes]),
        "index": index,
        "group": np.asarray(plan.groups.group_of(index)),
        "pass": passes,
    }


def write_table(parts: Iterator[dict[str, np.ndarray]], names: Any, path: Path) -> int:
    """Write a table as Parquet, part by part; groups by name. Returns the number of rows."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise Infeasible("writing Parquet needs pyarrow, which is not installed", "run pip install pyarrow") from None
    texts = pyarrow.array([str(name) for name in names]) if not isinstance(names, range) else None
    written, writer = 0, None
    try:
        for part in parts:
            columns = {name: pyarrow.array(values) for name, values in part.items()}
            if texts is not None:
                columns["group"] = pyarrow.DictionaryArray.from_arrays(
                    pyarrow.array(part["group"], pyarrow.int32()), texts
                )
            table = pyarrow.table(columns)
            writer = writer or parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
            written += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    return written
