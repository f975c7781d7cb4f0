"""Goes on with other readers: what is left to the readers of a stream is dealt to any other number of them.

Every old reader is taken back to where it stopped. What it has read and not delivered is to be read again, together
with what it has not read; of both, each new reader gets a part, and fills its buffer with the first samples of it. The
counts of groups and mixtures go on: the numbers of old reader i go to new reader i modulo their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .feed import Feed
from .pieces import Left
from .replicas import Replica
from .run import Recipe, Run
from .sources import deal
from .states import kept

__all__ = ["redealt", "runs_of"]


def runs_of(recipe: Recipe, states: Sequence[Mapping[str, Any]], state_bytes: int) -> list[Run]:
    """The passes of all readers, from their states in order, at the places where these were taken."""
    found = []
    for state in states:
        index, count, _ = state["replica"]
        replica = Replica(worker=index, workers=count, past=True)
        found.append(Run(recipe, replica, state["epoch"], state["run"], state_bytes))
    return found


def redealt(
    runs: Sequence[Run], recipe: Recipe, readers: int, epoch: int, state_bytes: int, steps: Sequence[int]
) -> list[dict[str, Any]]:
    """Deal what is left to these passes: the state of a pass for each of so many other readers.

    Args:
        runs: the passes of all old readers.
        recipe: how to make composers.
        readers: the number of new readers.
        epoch: the epoch of the passes.
        state_bytes: the most bytes of a state.
        steps: the batches that each new reader counts as delivered.
    """
    composers = [run.composer for run in runs]
    feeds = [
        _dealt_feed([(run.replica, run.composer.feeds[number]) for run in runs],
                    [composer.pending()[number] for composer in composers],
                    [composer.pooled()[number] for composer in composers],
                    readers, composers[0].keeps_repeats)
        for number in range(len(composers[0].feeds))
    ]  # fmt: skip
    pools = [
        item
        for number, feed in enumerate(composers[0].feeds)
        for item in _renamed([one for composer in composers for one in composer.pooled()[number]], feed.by_reference)
    ]
    rests = [list(run.batch[run.used :]) for run in runs]
    over = all(run.over for run in runs)
    states = []
    for reader in range(readers):
        composer = recipe.composer(Replica(worker=reader, workers=readers, past=True), epoch)
        composer.take_over(composers, reader, readers, pools)
        everything = {
            "feeds": [
                {**feed[reader], "items": [item[0] for item in items] if known.by_reference else items}
                for feed, known, items in zip(feeds, composer.feeds, composer.held(), strict=True)
            ],
            "memory": composer.memory(),
            "rest": [sample for rest in rests[reader::readers] for sample in rest],
            "steps": steps[reader],
            "over": over,
        }
        states.append({"anchor": kept(everything), "batches": 0, "used": 0, "over": over})
    return states


def _renamed(items: list[Any], by_reference: bool) -> list[Any]:
    """Remembered samples under the ordinals that all new readers know them by; see `PieceReader`."""
    return [(-1 - at, sample) for at, (_, sample) in enumerate(items)] if by_reference else items


def _dealt_feed(
    old: Sequence[tuple[Replica, Feed]],
    pending: Sequence[list[Any]],
    pooled: Sequence[list[Any]],
    readers: int,
    keeps_repeats: bool,
) -> list[dict[str, Any]]:
    """The states of one feed of each new reader.

    If the source restarts, readers may be in different repeats of it. Then what is left is all up to the end of the last
    of these repeats; or, unless `keeps_repeats`, that of the first of them.
    """
    feeds = [feed for _, feed in old]
    source = feeds[0].source
    repeat = (max if keeps_repeats else min)(feed.repeat for feed in feeds)
    left: list[Left] = []
    values: list[Any] = []
    for (replica, feed), again, kept_items in zip(old, pending, pooled, strict=True):
        if feed.repeat > repeat:  # of the repeats before, nothing is left but what waits
            values += again
            continue
        one, more = feed.left(again, kept_items)
        left.append(one)
        values += more
        for later in range(feed.repeat + 1, repeat + 1):
            left.append(source.reader(replica, feed.epoch + later).left(0, [], [], ended=False))
    positions = deal(source, left, readers)
    again_count = sum(map(len, pending))
    counts = {
        "earlier": sum(feed.read for feed in feeds) - again_count,
        "skipped": sum(feed.skipped for feed in feeds),
    }
    return [
        {
            "position": positions[reader],
            "turn": repeat,
            "taken": 0,
            **(counts if reader == 0 else dict.fromkeys(counts, 0)),
            "ended": False,
            "again": values[reader::readers],
            "given": len(values[reader::readers]),
            "closed": all(feed.at_end for feed in feeds if feed.repeat <= repeat),
        }
        for reader in range(readers)
    ]
