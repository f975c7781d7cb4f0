"""Pieces of a source: which samples of a shard one reader has to read. Pieces that are left can be dealt to other readers.

A piece of a shard is a set of numbers of samples: arithmetic progressions, as every second sample from the third on, and
single samples. Progressions need no length, so a shard that is read from front to back can be shared too. To deal
what is left of a source, the pieces of each shard are put together and divided among the new readers.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import chain, count, groupby, islice, takewhile
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..errors import Infeasible
from ..readings import call_in_loop
from .numbered import SAME_SOURCE, Numbered, joined, shorter
from .worker_info import Call, stepped

__all__ = [
    "Address",
    "Left",
    "Piece",
    "PieceReader",
    "Seekable",
    "Shelf",
    "dealt_pieces",
    "skip",
]

Address = tuple[int, int]
"""A shard and the number of a sample in it."""
Left = dict[str, Any]
"""What is left for a reader, as plain data."""

_END = object()
_MOST_SINGLE = 1 << 20  # single samples that stand in a state before progressions are kept as they are


class Piece(NamedTuple):
    """Samples of one shard, read in the order of their numbers.

    Attributes:
        shard: its number.
        runs: (start, step) of progressions that go on to the end of the shard.
        single: numbers of single samples, ascending. Some may lie beyond the end of the shard: those of runs that were
            joined do.
        known: the highest number of a sample of the shard that was read before; a shard without it is not as it was.
        epoch: that of the source in which the samples are due: where a source restarts, a sample may be due in several.
    """

    shard: int
    runs: list[list[int]]
    single: list[int]
    known: int = -1
    epoch: int = 0

    def numbers(self) -> Iterator[int]:
        """The numbers of the samples, ascending; endless if there are runs."""
        return heapq.merge(self.single, *(count(start, step) for start, step in self.runs))

    def after(self, taken: int) -> Piece:
        """What is left after so many samples."""
        if not taken:
            return self
        if len(self.runs) == 1 and not self.single:
            [[start, step]] = self.runs
            begin = start + taken * step
            return self._replace(runs=[[begin, step]], known=max(self.known, begin - step))
        last = next(islice(self.numbers(), taken - 1, None), None)
        if last is None:
            return self._replace(runs=[], single=[])
        # The first number of each run above the last one that was taken.
        runs = [[start + max(0, (last - start) // step + 1) * step, step] for start, step in self.runs]
        single = [number for number in self.single if number > last]
        return self._replace(runs=runs, single=single, known=max(self.known, last))


@runtime_checkable
class Seekable(Protocol):
    """Samples of a shard that can be read from any place on, in steps, without reading those between."""

    def strided(self, start: int, step: int) -> Iterator[Any]:
        """Samples start, start + step, ..."""


class Shelf(Protocol):
    """A source whose shards are known by number."""

    name: str
    indexed: bool
    """Whether what `open` returns has `len` and can be indexed, although it is no `Sequence`."""

    def open(self, shard: int) -> Iterable[Any]:
        """The samples of a shard: a sequence, or something to iterate."""

    def title(self, shard: int) -> str:
        """What errors call a shard."""


def skip(iterator: Iterator[Any], read: int, *, title: str) -> Iterator[Any]:
    """The same iterator, `read` samples further.

    Raises:
        Infeasible: it ends before.
    """
    if read and next(islice(iterator, read - 1, None), _END) is _END:
        raise shorter(title, read)
    return iterator


class PieceReader:
    """Reads pieces one after the other. Samples can be fetched again by their ordinals, if `can_fetch`.

    An ordinal below 0 is that of a sample that was remembered when pieces were dealt: -1 is the first of them. A reading
    that failed has an ordinal, as it has a number in its shard.
    """

    lasts = True

    def __init__(
        self, shelf: Shelf, pieces: Sequence[Piece], call: Call, *, skips: bool, can_fetch: bool = True
    ) -> None:
        self.can_fetch = can_fetch
        self._skips = skips
        self._shelf = shelf
        self._pieces = list(pieces)
        self._call = call
        self._dealt: Left = {}  # the pieces, if they are not those that the source gives to this reader
        self._remembered: list[Address] = []
        self._starts: list[int] = []  # for each piece opened so far, the ordinal of its first sample

    def open(self, position: Any) -> Iterator[Any]:
        """The samples from `position` on."""
        if position is not None and "pieces" in position:
            self._dealt = {name: position[name] for name in ("pieces", "remembered")}
            self._pieces = [Piece(*piece) for piece in position["pieces"]]
            self._remembered = [(shard, number) for shard, number in position["remembered"]]
        self._starts = [] if position is None else list(position["starts"])
        shards = 0 if position is None else max(len(self._starts), position.get("shards", 0))
        if shards > len(self._pieces):
            raise Infeasible(
                f"the state is of {shards:,} shards of this reader's and source {self._shelf.name!r} has "
                f"{len(self._pieces):,} for it",
                SAME_SOURCE,
            )
        taken = 0 if position is None else position["taken"]
        if not self._starts and self._pieces:
            self._starts.append(0)
        if not self._pieces:
            return iter(())
        return chain.from_iterable(joined(self._part, self._starts, len(self._pieces), taken))

    def _part(self, at: int, taken: int) -> Iterator[Any]:
        piece = self._pieces[at]
        samples = self._call(self._shelf.open, piece.shard)
        if len(piece.runs) != 1 or piece.single:
            return self._picked(piece.shard, samples, islice(piece.numbers(), taken, None), known=piece.known)
        [[start, step]] = piece.runs
        first = start + taken * step
        # Samples of the shard that are there for certain: up to the last one taken, and up to the last one known.
        read = max(first - step + 1 if taken else 0, piece.known + 1)
        if self._is_indexed(samples):
            if read > len(samples):
                raise shorter(self._shelf.title(piece.shard), read)
            if isinstance(samples, Seekable):
                rows = samples.strided(first, step)
                return Numbered(rows, count(), skips=True) if self._skips else rows
            item = samples.__getitem__
            # Of these, reading raises no StopIteration, and needs no guard against it, which costs time.
            safe = type(samples) in (list, tuple, range)
            return map(item if safe else partial(call_in_loop, item), range(first, len(samples), step))
        title = self._shelf.title(piece.shard)
        iterator = stepped(self._call(iter, samples), self._call)
        if self._skips:
            return Numbered(iterator, count(first, step), skips=True, least=read, title=title)
        read = min(read, first)
        iterator = skip(iterator, read, title=title)
        return iterator if step == 1 and first == read else islice(iterator, first - read, None, step)

    def _is_indexed(self, samples: Any) -> bool:
        return self._shelf.indexed or isinstance(samples, Sequence)

    def _picked(self, shard: int, samples: Any, wanted: Iterable[int], *, known: int) -> Iterator[Any]:
        """Samples by ascending numbers, up to the end of the shard; those up to number `known` must be there."""
        title = self._shelf.title(shard)
        if not self._is_indexed(samples):
            iterator = stepped(self._call(iter, samples), self._call)
            return Numbered(iterator, wanted, skips=self._skips, least=known + 1, title=title)
        if known >= len(samples):
            raise shorter(title, known + 1)
        return map(partial(call_in_loop, samples.__getitem__), takewhile(len(samples).__gt__, wanted))

    def position(self, taken: int) -> Any:
        """The position after `taken` samples."""
        whose = self._dealt or {"shards": len(self._pieces)}
        return {"starts": list(self._starts), "taken": taken, **whose}

    def fetch(self, ordinals: Sequence[int]) -> list[Any]:
        """Read the samples with these ordinals again."""
        addresses = self.addresses(ordinals)
        found: dict[Address, Any] = {}
        # In ascending order, so that each shard is opened once.
        for shard, wanted in groupby(sorted(set(addresses)), key=itemgetter(0)):
            numbers = [number for _, number in wanted]
            samples = self._call(self._shelf.open, shard)
            for number, sample in zip(numbers, self._picked(shard, samples, numbers, known=numbers[-1]), strict=True):
                found[shard, number] = sample
        return [found[address] for address in addresses]

    def _place_of(self, ordinal: int) -> int:
        """Which of the pieces a sample was in."""
        return bisect_right(self._starts, ordinal) - 1

    def addresses(self, ordinals: Sequence[int]) -> list[Address]:
        """Where the samples with these ordinals are."""
        by_piece: dict[int, list[int]] = {}
        for ordinal in ordinals:
            if ordinal >= 0:
                by_piece.setdefault(self._place_of(ordinal), []).append(ordinal)
        found: dict[int, Address] = {-1 - at: address for at, address in enumerate(self._remembered)}
        for at, within in by_piece.items():
            piece, first = self._pieces[at], self._starts[at]
            if len(piece.runs) == 1 and not piece.single:
                [[start, step]] = piece.runs
                found.update((ordinal, (piece.shard, start + (ordinal - first) * step)) for ordinal in within)
                continue
            wanted = set(within)
            for ordinal, number in enumerate(islice(piece.numbers(), max(within) - first + 1), first):
                if ordinal in wanted:
                    found[ordinal] = (piece.shard, number)
        return [found[ordinal] for ordinal in ordinals]

    def left(self, taken: int, again: Sequence[int], remembered: Sequence[int], *, ended: bool) -> Left:
        """What is left after `taken` samples, with those of the ordinals `again` to be read once more."""
        at = len(self._starts) - 1
        unread = [] if ended else self._pieces[at + 1 :]
        if self._starts and not ended:
            unread.insert(0, self._pieces[at].after(taken - self._starts[at]))
        singles: dict[Address, list[int]] = {}  # by epoch and shard
        for ordinal, (shard, number) in zip(again, self.addresses(again), strict=True):
            singles.setdefault((self._pieces[self._place_of(ordinal)].epoch, shard), []).append(number)
        pieces = [Piece(shard, [], sorted(numbers), max(numbers), epoch) for (epoch, shard), numbers in singles.items()]
        return {"pieces": pieces + unread, "remembered": self.addresses(remembered)}


def dealt_pieces(left: Sequence[Left], readers: int) -> list[Any]:
    """Deal what was left to readers to others: a position for each.

    Every sample that was left is left to exactly one of them. Those that were remembered are known to all.
    """
    of_epochs: dict[int, dict[int, list[Piece]]] = {}
    for one in left:
        for piece in (Piece(*piece) for piece in one["pieces"]):
            of_epochs.setdefault(piece.epoch, {}).setdefault(piece.shard, []).append(piece)
    shares: list[list[Piece]] = [[] for _ in range(readers)]
    for _, of_shards in sorted(of_epochs.items()):
        pieces = [_coalesced(_joined(parts)) for parts in of_shards.values()]
        pieces = [piece for piece in pieces if piece.runs or piece.single]
        for at, piece in enumerate(pieces):
            # As shards are dealt: in turn, and where there are fewer pieces than readers, some share one.
            sharing = range(at % readers, readers, len(pieces)) if len(pieces) < readers else [at % readers]
            for reader, part in zip(sharing, _divided(piece, len(sharing)), strict=True):
                shares[reader].append(part)
    remembered = [list(address) for one in left for address in one["remembered"]]
    return [
        {"starts": [], "taken": 0, "pieces": [list(piece) for piece in share], "remembered": remembered}
        for share in shares
    ]


def _joined(parts: Sequence[Piece]) -> Piece:
    """The samples of several pieces of a shard that have none in common."""
    return parts[0]._replace(
        runs=[run for part in parts for run in part.runs],
        single=sorted(number for part in parts for number in part.single),
        known=max(part.known for part in parts),
    )


def _coalesced(piece: Piece) -> Piece:
    """The same samples with one run, if the runs together have every sample from some number on.

    Without this, each dealing would divide the runs further.
    """
    if len(piece.runs) < 2 or sum(Fraction(1, step) for _, step in piece.runs) != 1:
        return piece
    most = max(start for start, _ in piece.runs)
    if sum((most - start) // step + 1 for start, step in piece.runs) > _MOST_SINGLE:
        return piece
    single = [number for start, step in piece.runs for number in takewhile(lambda it: it < most, count(start, step))]
    return piece._replace(runs=[[most, 1]], single=sorted(piece.single + single))


def _divided(piece: Piece, parts: int) -> list[Piece]:
    """Pieces that together have the samples of one."""
    runs: list[list[list[int]]] = [[] for _ in range(parts)]
    if len(piece.runs) >= parts:
        for at, run in enumerate(piece.runs):
            runs[at % parts].append(run)
    else:
        for at, (start, step) in enumerate(piece.runs):
            sharing = range(at, parts, len(piece.runs))
            for place, part in enumerate(sharing):
                runs[part].append([start + place * step, step * len(sharing)])
    return [piece._replace(runs=runs[part], single=piece.single[part::parts]) for part in range(parts)]
