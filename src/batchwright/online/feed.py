"""Reads a source sample by sample: counts, measures, and says in errors which sample of which source it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Any, Literal

from ..errors import Infeasible, PoorWarning, said, shortened, shown, warn
from .measures import Refused, number
from .numbered import lasting
from .pieces import Left
from .replicas import Replica
from .sources import Source

__all__ = ["Feed"]

OnError = Literal["raise", "skip"]


_PLAIN_NUMBERS = frozenset({int, float})
_MOST_FAILURES = 16  # readings that may fail in a row: if more do, the source is gone


class Feed:
    """Reads the samples of one replica with a measure (a key, a length) of each, and counts them.

    It returns samples as they are, or as (ordinal, sample) if the source can fetch a sample again: a state then needs
    only the ordinals of the samples in memory. `unwrap` undoes that. A reading that failed and was skipped counts as a
    sample: it has an ordinal, and a place in the source.
    """

    def __init__(
        self,
        source: Source,
        replica: Replica,
        epoch: int,
        *,
        measure: Callable[[Any], Any],
        argument: str,
        on_error: OnError,
        name: str | None = None,
        holds: bool = True,
    ) -> None:
        self.name = source.name if name is None else shortened(name)
        self.measure = measure
        self.lookup: Callable[[Any], Any] | None = None  # applied to every measure
        self.as_is: frozenset[type] = frozenset()  # types of measures to which it is not applied, when read one by one
        self.careful: Callable[[Any], Any] | None = None  # replaces `lookup` once a measure could not be hashed: slower
        self.taken = 0  # samples of this repeat of the source
        self.earlier = 0  # samples of the repeats before
        self.skipped = 0
        self._first_refusal = ""  # since this reader began; a state does not have it
        self.ended = False
        self.pairs: Iterator[tuple[Any, Any]] = iter(())  # the measures and items of the samples to come
        self._iterator: Iterator[Any] = iter(())
        self._failure: Exception | None = None  # the last exception of the source, if no sample came since
        self._failures = 0  # how many came since the last sample
        self.source = source
        self._replica = replace(replica, skips=on_error == "skip")
        self.epoch = epoch
        self._again: list[Any] = []  # samples that another reader had read and not delivered: they come first
        self._given = 0  # how many there were of these in this repeat, those taken before a state was loaded included
        self._closed = False  # there is nothing beyond them
        self._argument = argument
        self._skips = on_error == "skip"
        self._holds = holds
        self._whole = replica.count == 1
        self.part = "" if replica.count == 1 else f" for reader {replica.index} of {replica.count}"
        with self._noting("opening"):
            self._open_repeat(0)

    def wants_numbers(self, measured: str) -> None:
        """Convert the measures to plain numbers, or refuse their samples."""
        self.lookup, self.as_is = partial(number, measured), _PLAIN_NUMBERS

    def _open_repeat(self, repeat: int) -> None:
        self.repeat = repeat
        self.reader = self.source.reader(self._replica, self.epoch + repeat)
        self.by_reference = self._holds and self.reader.can_fetch

    @property
    def read(self) -> int:
        """Samples read in all."""
        return self.earlier + self.taken

    @property
    def at_end(self) -> bool:
        """Whether the source has nothing more for this reader in this repeat; samples of another reader may be left."""
        return self.ended or self._closed

    @property
    def repeats(self) -> bool:
        """Whether the sample read last is of a later repeat of the source, and was not left over from an earlier one."""
        return self.repeat > 0 and self.taken > self._given

    def start(self) -> None:
        """Begin at the start of the source."""
        with self._noting("opening"):
            self._iterator = lasting(self.reader, None, skips=self._skips)
        self.pairs = self._one_by_one()

    def restart(self) -> None:
        """Begin the source's next epoch."""
        self.earlier, self.taken, self.ended = self.read, 0, False
        with self._noting("opening"):
            self._again, self._given, self._closed = [], 0, False
            self._open_repeat(self.repeat + 1)
        self.start()

    def state(self) -> dict[str, Any]:
        """The position in the source, and the counts."""
        reads = self.by_reference or not self.at_end  # else the source is not read again
        return {
            "position": self.reader.position(self._of_reader()) if reads else None,
            "turn": self.repeat,
            "taken": self.taken,
            "earlier": self.earlier,
            "skipped": self.skipped,
            "ended": self.ended,
            "again": self._not_taken_yet(),
            "given": self._given,
            "closed": self._closed,
        }

    def _of_reader(self) -> int:
        """How many of the samples taken in this repeat the reader gave."""
        return max(0, self.taken - self._given)

    def _not_taken_yet(self) -> list[Any]:
        """Those of the samples of another reader that were not taken yet."""
        return self._again[max(0, self.taken - (self._given - len(self._again))) :]

    def left(self, again: list[Any], remembered: list[Any]) -> tuple[Left, list[Any]]:
        """What is left for others: of the source, and samples by value.

        Args:
            again: items that were read and not delivered.
            remembered: items that others must be able to fetch.
        """
        if self.by_reference:  # what another reader had read and not delivered is among the pieces of this one
            ordinals, kept = ([ordinal for ordinal, _ in items] for items in (again, remembered))
            return self.reader.left(self.taken, ordinals, kept, ended=self.ended), []
        return (
            self.reader.left(self._of_reader(), [], [], ended=self.at_end),
            again + self._not_taken_yet(),
        )

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        with self._noting("opening"):
            self._open_repeat(state["turn"])
        self.taken, self.earlier, self.skipped, self.ended = (
            state[entry] for entry in ("taken", "earlier", "skipped", "ended")
        )
        self._again, self._given, self._closed = (state[entry] for entry in ("again", "given", "closed"))
        if self.by_reference or not self.at_end:  # to fetch, a reader must know where it stood
            with self._noting(f"going on from sample {self.taken:,} of"):
                self._iterator = lasting(self.reader, state["position"], skips=self._skips)
        if self._again:
            self._iterator = chain(self._again, self._iterator)
        self.pairs = self._one_by_one()

    def fetch(self, items: list[Any]) -> list[Any]:
        """The items of a state: samples, or ordinals whose samples are read again."""
        if not self.by_reference:
            return items
        with self._noting(f"reading {len(items):,} samples again, the first of them {min(items, default=0):,}, of"):
            return list(zip(items, self.reader.fetch(items), strict=True))

    @contextmanager
    def _noting(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (Infeasible, PoorWarning):
            raise
        except Exception as error:
            error.add_note(f"while {doing} source {self.name!r}{self.part}")
            raise

    def _one_by_one(self) -> Iterator[tuple[Any, Any]]:
        # Looked up once: this loop runs once for each sample.
        measure, lookup, as_is, wraps = self.measure, self.lookup, self.as_is, self.by_reference
        # `_fail` raises, or returns if the source may be tried once more: some can go on after an error.
        while not self.ended:
            try:
                for sample in self._iterator:
                    self._count(1)
                    try:
                        value = measure(sample)
                        if lookup is not None and type(value) not in as_is:
                            value = lookup(value)
                    except Exception as error:
                        self._reject_measure(self.taken - 1, error, sample)
                        continue
                    yield value, ((self.taken - 1, sample) if wraps else sample)
                self.ended = True
                self._warn_of_the_end()
            except (Infeasible, PoorWarning):
                raise
            except Exception as error:
                self._fail(error)

    def take(self, count: int) -> tuple[list[Any], list[Any]]:
        """The measures and items of the next `count` samples, or of fewer at the end.

        All are read first, then all are measured: `map` and `islice` are loops in C, faster than `_one_by_one`.
        """
        had_ended = self.ended
        samples, ordinals = self._samples(count)
        values, broken = self._measured(samples, ordinals)
        if self.ended and not had_ended:
            self._warn_of_the_end()
        items = list(zip(ordinals, samples, strict=True)) if self.by_reference else samples
        return values, [item for at, item in enumerate(items) if at not in broken] if broken else items

    def _samples(self, count: int) -> tuple[list[Any], Sequence[int]]:
        """The next `count` samples, or fewer at the end, and their ordinals."""
        samples: list[Any] = []
        ordinals: Sequence[int] = ()
        while len(samples) < count and not self.ended:
            failure: Exception | None = None
            try:
                samples.extend(islice(self._iterator, count - len(samples)))  # what came before an error stays
            except (Infeasible, PoorWarning):
                raise
            except Exception as error:
                failure = error
            came = range(self.taken, self.taken + len(samples) - len(ordinals))
            ordinals = (
                [*ordinals, *came] if ordinals else came
            )  # a list only after an error, which takes an ordinal too
            self._count(len(came))
            if failure is not None:
                self._fail(failure)
            else:
                self.ended = len(samples) < count
        return samples, ordinals

    def _measured(self, samples: list[Any], ordinals: Sequence[int]) -> tuple[list[Any], set[int]]:
        """The measures of the samples read last, without those that have none, and the places of these."""
        values: list[Any] = []
        broken: set[int] = set()
        rest = iter(samples)
        while len(values) + len(broken) < len(samples):
            failure: Exception | None = None
            try:
                measures = map(self.measure, rest)
                values.extend(measures if self.lookup is None else map(self.lookup, measures))
            except Exception as error:
                if isinstance(error, TypeError) and self.careful is not None:
                    self.lookup, self.careful = self.careful, None
                    rest = iter(samples[len(values) + len(broken) :])
                    continue
                failure = error
            at = len(values) + len(broken)
            if at < len(samples):
                broken.add(at)
                # If a measure raises `StopIteration`, `map` ends without an error.
                self._reject_measure(ordinals[at], failure or StopIteration(), samples[at])
        return values, broken

    def _count(self, samples: int) -> None:
        self.taken += samples
        if samples:
            self._failure, self._failures = None, 0

    def _warn_of_the_end(self) -> None:
        """Warn if the source had no sample or no sound one; a source that restarts has told it before."""
        if self.repeat:
            return
        if not self.read and self._whole:
            warn(f"source {self.name!r}{self.part} has 0 samples; see whether its path, filter or split is right")
        if self.read and self.skipped == self.read:
            why = f"; of the first, {self._first_refusal}" if self._first_refusal else ""
            warn(f"all {self.read:,} samples of source {self.name!r}{self.part} were skipped{why}")

    def _fail(self, error: Exception) -> None:
        """Handle an exception of the source: with `on_error="skip"`, go on with the next sample.

        Some sources can go on after an error. The same exception once more, or many in a row, show that this one cannot.
        """
        if error is not self._failure:
            error.add_note(f"while reading sample {self.taken:,} of source {self.name!r}{self.part}")
        if not self._skips or error is self._failure or self._failures == _MOST_FAILURES:
            raise error
        self._failure = error
        self._failures += 1
        self._first_refusal = self._first_refusal or f"reading it raised {said(error)}"
        self.taken += 1
        self.skipped += 1

    def _reject_measure(self, ordinal: int, error: Exception, sample: Any) -> None:
        if isinstance(error, Infeasible):
            raise error
        if isinstance(error, Refused):
            self.reject(str(error), ordinal, way_out=error.way_out)
        else:
            lacks = isinstance(error, KeyError) and isinstance(sample, Mapping)
            entries = f" (the sample has {shown(list(sample))})" if lacks else ""
            self.reject(f"{self._argument} raised {said(error)}{entries}", ordinal, error)

    def reject(
        self, why: str, ordinal: int | None = None, error: Exception | None = None, *, way_out: str | None = None
    ) -> None:
        """Skip a sample (that read last, if none is named) and count it, or refuse it by its ordinal and source.

        Raises:
            Infeasible: unless `on_error="skip"`.
        """
        if not self._skips:
            raise Infeasible(
                f"sample {self.taken - 1 if ordinal is None else ordinal:,} of source {self.name!r}{self.part}: {why}",
                f'{way_out or "mend the sample"}, or pass on_error="skip" to leave such samples out and count them',
            ) from error
        self._first_refusal = self._first_refusal or why
        self.skipped += 1

    def unwrap(self, items: list[Any]) -> list[Any]:
        """The samples of such items."""
        return [sample for _, sample in items] if self.by_reference else items
