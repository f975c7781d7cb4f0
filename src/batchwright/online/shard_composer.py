"""Balanced batches of shards of which each has one group: the shards of all groups are read side by side.

Nothing has to wait in a buffer for its turn, so shares are exact in every batch and no sample is dropped.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Infeasible, shown, warn
from ..kernels.array_types import Floats, Integers
from .apart import Apart, Waiting
from .batch import StreamBatch, StreamReport
from .delivered import StreamCounts, no_batch, poor_repeats, poor_shares
from .feed import Feed
from .group_keys import check_label
from .measures import Refused
from .quotas import round_length
from .rounds import MOST_SLOTS, TURNS, Rounds
from .rules import Rules

__all__ = ["ShardComposer"]


class ShardComposer:
    """Composes the batches of one replica from a feed for each group."""

    keeps_repeats = False  # a sample of a later repeat of the source came before

    def __init__(
        self,
        feeds: Mapping[Hashable, Feed],
        rules: Rules,
        shares: Floats,
        *,
        key: int,
        may_meet_other_groups: bool = False,
    ) -> None:
        self.feeds = list(feeds.values())
        self._part = self.feeds[0].part
        for label, feed in feeds.items():
            feed.part = f" (group {shown(label)}){self._part}"
        self._labels = list(feeds)
        self._may_meet_other_groups = may_meet_other_groups
        self._numbers = {label: number for number, label in enumerate(feeds)}
        self._apart = Apart(rules, len(self.feeds))
        self._rules = rules
        self._shares = shares
        self._rounds = Rounds(batch_size=rules.batch_size, key=key)
        self._rounds.shares = shares
        self._ended: NDArray[np.bool_] = shares == 0  # read to the end once
        self._without: NDArray[np.bool_] = shares == 0  # have no sample that could be repeated
        self._had = np.zeros(len(shares), np.int64)
        self._again = np.zeros(len(shares), np.int64)
        self._read_again = np.zeros(len(shares), np.int64)  # of the shards of each group
        self._repeated = self._redistributed = 0

    def start(self) -> None:
        """Open the shards of every group that has a share."""
        for number, feed in enumerate(self.feeds):
            if not self._ended[number]:
                feed.start()

    def compose(self) -> StreamBatch | None:
        """The next batch; None at the end, by `when_short`."""
        if self._rounds.ended:
            slots = min(max(TURNS * len(self._shares), self._rules.batch_size), MOST_SLOTS)
            self._rounds.begin(len(self._shares), round_length(slots, self._rules.batch_size))
        taken, repeats, redistributed = list[Waiting](), list[int](), dict[Hashable, int]()
        for number in self._rounds.next().tolist():
            found = self._next(number)
            if found is None:
                for at, kept in enumerate(taken):
                    if at not in repeats:
                        self._apart.leave(kept)
                self._rounds.undo()
                self._check_the_end()
                return None
            kept, again = found
            if again:
                repeats.append(len(taken))
                self._read_again[kept.shard_group] += 1
            if kept.group != number:
                redistributed[self._labels[number]] = redistributed.get(self._labels[number], 0) + 1
            taken.append(kept)
        groups = [kept.group for kept in taken]
        np.add.at(self._had, groups, 1)
        batch = StreamBatch(kept.sample for kept in taken)
        batch.groups, batch.repeats = [self._labels[number] for number in groups], repeats
        if redistributed:
            batch.redistributed = redistributed
        self._repeated += len(repeats)
        for at in repeats:
            self._again[groups[at]] += 1
        self._redistributed += sum(redistributed.values())
        return batch

    def _next(self, number: int) -> tuple[Waiting, bool] | None:
        """The sample for a slot, and whether it repeats an earlier one; None if the pass is over."""
        repeats, restarted = self._rules.when_short == "repeat", False
        while True:
            kept = self._apart.take(number)
            if kept is not None:
                return kept, False
            feed = self.feeds[number]
            has_none = feed.ended and feed.repeat > 0  # in a whole repeat, or it would have been restarted
            for value, sample in feed.pairs:
                group = self._group_of(value, number)
                if group == number:
                    return Waiting(sample, number, number), feed.repeats
                if group is not None:
                    self._put_apart(Waiting(sample, group, number))
            if self._rules.when_short == "wait":
                return None
            self._ended[number] = True
            if (repeats or not self._apart) and self._ended.all():
                return None
            if repeats and not (restarted or has_none):
                feed.restart()
                restarted = True
                continue
            if repeats:
                self._without[number] = True
            due = np.flatnonzero(~(self._without if repeats else self._ended) | self._apart.held_groups())
            if not due.size:
                return None
            number, restarted = int(due[(self._had[due] / self._shares[due]).argmin()]), False

    def _put_apart(self, kept: Waiting) -> None:
        # It came before: its group repeats its own samples where it lacks any.
        if self.feeds[kept.shard_group].repeats:
            self._apart.pass_over(kept)
            self._read_again[kept.shard_group] += 1
        elif not self._shares[kept.group]:
            self._apart.pass_over(kept)
            self._apart.dropped += 1
        elif (why := self._apart.put(kept)) is not None:
            self.feeds[kept.shard_group].reject(why)

    def _group_of(self, value: Hashable, number: int) -> int | None:
        """The group of a sample of group `number`'s shards; None if it has none, and is left out."""
        label, feed = self._labels[number], self.feeds[number]
        try:
            found = check_label(value)
        except Refused as refused:
            feed.reject(str(refused))
            return None
        if found == label:
            return number
        if not self._may_meet_other_groups:
            feed.reject(f"its key is {shown(value)}, and its shard was said to be of group {shown(label)} alone")
        elif found not in self._numbers:
            feed.reject(
                f"its key is {shown(value)}, and no sample that was looked at is of this group: where files have samples of "
                "several groups, pass groups=None to their reader"
            )
        else:
            return self._numbers[found]
        return None

    def shares(self) -> dict[Hashable, float]:
        """The shares of the groups now in force."""
        return dict(zip(self._labels, self._shares.tolist(), strict=True))

    def _check_the_end(self) -> None:
        """Warn if the pass gave no batch; refuse it if it waited for a group whose shards are empty."""
        sound = int(self._seen().sum()) - sum(feed.skipped for feed in self.feeds)
        empty = [
            number for number, feed in enumerate(self.feeds) if self._shares[number] and feed.ended and not feed.read
        ]
        if empty and self._rules.when_short == "wait" and not self._part and not self._had.sum():
            raise Infeasible(
                f"group {shown(self._labels[empty[0]])} was given {self._shares[empty[0]]:.2%} of every batch, and its "
                f"shards of source {self.feeds[0].name!r} have no sample, so no batch was given",
                "give shares to groups that have samples, or pass when_short='redistribute'",
            )
        if self._had.sum() or not sound:
            self.judge()
        else:
            warn(no_batch(f"{self.feeds[0].name!r}", sound, self._part, self._rules.batch_size))

    def _seen(self) -> Integers:
        """The samples of each group that were read, each once."""
        return self._apart.seen([feed.read for feed in self.feeds]) - self._read_again

    def judge(self) -> None:
        """Warn if groups have other shares than they should."""
        read = self._seen()
        # Of a reader that goes on from others, what they have read is counted by the first.
        seen = self._had - self._again if self._rules.when_short == "repeat" else read
        if not self._had.sum():
            return
        delivery = StreamCounts(
            labels=self._labels,
            shares=self._shares,
            expected=self._planned(),
            had=self._had,
            seen=seen,
            read=int(read.sum()),
            delivered=int(self._had.sum()),
            source=f"{self.feeds[0].name!r}{self._part}",
            when_short=self._rules.when_short,
            before=np.zeros(len(seen), np.int64),
            batch_size=self._rules.batch_size,
        )
        poor = poor_shares(delivery) or poor_repeats(delivery)
        if poor is not None:
            warn(poor)

    def _planned(self) -> Integers:
        return self._rounds.planned(len(self._shares))

    def held(self) -> list[list[Any]]:
        """Samples that were in a shard of another group, then those of a batch that was not full; others are not kept."""
        return [[tuple(kept) for kept in each] for each in self._apart.by_shard_group()]

    def pending(self) -> list[list[Any]]:
        """The same samples."""
        return [[kept.sample for kept in each] for each in self._apart.by_shard_group()]

    def pooled(self) -> list[list[Any]]:
        """Nothing: shards are read again."""
        return [[] for _ in self.feeds]

    def take_over(self, others: Sequence[ShardComposer], index: int, readers: int, pools: list[Any]) -> None:
        """See `run.Composer`."""
        pending = {number for other in others for number, items in enumerate(other.pending()) if items}
        self._ended = np.logical_and.reduce([other._ended for other in others])
        self._ended[sorted(pending)] = False
        own_part = others[index::readers]
        groups = np.arange(len(self._shares))
        self._rounds.take_over([(other._rounds, groups) for other in own_part], len(groups))
        for other in own_part:
            self._had += other._had
            self._again += other._again
            self._repeated += other._repeated
            self._redistributed += other._redistributed
            self._apart.into += other._apart.into
            self._apart.out += other._apart.out
            self._apart.dropped += other._apart.dropped
        if index == 0:
            self._read_again = np.sum([other._read_again for other in others], axis=0)

    def memory(self) -> dict[str, Any]:
        """The plan of the round, and the counts."""
        return {
            **self._rounds.state_dict(),
            "had": self._had.tolist(),
            "again": self._again.tolist(),
            "ended": np.flatnonzero(self._ended).tolist(),
            "counters": [self._repeated, self._redistributed],
            "read_again": self._read_again.tolist(),
            "apart": [self._apart.into.tolist(), self._apart.out.tolist(), self._apart.dropped],
            "left": np.bincount([kept.shard_group for kept in self._apart.left], minlength=len(self.feeds)).tolist(),
        }

    def resume(self, memory: dict[str, Any], held: Sequence[list[Any]]) -> None:
        """Continue from what `memory` returned."""
        self._rounds.load_state_dict(memory)
        names = ("had", "again", "read_again")
        self._had, self._again, self._read_again = (np.array(memory[name], np.int64) for name in names)
        self._ended = np.zeros(len(self.feeds), bool)
        self._ended[memory["ended"]] = True
        self._without = (self._shares == 0) | [feed.ended and feed.repeat > 0 for feed in self.feeds]
        self._repeated, self._redistributed = memory["counters"]
        *counts, self._apart.dropped = memory["apart"]
        self._apart.into, self._apart.out = (np.array(one, np.int64) for one in counts)
        for items, left in zip(held, memory["left"], strict=True):
            waiting = len(items) - left
            for kept in items[:waiting]:
                self._apart.put(Waiting(*kept))
            self._apart.left += [Waiting(*kept) for kept in items[waiting:]]

    def report(self) -> StreamReport:
        """The counts so far."""
        planned = self._planned()
        lacks, most = planned - self._had, self._rules.max_deficit
        deficits = dict(zip(self._labels, _balanced(lacks, most).tolist(), strict=True))
        return StreamReport(
            read=int(self._seen().sum()),
            delivered=int(self._had.sum()),
            repeated=self._repeated,
            skipped=sum(feed.skipped for feed in self.feeds),
            redistributed=self._redistributed,
            written_off=int(np.maximum(lacks - most, 0).sum()),
            dropped=self._apart.dropped,
            buffered=len(self._apart),
            deficit={label: lacking for label, lacking in deficits.items() if lacking},
            seen=dict(zip(self._labels, self._seen().tolist(), strict=True)),
            expected=dict(zip(self._labels, planned.tolist(), strict=True)),
            had=dict(zip(self._labels, self._had.tolist(), strict=True)),
            repeats={label: count for label, count in zip(self._labels, self._again.tolist(), strict=True) if count},
        )


def _balanced(lacks: Integers, most: int) -> Integers:
    """The deficits that are left when slots above `most` are written off, for those that had them too; they sum to 0."""
    left = np.minimum(lacks, most)
    above = np.cumsum(np.maximum(-lacks, 0))  # what groups had above their plan
    written_off = int(np.maximum(lacks - most, 0).sum())
    return left + np.diff(above * written_off // max(int(above[-1]), 1), prepend=0)
