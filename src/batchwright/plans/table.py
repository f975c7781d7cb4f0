"""A plan as a table, for programs that do not use PyTorch: which sample is in which slot of which rank, step by step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..base_plan import BasePlan
from ..errors import Infeasible, check_integer
from ..micro_batches import MOST_RANKS
from ..readings import library, reading

__all__ = ["PlanTable"]

_MOST_COUNTED = 1 << 28  # samples: 1 GB of counts


class PlanTable:
    """Some epochs of a plan as a stream of Arrow: one record batch a step, one row a sample. Made by `Plan.table`.

    Any library that reads streams of Arrow (`__arrow_c_stream__`) takes it as it is: pandas, polars, DuckDB, pyarrow. It can
    be read any number of times; every time, the micro-batches are computed again.

    Attributes:
        plan: the plan.
        epochs: how many epochs, from the first.
        world_size: the ranks of the run.
        accumulate: the micro-batches of a rank in a step.

    Raises:
        Infeasible: pyarrow is not installed, or there are too many samples to count.
    """

    def __init__(self, plan: BasePlan, epochs: int, world_size: int, accumulate: int) -> None:
        self.plan = plan
        self.epochs = check_integer(epochs, "epochs", least=1)
        self.world_size = check_integer(world_size, "world_size", least=1, most=MOST_RANKS)
        self.accumulate = check_integer(accumulate, "accumulate", least=1)
        self._arrow = library("pyarrow", "a table of a plan")
        count = plan.groups.sample_count
        if count > _MOST_COUNTED:
            raise Infeasible(
                f"the table counts every sample, and there are {count}, more than {_MOST_COUNTED}",
                "make the table of a plan of fewer samples, or look at single steps with plan[t]",
            )

    @property
    def steps(self) -> int:
        """The number of steps in it."""
        return self.epochs * self.plan.epoch_length(self._step_size) // self._step_size

    @property
    def schema(self) -> Any:
        """Its columns, a `pyarrow.Schema`."""
        arrow = self._arrow
        group = arrow.dictionary(arrow.int32(), arrow.string()) if self._text else arrow.int64()
        return arrow.schema(
            [
                ("epoch", arrow.int32()), ("step", arrow.int64()), ("rank", arrow.int32()), ("micro", arrow.int32()),
                ("slot", arrow.int32()), ("pack", arrow.int32()), ("index", arrow.int64()), ("group", group),
                ("pass", arrow.int32()),
            ]
        )  # fmt: skip

    def batches(self) -> Iterator[Any]:
        """One `pyarrow.RecordBatch` a step."""
        arrow, schema, step_size = self._arrow, self.schema, self._step_size
        plan, length = self.plan.stepped(step_size), self.plan.epoch_length(step_size)
        seen = np.zeros(plan.groups.sample_count, np.int32)
        names = arrow.array([str(name) for name in plan.groups.names]) if self._text else None
        borders = plan.pack_borders
        for step in range(self.steps):
            first = step * step_size
            micro_batches = [plan[first + within] for within in range(step_size)]
            if plan.whole_epochs:  # fillers stand last
                micro_batches = [batch[: plan.real(first + at)] for at, batch in enumerate(micro_batches)]
            sizes = [batch.size for batch in micro_batches]
            index = np.concatenate(micro_batches)
            within = np.repeat(np.arange(step_size), sizes)
            group = np.asarray(plan.groups.group_of(index))
            columns = {
                "epoch": np.full(index.size, first // length),
                "step": np.full(index.size, step),
                "rank": within % self.world_size,
                "micro": within // self.world_size,
                "slot": np.concatenate([np.arange(size) for size in sizes]),
                "pack": None
                if borders is None
                else np.concatenate([_packs(borders(batch)) for batch in micro_batches]),
                "index": index,
                "pass": _passes(index, seen),
            }
            held = {
                name: arrow.nulls(index.size, arrow.int32())
                if values is None
                else arrow.array(values, schema.field(name).type)
                for name, values in columns.items()
            }
            held["group"] = (
                arrow.array(group, arrow.int64())
                if names is None
                else arrow.DictionaryArray.from_arrays(arrow.array(group, arrow.int32()), names)
            )
            yield arrow.record_batch([held[name] for name in schema.names], schema=schema)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The stream, for libraries that read it without copies."""
        reader = self._arrow.RecordBatchReader.from_batches(self.schema, self.batches())
        return reader.__arrow_c_stream__(requested_schema)

    def to_parquet(
        self, path: str | os.PathLike[str], *, watch: Callable[[Iterable[Any], int], Iterable[Any]] | None = None
    ) -> int:
        """Write the table as Parquet, one row group a step.

        Args:
            path: the file.
            watch: called with the steps and how many there are, and returns an iterator over them: for a progress bar.

        Returns:
            The number of rows.

        Raises:
            Infeasible: the file cannot be written.

        Example:
            >>> import tempfile, pathlib
            >>> import batchwright as bw
            >>> bw.shuffled(6, batch_size=2).table().to_parquet(pathlib.Path(tempfile.mkdtemp()) / "plan.parquet")
            6
        """
        from pyarrow import parquet

        written, steps = 0, self.batches()
        place = self.schema.get_field_index("group")
        schema = self.schema.set(place, self._arrow.field("group", self._arrow.string())) if self._text else self.schema
        with reading(path, "path", "pass the path of a file in a folder that can be written"):
            opened = parquet.ParquetWriter(path, schema)
        with opened as writer:
            for batch in steps if watch is None else watch(steps, self.steps):
                # As text: a row group would else hold the names of all groups.
                plain = (
                    batch.set_column(place, "group", batch.column(place).dictionary_decode()) if self._text else batch
                )
                writer.write_batch(plain)
                written += batch.num_rows
        return written

    @property
    def _text(self) -> bool:
        """Whether groups are written by name; where every sample is a group, they are written by number."""
        return not isinstance(self.plan.groups.names, range)

    @property
    def _step_size(self) -> int:
        return self.world_size * self.accumulate

    def __repr__(self) -> str:
        size = f"{self.world_size} ranks, accumulate {self.accumulate}"
        return f"PlanTable({self.steps} steps of {self.epochs} epochs, {size})"


def _packs(borders: np.ndarray) -> np.ndarray:
    """The number of the pack of each sample of a micro-batch."""
    return np.repeat(np.arange(borders.size - 1), np.diff(borders))


def _passes(index: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """How often each sample came before; `seen` counts them, and these are added."""
    order = np.argsort(index, kind="stable")  # how often an index stands earlier among these rows
    sorted_ = index[order]
    passes = np.empty(index.size, np.int64)
    passes[order] = seen[sorted_] + np.arange(index.size) - np.searchsorted(sorted_, sorted_)
    np.add.at(seen, index, 1)
    return passes
