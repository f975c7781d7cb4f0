"""Means over all samples of an evaluation, on all ranks together, without fillers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from ..distributed import gathered
from ..errors import Infeasible, check_bool, listed, shown
from ..readings import check_count, reading
from ..run.sampler_of import needed_sampler

if TYPE_CHECKING:
    from ..run.sampler import BatchSampler

__all__ = ["Means"]

_ONE_A_SAMPLE = 'pass one value a sample, such as the loss with reduction="none"'

_Sums = dict[str, tuple[float, float]]
"""Of each name, the sum of its values and that of their amounts; of whole numbers, Python's integers: these are exact."""


class _OfRank(NamedTuple):
    """What one rank added in an evaluation."""

    epoch: int
    samples: int
    sums: _Sums


class Means:
    """Computes means of per-sample values over a whole evaluation, on all ranks together.

    Use it for validation losses and metrics that are means over samples or over tokens. The result does not depend on the
    number of ranks: fillers (see `batchwright.evaluation`) are left out, integers are summed exactly, and other numbers in
    float64. The mean of the ranks' own means would be wrong: a rank with fewer samples would count as much as the others.

    `result` ends an evaluation: what is added after it belongs to the next one.

    Args:
        sampler: the sampler that yields this rank's batches, of a plan in which every sample counts once.

    Raises:
        Infeasible: `sampler` is not a sampler, or it is that of a training plan.

    Example:
        >>> import batchwright as bw
        >>> sampler = bw.evaluation(5, batch_size=2).sampler()
        >>> means = Means(sampler)
        >>> for batch, samples in enumerate(sampler):
        ...     means.add(batch, number=samples, even=[sample % 2 == 0 for sample in samples])
        >>> means.result()
        {'number': 2.0, 'even': 0.6}
    """

    def __init__(self, sampler: BatchSampler) -> None:
        sampler = needed_sampler(sampler)
        if not sampler.plan.whole_epochs:
            raise Infeasible(
                f"the means are to be over every sample once, and {shown(sampler.plan)} is a plan for training",
                "pass the sampler or the loader of bw.evaluation(dataset, batch_size)",
            )
        self.sampler = sampler
        self._begin(0)

    def _begin(self, epoch: int) -> None:
        self._sums: _Sums = {}
        self._epoch, self._ended = epoch, False
        self._added = bytearray(len(self.sampler))  # whether each batch was added
        self._samples = 0

    def add(self, number: int, /, *, epoch: Any = None, **values: Any) -> None:
        """Add the values of the samples in one batch of this rank.

        Args:
            number: of the batch in the epoch, from 0, as `enumerate(loader)` counts; after a resume, counted from
                `sampler.batches_done`. It is passed by position, so that values may have any name.
            epoch: the number of the epoch, int; default: the current one. One number for each sample is a value so named.
            values: for each name, an array-like of shape (samples of the batch,): one number for each sample, in the order
                of the batch, with those of its fillers or without. Or a tuple (sums, amounts) of two such; the mean is then
                sums over amounts.
                For a mean over tokens, pass the summed loss of each sample and its number of tokens.

        Raises:
            Infeasible: there is not one real number for each sample of the batch, the names differ from those of earlier
                batches, the batch was added before, or an earlier one was of another epoch. Nothing is added then.
        """
        if getattr(epoch, "ndim", hasattr(epoch, "__len__")) and not isinstance(epoch, str):
            values, epoch = {"epoch": epoch, **values}, None
        real = self.sampler.real(number, epoch=epoch)
        if epoch is None:
            epoch = self.sampler.position().epoch
        if self._ended or not self._sums:
            self._begin(epoch)
        if epoch != self._epoch:
            raise Infeasible(
                f"batch {number} is of epoch {epoch}, those before it were of epoch {self._epoch}",
                "call means.result() after each evaluation, or make new means for each",
            )
        if self._added[number]:
            raise Infeasible(
                f"batch {number} of epoch {epoch} was added before", "add all values of a batch in one call"
            )
        if self._sums and self._sums.keys() != values.keys():
            raise Infeasible(
                f"batch {number} has values called {listed(values)}, an earlier one {listed(self._sums)}",
                "add the same names for every batch",
            )
        found = {name: self._sums_of(value, number, epoch, real, name) for name, value in values.items()}
        for name, (sums, amounts) in found.items():
            before = self._sums.get(name)
            self._sums[name] = (sums, amounts) if before is None else (before[0] + sums, before[1] + amounts)
        self._added[number] = True
        self._samples += real

    def _sums_of(self, value: Any, number: int, epoch: int, real: int, name: str) -> tuple[float, float]:
        """The sum of the values of a batch that count, and the sum of their amounts."""
        parts = value if isinstance(value, tuple) else (value,)
        if isinstance(value, tuple) and len(parts) != 2:
            raise Infeasible(
                f"{shown(name)} is a tuple of {len(parts)}, and a tuple is a pair (sums, amounts)",
                "pass the values of the samples as a list or a tensor, or pass a pair",
            )
        read = [_read(part, name) for part in parts]
        for part in read:
            if tuple(part.shape) == (real,):
                continue
            own = self.sampler.all_ranks(number, epoch=epoch)[self.sampler.rank :: self.sampler.world_size]
            samples = sum(map(len, own))  # with fillers
            if tuple(part.shape) != (samples,):
                fillers = f" and {samples - real} that do not" if samples > real else ""
                raise Infeasible(
                    f"{shown(name)} has shape {tuple(part.shape)}, the batch has {real} samples that count{fillers}",
                    _ONE_A_SAMPLE,
                )
        sums, *amounts = [_sum(part[:real]) for part in read]
        return sums, amounts[0] if amounts else real

    def result(self, *, whole: bool = True, process_group: dist.ProcessGroup | None = None) -> dict[str, float]:
        """The means over all ranks of the group: one exchange of a few numbers, the same result on every rank.

        Of a sampler with `world_size=1`, which has all samples, nothing is communicated. Ranks may add their values in any
        order of names, and a rank that added no batch takes part.

        Args:
            whole: refuse means of only some of the samples. Pass False for an evaluation that stops early on purpose, or
                that was resumed: values that were added before a restart are lost.
            process_group: the ranks that took part in the evaluation; default: all, each once where several processes
                have the same batches (see `mesh` of `plan.loader`).

        Returns:
            For each name, the sum of all values divided by the number of samples or by the sum of all amounts; NaN if that
            is 0.

        Raises:
            Infeasible: on every rank: no rank added values, ranks added values of different names or epochs, or all ranks
                together added fewer or more samples than there are.
        """
        check_bool(whole, "whole")
        own = _OfRank(self._epoch, self._samples, self._sums)
        alone = process_group is None and self.sampler.world_size == 1  # it has all samples, and others may not come
        ranks = [own] if alone else gathered(own, self.sampler.over if process_group is None else process_group)
        self._ended = True
        totals = _added_up(ranks)
        samples, count = sum(rank.samples for rank in ranks), self.sampler.plan.groups.sample_count
        if whole and samples != count:
            raise Infeasible(
                f"the means would be of {samples} samples, and there are {count}; this rank, {self.sampler.rank} of "
                f"{self.sampler.world_size}, added {sum(self._added)} of its {len(self._added)} batches",
                "add every batch on every rank, each with a share of its own, or pass whole=False for an evaluation that "
                "stops early",
            )
        return {name: over / under if under else math.nan for name, (over, under) in totals.items()}


def _added_up(ranks: list[_OfRank]) -> _Sums:
    """The sums over ranks, by name and in one order of names. All ranks see the same, so all of them raise."""
    added = {number: rank for number, rank in enumerate(ranks) if rank.sums}  # a rank may have had no batch
    if not added:
        raise Infeasible(
            "there are means of 0 values", "call means.add(number, loss=...) after every batch, numbered from 0"
        )
    names = list(dict.fromkeys(name for rank in added.values() for name in rank.sums))
    missing = [(name, number) for name in names for number, rank in added.items() if name not in rank.sums]
    if missing:
        words = listed(f"{shown(name)} is missing on rank {number}" for name, number in missing)
        raise Infeasible(
            f"the values of {len(ranks)} ranks have different names: {words}", "add the same names on every rank"
        )
    (first, epoch), *others = [(number, rank.epoch) for number, rank in added.items()]
    for number, other in others:
        if other != epoch:
            raise Infeasible(
                f"rank {first} added values of epoch {epoch}, and rank {number} of epoch {other}",
                "call means.result() after each evaluation, on every rank",
            )
    pairs = {name: [rank.sums[name] for rank in added.values()] for name in names}
    return {name: (sum(over for over, _ in of), sum(under for _, under in of)) for name, of in pairs.items()}


def _read(values: Any, name: str) -> Tensor:
    """The values as a tensor of integers, bools or floats."""
    if not isinstance(values, torch.Tensor):
        check_count(values, name)
    with reading(values, name, _ONE_A_SAMPLE):
        found = torch.as_tensor(values).detach()
        if found.is_floating_point() and not hasattr(values, "dtype"):  # torch reads Python's floats as float32
            found = torch.as_tensor(values, dtype=torch.float64).detach()
    if found.is_complex():
        raise Infeasible(f"{shown(name)} has complex numbers, which have no mean here", "pass real numbers")
    return found


def _sum(values: Tensor) -> float:
    """The sum of values: of integers and bools as an integer of Python, which cannot overflow; of others in float64."""
    counted = values.cpu()
    return counted.double().sum().item() if counted.is_floating_point() else sum(counted.tolist())
