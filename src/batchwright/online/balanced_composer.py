"""Balanced batches of a stream: quotas plan the groups, the buffer supplies samples, deficits are paid back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import Infeasible, shown, warn
from ..kernels import stream_buffer
from ..kernels.array_types import Integers
from ..kernels.hashing import PURPOSE, child_key
from .appearances import Appearances
from .batch import StreamBatch, StreamReport
from .buffer import Buffer
from .buffer_take_over import take_over
from .byte_limit import Weigher
from .delivered import StreamCounts, no_batch, poor_estimate, poor_repeats, poor_shares, poor_waiting
from .feed import Feed
from .group_units import GroupUnits
from .measures import Refused
from .quotas import round_length
from .rounds import MOST_SLOTS, TURNS, Rounds
from .rules import Rules
from .shares import StreamShares
from .states import check_groups

__all__ = ["BalancedComposer"]

_RUN = 64  # samples read at once, if the buffer is much larger: the fixed cost of a call is then small for each sample
# Shares are estimated again when this many times as many samples were seen: a logarithmic number of times.
_GROWTH = 1.25


class BalancedComposer:
    """Composes the batches of one replica. The work for each sample does not grow with the number of groups.

    Work that grows with the number of groups (shares, places, the plan of a round) is done only after as many samples
    were read or dealt as there are groups.
    """

    keeps_repeats = True

    def __init__(self, feed: Feed, rules: Rules, shares: StreamShares, *, key: int) -> None:
        self.feeds = [feed]
        self._feed = feed
        self._rules = rules
        self._targets = shares
        remembers = rules.when_short == "repeat"
        self._waits = rules.when_short == "wait"
        weigher = rules.weigher
        if weigher is not None and remembers:
            weigher = weigher.half()  # the other half is for samples that can be repeated
        self._weights: list[int] = []  # of the samples read and not in the buffer yet
        self._buffer = Buffer(
            places=rules.buffer,
            remembers=remembers,
            waits=self._waits,
            most_deficit=rules.max_deficit,
            weigher=None if weigher is None else weigher.of_items(feed),
            refusal=shares.refusal,
            key=child_key(key, PURPOSE.REPEAT),
        )
        self._run = max(1, min(_RUN, self._buffer.for_queues // 8))
        self._units = None if rules.unit is None else GroupUnits(rules.unit)
        if weigher is None and self._units is None:
            feed.lookup, feed.careful = self._buffer.numbers.__getitem__, self._buffer.numbers.of
        else:
            feed.measure = partial(self._weigh, feed.measure, weigher)
        self._rounds = Rounds(batch_size=rules.batch_size, key=key)
        # The next four count in samples read: when it is time for what their comments say.
        self._new_groups_at = 0  # new groups get shares
        self._estimate_at = 0  # shares are estimated again
        self._judge_at = 4 * rules.buffer  # check whether waiting costs too much; the first buffers are not typical
        self._gauge_at = 0  # check how full the buffer is
        self._batches_per_slot = 0  # samples to read for each batch that is returned, if no slot waits
        self._appearances = Appearances()
        self._must_fill = False  # half of the buffer is to be read before the next batch
        self._leftover: list[Any] = []  # samples of the last batch, which was not full
        self._left_of: list[int] = []  # the numbers of their groups
        self._unread = self._delivered = self._repeated = self._redistributed = self._written_off = 0

    def start(self) -> None:
        """Fill half of the buffer, to see which groups there are.

        Not all of it: a full buffer drops samples, and with equal shares the common groups would drop them at once.
        """
        for label in self._targets.labels:
            self._buffer.numbers[label]
        self._feed.start()
        self._read(self._buffer.for_queues // 2)
        self._appearances.start(len(self._targets.labels))
        self._appearances.grow(len(self._buffer.labels), 0)
        self._appearances.look(self._buffer.column(stream_buffer.SEEN), 0)

    def compose(self) -> StreamBatch | None:
        """The next batch.

        Raises:
            Infeasible: the source has ended without a batch, since a group with a share never came.
        """
        batch = self._composed()
        if batch is None:
            self._check_the_end()
        elif self._feed.taken >= self._judge_at:
            self._judge_at = 2 * self._feed.taken
            self.judge()
        return batch

    def _composed(self) -> StreamBatch | None:
        if self._must_fill:
            self._read(self._buffer.for_queues // 2)
        self._must_fill = False
        news = len(self._buffer.labels) != len(self._rounds.shares) and self._feed.taken >= self._new_groups_at
        if news or self._rounds.ended:
            while not self._buffer.labels and not self._feed.ended:  # all that was read so far was left out
                self._read(self._run)
            if not self._buffer.labels:
                return None
            self._deal()
        wanted = self._rounds.next()
        # With waiting, `_serve` reads what it needs. Else as many samples are read as a batch takes, for several at once.
        if not self._waits:
            self._unread += self._batches_per_slot
            if self._unread >= self._run:
                self._read(self._unread)
                self._unread = 0
        items: list[Any] = []
        if not self._serve(wanted, items):
            repeats = set(self._buffer.repeats())
            left = [at for at in range(len(items)) if at not in repeats]
            self._leftover += [items[at] for at in left]
            self._left_of += self._buffer.owner_numbers()[left].tolist()
            self._undo(wanted, len(items))
            return None
        batch = StreamBatch(self._feed.unwrap(items))
        batch.groups = self._buffer.owners()
        counters = self._buffer.counters
        if counters[stream_buffer.REPEATS]:
            batch.repeats = self._buffer.repeats()
            if len(batch.repeats) == len(items) and self._feed.ended:
                self._undo(wanted, len(items))
                return None
            self._repeated += len(batch.repeats)
            self._appearances.grow(len(self._buffer.labels), self._delivered)
            np.add.at(self._appearances.repeats, self._buffer.owner_numbers()[list(batch.repeats)], 1)
        if counters[stream_buffer.AWAY]:
            batch.redistributed = self._buffer.redistributed()
            self._redistributed += int(counters[stream_buffer.AWAY])
            self._written_off = int(counters[stream_buffer.WRITTEN_OFF])
        if self._appearances.expecting:
            self._appearances.look(self._buffer.column(stream_buffer.SEEN), self._delivered)
        self._delivered += len(items)
        if self._units is not None:
            self._units.deliver(self._buffer.owner_numbers().tolist(), batch)
        return batch

    def _undo(self, wanted: Integers, served: int) -> None:
        """Take back the quotas dealt last: they made no batch, although some slots were filled."""
        self._rounds.undo()
        self._buffer.take_back(wanted[:served])

    def _slots(self) -> tuple[Integers, Integers]:
        """The slots planned for each group in the batches returned so far, and the slots it had."""
        had = self._buffer.column(stream_buffer.HAD)
        return self._rounds.planned(len(had)), had

    def _serve(self, wanted: Integers, items: list[Any]) -> bool:
        """Fill the slots of a batch; reads on if the group of a slot has no sample. False if the stream has ended."""
        buffer, feed = self._buffer, self._feed
        allowance = self._rules.patience
        begins = True
        while True:
            may_read = not feed.ended and (self._waits or allowance > 0)
            # The kernel returns where it needs a sample, and goes on at the same slot; only its first call begins a
            # batch.
            outcome = buffer.serve(wanted, items, begins=begins, may_read=may_read, ended=feed.ended)
            begins = False
            if outcome == stream_buffer.STARVED:
                self._read(1)
            elif outcome == stream_buffer.SHORT:
                allowance = self._read_for(int(buffer.counters[stream_buffer.PENDING]), allowance)
            else:
                return outcome == stream_buffer.DONE

    def _read_for(self, group: int, allowance: int) -> int:
        """Read on until a group has a sample, at most `allowance` samples; returns how many of these are left."""
        buffer, feed = self._buffer, self._feed
        left = allowance
        while left > 0 and not feed.ended and not buffer.has(group):
            left -= self._read(min(left, self._run))
        buffer.counters[stream_buffer.TRIED] = 1
        if not self._waits:
            return left
        if not feed.ended:
            buffer.give_up(group)
        return allowance

    def _deal(self) -> None:
        """Plan the next round; if there are new groups without a share, it replaces the rest of the current round."""
        taken, buffer, rounds = self._feed.taken, self._buffer, self._rounds
        count = len(buffer.labels)
        if count != len(rounds.shares) or taken >= self._estimate_at:
            rounds.stop(count)
            self._appearances.grow(count, self._delivered)
            seen = buffer.column(stream_buffer.SEEN)
            of = self._targets.of if self._units is None else partial(self._units.slots, self._targets)
            rounds.shares = of(buffer.labels, seen)
            buffer.new_shares(rounds.shares, self._rules.batch_size)
            self._new_groups_at = taken + 2 * count
            self._estimate_at = int(_GROWTH * max(taken, self._rules.buffer))
        if taken >= self._gauge_at:
            self._batches_per_slot = size = self._rules.batch_size
            if buffer.held() < buffer.for_queues // 2:
                # An eighth more than is returned, since full queues drop samples: else the buffer would become empty.
                self._batches_per_slot += max(1, size // 8)
            self._gauge_at = taken + buffer.for_queues // 4
        slots = max(TURNS * count, min(taken // 8, MOST_SLOTS))
        rounds.begin(count, round_length(slots, self._rules.batch_size))

    def _read(self, count: int) -> int:
        """Read `count` samples, or all that are left; returns how many were read."""
        before = self._feed.taken
        numbers, items = self._feed.take(count)
        self._buffer.arrive(numbers, items, self._weights)
        self._weights.clear()
        return self._feed.taken - before

    def _weigh(self, key_of: Callable[[Any], Hashable], weigher: Weigher | None, sample: Any) -> int:
        """The number of a sample's group; also records the sample's bytes and units."""
        number = self._buffer.numbers.of(key_of(sample))
        if weigher is not None and (why := weigher.refusal(sample)) is not None:
            raise Refused(why)
        if self._units is not None:
            self._units.note(number, sample)
        if weigher is not None:
            self._weights.append(size := weigher.size(sample))
            self._buffer.weigh(number, size)
        return number

    def _check_the_end(self) -> None:
        """Warn if the pass returned no batch; refuse it if it waited for a group that never came."""
        feed, buffer = self._feed, self._buffer
        sound = feed.read - feed.skipped
        if sound == 0:
            return
        if self._delivered == 0 and (sound < self._rules.batch_size or not self._waits):
            warn(no_batch(f"{feed.name!r}", sound, feed.part, self._rules.batch_size))
            return
        shares = self._rounds.shares
        came_not = (shares > 0) & (buffer.column(stream_buffer.SEEN)[: len(shares)] == 0)
        missing = [label for label in self._targets.labels if came_not[buffer.numbers[label]]]
        if self._waits and self._delivered == 0 and missing and not feed.part:
            came = [label for label in buffer.labels if label not in missing]
            raise Infeasible(
                f"group {shown(missing[0])} was given {shares[buffer.numbers[missing[0]]]:.2%} of every batch, source "
                f"{feed.name!r} ended after {sound:,} samples without one of it, and no batch was given; the groups that "
                f"came are {shown(came)}",
                "give shares to the labels of the data, or pass when_short='redistribute'",
            )
        self.judge()

    def shares(self) -> dict[Hashable, float]:
        """The shares of the groups now in force."""
        return dict(zip(self._buffer.labels, self._rounds.shares.tolist(), strict=False))

    def judge(self) -> None:
        """Warn once if most samples are read for a rare group, or if groups have other shares than they should."""
        if self._judge_at == sys.maxsize or not self._feed.taken:
            return
        feed, count = self._feed, len(self._rounds.shares)
        expected, had = (slots[:count] for slots in self._slots())
        seen = self._buffer.column(stream_buffer.SEEN)[:count]
        delivery = StreamCounts(
            labels=self._buffer.labels,
            shares=self._rounds.shares,
            expected=expected,
            had=had,
            seen=seen,
            read=feed.read - feed.skipped,
            delivered=self._delivered,
            source=f"{feed.name!r}{feed.part}",
            when_short=self._rules.when_short,
            before=self._late()[:count],
            batch_size=self._rules.batch_size,
            estimated=self._targets.estimated(self._buffer.labels[:count], seen) if self._units is None else None,
        )
        poor = next(
            filter(None, (say(delivery) for say in (poor_estimate, poor_waiting, poor_shares, poor_repeats))), None
        )
        if poor is not None:
            warn(poor)
            self._judge_at = sys.maxsize

    def _late(self) -> Integers:
        """The samples delivered before the first of each group was read."""
        return self._appearances.before(len(self._buffer.labels), self._delivered)

    def held(self) -> list[list[Any]]:
        """The samples in the queues, those remembered, those of a batch that was not full."""
        return [self._buffer.contents() + self._leftover]

    def pending(self) -> list[list[Any]]:
        """The samples in the queues, and those of a batch that was not full."""
        return [self._buffer.queued() + self._leftover]

    def pooled(self) -> list[list[Any]]:
        """The samples that are remembered, group by group."""
        return [[item for pool in self._buffer.pools for item in pool]]

    def take_over(self, others: Sequence[BalancedComposer], index: int, readers: int, pools: list[Any]) -> None:
        """See `run.Composer`. Queues begin empty, since what was in them is read again."""
        own = self._buffer.numbers
        numbers = [np.array([own[label] for label in other._buffer.labels], np.int64) for other in others]
        left = [other._left_of for other in others]
        take_over(self._buffer, [other._buffer for other in others], numbers, left, index, readers, pools)
        count = len(self._buffer.labels)
        own_part = list(zip(others, numbers, strict=True))[index::readers]
        self._rounds.take_over([(other._rounds, found) for other, found in own_part], count)
        self._appearances = Appearances()
        self._appearances.grow(count, 0)
        for other, found in own_part:
            late = other._late()  # makes room in `repeats` too
            self._appearances.take_over(found, other._appearances.repeats, late)
            for name in _TOTALS:
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self._judge_at = max(other._judge_at for other in others)
        if self._units is not None:
            seen, part = np.zeros(count, np.int64), self._buffer.column(stream_buffer.SEEN)
            for other, found in zip(others, numbers, strict=True):
                seen[found] += other._buffer.column(stream_buffer.SEEN)
            self._units.take_over([other._units for other in others], numbers, seen, part, index)
        self._must_fill = True

    def memory(self) -> dict[str, Any]:
        """The accounts of every group, the plan, and the counters."""
        check_groups(self._buffer.labels)
        return {
            "buffer": self._buffer.state_dict(),
            **self._rounds.state_dict(),
            **self._appearances.state_dict(),
            "units": None if self._units is None else self._units.state_dict(),
            "counters": [getattr(self, name) for name in _COUNTERS],
            "fill": self._must_fill,
            "leftover": self._left_of,
        }

    def resume(self, memory: dict[str, Any], held: list[list[Any]]) -> None:
        """Continue from what `memory` and `held` returned."""
        self._buffer.load_state_dict(memory["buffer"], held[0])
        self._must_fill = memory["fill"]
        self._left_of = memory["leftover"]
        self._leftover = held[0][len(held[0]) - len(self._left_of) :]
        self._rounds.load_state_dict(memory)
        self._appearances.load_state_dict(memory)
        if self._units is not None:
            self._units.load_state_dict(memory["units"])
        for name, value in zip(_COUNTERS, memory["counters"], strict=True):
            setattr(self, name, value)

    def report(self) -> StreamReport:
        """The counts so far."""
        buffer = self._buffer
        drawn = self._delivered - self._repeated + len(self._leftover)
        held = buffer.held()
        balances = buffer.column(stream_buffer.BALANCE).tolist()
        expected, had = self._slots()
        late = zip(buffer.labels, self._late().tolist(), strict=True)
        again = zip(buffer.labels, self._appearances.repeats.tolist(), strict=True)
        return StreamReport(
            read=self._feed.read,
            delivered=self._delivered,
            repeated=self._repeated,
            dropped=self._feed.read - self._feed.skipped - drawn - held,
            skipped=self._feed.skipped,
            redistributed=self._redistributed,
            written_off=self._written_off,
            buffered=held + len(self._leftover),
            deficit={label: -balance for label, balance in zip(buffer.labels, balances, strict=True) if balance},
            seen=dict(zip(buffer.labels, buffer.column(stream_buffer.SEEN).tolist(), strict=True)),
            expected=dict(zip(buffer.labels, expected.tolist(), strict=True)),
            had=dict(zip(buffer.labels, had.tolist(), strict=True)),
            repeats={label: count for label, count in again if count},
            before={label: count for label, count in late if count},
            units={} if self._units is None else self._units.delivered_by(buffer.labels),
        )


_TOTALS = ("_delivered", "_repeated", "_redistributed", "_written_off")
_COUNTERS = "_batches_per_slot", "_new_groups_at", "_estimate_at", "_gauge_at", "_judge_at", "_unread", *_TOTALS
