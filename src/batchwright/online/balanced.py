"""`balanced` for streams: checks its arguments, and keeps them as a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ..errors import Infeasible, check_integer, one_of, seed_number, shown
from ..targets import resolve
from .as_source import as_source
from .audited import StreamLimits
from .balanced_composer import BalancedComposer
from .byte_limit import Weigher
from .feed import OnError
from .keyed_random import root
from .made_of import argument, arguments_of
from .measures import measure_of
from .one_source import OneSource
from .replicas import Replica
from .rules import Rules, WhenShort
from .run import Composer
from .shard_composer import ShardComposer
from .shards import Sharded
from .shares import StreamShares
from .sources import Source
from .stream import Stream

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["balanced"]

_NO_LIMIT = 1 << 62  # more samples than any run reads; sums with it fit 64 bits


def balanced(
    source: Any,
    *,
    key: Callable[[Any], Hashable] | str | int,
    batch_size: int,
    target: Any = "uniform",
    buffer: int = 10_000,
    buffer_bytes: int | None = None,
    size: Callable[[Any], int] | str | int | None = None,
    when_short: WhenShort = "wait",
    patience: float | None = None,
    max_deficit: float | None = None,
    natural: Mapping[Hashable, float] | None = None,
    unit: Callable[[Any], float] | str | int | None = None,
    batches: bool = True,
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
    """Batches of a stream in which every group has its share.

    Use it where the data has no index. While the buffer has samples of every group, group g fills floor or ceil of
    `batch_size * share_g` slots of every batch. Shares are computed from `target` and the groups seen so far, or named
    by `target` or `natural`.

    Args:
        source: an iterable dataset, a sequence, `Sharded`, another stream of samples.
        key: the group of a sample: a function, or the name of an entry.
        batch_size: samples in a batch.
        target: as for a balanced plan: a name, a number from 0 (natural) to 1 (uniform), a mapping from group to share, a
            function of the counts. Shares in the order of the groups, as of a list, are refused unless the groups are known,
            by `natural` or `Sharded(groups=)`; so is a target that needs the number of samples of each group.
        buffer: the most samples kept in memory, a batch at least (two with "repeat"). It is divided among the groups by
            share; if the part of a group is full, its oldest sample is dropped (`report().dropped`).
        buffer_bytes: the most bytes kept in memory, in addition to `buffer`; the largest groups lose samples first.
            With "repeat", half of the bytes are for samples that can be repeated. The number of them in a group is what
            would fit if all were as large as its largest.
        size: bytes of a sample, for `buffer_bytes`: a function, or the name of an entry.
        when_short: what happens to a slot of a group that has no sample in the buffer. "wait": read on, up to
            `patience` samples; if none came, others take the slot, and the group is not waited for until it is seen
            again. "repeat": draw from a uniform sample of all that was seen of the group.
            "redistribute": other groups take the slot. It is a deficit of the group, paid back when its samples come.
        patience: samples to read on for a group without a sample; `buffer` if waiting, else 0: a batch is read for each
            batch given, and an eighth more while the buffer is less than half full. `math.inf` is no limit.
        max_deficit: slots a group may lack; more are written off (`report().written_off`). `batch_size` if left out;
            `math.inf` is no limit.
        natural: the natural shares of the groups, if known; otherwise they are estimated from the samples seen.
        unit: the unit of shares: a function of a sample (its tokens, its seconds), or the name of an entry; samples if left
            out. Slots are then in proportion to a group's share divided by its mean unit in the samples read so far.
        batches: return `StreamBatch` lists; if False, single samples.
        steps: batches per rank and epoch. The stream stops after them; a source that ends earlier is an error.
        on_error: "raise", or "skip" to leave out samples whose key cannot be computed, and count them.
        rank: the rank of this process; that of torch's process group if left out.
        world_size: the number of ranks; likewise.
        mesh: a device mesh, in place of `rank` and `world_size`: for models that are split over processes too.
        dims: names of its data-parallel dimensions, outermost first; may be left out if it has one dimension.
        state_bytes: the most bytes of a state.
        name: the name of the source in errors; its own name if left out.
        seed: of the order of groups within a batch and of repeats.

    Raises:
        Infeasible: an argument is out of range; while iterating: a sample is broken, or there are more groups than
            places.

    Example:
        >>> digits = [n % 100 for n in range(10_000)]  # 0 is as rare as any; groups: is it below 10?
        >>> stream = balanced(digits, key=lambda n: n < 10, batch_size=8, target={True: 0.5, False: 0.5})
        >>> [sum(n < 10 for n in batch) for batch in stream][:4]
        [4, 4, 4, 4]
    """
    rules = _rules(batch_size, buffer, when_short, patience, max_deficit, buffer_bytes, size, unit)
    measured = measure_of(key, argument="key")
    recipe = _BalancedRecipe(
        source=_by_group(as_source(source, name="source" if name is None else name), key, unit),
        key=measured,
        name=name,
        rules=rules,
        target=target,
        natural=natural,
        on_error=one_of(on_error, "on_error", get_args(OnError)),
        seed=seed_number(seed),
    )
    recipe.shares(epoch=0)  # refuses here what it cannot make shares of
    return Stream(
        recipe,
        name=name,
        batches=batches,
        way_out_for_samples="pass batches=False to it",
        steps=steps,
        rank=rank,
        world_size=world_size,
        mesh=mesh,
        dims=dims,
        state_bytes=state_bytes,
    )


def _rules(
    batch_size: int, buffer: int, when_short: WhenShort, patience: float | None, max_deficit: float | None,
    buffer_bytes: int | None, size: Any, unit: Any,
) -> Rules:  # fmt: skip
    """Check how batches are composed."""
    batch_size = check_integer(batch_size, "batch_size", least=1)
    buffer = check_integer(buffer, "buffer")
    when_short = one_of(when_short, "when_short", get_args(WhenShort))
    needed = (
        max(4, 2 * batch_size) if when_short == "repeat" else max(2, batch_size)
    )  # the least that has room for a group
    if buffer < needed:
        raise Infeasible(
            f"buffer is {buffer:,} and batch_size is {batch_size:,}: when_short={when_short!r} needs {needed:,} places",
            f"pass buffer={needed} or more",
        )
    return Rules(
        batch_size=batch_size,
        buffer=buffer,
        when_short=when_short,
        patience=_limit("patience", patience, otherwise=buffer if when_short == "wait" else 0),
        max_deficit=_limit("max_deficit", max_deficit, otherwise=batch_size),
        weigher=Weigher.from_arguments(buffer_bytes, size, least=2 if when_short == "repeat" else 1),
        unit=None if unit is None else measure_of(unit, argument="unit"),
    )


def _limit(argument: str, value: float | None, *, otherwise: int) -> int:
    if value is None:
        return otherwise
    return _NO_LIMIT if isinstance(value, float) and value == math.inf else check_integer(value, argument, least=0)


def _by_group(source: Source, key: Any, unit: Any) -> Source:
    """The same source; its shards are read side by side if each of them has one group."""
    if not isinstance(source, Sharded):
        return source
    if source.groups is None:
        source = source.grouped(key)
    if source.groups is not None and not source.noticed and unit is not None:
        raise Infeasible(
            f"source {source.name!r} says the groups of its shards, and unit is given: where shards are of one group each, "
            "shares are of samples",
            "leave unit out, or make the source without groups",
        )
    return source


@dataclass(frozen=True)
class _BalancedRecipe(OneSource):
    key: Callable[[Any], Hashable]
    rules: Rules
    target: Any
    natural: Mapping[Hashable, float] | None

    def shares(self, epoch: int) -> StreamShares:
        source = self.source
        groups = list(source.by_group()) if isinstance(source, Sharded) and not source.noticed else []
        return StreamShares(self.target, self.natural, epoch, groups)

    def composer(self, replica: Replica, epoch: int) -> Composer:
        shares = self.shares(epoch)
        if isinstance(self.source, Sharded) and self.source.groups is not None:
            shards = self.source.by_group()
            refusal = self._no_shares_of(shards, shares)
            if refusal is None and self.rules.unit is None:
                return self._side_by_side(shards, shares, replace(replica, all_read=True), epoch)
            if refusal is not None and not self.source.noticed:
                raise Infeasible(*refusal)
        return BalancedComposer(
            self.feed(self.source, replica, epoch, self.key, "key"),
            self.rules,
            shares,
            key=root(self.seed, epoch, replica.index),
        )

    def _no_shares_of(self, shards: Mapping[Hashable, Sharded], shares: StreamShares) -> tuple[str, str] | None:
        """Why shards of one group each cannot be read side by side, and what to do; None if they can."""
        labels = list(dict.fromkeys([*shards, *shares.labels]))
        for label in labels:
            if (why := shares.refusal(label)) is not None:
                return why, "pass a share for the group of every shard; 0 leaves a group out"
        if shares.depend_on_sizes(labels):
            return (
                f"target is {resolve(self.target)} and the sizes of the groups of shards are not known",
                "pass natural={group: share}, or a share for each group by name",
            )
        found = shares.of(labels, np.ones(len(labels), np.int64)).tolist()
        for label, share in zip(labels, found, strict=True):
            if share > 0 and label not in shards:
                return (
                    f"group {shown(label)} was given {share:.2%} of every batch and no shard is of it",
                    "give shares to the groups of the shards",
                )
        return None

    def _side_by_side(
        self, shards: Mapping[Hashable, Sharded], shares: StreamShares, replica: Replica, epoch: int
    ) -> Composer:
        """For shards of one group each."""
        labels = list(dict.fromkeys([*shards, *shares.labels]))
        found = shares.of(labels, np.ones(len(labels), np.int64))
        feeds = {
            label: self.feed(shards[label], replica, epoch, self.key, "key", holds=False)
            for label in labels
            if label in shards
        }
        given = np.array([share for label, share in zip(labels, found, strict=True) if label in shards])
        noticed = isinstance(self.source, Sharded) and self.source.noticed
        return ShardComposer(
            feeds, self.rules, given, key=root(self.seed, epoch, replica.index), may_meet_other_groups=noticed
        )

    def in_words(self) -> str:
        """The arguments in words."""
        rules = self.rules
        return (
            f"balanced in batches of {rules.batch_size:,}, target {resolve(self.target)}, when_short={rules.when_short!r}, "
            f"buffer of {rules.buffer:,}"
        )

    def wanted(self, epoch: int, seen: Mapping[Hashable, int]) -> dict[Hashable, float]:
        """What the target gives each group, if so many samples of each were read."""
        shares = self.shares(epoch)
        labels = list(dict.fromkeys([*seen, *shares.labels]))
        if not labels:
            return {}
        found = shares.of(labels, np.array([seen.get(label, 0) for label in labels], np.int64))
        return dict(zip(labels, found.tolist(), strict=True))

    def limits(self, epoch: int) -> StreamLimits:
        """Full batches, quotas and bounded deficits."""
        return StreamLimits(batch_size=self.rules.batch_size, max_deficit=self.rules.max_deficit)

    def arguments(self) -> dict[str, Any]:
        rules = self.rules
        return {
            "kind": "balanced",
            "batch_size": rules.batch_size,
            "target": argument(resolve(self.target)),
            "buffer": rules.buffer,
            "buffer_bytes": None if rules.weigher is None else rules.weigher.limit,
            "when_short": rules.when_short,
            "patience": rules.patience,
            "max_deficit": rules.max_deficit,
            "natural": argument(self.natural),
            "unit": "samples" if rules.unit is None else "units",
            "seed": self.seed,
            "sources": {self.source.name: arguments_of(self.source)},
        }
