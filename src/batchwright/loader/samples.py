"""Read the samples of a batch: with random numbers of their own, and with a rule for samples that raise."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from operator import length_hint
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.utils.data import default_collate
from torch.utils.data._utils.pin_memory import pin_memory

from ..errors import Infeasible, said
from ..groups import Groups
from ..kernels.hashing import GOLDEN, child_key, mix
from ..readings import call_in_loop
from .joining import Default
from .sent import Sent
from .told_lengths import ToldLengths

__all__ = ["Broken", "Collated", "OnError", "Request", "WithRemarks", "WorkerDataset"]

OnError = Literal["refuse", "replace", "skip"]

_NUMPYS = np.random.MT19937(0)  # NumPy's global generator while samples are read; seeded before each
_TRIED = 100  # samples of a group that are tried in place of one; as many that raise in a row are no accident


class Request(NamedTuple):
    """What a worker is asked for: this rank's micro-batches of one batch, and the address of their random numbers.

    Attributes:
        micro_batches: the samples of each.
        draw_numbers: a number of each: with it and its own number, a sample gets new random numbers each time it is drawn.
        broken: samples that are known to raise, from a state.
        lengths: the lengths of these samples in the plan, one after another; None if they are not compared.
    """

    micro_batches: list[list[int]]
    draw_numbers: list[int]
    broken: frozenset[int] = frozenset()
    lengths: list[float] | None = None


class Broken(NamedTuple):
    """A sample whose data set raised.

    Attributes:
        sample: its number.
        error: the exception's type and message, in bounded length.
        replaced_by: the sample that was given in its place; None if it was left out.
    """

    sample: int
    error: str
    replaced_by: int | None


@dataclass
class WithRemarks:
    """A batch, and what is to be said of it; a batch without remarks is sent as it is.

    Attributes:
        batch: the batch.
        broken: what was broken in it.
        misfit: what is wrong with the lengths of its samples, for a warning.
    """

    batch: Any
    broken: list[Broken]
    misfit: str | None

    def pin_memory(self) -> WithRemarks:
        """The same with the batch in page-locked memory; the loader's thread calls it."""
        return WithRemarks(pin_memory(self.batch), self.broken, self.misfit)


class _ReadBatch(NamedTuple):
    """What a batch's samples were, before they are collated, what they were asked for by, and whether a worker read them."""

    samples: list[Any]
    broken: list[Broken]
    request: Request
    by_worker: bool


@dataclass(frozen=True)
class WorkerDataset(torch.utils.data.Dataset[Any]):
    """The data set as the loader's workers see it: it is asked for whole batches.

    Args:
        dataset: the user's own.
        key: what random numbers are derived from.
        random: whether each sample sets the generators of torch, NumPy and `random`.
        on_error: what to do with a sample that raises.
        groups: whose samples may replace each other; needed for "replace" only.
    """

    dataset: Any
    key: int
    random: bool
    on_error: OnError = "refuse"
    groups: Groups | None = None

    def __getitems__(self, asked: tuple[Any, ...]) -> _ReadBatch:
        """The samples of a batch; the loader's fetcher calls it with what the batch sampler yields, as a plain tuple."""
        request = Request._make(asked)
        if not self.random:
            return self._read(request)
        with _own_random_numbers():
            return self._read(request)

    def _read(self, request: Request) -> _ReadBatch:
        worker = torch.utils.data.get_worker_info()
        # A worker of another loader may read with this one, within its own process.
        by_worker = worker is not None and worker.dataset is self
        read = _ReadBatch([], [], request, by_worker)
        at_once = getattr(self.dataset, "__getitems__", None) if self.on_error == "refuse" else None
        for samples, draw_number in zip(request.micro_batches, request.draw_numbers, strict=True):
            if callable(at_once):  # a data set that reads lists at once, as those of Hugging Face
                if self.random:
                    _seed(child_key(self.key, draw_number))
                read.samples.extend(call_in_loop(at_once, samples))
            elif self.on_error == "refuse":
                self._read_each(samples, draw_number, read.samples)
            else:
                for sample, address in zip(samples, self._addresses(samples, draw_number), strict=True):
                    self._read_or_mend(sample, address, request.broken, read)
        return read

    def _read_each(self, samples: list[int], draw_number: int, found: list[Any]) -> None:
        sample = None
        try:
            if self.random:
                for sample, address in zip(samples, self._addresses(samples, draw_number), strict=True):
                    _seed(address)
                    found.append(self.dataset[sample])
            else:
                numbers, dataset = iter(samples), self.dataset
                found += [dataset[number] for number in numbers]  # a third less than a loop that appends
        except Exception as error:
            if not self.random:
                sample = samples[len(samples) - 1 - length_hint(numbers)]
            note = f"It was raised by sample {sample} of the data set."
            if isinstance(error, StopIteration):  # the loop would take it for its end
                raise RuntimeError(f"the data set raised StopIteration. {note}") from error
            error.add_note(note)
            raise

    def _addresses(self, samples: list[Any], draw_number: int) -> list[int]:
        """The address of the random numbers of each sample of a micro-batch, as 64-bit integers."""
        if isinstance(samples[0], tuple):  # of a plan with `named=True`: pairs of a task and a number
            samples = [_number_of(pair) for pair in samples]
        key = np.uint64(child_key(self.key, draw_number))
        addresses: list[int] = mix(key + np.array(samples, np.uint64) * GOLDEN).tolist()
        if len(set(samples)) < len(samples):  # one that comes twice has other random numbers each time
            seen: dict[int, int] = {}
            for place, sample in enumerate(samples):
                seen[sample] = seen.get(sample, -1) + 1
                if seen[sample]:
                    addresses[place] = child_key(addresses[place], seen[sample])
        return addresses

    def _read_or_mend(self, sample: int, address: int, known: frozenset[int], read: _ReadBatch) -> None:
        found, error = self._tried(sample, address, known)
        if error is None:
            read.samples.append(found)
            return
        broken = [Broken(sample, error, None)]
        for other in self._others(sample) if self.on_error == "replace" else ():
            found, failed = self._tried(other, address, known)
            if failed is None:
                read.samples.append(found)
                broken[0] = Broken(sample, error, other)
                break
            broken.append(Broken(other, failed, None))
        else:
            if self.on_error == "replace":
                raise Infeasible(
                    f"sample {sample} raised {error}, and so did every sample of its group that was tried in its place",
                    'mend the data set, or leave such samples out with on_error="skip"',
                )
        read.broken.extend(entry for entry in broken if entry.sample not in known)  # the others were reported before

    def _tried(self, sample: int, address: int, known: frozenset[int]) -> tuple[Any, str | None]:
        if sample in known:
            return None, "an error before the run was resumed"
        if self.random:
            _seed(address)
        try:
            return self.dataset[sample], None
        except Exception as error:
            return None, said(error)

    def _others(self, sample: int) -> Iterator[int]:
        """The samples behind this one in its group, cyclically: the same in every process and after every restart."""
        groups = self.groups
        assert groups is not None
        group = int(groups.group_of(sample))
        if groups.group_count == groups.sample_count:  # a plan without groups: any sample may stand for another
            members: Sequence[int] | np.ndarray = range(groups.sample_count)
            place = sample
        else:  # without a copy of the group, which may have a billion samples
            start, stop = groups.starts[group : group + 2].tolist()
            members = range(start, stop) if groups.index is None else groups.index[start:stop]
            place = sample - start if groups.index is None else int(np.searchsorted(members, sample))
        for step in range(1, min(len(members), _TRIED + 1)):
            yield int(members[(place + step) % len(members)])


def _number_of(pair: Any) -> int:
    """A 64-bit number of a pair of a task and a number, the same in every process."""
    return int.from_bytes(hashlib.blake2b(repr(pair).encode(), digest_size=8).digest(), "big")


def _seed(address: int) -> None:
    # Of torch's generators that of the CPU alone: seeding those of GPUs costs far more, and workers use none.
    torch.default_generator.manual_seed(address)
    np.random.seed(address & 0xFFFFFFFF)  # noqa: NPY002  # existing transforms draw from it
    random.seed(address)


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Give the generators back as they were where the data set is read in the process that trains."""
    if torch.utils.data.get_worker_info() is not None:
        yield
        return
    # Another generator for NumPy: copying the state of its own takes 100 times as long.
    kept = torch.get_rng_state(), np.random.get_bit_generator(), random.getstate()  # type: ignore[attr-defined]  # NumPy's stubs lack it
    np.random.set_bit_generator(_NUMPYS)  # type: ignore[attr-defined]  # NumPy's stubs lack it
    try:
        yield
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_bit_generator(kept[1])  # type: ignore[attr-defined]  # NumPy's stubs lack it
        random.setstate(kept[2])


@dataclass(frozen=True)
class Collated:
    """The user's collate function, on what `WorkerDataset` has read; a class, so that it can be sent to spawned workers."""

    collate: Callable[[list[Any]], Any]
    told_lengths: ToldLengths = field(default_factory=ToldLengths)

    def __call__(self, read: _ReadBatch) -> Any:
        """The batch; in a `WithRemarks` if a sample of it was broken, or lengths are not what the plan was told.

        A worker gives it in a `Sent`, of which only the batch arrives.
        """
        if not read.samples:
            raise Infeasible(
                f"every sample of a batch raised: {read.broken[0].error}" if read.broken else "a batch has no sample",
                'mend the data set, or pass on_error="replace"',
            )
        batch = call_in_loop(self.collate, read.samples)
        samples, _, broken, lengths = read.request
        misfit = None
        if lengths is not None and not (broken or read.broken):  # else another sample may stand in place of one
            misfit = self.told_lengths.misfit(list(chain.from_iterable(samples)), lengths, batch, read.samples)
        if read.broken or misfit:
            batch = WithRemarks(batch, read.broken, misfit)
        if not read.by_worker:
            return batch
        return Sent(batch, fresh=type(self.collate) is Default and self.collate.join is default_collate)
