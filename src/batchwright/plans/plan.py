"""The type of every plan, with all methods that users call."""

from __future__ import annotations

import copy
import os
import weakref
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ..base_plan import BasePlan
from ..calls import as_written, call_of
from ..errors import Infeasible
from ..orders.protocol import fingerprint_of
from ..public import internal, public
from .table import PlanTable

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.nn import Module

    from ..audit import Audit
    from ..loader import Loader
    from ..report import Plots, Report, Step
    from ..run.sampler import BatchSampler

__all__ = ["RECIPE_VERSION", "Plan"]

RECIPE_VERSION = 1
# What `plot` measured, for its next pictures; not in the plan itself, which goes to workers and is copied.
_REPORTED: weakref.WeakKeyDictionary[Plan, Report] = weakref.WeakKeyDictionary()


class Plan(BasePlan):
    """An endless sequence of micro-batches that depends only on its arguments and the seed.

    `plan[t]` is micro-batch t, for t below 89 * 2**32. It depends only on the plan's arguments: not on the process,
    the rank, or earlier calls. Ranks get the micro-batches of `plan.stepped(world_size * accumulate)`, which differ only
    for plans by lengths and tasks of whole steps. Made by `balanced`, `budgeted`, `packed`, `alternating` and other
    builders.

    Attributes:
        groups: the groups of samples, by the numbers that the plan yields.

    Example:
        >>> import batchwright as bw
        >>> def first(plan: bw.Plan) -> list[int]:
        ...     return plan[0].tolist()
        >>> len(first(bw.shuffled(10, batch_size=4)))
        4
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        public(cls)

    @property
    def identity(self) -> dict[str, str]:
        """See `BasePlan`. It has a `step_size` only if that is above 1."""
        return self.run_identity | ({"step_size": str(self.step_size)} if self.step_size > 1 else {})

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, made of every argument that can change a batch, and of the `n` of `stepped(n)`."""
        return fingerprint_of(self.identity)

    @cached_property
    def run_fingerprint(self) -> str:
        """The fingerprint without the `n` of `stepped(n)`: runs on any number of ranks have the same."""
        return fingerprint_of(self.run_identity)

    @abstractmethod
    def summary(self, step_size: int | None = None) -> Any:
        """The plan in numbers; `print` it.

        Args:
            step_size: micro-batches in a step of a run, world_size * accumulate; the plan's own if left out. An epoch of a
                run is a whole number of steps.
        """

    @abstractmethod
    def audit(self) -> Any:
        """Measure the guarantees of the plan on its micro-batches; see `batchwright.audit`."""

    @internal
    @abstractmethod
    def audit_of_run(self, step_size: int, *, epoch: int = 0, batches: int = 1000) -> Audit:
        """Measure the guarantees of a run in steps of this size.

        Args:
            step_size: micro-batches in a step.
            epoch: the epoch that is measured.
            batches: how many of its micro-batches, of plans whose audits are not of complete epochs.
        """

    def to_recipe(self) -> dict[str, Any]:
        """How to make this plan again, as a dictionary of JSON types; the inverse of `bw.from_recipe`.

        Use it to keep beside a run what went into its batches, or to look into a run later from the command line.
        Columns of files (`bw.Column`) stand in it by path, name and a fingerprint of their values; other data by its
        values, at most 4,096 of an argument.

        Returns:
            The kind of the plan, its arguments, the n of `stepped(n)` if it was stepped, and its fingerprint. `json.dumps`
            writes it.

        Raises:
            Infeasible: an argument cannot be written down: long data that is not a `bw.Column`, a function, an object; or
                the shares of the plan were set during a run.

        Example:
            >>> import batchwright as bw
            >>> recipe = bw.balanced(["cat", "dog", "cat"], batch_size=2).to_recipe()
            >>> recipe["plan"], recipe["arguments"]
            ('balanced', {'labels': ['cat', 'dog', 'cat'], 'batch_size': 2})
            >>> bw.from_recipe(recipe).fingerprint == recipe["fingerprint"]
            True
        """
        call = call_of(self)
        if call is None:
            raise Infeasible(
                "no builder made this plan, or its shares were set during a run",
                "write the recipe of the plan that the run began with",
            )
        if call.unwritten:
            raise Infeasible(
                f"this plan has no recipe: {call.unwritten}",
                "pass data as a column of a file, bw.Column(path, name), and a target as a name, a number, a mapping or "
                "one of batchwright.targets",
            )
        return {
            "batchwright": RECIPE_VERSION,
            "plan": call.name,
            **copy.deepcopy(as_written(self, call)),
            "fingerprint": self.fingerprint,
        }

    def table(self, *, epochs: int = 1, world_size: int = 1, accumulate: int = 1) -> PlanTable:
        """The first epochs as a table of Arrow: what each rank gets, step by step.

        Use it for programs that do not use PyTorch (JAX, TensorFlow, Spark), or to check by hand what a run was given.

        Args:
            epochs: int, 1 or more.
            world_size: the ranks of the run, int from 1 to 131,072.
            accumulate: the micro-batches of a rank in a step.

        Returns:
            A table with one row a sample: epoch, step (through all epochs), rank, micro (which micro-batch of the rank in
            this step), slot (the place in the micro-batch), pack (of plans of packs, else null), index, group, and pass
            (how often the sample came before). It is a stream of one record batch a step. Fillers of a plan for evaluation
            have no row.

        Raises:
            Infeasible: pyarrow is not installed, or the plan has more than 2^28 samples.

        Example:
            >>> import batchwright as bw
            >>> import pyarrow
            >>> table = pyarrow.table(bw.balanced(list("aabb"), batch_size=2).table(world_size=2))
            >>> table["rank"].to_pylist(), table["group"].to_pylist()[:2] in (["a", "b"], ["b", "a"])
            ([0, 0, 1, 1], True)
        """
        return PlanTable(self, epochs, world_size, accumulate)

    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        epoch: int = 0,
        world_size: int = 1,
        accumulate: int = 1,
        lengths: Any = None,
        costs: Any = None,
        audit: Audit | None = None,
        title: str | None = None,
    ) -> Report:
        """Measure what is in the batches of an epoch, and write it as a page for a browser.

        Use it before training starts, to see the batches of the plan beside those of a plain shuffle. The page is one
        file, which needs no network. It shows composition, rare groups, repeats, drift, lengths, padding, costs of ranks and
        the guarantees, each with a table.

        Args:
            path: where the page is written; nowhere if left out.
            epoch: the epoch that is measured: all of it, or as many of its first micro-batches as hold 16 million samples
                (1 million for plans by lengths).
            world_size: ranks of the run.
            accumulate: micro-batches of a rank in a step.
            lengths: the length of every sample, array-like of shape (n_samples,); plans by lengths know their own.
            costs: the cost of every sample in any unit, array-like of shape (n_samples,). If left out, a micro-batch costs
                what it has of tokens with its padding.
            audit: what `plan.audit` found; measured again if left out.
            title: what stands above the page.

        Returns:
            The numbers of the page. `print` them, show them in a notebook, take `report.tables["composition"].to_pandas()`,
            or draw one picture with matplotlib, `report.plot.drift()`.

        Raises:
            Infeasible: a column has not one value for each sample, an epoch cannot fill a step, or the plan cannot be
                audited.

        Example:
            >>> import batchwright as bw
            >>> report = bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=4).report()
            >>> print(report.tables["shares"])
            group  groups  samples  natural share  target  drawn
            cat         1       90            0.9     0.5    0.5
            dog         1       10            0.1     0.5    0.5
        """
        from ..report import measure_plan  # it is needed only here, and takes time to import

        found = measure_plan(
            self,
            epoch=epoch,
            world_size=world_size,
            accumulate=accumulate,
            lengths=lengths,
            costs=costs,
            audit=audit,
            title=title,
        )
        if path is not None:
            found.save(path)
        return found

    @property
    def plot(self) -> Plots:
        """The pictures of `report()`, drawn with matplotlib: `plan.plot.composition()`, `plan.plot.drift(ax)`, ..."""
        if self not in _REPORTED:
            _REPORTED[self] = self.report()
        return _REPORTED[self].plot

    def at(self, step: int, *, rank: int | None = None, world_size: int = 1, accumulate: int = 1) -> Step:
        """What is in one step of a run: samples, groups and costs of every rank.

        Use it in a debugger, for instance where the loss jumped. It holds for a run that never changed its number of ranks;
        of a run that goes on, `loader.at(batch)` holds after a change too.

        Args:
            step: 0 or more, counted through all epochs.
            rank: only this rank.
            world_size: ranks of the run.
            accumulate: micro-batches of a rank in a step.

        Returns:
            The step: `print` it, loop over its `micro_batches`, or take its table, `to_pandas()`, one row a sample.

        Raises:
            Infeasible: the step is past the last, or the rank is outside the world.

        Example:
            >>> import batchwright as bw
            >>> print(bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=4).at(17, rank=1, world_size=2))
            step 17: step 4 of epoch 1, 4 samples
            rank 1, micro-batch 35: 4 samples
              91 64 43 93
              cat 2, dog 2
        """
        from ..report import step_at

        return step_at(self, step, rank, world_size, accumulate)

    def check(self, model: Module, *, example: Any = None, classes: Any = None, world_size: int = 1) -> None:
        """Check that batches are large enough for the BatchNorm layers of a model; see `batchwright.correct.check`."""
        from ..correct import check

        check(self, model, example=example, classes=classes, world_size=world_size)

    def sampler(
        self,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        accumulate: int = 1,
        fetch: Literal["micro", "step"] | int = "micro",
        mesh: DeviceMesh | None = None,
        dims: Sequence[str] | None = None,
    ) -> BatchSampler:
        """A batch sampler for `torch.utils.data.DataLoader(dataset, batch_sampler=...)`; see `batchwright.BatchSampler`."""
        from ..run.sampler import BatchSampler  # it imports torch, which a plan does without

        return BatchSampler(
            self, rank=rank, world_size=world_size, accumulate=accumulate, fetch=fetch, mesh=mesh, dims=dims
        )

    def loader(
        self,
        dataset: Any,
        *,
        num_workers: int | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        device: Any = None,
        rank: int | None = None,
        world_size: int | None = None,
        accumulate: int = 1,
        fetch: Literal["micro", "step"] | int = "micro",
        mesh: DeviceMesh | None = None,
        dims: Sequence[str] | None = None,
        seeded: bool = True,
        on_error: Literal["refuse", "replace", "skip"] = "refuse",
        max_errors: int = 100,
        compare_ranks: bool | None = None,
        check_data: bool = True,
        **options: Any,
    ) -> Loader:
        """A loader of this plan's batches from a data set: the way to train on a plan.

        Each loop over it takes the next epoch. Its state counts the batches that reached the loop, whatever its workers have
        read ahead, and can be loaded with other workers, ranks and accumulation.

        Args:
            dataset: map-style, of the length that the plan was made for.
            num_workers: processes that read the data set; if left out, none for tensors in memory and where processes are
                not forked, else the CPUs that this process may use, shared among the processes of this machine, at most 8.
            collate: makes a batch of a list of samples, like `DataLoader`'s `collate_fn`.
            device: where batches are moved to; left where they are if left out.
            rank: see `BatchSampler`.
            world_size: see `BatchSampler`.
            accumulate: see `BatchSampler`.
            fetch: see `BatchSampler`.
            mesh: see `BatchSampler`.
            dims: see `BatchSampler`.
            seeded: seed the generators of torch (on the CPU), NumPy and `random` before each sample is read, from the plan,
                the sample, and which of its draws this is. Random transforms then give the same in any number of workers,
                after any restart and in any world, and something else each time it is drawn. A data set that reads lists at
                once (`__getitems__`) is seeded once a micro-batch.
            on_error: what to do with a sample that raises: "refuse" raises its error, "replace" gives the next sample of its
                group, so that sizes and quotas hold, "skip" leaves it out. Plans for evaluation, and hybrid plans, whose
                epochs have every sample once, take "refuse" only.
            max_errors: samples that may raise in this process before the loader refuses to go on.
            compare_ranks: compare the plan, its arguments and the place of the loop between all processes, with one small
                gather: now, and again when a loop asks for its second batch. If left out, loaders with a `rank` are compared
                in loops only, and only where `world_size` is that of the process group.
            check_data: compare the data set's length, its labels if it holds them, and the lengths of its samples with the
                plan's.
            options: other arguments of `torch.utils.data.DataLoader`.

        Raises:
            Infeasible: the data set is not the plan's, an option is the plan's to decide, or the ranks differ.

        Example:
            >>> import batchwright as bw
            >>> loader = bw.shuffled(6, batch_size=2).loader(range(6), num_workers=0)
            >>> for epoch in loader.epochs(2):
            ...     for batch in epoch:
            ...         pass
            >>> print(loader.progress())
            epoch 1: 3 of 3 batches (2.000 epochs in all)
        """
        from ..loader import Loader  # it imports torch, which a plan does without

        sampler = self.sampler(
            rank=rank, world_size=world_size, accumulate=accumulate, fetch=fetch, mesh=mesh, dims=dims
        )
        return Loader(
            sampler,
            dataset,
            num_workers=num_workers,
            collate=collate,
            device=device,
            seeded=seeded,
            on_error=on_error,
            max_errors=max_errors,
            compare_ranks=compare_ranks,
            check_data=check_data,
            **options,
        )
