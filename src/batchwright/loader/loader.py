"""A `DataLoader` of a plan's batches whose position is that of the training loop."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch.utils.data
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, TensorDataset

from ..accumulation import check_accumulation
from ..base_plan import BasePlan
from ..errors import Infeasible, check_bool, check_integer, one_of, shown, warn
from ..kernels.hashing import PURPOSE, child_key
from ..micro_batches import AS_IT_WAS
from ..position import Position
from ..public import internal, public
from ..ranks import compare_loaders
from ..run.moved import Moved
from ..run.sampler import BatchSampler
from ..told_accumulation import Accumulation
from .checks import check_dataset, check_on_error, check_options, fitting_workers, starts_python
from .joining import Default, check_collate, declaring
from .loops import Batches, Epoch, epochs_left, unrecorded
from .padded import check_padding
from .parts import check_parts
from .progress import Progress
from .requests import Requests
from .samples import Broken, Collated, OnError, WithRemarks, WorkerDataset

if TYPE_CHECKING:
    from ..report import Step

__all__ = ["Loader"]


@public
class Loader:
    """The batches of a plan from a data set, counted where they reach the training loop; made by `plan.loader`.

    Each loop over it takes the next epoch, or what is left of one after `load_state_dict`. However far its workers have read
    ahead, `state_dict` counts the batches that the loop was given. A loop that was given one batch and did not ask for
    another counts as a look: the next loop begins at the same place. `peek` is for looks.

    Attributes:
        dataset: the data set.
        sampler: the batch sampler, whose position is that of the loop; for corrections, compositions, `retarget`.
        broken: the samples that raised so far in this process, if `on_error` is not "refuse".
        device: where batches are moved to; None leaves them where they are.
        watch: called before each batch is given, with its epoch, its number in it, from 1, and whether a loop begins here.
    """

    def __init__(
        self,
        sampler: BatchSampler,
        dataset: Any,
        /,
        *,
        num_workers: int | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        device: Any = None,
        seeded: bool = True,
        on_error: OnError = "refuse",
        max_errors: int = 100,
        compare_ranks: bool | None = None,
        check_data: bool = True,
        **options: Any,
    ) -> None:
        self.dataset, self.sampler, self.device = dataset, sampler, device
        self.broken: list[Broken] = []
        self.watch: Callable[[int, int, bool], None] | None = None
        self._on_error: OnError = one_of(on_error, "on_error", ("refuse", "replace", "skip"))
        self._max_errors = check_integer(max_errors, "max_errors", least=0)
        self._key = child_key(int(sampler.plan.run_fingerprint, 16), PURPOSE.SAMPLES)
        check_options(options, collate, device)
        check_on_error(sampler.plan, self._on_error)
        if check_bool(check_data, "check_data"):
            check_dataset(sampler.plan, dataset)
            check_parts(sampler.plan, dataset)
            check_padding(sampler.plan, options.get("collate_fn", collate))
        # Nothing below refers back to the loader: workers that stay are ended when the last reference goes, not by the
        # collector of cycles, which would do it at any moment, even while other workers start, and wait for them.
        self._requests = Requests(sampler, sampler.plan.planned_lengths if check_data else None)
        self._loader = self._made(options, collate, fitting_workers(dataset, num_workers), check_bool(seeded, "seeded"))
        self._latest: weakref.ref[Batches] | None = None  # the iterator that began last
        self._looks = sampler.looks
        self._compared = None if compare_ranks is None else check_bool(compare_ranks, "compare_ranks")
        compare_loaders(sampler, self._compared)

    def _made(self, options: dict[str, Any], collate: Any, workers: int, seeded: bool) -> DataLoader[Any]:
        if "collate_fn" in options:
            if collate is not None:
                raise Infeasible("collate and collate_fn were given, which mean the same", "pass one of them")
            collate = options.pop("collate_fn")
        if workers and starts_python(options.get("multiprocessing_context")):
            # A start of Python, its imports and a copy of the data set in every epoch. Forked workers cost little, and torch
            # waits 5 s for each that stays, if the loader is freed in a cycle of references, as trainers make them.
            options = {"persistent_workers": True, **options}
        self._generator = None if "generator" in options else torch.Generator()
        groups = self.plan.groups if self._on_error == "replace" else None
        drawing = seeded and type(self.dataset) is not TensorDataset  # which draws no random numbers
        self._reader = WorkerDataset(self.dataset, self._key, drawing, self._on_error, groups)
        check_collate(self.plan, collate)
        self._collated = Collated(Default(declaring(self.plan)) if collate is None else collate)
        return DataLoader(
            self._reader,
            batch_sampler=self._requests,
            collate_fn=self._collated,  # type: ignore[arg-type]  # torch passes on what `__getitems__` returns, here no list
            num_workers=workers,
            **{"pin_memory": torch.cuda.is_available(), "generator": self._generator, **options},
        )

    @property
    def plan(self) -> BasePlan:
        """The plan whose batches these are."""
        return self.sampler.plan

    @property
    def batch_sampler(self) -> BatchSampler:
        """The batch sampler: where trainers look for it."""
        return self.sampler

    @property
    def num_workers(self) -> int:
        """How many worker processes read the data set."""
        return self._loader.num_workers

    @property
    def collate_fn(self) -> Callable[[list[Any]], Any]:
        """What makes a batch of samples."""
        return self._collated.collate

    @property
    def pin_memory(self) -> bool:
        """Whether batches are put into page-locked memory."""
        return self._loader.pin_memory

    @property
    def prefetch_factor(self) -> int | None:
        """Batches that each worker reads ahead; None without workers."""
        return self._loader.prefetch_factor

    @property
    def worker_init_fn(self) -> Callable[[int], Any] | None:
        """What each worker calls first."""
        return self._loader.worker_init_fn

    @property
    def multiprocessing_context(self) -> Any:
        """How workers are started; None for the default way, or without workers."""
        return self._loader.multiprocessing_context

    @property
    def rank(self) -> int:
        """This process's number."""
        return self.sampler.rank

    @property
    def world_size(self) -> int:
        """How many processes share the plan."""
        return self.sampler.world_size

    @property
    def epoch(self) -> int:
        """The epoch of the loop that runs; between two loops, the epoch that the next one takes."""
        return self.sampler.position().epoch if self._runs else self.next_start()[0]

    @property
    def batches_done(self) -> int:
        """Batches of that epoch that were given already."""
        return self.sampler.position().consumed // self.sampler.fetched_by_all if self._runs else self.next_start()[1]

    def next_start(self) -> tuple[int, int]:
        """Where the next loop begins: its epoch, and how many batches of that epoch it leaves out."""
        return self.sampler.asked_before_a_look(lambda: (self.sampler.epoch, self.sampler.batches_done))

    @internal
    def moved_by_loops(self) -> list[Moved]:
        """The objects whose attributes say where a loop over this loader is; see `sampler_of.unmoved`."""
        own = Moved(self, ("watch",)), Moved(self._loader, ("_iterator",)), Moved(self._requests)
        return [*own, *self.sampler.moved_by_loops()]

    @property
    def _runs(self) -> bool:
        """Whether a loop has been given a batch and may still go on; one that was left is no longer referred to."""
        loop, run = None if self._latest is None else self._latest(), self.sampler.run
        return loop is not None and not loop.ended and run.batch_returned and run.requested is None

    @property
    def real(self) -> int:
        """How many samples of the batch that the loop was given last count; the others, at its end, are fillers.

        All count but in plans for evaluation, which give every rank something to do in every step.

        Raises:
            Infeasible: the loop was given none.
        """
        number, epoch = self._latest_batch("ask after a batch was given")
        return self.sampler.real(number, epoch=epoch)

    def __len__(self) -> int:
        """Batches of this rank in an epoch: the same for all ranks and epochs."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch, or of what is left of one; which, the first `next` decides."""
        return Batches(self)

    def epochs(self, until: int) -> Iterator[Epoch]:
        """The epochs from the next one to number `until` - 1, each to be looped over once.

        Args:
            until: how many epochs the whole run has, counted from its beginning: a resumed run takes the rest. If it has had
                all of them, there are none, with a `PoorWarning`.

        Example:
            >>> import batchwright as bw
            >>> loader = bw.shuffled(6, batch_size=2).loader(range(6), num_workers=0)
            >>> [(epoch.number, len(list(epoch))) for epoch in loader.epochs(2)]
            [(0, 3), (1, 3)]
        """
        for number in epochs_left(self.next_start()[0], until):
            yield Epoch(self, number)
            self._looks.count_as_training()  # the loop came back for the next epoch

    def peek(self) -> Any:
        """The batch that the next loop will give first; nothing moves, and no worker starts."""
        return self.sampler.asked_before_a_look(self._first_batch)

    def progress(self) -> Progress:
        """How far the loop has come, for a progress bar or a log."""
        at = self.sampler.position()
        done = at.consumed // self.sampler.fetched_by_all
        return Progress(at.epoch, done, len(self), self.sampler.epochs_done, self.sampler.new_shares_in)

    def set_epoch(self, epoch: int) -> None:
        """Let the next loop take this epoch from its start; if it is next anyway, from where `batches_done` says."""
        self.sampler.set_epoch(epoch)

    def seek(self, batches: int, *, epoch: int | None = None) -> None:
        """Let the next loop leave out the first `batches` of this rank's batches of an epoch (the next one if left out)."""
        self.sampler.seek(batches, epoch=epoch)

    def at(self, number: int | None = None, *, epoch: int | None = None, rank: int | None = None) -> Step:
        """What is in one batch of this run: samples, groups and costs of every rank.

        Use it in a debugger, for instance where the loss jumped. It holds after a change of the number of ranks too; of the
        batches before a resume, a state does not say what each rank had. Samples that raised stand as the plan has them.

        Args:
            number: of the batch in the epoch, from 0, as `batches_done` counts; the last that was given if left out.
            epoch: of the run; the present one if left out.
            rank: only this rank.

        Returns:
            The batch, as `Plan.at` shows a step; with `accumulate`, so many batches make an optimizer step.

        Raises:
            Infeasible: the epoch has fewer batches, none was given yet, or the batch came before the run was resumed.

        Example:
            >>> import batchwright as bw
            >>> loader = bw.sequential(8, batch_size=2).loader(range(8), num_workers=0, rank=1, world_size=2)
            >>> loader.at(1, rank=1).samples.tolist(), [batch.tolist() for batch in loader][1]
            ([6, 7], [6, 7])
        """
        from ..report.step import batch_at  # it is needed only here, and takes time to import

        sampler = self.sampler
        if number is None:
            number, epoch = self._latest_batch("pass the number of a batch, or ask after one was given")
        before = sampler.before(number, epoch=epoch)
        return batch_at(self.plan, before, number, sampler.world_size, sampler.fetched_by_all, rank)

    def _latest_batch(self, way_out: str) -> tuple[int, int]:
        """The number and the epoch of the batch that the loop was given last; refused with this way out if it has none."""
        run = self.sampler.run
        if run.start is None or not run.batch_returned:
            raise Infeasible("no batch was given yet", way_out)
        return run.consumed // self.sampler.fetched_by_all - 1, run.start.epoch

    def retarget(self, shares: Any, *, in_samples: bool = False) -> int:
        """Give the groups other shares from a later batch on: `progress()` says when. See `BatchSampler.retarget`."""
        return self.sampler.retarget(shares, in_samples=in_samples)

    def state_dict(self) -> dict[str, Any]:
        """The state after the last batch that the loop was given: a fresh dict of JSON types, the same on all ranks.

        It can be loaded with any number of workers and ranks, and into a sampler of the same plan.
        """
        state = self._saved(self.sampler.state_dict())
        self._looks.count_as_training()  # a batch after which a checkpoint is saved was no look
        return state

    def state_at(self, batches: int, *, epoch: int | None = None) -> dict[str, Any]:
        """The state after the first `batches` of this rank's batches of an epoch (the present one if left out).

        For trainers that count for themselves; `state_dict` counts what the loop was given.
        """
        return self._saved(self.sampler.state_at(batches, epoch=epoch))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next loop resume from a state; {} changes nothing, with a warning.

        Raises:
            Infeasible: the state is of another plan or version, is damaged, or its epoch cannot continue in a world of this
                size. All ranks refuse it alike, and the loader does not change.

        Warns:
            PoorWarning: the state is {}, as `checkpoint.get("loader", {})` gives it where the checkpoint has none.
        """
        if isinstance(state, Mapping) and not state:
            epoch, batches = self.next_start()
            warn(
                f"the state is {{}}, so nothing was loaded: the next loop begins at batch {batches} of epoch {epoch}; look "
                "for the state under another name in the checkpoint, or load one only if there is one."
            )
            return
        broken = state.get("broken", []) if isinstance(state, Mapping) else []
        count = self.plan.groups.sample_count
        if not (isinstance(broken, list) and all(type(sample) is int and 0 <= sample < count for sample in broken)):
            raise Infeasible(f"the state's broken samples are {shown(broken)}, not numbers below {count}", AS_IT_WAS)
        self.sampler.load_state_dict(state)
        self._requests.broken |= frozenset(broken)
        self._looks.count_as_training()

    def _saved(self, state: dict[str, Any]) -> dict[str, Any]:
        """A state of the sampler as one of the loader: with the samples that are known to raise."""
        broken = self._requests.broken.union(entry.sample for entry in self.broken)
        return {**state, "broken": sorted(broken)} if broken else state

    def _first_batch(self) -> Any:
        request = self._requests.first(self.sampler.next_start())
        given = self._collated(self._reader.__getitems__(request))
        return self._moved(given.batch if isinstance(given, WithRemarks) else given)

    def _begin(self, number: int | None) -> Position:
        return self.sampler.begin_loop(number)

    def _read_from(self, start: Position) -> Iterator[Any]:
        self._requests.start = start
        if self._generator is not None:  # workers' seeds, which would else be drawn from torch's global generator
            self._generator.manual_seed(child_key(self._key, start.micro_batch))
        return unrecorded(iter(self._loader))

    def compare_accumulation(self, told: Accumulation) -> None:
        """Check that this loader accumulates as many micro-batches as the trainer that steps the optimizer.

        Trainers that can be seen are compared by themselves; adapters of trainers call this.

        Args:
            told: what the trainer was told, and what it does to each loss, which `correct.LossScale` asks for.

        Raises:
            Infeasible: both accumulate, but different numbers of micro-batches.

        Warns:
            PoorWarning: only one of the two accumulates.
        """
        known, self.sampler.trainer = self.sampler.trainer, told
        if known is None or known[:2] != told[:2]:
            check_accumulation(self.sampler, told, maker="plan.loader")

    def _compare(self, start: Position) -> None:
        compare_loaders(self.sampler, self._compared, start)

    def _received(self, remarks: WithRemarks) -> None:
        if remarks.misfit is not None and self._requests.lengths is not None:  # batches read ahead have remarks too
            self._requests.lengths = None
            warn(remarks.misfit)
        if not (broken := remarks.broken):
            return
        if not self.broken:
            warn(
                f"sample {broken[0].sample} raised {broken[0].error}; with on_error={self._on_error!r} training goes on, "
                f"loader.broken lists such samples, and more than {self._max_errors} are refused."
            )
        known = {entry.sample for entry in self.broken}
        self.broken += [entry for entry in broken if entry.sample not in known]
        if len(self.broken) > self._max_errors:
            raise Infeasible(
                f"{len(self.broken)} samples raised, max_errors is {self._max_errors}; the last was sample "
                f"{self.broken[-1].sample}: {self.broken[-1].error}",
                "mend the data set, or pass a larger max_errors",
            )

    def _moved(self, batch: Any) -> Any:
        if self.device is None:
            return batch
        if hasattr(batch, "to"):
            return batch.to(self.device, non_blocking=True)
        return tree_map(lambda x: x.to(self.device, non_blocking=True) if isinstance(x, torch.Tensor) else x, batch)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_latest": None}  # a loop stays in its process

    def __repr__(self) -> str:
        return f"<loader of {self.sampler!r}, {self.num_workers} workers>"
