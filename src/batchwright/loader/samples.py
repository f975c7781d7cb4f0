"""Read the samples of a list: with random numbers of their own, and with a rule for samples that raise."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.utils.data._utils.pin_memory import pin_memory

from ..errors import Infeasible, said
from ..groups import Groups
from ..kernels.hashing import child_key

__all__ = ["Broken", "Collated", "Given", "OnError", "Reader", "Request"]

OnError = Literal["refuse", "replace", "skip"]

_TRIED = 100  # samples of a group that are tried in place of one; as many that raise in a row are no accident


class Request(NamedTuple):
    """What a worker is asked for: this rank's micro-batches of one list, and the address of their random numbers.

    Attributes:
        micro_batches: the samples of each.
        visits: a number of each: with it and its own number, a sample's random numbers are its own at every visit.
        broken: samples that are known to raise, from a state.
    """

    micro_batches: list[list[int]]
    visits: list[int]
    broken: frozenset[int] = frozenset()


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
class Given:
    """A batch, and what was broken in it; only batches with a broken sample travel in this."""

    batch: Any
    broken: list[Broken]

    def pin_memory(self) -> Given:
        """The same with the batch in page-locked memory; the loader's thread calls it."""
        return Given(pin_memory(self.batch), self.broken)


class _Read(NamedTuple):
    """What a list's samples were, before they are collated."""

    samples: list[Any]
    broken: list[Broken]


@dataclass(frozen=True)
class Reader:
    """The data set as the loader's workers see it: it is asked for whole lists.

    Args:
        dataset: the user's own.
        key: what random numbers are derived from.
        random: whether each sample sets the generators of torch, NumPy and `random`.
        on_error: what to do with a sample that raises.
        groups: who may replace whom; needed for "replace" only.
    """

    dataset: Any
    key: int
    random: bool
    on_error: OnError = "refuse"
    groups: Groups | None = field(default=None)

    def __getitems__(self, request: Request) -> _Read:
        """The samples of a list; the loader's fetcher calls it with whatever the batch sampler yields."""
        with _own_random_numbers(self.random):
            read = _Read([], [])
            whole = getattr(self.dataset, "__getitems__", None) if self.on_error == "refuse" else None
            for samples, visit in zip(request.micro_batches, request.visits, strict=True):
                key = child_key(self.key, visit)
                if callable(whole):  # a data set that reads lists at once, as those of Hugging Face
                    self._seed(key)
                    read.samples.extend(whole(samples))
                elif self.on_error == "refuse" and not self.random:  # no sample needs an address
                    read.samples.extend(map(self._at, samples))
                else:
                    self._read_each(samples, key, request.broken, read)
            return read

    def _read_each(self, samples: list[int], key: int, known: frozenset[int], read: _Read) -> None:
        seen: dict[int, int] = {}
        for sample in samples:
            address = child_key(key, sample)
            if sample in seen:  # twice in one micro-batch: each time has random numbers of its own
                address = child_key(address, seen[sample])
            seen[sample] = seen.get(sample, 0) + 1
            if self.on_error == "refuse":
                self._seed(address)
                read.samples.append(self._at(sample))
            else:
                self._read_or_mend(sample, address, known, read)

    def _at(self, sample: int) -> Any:
        try:
            return self.dataset[sample]
        except Exception as error:
            error.add_note(f"It was raised by sample {sample} of the data set.")
            raise

    def _read_or_mend(self, sample: int, address: int, known: frozenset[int], read: _Read) -> None:
        found, error = self._tried(sample, address, known)
        if error is None:
            read.samples.append(found)
            return
        if self.on_error == "skip":
            read.broken.append(Broken(sample, error, None))
            return
        for other in self._others(sample):
            found, failed = self._tried(other, address, known)
            if failed is None:
                read.samples.append(found)
                read.broken.append(Broken(sample, error, other))
                return
            read.broken.append(Broken(other, failed, None))
        raise Infeasible(
            f"sample {sample} raised {error}, and so did every sample of its group that was tried in its place",
            'mend the data set, or leave such samples out with on_error="skip"',
        )

    def _tried(self, sample: int, address: int, known: frozenset[int]) -> tuple[Any, str | None]:
        if sample in known:
            return None, "it raised before the run was resumed"
        self._seed(address)
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
        else:
            members = groups.samples(groups.names[group])
            place = int(np.searchsorted(members, sample))
        for step in range(1, min(len(members), _TRIED + 1)):
            yield int(members[(place + step) % len(members)])

    def _seed(self, address: int) -> None:
        if self.random:
            # Of torch's generators that of the CPU alone: seeding those of GPUs costs far more, and workers use none.
            torch.default_generator.manual_seed(address)
            np.random.seed(address & 0xFFFFFFFF)  # noqa: NPY002  # existing transforms draw from it
            random.seed(address)


@contextmanager
def _own_random_numbers(used: bool) -> Iterator[None]:
    """Give the generators back as they were where the data set is read in the process that trains."""
    if not used or torch.utils.data.get_worker_info() is not None:
        yield
        return
    numpys = np.random.get_state()  # noqa: NPY002  # see `Reader._seed`
    kept = torch.get_rng_state(), numpys, random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        random.setstate(kept[2])


@dataclass(frozen=True)
class Collated:
    """The user's collate function, on what `Reader` has read; a class, so that it can be sent to spawned workers."""

    collate: Callable[[list[Any]], Any]

    def __call__(self, read: _Read) -> Any:
        """The batch; in a `Given` if a sample of it was broken."""
        if not read.samples:
            raise Infeasible(
                f"every sample of a batch raised: {read.broken[0].error}" if read.broken else "a batch has no sample",
                'mend the data set, or pass on_error="replace"',
            )
        batch = self.collate(read.samples)
        return Given(batch, read.broken) if read.broken else batch
