"""`mixed` for streams: several streams as one, in exact shares."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import Infeasible, check_integer, check_mapping, one_of, shown
from ..targets import resolve
from .as_source import as_source
from .audited import StreamLimits
from .batch import StreamBatch, StreamReport
from .feed import Feed, OnError
from .interleave import ByCount, ByUnit, Interleaving
from .made_of import argument, arguments_of, contents_of
from .measures import MOST, measure_of, out_of_range
from .replicas import Replica
from .run import Composer
from .shares import by_epoch, depends_on_sizes
from .sources import Source
from .stream import Stream

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["mixed"]

AtEnd = Literal["stop", "continue", "restart", "all_seen"]
_CHUNK = 64  # samples composed at once if the stream returns single samples


def mixed(
    sources: Mapping[Hashable, Any],
    *,
    target: Any = "uniform",
    unit: Callable[[Any], float] | str | int | None = None,
    batch_size: int | None = None,
    at_end: AtEnd = "stop",
    steps: int | None = None,
    on_error: OnError = "raise",
    rank: int | None = None,
    world_size: int | None = None,
    mesh: DeviceMesh | None = None,
    dims: Sequence[str] | None = None,
    state_bytes: int = 64 << 20,
    name: str = "mixture",
) -> Stream:
    """Interleave several streams in exact shares.

    After any number of samples, each source is within one sample of its share.

    Args:
        sources: the sources by name, each anything that `balanced` takes.
        target: the share of each source, by name; "uniform"; or a schedule of targets. One that depends on the sizes of
            the sources, such as "natural" and "sqrt", is refused: they are not known.
        unit: the unit of shares: a function of a sample (its tokens, its bytes), or the name of an entry; samples if
            left out.
        batch_size: samples in a batch (the last may be smaller); if left out, the stream returns single samples, as a
            source of another stream.
        at_end: when a source ends: "stop", "continue" with the others in proportion, "restart" it (its next epoch), or
            "all_seen": restart it until every source was read to its end once, and then stop.
        steps: batches per rank and epoch. The stream stops after them; a source that ends earlier is an error.
        on_error: "raise", or "skip" to leave out samples without a valid unit, and count them.
        rank: the rank of this process; that of torch's process group if left out.
        world_size: the number of ranks; likewise.
        mesh: a device mesh, in place of `rank` and `world_size`: for models that are split over processes too.
        dims: names of its data-parallel dimensions, outermost first; may be left out if it has one dimension.
        state_bytes: the most bytes of a state.
        name: the name of the mixture in errors.

    Raises:
        Infeasible: there are no sources, the target does not fit them, or, while iterating, a source that is to restart
            has no samples, or none that is not skipped.

    Example:
        >>> both = mixed({"web": range(100), "books": range(-100, 0)}, target={"web": 0.75, "books": 0.25}, batch_size=8)
        >>> [sum(n < 0 for n in batch) for batch in both][:3]
        [2, 2, 2]
    """
    check_mapping(sources, "sources")
    at_end = one_of(at_end, "at_end", get_args(AtEnd))
    recipe = _MixtureRecipe(
        sources_by_name={key: as_source(value, name=str(key)) for key, value in sources.items()},
        target=target,
        unit=None if unit is None else measure_of(unit, argument="unit"),
        batch_size=_CHUNK if batch_size is None else check_integer(batch_size, "batch_size", least=1),
        at_end=at_end,
        on_error=one_of(on_error, "on_error", get_args(OnError)),
    )
    for epoch in {0, by_epoch(target).settles_at or 0}:
        recipe.weights(epoch)
    return Stream(
        recipe,
        name=name,
        batches=batch_size is not None,
        way_out_for_samples="leave out its batch_size",
        steps=steps,
        rank=rank,
        world_size=world_size,
        mesh=mesh,
        dims=dims,
        state_bytes=state_bytes,
    )


def _one(sample: Any) -> int:
    return 1


@dataclass(frozen=True)
class _MixtureRecipe:
    sources_by_name: Mapping[Hashable, Source]
    target: Any
    unit: Callable[[Any], float] | None
    batch_size: int
    at_end: AtEnd
    on_error: OnError

    def weights(self, epoch: int) -> list[int]:
        target, names = by_epoch(self.target), list(self.sources_by_name)
        if depends_on_sizes(target, names, epoch):
            raise Infeasible(
                f"target is {shown(self.target)}, whose shares depend on the sizes of the sources, and the sizes of streams "
                "are not known",
                "pass a share for each source by name",
            )
        return target.exact([1] * len(names), epoch, names=names)

    def composer(self, replica: Replica, epoch: int) -> Composer:
        if len(self.sources_by_name) > 1:
            # A worker that is idle for one source would make batches with other shares.
            replica = replace(replica, all_read=True)
        feeds = {
            name: Feed(
                source,
                replica,
                epoch,
                measure=self.unit or _one,
                argument="unit",
                on_error=self.on_error,
                name=str(name),
                holds=False,
            )
            for name, source in self.sources_by_name.items()
        }
        if self.unit is not None:
            for feed in feeds.values():
                feed.wants_numbers("unit")
        weights = self.weights(epoch)
        turns = (ByUnit if self.unit else ByCount)(weights)
        live = sum(weight > 0 for weight in weights)
        return _MixtureComposer(
            feeds, turns, live=live, batch_size=self.batch_size, at_end=self.at_end, in_units=self.unit is not None
        )

    def in_words(self) -> str:
        """The arguments in words."""
        return f"mixed of {len(self.sources_by_name)} sources, target {resolve(self.target)}, at_end={self.at_end!r}"

    def sources(self) -> Sequence[Source]:
        """The sources that are read."""
        return list(self.sources_by_name.values())

    def wanted(self, epoch: int, seen: Mapping[Hashable, int]) -> dict[Hashable, float]:
        """The share of each source."""
        weights = self.weights(epoch)
        return {name: weight / sum(weights) for name, weight in zip(self.sources_by_name, weights, strict=True)}

    def limits(self, epoch: int) -> StreamLimits:
        """Exact shares of samples, as long as all sources last."""
        exact = self.unit is None and self.at_end != "continue"
        return StreamLimits(shares=self.wanted(epoch, {}) if exact else None)

    def arguments(self) -> dict[str, Any]:
        return {
            "kind": "mixed",
            "target": argument(resolve(self.target)),
            "batch_size": self.batch_size,
            "at_end": self.at_end,
            "unit": "samples" if self.unit is None else "units",
            "sources": self._told_by_each(arguments_of),
        }

    def contents(self) -> dict[str, Any]:
        return {"sources": self._told_by_each(contents_of)}

    def _told_by_each(self, ask: Callable[[Source], Any]) -> dict[str, Any]:
        """What each source answers, by its name; by its place too, if two names are the same as text, such as 1 and "1"."""
        names = list(map(str, self.sources_by_name))
        if len(set(names)) < len(names):
            names = [f"{name!r} at {place}" for place, name in enumerate(self.sources_by_name)]
        return {name: ask(source) for name, source in zip(names, self.sources_by_name.values(), strict=True)}


class _MixtureComposer:
    keeps_repeats = True

    def __init__(
        self,
        feeds: Mapping[Hashable, Feed],
        turns: Interleaving,
        *,
        live: int,
        batch_size: int,
        at_end: AtEnd,
        in_units: bool,
    ) -> None:
        self.feeds = list(feeds.values())
        self._names = list(feeds)
        self._turns = turns
        self._batch_size = batch_size
        self._at_end = at_end
        self._live = live  # sources that have a share and have not ended
        self._unseen = set(turns.sources())  # those with a share that were not read to their end yet
        self._had = [0] * len(self.feeds)
        self._units = [0.0] * len(self.feeds) if in_units else []

    def start(self) -> None:
        for feed in self.feeds:
            feed.start()

    def compose(self) -> StreamBatch | None:
        batch, names = StreamBatch(), []
        while len(batch) < self._batch_size and self._live:
            stream = self._turns.next()
            pair = self._next(stream)
            if pair is not None:
                self._turns.served(stream, pair[0])
                self._had[stream] += 1
                if self._units:
                    self._units[stream] += pair[0]
                batch.append(pair[1])
                names.append(self._names[stream])
            elif self._at_end == "continue":
                self._live -= 1
                self._turns.drop(stream)
            else:
                self._live = 0
        batch.groups = names
        return batch or None

    def _next(self, stream: int) -> tuple[float, Any] | None:
        """The next sound sample of a source; None if it has ended for good, or if all were read."""
        feed, restarted = self.feeds[stream], False
        while True:
            for units, sample in feed.pairs:
                if 0 < units <= MOST:
                    return units, sample
                feed.reject(out_of_range("unit", units, "and must be above 0"))
            self._unseen.discard(stream)
            if self._at_end not in ("restart", "all_seen") or (self._at_end == "all_seen" and not self._unseen):
                return None
            if restarted:
                skipped = ", all skipped," if feed.taken else ""
                raise Infeasible(
                    f"source {feed.name!r} gave this reader {feed.taken:,} samples{skipped} and is to restart",
                    'pass at_end="continue", mend the samples, pass a smaller batch_size to a stream that is a source, or '
                    "pass fewer workers and ranks than the source has parts",
                )
            feed.restart()
            restarted = True

    def held(self) -> list[list[Any]]:
        return [[] for _ in self.feeds]

    def pending(self) -> list[list[Any]]:
        return self.held()

    def pooled(self) -> list[list[Any]]:
        return self.held()

    def take_over(self, others: Sequence[_MixtureComposer], index: int, readers: int, pools: list[Any]) -> None:
        self._turns.take_over([other._turns for other in others], index, readers)
        self._live = len(self._turns.sources())
        self._unseen = set().union(*(other._unseen for other in others))
        if index == 0:
            self._had = [sum(had) for had in zip(*(other._had for other in others), strict=True)]
            self._units = [sum(units) for units in zip(*(other._units for other in others), strict=True)]

    def memory(self) -> dict[str, Any]:
        return {
            "turns": self._turns.state_dict(),
            "live": self._live,
            "unseen": sorted(self._unseen),
            "had": list(self._had),
            "units": list(self._units),
        }

    def resume(self, memory: dict[str, Any], held: list[list[Any]]) -> None:
        self._turns.load_state_dict(memory["turns"])
        self._live, self._unseen = memory["live"], set(memory["unseen"])
        self._had, self._units = list(memory["had"]), list(memory["units"])

    def report(self) -> StreamReport:
        return StreamReport(
            read=sum(feed.read for feed in self.feeds),
            delivered=sum(self._had),
            skipped=sum(feed.skipped for feed in self.feeds),
            seen={name: feed.read for name, feed in zip(self._names, self.feeds, strict=True)},
            had=dict(zip(self._names, self._had, strict=True)),
            units=dict(zip(self._names, self._units, strict=False)),
        )

    def shares(self) -> dict[Hashable, float]:
        """None: a mixture has no quotas in a batch."""
        return {}

    def judge(self) -> None:
        """Nothing to say: shares are exact as long as sources last, and what then happens was chosen."""
