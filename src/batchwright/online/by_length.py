"""`budgeted` and `packed` for streams: batches under a budget of tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

from ..errors import Infeasible, check_integer, check_number, one_of, seed_number
from .as_source import as_source
from .audited import StreamLimits
from .batch import StreamBatch
from .byte_limit import Weigher
from .feed import OnError
from .keyed_random import root
from .length_composer import CutBuffer, LengthComposer, best_fit_packs, cut_by_budget
from .made_of import arguments_of
from .measures import measure_of
from .one_source import OneSource
from .replicas import Replica
from .run import Composer
from .stream import Stream

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["budgeted", "packed"]


def budgeted(
    source: Any,
    *,
    length: Callable[[Any], float] | str | int,
    max_tokens: float | None = None,
    max_samples: float | None = None,
    buffer: int = 10_000,
    buffer_bytes: int | None = None,
    size: Callable[[Any], int] | str | int | None = None,
    steps: int | None = None,
    on_error: OnError = "raise",
    rank: int | None = None,
    world_size: int | None = None,
    mesh: DeviceMesh | None = None,
    dims: Sequence[str] | None = None,
    state_bytes: int = 64 << 20,
    name: str | None = None,
    seed: int = 0,
) -> Stream:
    """Batches of a stream with samples of similar length, at most `max_tokens` when padded.

    Use it for data of varying length without an index. Every sample comes exactly once.

    Args:
        source: an iterable dataset, a sequence, `Sharded`, another stream of samples.
        length: of a sample, 1 or more: a function, or the name of an entry.
        max_tokens: the most tokens of a batch, its samples times its longest length; None or `math.inf` is no limit.
        max_samples: the most samples of a batch; None or `math.inf` is no limit.
        buffer: samples that are sorted together. A larger buffer needs less padding and more memory.
        buffer_bytes: the most bytes of samples sorted together, in addition to `buffer`; the next one waits in memory.
        size: bytes of a sample, for `buffer_bytes`: a function, or the name of an entry.
        steps: batches per rank and epoch. The stream stops after them; a source that ends earlier is an error.
        on_error: "raise", or "skip" to leave out samples without a valid length, and count them.
        rank: the rank of this process; that of torch's process group if left out.
        world_size: the number of ranks; likewise.
        mesh: a device mesh, in place of `rank` and `world_size`: for models that are split over processes too.
        dims: names of its data-parallel dimensions, outermost first; may be left out if it has one dimension.
        state_bytes: the most bytes of a state.
        name: the name of the source in errors; its own name if left out.
        seed: of the order of batches within a buffer.

    Raises:
        Infeasible: neither limit is given, or one is out of range; while iterating: a sample is longer than
            `max_tokens`.

    Example:
        >>> words = ["a", "gooseberry", "of", "a", "strawberry", "to"]
        >>> sorted(budgeted(words, length=len, max_tokens=20))
        [['gooseberry', 'strawberry'], ['of', 'to', 'a', 'a']]
    """
    tokens = math.inf if max_tokens is None else _at_least_one("max_tokens", max_tokens)
    unlimited = max_samples is None or (isinstance(max_samples, float) and max_samples == math.inf)
    samples = None if unlimited else check_integer(max_samples, "max_samples", least=1)
    if tokens == math.inf and samples is None:
        raise Infeasible("neither max_tokens nor max_samples is a limit", "pass one of them, or both")
    return _stream(
        _BudgetRule(None if tokens == math.inf else tokens, samples), source, length, buffer=buffer,
        buffer_bytes=buffer_bytes, size=size, on_error=on_error, name=name, seed=seed, steps=steps, rank=rank,
        world_size=world_size, mesh=mesh, dims=dims, state_bytes=state_bytes,
    )  # fmt: skip


def packed(
    source: Any,
    *,
    length: Callable[[Any], float] | str | int,
    capacity: float,
    packs: int = 1,
    buffer: int = 10_000,
    buffer_bytes: int | None = None,
    size: Callable[[Any], int] | str | int | None = None,
    steps: int | None = None,
    on_error: OnError = "raise",
    rank: int | None = None,
    world_size: int | None = None,
    mesh: DeviceMesh | None = None,
    dims: Sequence[str] | None = None,
    state_bytes: int = 64 << 20,
    name: str | None = None,
    seed: int = 0,
) -> Stream:
    """Packs of the samples of a stream, of total length at most `capacity`, by best fit decreasing.

    Use it to concatenate samples of a stream without padding. Every sample comes exactly once. A batch is a flat list
    of samples; `batch.packs` has the number of samples in each of its packs. The last batch of a buffer may have fewer
    packs.

    Args:
        source: an iterable dataset, a sequence, `Sharded`, another stream of samples.
        length: of a sample, 1 or more: a function, or the name of an entry.
        capacity: the largest total length of a pack.
        packs: packs in a batch.
        buffer: samples that are packed together.
        buffer_bytes: the most bytes of samples packed together, in addition to `buffer`; the next one waits in memory.
        size: bytes of a sample, for `buffer_bytes`: a function, or the name of an entry.
        steps: batches per rank and epoch. The stream stops after them; a source that ends earlier is an error.
        on_error: "raise", or "skip" to leave out samples without a valid length, and count them.
        rank: the rank of this process; that of torch's process group if left out.
        world_size: the number of ranks; likewise.
        mesh: a device mesh, in place of `rank` and `world_size`: for models that are split over processes too.
        dims: names of its data-parallel dimensions, outermost first; may be left out if it has one dimension.
        state_bytes: the most bytes of a state.
        name: the name of the source in errors; its own name if left out.
        seed: of the order of batches within a buffer.

    Raises:
        Infeasible: an argument is out of range; while iterating: a sample is longer than `capacity`.

    Example:
        >>> [sum(batch) for batch in packed([6, 3, 4, 5, 7, 5], length=int, capacity=10)]
        [10, 10, 10]
    """
    rule = _PackRule(_at_least_one("capacity", capacity), check_integer(packs, "packs", least=1))
    return _stream(
        rule, source, length, buffer=buffer, buffer_bytes=buffer_bytes, size=size, on_error=on_error, name=name, seed=seed,
        steps=steps, rank=rank, world_size=world_size, mesh=mesh, dims=dims, state_bytes=state_bytes,
    )  # fmt: skip


def _stream(
    rule: _BudgetRule | _PackRule, source: Any, length: Callable[[Any], float] | str | int, *, buffer: int,
    buffer_bytes: int | None, size: Callable[[Any], int] | str | int | None, on_error: OnError, name: str | None,
    seed: int, **run: Any,
) -> Stream:  # fmt: skip
    recipe = _LengthRecipe(
        as_source(source, name="source" if name is None else name),
        name,
        one_of(on_error, "on_error", get_args(OnError)),
        seed_number(seed),
        length=measure_of(length, argument="length"),
        rule=rule,
        buffer=check_integer(buffer, "buffer", least=1),
        weigher=Weigher.from_arguments(buffer_bytes, size),
    )
    return Stream(recipe, name=name, batches=True, way_out_for_samples="pass its own source", **run)


def _at_least_one(argument: str, value: Any) -> float:
    number: float = check_number(value, argument, or_infinite=True)
    if number < 1:
        raise Infeasible(f"{argument} is {number}, the least is 1", f"pass {argument}=1 or more")
    return number


@dataclass(frozen=True)
class _BudgetRule:
    title = "max_tokens"
    max_tokens: float | None
    max_samples: int | None

    @property
    def limit(self) -> float:
        """The largest length of a sample."""
        return math.inf if self.max_tokens is None else self.max_tokens

    def __call__(self, lengths: list[float], kept_before: int, last: bool) -> CutBuffer:
        return cut_by_budget(lengths, max_tokens=self.max_tokens, max_samples=self.max_samples)

    def arguments(self) -> dict[str, Any]:
        return {"kind": "budgeted", "max_tokens": self.max_tokens, "max_samples": self.max_samples}

    def in_words(self) -> str:
        limits = {"tokens": self.max_tokens, "samples": self.max_samples}
        return "budgeted to " + " and ".join(f"{most:,} {what}" for what, most in limits.items() if most is not None)

    def cost(self, length: Callable[[Any], float], batch: StreamBatch) -> float:
        """The padded tokens."""
        return len(batch) * max(length(sample) for sample in batch)


@dataclass(frozen=True)
class _PackRule:
    title = "capacity"
    capacity: float
    packs: int

    @property
    def limit(self) -> float:
        """The largest length of a sample."""
        return self.capacity

    def __call__(self, lengths: list[float], kept_before: int, last: bool) -> CutBuffer:
        return best_fit_packs(lengths, capacity=self.capacity, packs=self.packs, kept_before=kept_before, last=last)

    def arguments(self) -> dict[str, Any]:
        return {"kind": "packed", "capacity": self.capacity, "packs": self.packs}

    def in_words(self) -> str:
        return f"packed to {self.capacity:,}, {self.packs:,} packs a batch"

    def cost(self, length: Callable[[Any], float], batch: StreamBatch) -> float:
        """The tokens of the fullest pack."""
        samples = iter(batch)
        return max(sum(length(sample) for sample in islice(samples, count)) for count in batch.packs)


@dataclass(frozen=True)
class _LengthRecipe(OneSource):
    length: Callable[[Any], float]
    rule: _BudgetRule | _PackRule
    buffer: int
    weigher: Weigher | None

    def composer(self, replica: Replica, epoch: int) -> Composer:
        return LengthComposer(
            self.feed(self.source, replica, epoch, self.length, "length"),
            self.rule,
            buffer=self.buffer,
            weigher=self.weigher,
            limit=self.rule.limit,
            title=self.rule.title,
            key=root(self.seed, epoch, replica.index),
        )

    def in_words(self) -> str:
        """The arguments in words."""
        return f"{self.rule.in_words()}, buffer of {self.buffer:,}"

    def wanted(self, epoch: int, seen: Mapping[Hashable, int]) -> dict[Hashable, float]:
        """Nothing: there are no shares."""
        return {}

    def limits(self, epoch: int) -> StreamLimits:
        """No batch above the limit."""
        return StreamLimits(cost=partial(self.rule.cost, self.length), most_cost=self.rule.limit)

    def arguments(self) -> dict[str, Any]:
        return {
            **self.rule.arguments(),
            "buffer": self.buffer,
            "buffer_bytes": None if self.weigher is None else self.weigher.limit,
            "seed": self.seed,
            "sources": {self.source.name: arguments_of(self.source)},
        }
