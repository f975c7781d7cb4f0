"""Problems of a plan: samples that repeat within a micro-batch, and samples that are practically never drawn.

All builders call it. Each problem is a `PoorWarning` when the plan is built, and a note in its summary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..groups import Groups
from ..kernels.array_types import blocks
from ..orders import Dealt, Independent, InTurn, Mixed, ShardDealt, ShardWeights, SharedOrder
from ..orders.inclusion import InclusionRates, inclusion_rates_of, mean_shares
from ..orders.shares import Shares
from .poor_copies import copies_within_batches
from .poor_shards import in_open_shards, window_in_shards

if TYPE_CHECKING:
    from ..kinds import LengthKind, TaskKind

__all__ = [
    "drawn_by_rates", "epochs_looked_at", "faults", "faults_of_lengths", "faults_of_tasks", "never_text", "notes",
    "repeated", "repeated_groups", "repeats_text", "undersized",
]  # fmt: skip

# A sample is "practically never drawn" if it comes less than once in RARELY times as many draws as there are samples.
# 100: more epochs than most trainings have.
RARELY = 100
_EPOCHS = 32  # epochs that are examined if shares may change without end
_FEWEST_EPOCHS = 2  # a change of shares shows only between two epochs
_SHARES = 1 << 14  # shares that are computed at most for these epochs: a Python function of many groups is slow
_SHOWN = 3  # groups that a message names


class Repeated(NamedTuple):
    """Groups that have fewer samples than a micro-batch takes of them; one row for each such group.

    Attributes:
        group: the number of the group, int64 (rows,).
        size: how many samples it has, int64 (rows,).
        most: the most samples of it in a micro-batch, int64 (rows,).
        epoch: the first epoch in which a micro-batch takes so many, int64 (rows,).
    """

    group: np.ndarray
    size: np.ndarray
    most: np.ndarray
    epoch: np.ndarray


class DrawnGroups(NamedTuple):
    """Some groups of a plan, each of which draws all its samples equally often.

    Attributes:
        groups: which samples are in which group.
        start: what is added to their sample numbers, to get the numbers of the plan.
        first: the number of the first of these groups.
        shares: the share of each in all draws, float64 (groups,).
        within: which part of the plan the groups are of, for messages; empty if they are of the whole plan.
    """

    groups: Groups
    start: int
    first: int
    shares: np.ndarray
    within: str = ""


def faults(order: SharedOrder) -> list[str]:
    """The problems of an order, one text each."""
    if isinstance(order, InTurn):
        return [_begun_again(order)] if order.undersized() else []
    found = []
    rows = repeated_groups(order)
    if rows.group.size:
        moves, every = order.shares.settles_at != 0, order.shares.every
        found.append(repeats_text(rows, order.groups, order.batch_size, moves=moves, every=every))
    if isinstance(order, ShardDealt | ShardWeights):
        found += in_open_shards(order, {order.groups.names[group] for group in rows.group.tolist()})
    if isinstance(order, Mixed):
        found += _torn(order)
        found += ["; ".join(undersized(order, source)) for source in _undersized_sources(order)]
    vanished = getattr(order.shares, "vanished", 0)
    if vanished:
        found.append(
            f"{vanished} of {order.groups.sample_count} samples have weights above 0 but too small beside the others, they "
            "are never drawn; group such samples and balance the groups"
        )
    never = never_text(_drawn(order), order.groups.grouped_count)
    return [*found, never] if never else found


def notes(order: SharedOrder) -> list[str]:
    """The same for a summary, with the problems that later shares may cause."""
    found = faults(order)
    if isinstance(order, InTurn):
        return found
    if isinstance(order, Dealt) and not _in_turn(order):
        found.append(
            f"runs of {order.per_ticket} are dealt in exact shares: a group may come again before every other came, "
            "within 3 runs of its share over any consecutive micro-batches; equal shares, below one run a micro-batch, take "
            "all in turn"
        )
    shares = order.shares
    unknown = shares.limits is not None or shares.settles_at is None  # which shares will come
    if unknown and order.groups.starts.size and not isinstance(order, Independent):
        found += _later_repeats(order)
    return found


def _in_turn(order: Dealt) -> bool:
    """Whether groups come in turn, or equally often in each micro-batch. True if tickets are single samples."""
    if order.per_ticket == 1:
        return True
    quotas = order.shares.of(0) * order.tickets
    whole = np.abs(quotas - np.rint(quotas)).max() <= 1e-9
    return whole or (order.shares.settles_at == 0 and order.even_groups().size == np.count_nonzero(quotas))


def _later_repeats(order: SharedOrder) -> list[str]:
    """A text that says from which share on a group repeats samples within a batch, if later shares are unknown."""
    shares, groups = order.shares, order.groups
    highest = 1.0 if shares.limits is None else shares.limits[1]
    whole = groups.sizes // order.per_ticket  # tickets of distinct samples
    # Rounding to 9 digits, here and below: a quota of 3 that was computed as 3.0000000000000004 must not count as 4.
    may = np.flatnonzero((np.ceil(np.round(highest * order.tickets, 9)) > whole) & (groups.sizes > 0))
    if not may.size:
        return []
    least = int(may[groups.sizes[may].argmin()])
    when = (
        f"shares may be set up to {highest:g}"
        if shares.limits is not None
        else f"the target may move without end, its first {len(epochs_looked_at(shares, groups))} epochs were looked at"
    )
    return [
        f"{when}: samples of {groups.called[least]!r}, which has {groups.sizes[least]}, repeat within a batch where its "
        f"share is above {whole[least] / order.tickets:.4g} ({may.size} groups are small enough for that)"
    ]


def _begun_again(order: InTurn) -> str:
    return (
        f"samples repeat within a batch: the order has {order.places.count} places, a batch takes {order.batch_size}; a "
        "smaller batch avoids it"
    )


def repeated_groups(order: SharedOrder) -> Repeated:
    """The groups of an order that are too small for a micro-batch; groups with an order of their own are left out."""
    random = isinstance(order, Independent)
    found: Repeated | None = None
    for epoch in epochs_looked_at(order.shares, order.groups):
        rows = repeated(order.shares, order.groups, order.tickets, order.per_ticket, epoch, random=random)
        found = rows if found is None else _most(found, rows)
    assert found is not None  # there is an epoch
    if not order.children:
        return found
    kept = ~np.isin(found.group, list(order.children))
    return Repeated(*(column[kept] for column in found))


def repeated(
    shares: Shares, groups: Groups, tickets: int, per_ticket: int, epoch: int = 0, *, random: bool = False
) -> Repeated:
    """The groups that are too small for a micro-batch of `tickets` tickets in an epoch; for random draws, on average."""
    parts = []
    for first, share, sizes in _in_blocks(shares, groups, epoch):
        drawn = share * tickets if random else np.ceil(np.round(share * tickets, 9))
        over = np.flatnonzero((np.round(drawn * per_ticket, 9) > sizes) & (share > 0))
        most = np.ceil(np.round(drawn[over] * per_ticket, 9)).astype(np.int64)
        parts.append(Repeated(first + over, sizes[over], most, np.full(over.size, epoch)))
    return Repeated(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def repeats_text(
    rows: Repeated, groups: Groups, batch_size: int, *, moves: bool = False, every: int | None = None
) -> str:
    """A text that names the groups whose samples repeat within a micro-batch, the worst first."""
    worst = np.argsort(-rows.most / rows.size, kind="stable")[:_SHOWN]
    single = not groups.starts.size
    shown = []
    for row in worst.tolist():
        epoch = int(rows.epoch[row])
        when = "" if not moves else f" in epoch {epoch}" if every is None else f" from micro-batch {epoch * every} on"
        name = groups.called[int(rows.group[row])]
        shown.append(
            f"sample {name} comes up to {rows.most[row]} times{when}"
            if single
            else f"{name!r} has {rows.size[row]}, a batch takes {rows.most[row]}{when}"
        )
    others = rows.group.size - len(shown)
    more = f"; and {others} more {'samples' if single else 'groups'}" if others else ""
    way_out = "a smaller batch or share avoids it"
    if single:
        way_out = "a smaller batch or more even weights avoid it"
        if groups.sample_count < batch_size:
            way_out += (
                f"; {groups.sample_count} weights are of {groups.sample_count} samples: were they of classes, pass "
            )
            way_out += "one for each sample, weights[labels]"
    return f"samples repeat within a batch: {'; '.join(shown)}{more}; {way_out}"


def undersized(order: Mixed, source: int) -> tuple[str, str]:
    """The fact that samples of a source may repeat within a micro-batch, and the way out; as two texts."""
    rows = order.undersized_sources()[source]
    fact = (
        f"samples of source {order.groups.names[source]!r} may repeat within a micro-batch: its group {rows[0].name!r} has "
        f"{rows[0].size} samples, up to {rows[0].most} draws of it may meet ({len(rows)} such groups)"
    )
    return fact, "give the source its quota, or a multiple of it, as batch size"


def never_text(drawn: Iterable[DrawnGroups], total: int) -> str | None:
    """A text that says how many of `total` samples are practically never drawn, and names the rarest; None if all come.

    Practically never drawn: less than once in a hundred times as many draws as there are samples.
    """
    count, rarest, who = 0, 1 / RARELY, ""
    for groups, start, first, shares, within in drawn:
        sizes = groups.sizes[first : first + shares.size]
        often = np.divide(shares * total, sizes, out=np.zeros(shares.size), where=sizes > 0)
        rare = (often > 0) & (often < 1 / RARELY)
        if not rare.any():
            continue
        count += int(sizes[rare].sum())
        least = int(np.where(rare, often, np.inf).argmin())
        if often[least] < rarest:
            rarest = float(often[least])
            number = first + least
            who = f"a sample of group {groups.called[number]!r}" if groups.starts.size else f"sample {start + number}"
            who += within
    if not count:
        return None
    return (
        f"{count} of {total} samples practically never come: {who} comes about once in {total / rarest:,.0f} draws; raise "
        "the smallest shares or weights, or make them 0 to leave samples out"
    )


def faults_of_tasks(plan: TaskKind) -> list[str]:
    """Problems of the shares of tasks; the plan of each task reports its own problems."""
    drawn, total = plan.inclusion_rates(0, 1), plan.groups.sample_count
    starts, names = np.unique(plan.starts), plan.names
    parts: Iterator[DrawnGroups] = (
        part._replace(within=f" of task {names[int(np.searchsorted(starts, part.start, side='right')) - 1]!r}")
        for part in drawn_by_rates(drawn)
    )
    # If the tasks share one dataset, a sample that is rare in one task may be frequent in another: their draws add up.
    if sum(groups.sample_count for groups, _, _ in drawn) > total:
        everyone = Groups.singletons(total)
        parts = iter([DrawnGroups(everyone, 0, 0, drawn.rates(np.arange(total)))])
    never = never_text(parts, total)
    return [never] if never else []


def faults_of_lengths(plan: LengthKind, *, least: float = 0.0) -> list[str]:
    """Problems of the micro-batches cut from an order, measured on some windows.

    Samples of similar length are put together, so all draws of one sample in a window may be in one micro-batch.

    Args:
        plan: the plan.
        least: the part of the micro-batches, 0 to 1, that must hold a sample twice before this is reported. A few always do
            where two passes meet. 0 reports all.
    """
    if plan.same_samples:  # an epoch holds every sample once
        return []
    items, cut = plan.windows.cut_window(0)
    return [*window_in_shards(plan, items, len(cut)), *copies_within_batches(plan, (items, cut), least=least)]


def drawn_by_rates(rates: InclusionRates) -> Iterator[DrawnGroups]:
    """What inclusion rates say of draws, one part for each of their group rates."""
    return (DrawnGroups(groups, start, 0, shares) for groups, start, shares in rates)


def _torn(order: Mixed) -> list[str]:
    """One text for each source that keeps samples of a group together if a micro-batch takes only parts of such runs."""
    most, whole = order.dealt.most_drawn(), order.dealt.integer_quotas()
    runs = {number: getattr(child, "per_ticket", 1) for number, child in order.children.items()}
    return [
        f"source {order.groups.names[number]!r} keeps {run} samples of a group together, and a micro-batch of the mixture "
        f"takes a number of its samples that is no fixed multiple of {run}: some are torn apart; give the source a quota of "
        f"{run}, {2 * run}, {3 * run}, ... samples"
        for number, run in runs.items()
        if run > 1 and not (whole[number] and most[number] % run == 0)
    ]


def _undersized_sources(order: Mixed) -> list[int]:
    """Sources whose own order may repeat samples. Random draws are left out: they repeat samples by definition."""
    return [number for number in order.undersized_sources() if not isinstance(order.children[number], Independent)]


def epochs_looked_at(shares: Shares, groups: Groups) -> Sequence[int]:
    """The epochs to examine: those at which shares change, or the first ones if the shares may change without end."""
    if shares.firsts is not None:
        return shares.firsts
    most = min(_EPOCHS, max(_FEWEST_EPOCHS, _SHARES // groups.group_count))
    for epoch in range(1, most):
        try:
            shares.of(epoch)
        except Exception:  # a user's function, which may not know more epochs than the run has
            return range(epoch)
    return range(most)


def _drawn(order: SharedOrder) -> Iterator[DrawnGroups]:
    """What is drawn in the epochs to examine."""
    # In chunks, because there may be a hundred million weights.
    if order.shares.settles_at == 0 and not order.children:
        return (
            DrawnGroups(order.groups, 0, first, share) for first, share, _ in _in_blocks(order.shares, order.groups, 0)
        )
    stop = (epochs_looked_at(order.shares, order.groups)[-1] + 1) * order.epoch_batches
    if order.dealt is not None and order.dealt.share_changes:
        stop = max(stop, order.dealt.share_changes[-1].first + 1)
    if not order.children:
        return iter([DrawnGroups(order.groups, 0, 0, mean_shares(order, 0, stop))])
    return drawn_by_rates(inclusion_rates_of(order, 0, stop))


def _in_blocks(shares: Shares, groups: Groups, epoch: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The groups in blocks: the number of the first group, the shares, the sizes."""
    for first, last in blocks(groups.group_count):
        numbers = np.arange(first, last)
        yield first, shares.of(epoch, numbers), groups.sizes[numbers]


def _most(one: Repeated, other: Repeated) -> Repeated:
    """Both joined: of each group the row that takes more samples, or the earlier epoch if both take the same number."""
    both = Repeated(*(np.concatenate(columns) for columns in zip(one, other, strict=True)))
    order = np.lexsort((both.epoch, -both.most, both.group))
    _, first = np.unique(both.group[order], return_index=True)
    return Repeated(*(column[order[first]] for column in both))
