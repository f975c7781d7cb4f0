"""Balanced batches of a stream: the plan says which groups, the buffer supplies them, accounts settle what was short."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np

from ..errors import PoorWarning
from .accounts import Accounts
from .buffer import Buffer, Group
from .bytes import ByteLimit, Weigher
from .chance import PURPOSE, Chances, child
from .feed import Feed
from .quotas import Quotas, round_length
from .shares import Shares
from .stream import Batch, Report

__all__ = ["BalancedComposer", "Rules", "WhenShort"]

WhenShort = Literal["wait", "repeat", "redistribute"]
_ROUND = 4096  # slots dealt in one go: what numpy costs a call is then nothing a slot
_TURNS = 4  # slots in a round for each group at least: what planning costs a group is spread over so many
_POOR = 10  # waiting that reads so many samples for each one it gives is worth a warning
_GROWTH = 1.25  # shares are made anew when so many times more samples were seen


@dataclass(frozen=True, slots=True)
class Rules:
    """What `balanced` was asked for, in numbers."""

    batch_size: int
    buffer: int
    when_short: WhenShort
    patience: int
    max_debt: int
    weigher: Weigher | None


class BalancedComposer:
    """Composes the batches of one replica. The work a sample costs does not grow with the number of groups.

    What does (shares, places, a round's plan) is done again only after that many samples were read or dealt.
    """

    def __init__(self, feed: Feed, rules: Rules, shares: Shares, *, key: int) -> None:
        self.feeds = [feed]
        self._feed = feed
        self._rules = rules
        self._targets = shares
        self._chances = Chances(child(key, PURPOSE.REPEAT))
        self._remembers = rules.when_short == "repeat"
        weigher = None if rules.weigher is None else rules.weigher.of_items(feed)
        if weigher is not None and self._remembers:
            weigher = weigher.half()  # the other half is for what can be repeated
        self._buffer = Buffer(
            places=rules.buffer,
            remembers=self._remembers,
            pool_bytes=None if weigher is None else weigher.limit,
            chances=self._chances,
        )
        self._groups = self._buffer.groups
        self._weigher = weigher
        self._bytes = None if weigher is None else ByteLimit(weigher, self._groups)
        self._accounts = Accounts(self._groups, max_debt=rules.max_debt)
        self._quotas = Quotas(batch_size=rules.batch_size, key=key)
        self._shares = np.zeros(0)  # of the groups known when they were made
        self._hands = np.zeros((0, rules.batch_size), np.int64)  # the groups of every slot of the round's batches
        self._dealt = 0  # of these batches, how many were composed
        self._news_from = 0  # samples read, from which on new groups get their shares
        self._estimate_from = 0  # samples read, from which on shares are estimated anew
        self._judge_from = 4 * rules.buffer  # samples read, from which on it is looked whether waiting costs too much
        self._gauge_from = 0  # samples read, from which on it is looked again how full the buffer is
        self._allowance = 0  # samples that may still be read for the batch
        self._pace = 0  # samples read for each batch given, where nobody waits
        self._number = self._delivered = self._repeated = self._given = self._left = 0

    def start(self) -> None:
        """Get to know the groups: fill half of the buffer, so that even groups lose nothing yet."""
        for label in self._targets.labels:
            self._buffer.admit(label)
        self._feed.start()
        self._allowance = self._buffer.for_queues // 2
        self._read(None)

    def compose(self) -> Batch | None:
        """The next batch."""
        news = len(self._groups) != len(self._shares) and self._feed.taken >= self._news_from
        if news or self._dealt == len(self._hands):
            if not self._groups:
                return None
            self._deal()
        hand = self._hands[self._dealt].tolist()
        self._dealt += 1
        self._number += 1
        if self._rules.when_short != "wait":  # waiting reads as much as is needed; these read a batch for each batch
            self._allowance = self._pace
            self._read(None)
        self._allowance = self._rules.patience
        groups, accounts = self._groups, self._accounts
        items: list[Any] = []
        drawn: list[Group] = []
        repeats: list[int] = []
        given: dict[Hashable, int] = {}
        for number in hand:
            group = groups[number]
            if group.balance > 0 and accounts.owed:
                group = accounts.payee(group, self._number)
            if not group.queue and not self._wait_for(group):
                if group.pool:
                    repeats.append(len(items))
                    drawn.append(group)
                    items.append(group.pool[self._chances.below(len(group.pool))])
                    continue
                stand_in = None if self._stops_at(group) else self._stand_in()
                if stand_in is None:
                    self._left += len(items) - len(repeats)
                    return None
                if stand_in is not group:
                    given[group.label] = given.get(group.label, 0) + 1
                    accounts.charge(group, stand_in)
                    group = stand_in
            drawn.append(group)
            items.append(group.queue.popleft() if self._bytes is None else self._bytes.popleft(group))
        if len(repeats) == len(items) and self._feed.ended:
            return None
        self._delivered += len(items)
        if self._feed.taken >= self._judge_from:
            self._judge_waiting()
        self._repeated += len(repeats)
        self._given += sum(given.values())
        batch = Batch(self._feed.unwrap(items))
        batch.groups = [group.label for group in drawn]
        if repeats:
            batch.repeats = repeats
        if given:
            batch.given_away = given
        return batch

    def _deal(self) -> None:
        """Plan the next round; if groups came up that have no share yet, instead of what is left of this one."""
        taken, count = self._feed.taken, len(self._groups)
        if count != len(self._shares) or taken >= self._estimate_from:
            if self._dealt < len(self._hands):
                self._quotas.take_back(self._hands[self._dealt :], self._shares)
            self._shares = self._targets.of(self._groups)
            self._buffer.divide(self._shares)
            if self._bytes is not None:
                self._bytes.recount()
            self._accounts.new_shares(self._shares, self._rules.batch_size)
            self._news_from = taken + 2 * count
            self._estimate_from = int(_GROWTH * max(taken, self._rules.buffer))
        if taken >= self._gauge_from:
            self._pace = size = self._rules.batch_size
            held = sum([len(group.queue) for group in self._groups])
            if held < self._buffer.for_queues // 2:
                self._pace += max(1, size // 8)  # make up for what was dropped, or the buffer would run down
            self._gauge_from = taken + self._buffer.for_queues // 4
        slots = max(_TURNS * count, min(taken // 8, _ROUND))
        batches = round_length(slots, self._rules.batch_size)
        self._hands, self._dealt = self._quotas.deal(self._shares, batches=batches), 0

    def _read(self, wanted: Group | None) -> bool:
        """Read on, as far as is allowed, until `wanted` has a sample; False if it has none."""
        left = self._allowance
        if not left:
            return False
        weigher, bytes_limit = self._weigher, self._bytes
        table, fresh, remembers, chances = (
            self._buffer.table,
            self._accounts.fresh,
            self._remembers,
            self._chances,
        )
        for label, item in islice(self._feed.pairs, left):
            group = table.get(label)
            left -= 1
            if group is None:
                why = self._targets.refusal(label)
                if why is not None:
                    self._feed.reject(why)
                    continue
                group = self._buffer.admit(label)
                if bytes_limit is not None:  # admitting one may cut the queues of others
                    bytes_limit.recount()
            if weigher is not None:
                why = weigher.refusal(item)
                if why is not None:
                    self._feed.reject(why)
                    continue
            group.seen += 1
            queue = group.queue
            if not queue and not group.listed:
                group.listed = True
                fresh.append(group)
            if bytes_limit is None:
                queue.append(item)
            else:
                bytes_limit.append(group, item)
            if remembers:
                if weigher is not None:
                    self._buffer.weigh(group, weigher.size(item))
                group.remember(item, chances)
            if group is wanted:
                break
        self._allowance = left
        return wanted is not None and bool(wanted.queue)

    def _wait_for(self, group: Group) -> bool:
        if self._feed.ended:
            return False
        if self._rules.when_short != "wait":
            return self._read(group)
        if group.missing_since == group.seen:
            return False
        self._allowance = self._rules.patience
        if self._read(group):
            return True
        if not self._feed.ended:
            group.missing_since = group.seen
        return False

    def _judge_waiting(self) -> None:
        """Warn once if most of what is read is read for the sake of a rare group, and falls out of the buffer."""
        taken = self._feed.taken
        self._judge_from = 2 * taken
        if self._rules.when_short != "wait" or self._delivered * _POOR > taken:
            return
        pace = np.array([group.seen for group in self._groups[: len(self._shares)]]) / np.maximum(self._shares, 1e-300)
        number = int(np.argmin(np.where(self._shares > 0, pace, np.inf)))
        rarest = self._groups[number]
        warnings.warn(
            f"waiting gave {self._delivered:,} of the {taken:,} samples read from source {self._feed.name!r}: group "
            f"{rarest.label!r} fills {self._shares[number]:.2%} of every batch and was {rarest.seen:,} of these samples, so "
            f"that exact shares without repeats allow for {int(pace[number]):,}; pass when_short='repeat' or "
            "'redistribute', a smaller patience, or a target nearer to the natural shares",
            PoorWarning,
            stacklevel=2,
        )
        self._judge_from = sys.maxsize

    def _stops_at(self, group: Group) -> bool:
        """Is a stream that has ended over because `group`, which was still coming, has run dry?"""
        return self._rules.when_short == "wait" and self._feed.ended and group.missing_since != group.seen

    def _stand_in(self) -> Group | None:
        while (group := self._accounts.stand_in()) is None and not self._feed.ended:
            self._allowance = 1
            self._read(None)
        return group

    def held(self) -> list[list[Any]]:
        """The samples in the queues, then those in the pools, group by group."""
        queued = [item for group in self._groups for item in group.queue]
        return [queued + [item for group in self._groups for item in group.pool]]

    def memory(self) -> dict[str, Any]:
        """The accounts of every group, the plan, and the counters."""
        return {
            "groups": [
                (
                    g.label,
                    g.queue.maxlen,
                    len(g.queue),
                    g.pool_size,
                    len(g.pool),
                    *(getattr(g, name) for name in _ACCOUNTS),
                )
                for g in self._groups
            ],
            "buffer": self._buffer.state_dict(),
            "accounts": self._accounts.state_dict(),
            "bytes": None if self._bytes is None else self._bytes.state_dict(),
            "quotas": self._quotas.state_dict(),
            "hands": self._hands[self._dealt :].tolist(),
            "shares": self._shares.tolist(),
            "counters": [getattr(self, name) for name in _COUNTERS],
        }

    def resume(self, memory: dict[str, Any], held: list[list[Any]]) -> None:
        """Go on from what `memory` and `held` gave."""
        items = iter(held[0])
        self._groups.clear()
        for label, places, *_ in memory["groups"]:
            group = Group(len(self._groups), label)
            group.resize(places)
            self._groups.append(group)
        for group, saved in zip(self._groups, memory["groups"], strict=True):
            group.queue.extend(islice(items, saved[2]))
            group.pool_size = saved[3]
            for name, value in zip(_ACCOUNTS, saved[5:], strict=True):
                setattr(group, name, value)
        for group, saved in zip(self._groups, memory["groups"], strict=True):
            group.pool = list(islice(items, saved[4]))
        self._buffer.load_state_dict(memory["buffer"])
        self._accounts.load_state_dict(memory["accounts"])
        self._quotas.load_state_dict(memory["quotas"])
        if self._bytes is not None:
            self._bytes.load_state_dict(memory["bytes"])
        self._hands = np.array(memory["hands"], np.int64).reshape(-1, self._rules.batch_size)
        self._shares = np.array(memory["shares"])
        for name, value in zip(_COUNTERS, memory["counters"], strict=True):
            setattr(self, name, value)

    def report(self) -> Report:
        """What was done so far."""
        drawn = self._delivered - self._repeated + self._left
        held = sum(len(group.queue) for group in self._groups)
        return Report(
            read=self._feed.taken,
            delivered=self._delivered,
            repeated=self._repeated,
            dropped=self._feed.taken - self._feed.skipped - drawn - held,
            skipped=self._feed.skipped,
            given_away=self._given,
            forgiven=self._accounts.forgiven,
            held=held + self._left,
            owed={group.label: -group.balance for group in self._groups if group.balance},
            seen={group.label: group.seen for group in self._groups},
        )


_ACCOUNTS = ("seen", "balance", "largest", "paid", "listed", "in_owed", "missing_since")
_COUNTERS = (
    "_pace",
    "_news_from",
    "_estimate_from",
    "_gauge_from",
    "_judge_from",
    "_number",
    "_delivered",
    "_repeated",
    "_given",
    "_left",
)
