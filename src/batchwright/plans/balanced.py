"""Plans with a fixed batch size: `balanced`, `shuffled`, `weighted`. Arguments that cannot be satisfied are refused here."""

from __future__ import annotations

import math
from collections.abc import Sized
from typing import Any, Literal, get_args

import numpy as np

from ..calls import recorded, recorded_counting
from ..errors import Infeasible, check_bool, check_integer, one_of, seed_number, shown, warn
from ..group_parts import MOST_SAMPLES
from ..groups import Groups
from ..inputs import columns
from ..kernels.deal_arguments import ROUND
from ..kernels.independent import LINE
from ..micro_batches import LAST
from ..orders import Dealt, Independent, Shards
from ..orders.shares import Shares, TargetShares, WeightShares
from ..targets import natural, resolve
from .fixed import FixedPlan
from .local import checked_local, dealt_in_shards, shuffled_in_shards, weighted_in_shards
from .poor import epochs_looked_at, faults, repeated

__all__ = [
    "MOST_TICKETS", "balanced", "by_weight", "check_batch_arguments", "check_epoch", "check_quotas",
    "check_sample_count", "epoch_batches", "epoch_length", "shuffled", "weighted",
]  # fmt: skip

Draw = Literal["exact", "random"]
_DRAWS = get_args(Draw)
_LENGTHS = "natural", "largest", "smallest"
MOST_TICKETS = (1 << 30) // ROUND  # of a micro-batch: the tickets of a round, in 2^-32 ticket, then fit 62 bits


@recorded
def balanced(
    labels: Any,
    batch_size: int,
    *,
    target: Any = "uniform",
    per_class: int = 1,
    draw: Draw = "exact",
    epoch: int | Literal["natural", "largest", "smallest"] = "natural",
    distinct: bool = False,
    local: Shards | None = None,
    seed: int = 0,
) -> FixedPlan:
    """Batches in which every group has exactly its share, and all samples of a group come equally often.

    "Exactly" means the quota, rounded down or up: 32 samples of 3 groups in equal shares are 10 or 11 of each.

    Args:
        labels: array-like of shape (n_samples,), of any dtype; a dataset that knows its labels; or `Groups`.
        batch_size: samples in every micro-batch, int, 1 or more.
        target: the wanted shares: a name ("uniform", "natural", "sqrt"), a number from 0 (natural) to 1 (uniform), a
            mapping from label to share, a function of (counts, epoch), or one of `batchwright.targets`.
        per_class: samples of a group that come together: a batch has `batch_size / per_class` groups with `per_class`
            samples of each, for metric learning. With equal shares ("uniform"), each group comes once before any comes
            again.
        draw: "exact", or "random": independent draws, with shares that hold on average only.
        epoch: "natural" (as many samples as the dataset has), "largest" / "smallest" (until each sample of the largest
            / smallest group has come once), or a number of micro-batches.
        distinct: whether to refuse a plan in which a group must repeat a sample within a micro-batch.
        local: the shards that the samples lie in: each rank then reads from few of them at a time. Quotas are exact for
            groups of which the open shards have a sample. A group without one there leaves its places to other groups,
            and gets them back while its own shards are open.
        seed: int from 0 to 2^64 - 1.

    Returns:
        A plan: `plan[t]` is an int64 array of shape (batch_size,), the indices of the samples of micro-batch t.

    Raises:
        Infeasible: the arguments cannot be satisfied.

    Warns:
        PoorWarning: a group is smaller than its quota, so its samples repeat within a micro-batch; or samples are
            practically never drawn: less than once in a hundred times as many draws as there are samples; or, with
            `local`, the open shards do not always have a sample of each group.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=8)
        >>> int((plan[123456789] >= 90).sum())
        4
    """
    batch_size, per_class, seed = check_batch_arguments(batch_size, per_class, seed)
    draw = one_of(draw, "draw", _DRAWS)
    groups = labels if isinstance(labels, Groups) else Groups.from_labels(labels)
    shares = TargetShares(resolve(target), groups)
    check_quotas(groups, shares, batch_size, per_class, draw, distinct)
    shards = checked_local(local, draw)
    length = epoch_length(groups, shares, batch_size, epoch)
    if shards is None:
        return _plan(groups, shares, batch_size, per_class, draw, length, seed)
    return dealt_in_shards(groups, shares, batch_size, per_class, seed, length, shards, distinct=distinct)


@recorded_counting
def shuffled(
    samples: int | Sized,
    batch_size: int,
    *,
    draw: Draw = "exact",
    epoch: int | Literal["natural"] = "natural",
    local: Shards | None = None,
    seed: int = 0,
) -> FixedPlan:
    """Shuffle a dataset: every sample comes once before any comes again.

    Every pass is a new permutation. Any micro-batch is computed directly, and no permutation is kept in memory.

    Args:
        samples: the number of samples, or a dataset that has a length.
        batch_size: samples in every micro-batch, int, 1 or more.
        draw: "exact", or "random": draws with replacement.
        epoch: "natural" (as many samples as the dataset has) or a number of micro-batches.
        local: the shards that the samples lie in: each rank then reads from few of them at a time, and opens each of its
            shards once in a pass.
        seed: int from 0 to 2^64 - 1.

    Raises:
        Infeasible: no samples, a batch size below 1, or shards that are not those of the samples, or too small.

    Example:
        >>> import batchwright as bw
        >>> sorted(bw.shuffled(4, batch_size=4)[10**9].tolist())
        [0, 1, 2, 3]
    """
    batch_size, _, seed = check_batch_arguments(batch_size, 1, seed)
    groups = Groups.from_sizes({"all": check_sample_count(samples)})
    shares, draw = TargetShares(natural(), groups), one_of(draw, "draw", _DRAWS)
    shards = checked_local(local, draw)
    length = epoch_batches(epoch, natural=-(-groups.sample_count // batch_size))
    if shards is None:
        return _plan(groups, shares, batch_size, 1, draw, length, seed)
    return shuffled_in_shards(groups, shares, batch_size, seed, length, shards)


@recorded
def weighted(
    weights: Any,
    batch_size: int,
    *,
    draw: Draw = "exact",
    epoch: int | Literal["natural"] = "natural",
    local: Shards | None = None,
    seed: int = 0,
) -> FixedPlan:
    """Draw samples in proportion to their weights.

    With equal weights (some may be 0), every sample comes once before any comes again, as in a shuffle. With other
    weights, a sample that is expected at most twice in an epoch, or less than once in 89 micro-batches, comes floor or
    ceil of its expectation in every epoch of the plan; if there are samples of larger weights too, within 1 of that.
    Within an epoch, such a sample is at most 3 draws from its expectation, a sample of a larger weight at most 6.

    Args:
        weights: finite numbers of 0 or more, array-like of shape (n_samples,).
        batch_size: samples in every micro-batch, int, 1 or more.
        draw: "exact" (systematic sampling, Madow and Madow 1944), or "random": with replacement, as
            `torch.utils.data.WeightedRandomSampler` draws.
        epoch: "natural" (as many samples as the dataset has) or a number of micro-batches.
        local: the shards that the samples lie in: each rank then reads from few of them at a time, each for as many
            micro-batches as its weights ask for.
        seed: int from 0 to 2^64 - 1.

    Raises:
        Infeasible: no samples, a negative, infinite or NaN weight, or weights that are all 0.

    Warns:
        PoorWarning: a weight is so large that its sample repeats within a micro-batch, or so small that its sample is
            practically never drawn: less than once in a hundred times as many draws as there are samples.

    Example:
        >>> import batchwright as bw
        >>> sorted(bw.weighted([1, 1, 2], batch_size=4)[5].tolist())
        [0, 1, 2, 2]
    """
    batch_size, _, seed = check_batch_arguments(batch_size, 1, seed)
    return by_weight(
        columns.numbers(weights, called="weights"), batch_size, draw=draw, epoch=epoch, seed=seed, local=local
    )


def by_weight(
    column: np.ndarray,
    batch_size: int,
    *,
    draw: str,
    epoch: Any,
    seed: int,
    notes: tuple[str, ...] = (),
    local: Shards | None = None,
) -> FixedPlan:
    """`weighted` for weights that are checked, with notes for the summary."""
    draw = one_of(draw, "draw", _DRAWS)
    groups = Groups.singletons(column.size)
    shares = WeightShares(column, LINE if draw == "random" else ROUND * batch_size, notes)
    shards = checked_local(local, draw)
    length = epoch_batches(epoch, natural=-(-column.size // batch_size))
    if shards is not None:
        return weighted_in_shards(shares, column.size, batch_size, seed, length, shards)
    return _plan(groups, shares, batch_size, 1, draw, length, seed)


def _plan(
    groups: Groups, shares: Shares, batch_size: int, per_class: int, draw: str, length: int, seed: int
) -> FixedPlan:
    kind = Dealt if draw == "exact" else Independent
    order = kind(
        groups,
        shares,
        batch_size=batch_size,
        per_ticket=per_class,
        seed=seed,
        epoch_batches=shares.every or length,
    )
    warn(*faults(order))
    return FixedPlan(order, epoch_batches=length)


def check_sample_count(samples: int | Sized) -> int:
    """Check a number of samples, or the length of a dataset."""
    count = columns.sample_count(samples, called="samples")
    if count > MOST_SAMPLES:
        raise Infeasible(f"samples is {count}, the most is {MOST_SAMPLES}", f"pass {MOST_SAMPLES} or fewer")
    return count


def check_batch_arguments(
    batch_size: int, per_class: int, seed: int, *, called: str = "per_class"
) -> tuple[int, int, int]:
    """Check batch size, samples in a ticket (`called` is the argument's name) and seed."""
    batch_size, per_class = check_integer(batch_size, "batch_size", least=1), check_integer(per_class, called, least=1)
    seed = seed_number(seed)
    if batch_size % per_class:
        raise Infeasible(
            f"{called}={per_class} does not divide batch_size={batch_size}",
            f"pass batch_size={batch_size - batch_size % per_class or per_class} or another {called}",
        )
    if batch_size // per_class > MOST_TICKETS:
        raise Infeasible(
            f"batch_size is {batch_size}, the most is {MOST_TICKETS * per_class}",
            f"pass batch_size={MOST_TICKETS * per_class} or less",
        )
    return batch_size, per_class, seed


def check_quotas(
    groups: Groups,
    shares: TargetShares,
    batch_size: int,
    per_class: int,
    draw: str,
    distinct: bool,
    *,
    called: str = "per_class",
) -> None:
    """Refuse more groups in a micro-batch than there are, and, with `distinct`, groups that must repeat samples."""
    distinct = check_bool(distinct, "distinct")
    tickets = batch_size // per_class
    # Without these two, no quota is impossible: small groups repeat samples.
    for epoch in epochs_looked_at(shares, groups) if per_class > 1 or distinct else ():
        drawn = int(np.count_nonzero(shares.of(epoch)))
        if per_class > 1 and tickets > drawn:
            raise Infeasible(
                f"batch_size={batch_size} with {called}={per_class} asks for {tickets} groups a batch, there are {drawn}",
                f"pass batch_size={drawn * per_class} or a larger {called}",
            )
        if not distinct:
            continue
        if draw == "random":
            raise Infeasible(
                "distinct samples cannot be promised for independent draws", "pass draw='exact', or distinct=False"
            )
        if shares.settles_at is None:
            raise Infeasible(
                f"distinct samples cannot be promised with the target {shares.shown}: its shares may move in any epoch",
                "pass a target that settles, or distinct=False",
            )
        rows = repeated(shares, groups, tickets, per_class, epoch)
        if rows.group.size:
            raise Infeasible(
                f"group {shown(groups.names[int(rows.group[0])])} has {rows.size[0]} samples but a batch takes "
                f"{rows.most[0]}, and distinct samples were asked for",
                f"pass a batch_size{f', {called}' if per_class > 1 else ''} or share so small that a batch takes "
                f"{rows.size[0]} of it at most, or pass distinct=False",
            )


def epoch_length(groups: Groups, shares: Shares, batch_size: int, epoch: Any) -> int:
    """Micro-batches in an epoch."""
    if isinstance(epoch, str) and epoch in ("largest", "smallest"):
        if shares.settles_at != 0:
            raise Infeasible(
                f"epoch={epoch!r} has no one length where the target moves",
                "pass 'natural' or a number of micro-batches",
            )
        drawn = np.flatnonzero(shares.of(0))
        sizes = groups.sizes[drawn]
        group = drawn[sizes.argmax() if epoch == "largest" else sizes.argmin()]
        return check_epoch(math.ceil(round(float(groups.sizes[group] / (batch_size * shares.of(0)[group])), 9)))
    return epoch_batches(epoch, natural=-(-groups.grouped_count // batch_size), words=_LENGTHS)


def epoch_batches(epoch: Any, *, natural: int, words: tuple[str, ...] = ("natural",)) -> int:
    """Micro-batches in an epoch that is "natural" or a number of them; `words` are the names that the caller accepts."""
    if isinstance(epoch, str):
        one_of(epoch, "epoch", words, or_else="a number of micro-batches")
        return check_epoch(natural)
    length = check_integer(epoch, "epoch")
    if length < 1:
        raise Infeasible(f"epoch is {length} micro-batches", "pass 1 or more")
    return check_epoch(length)


def check_epoch(batches: int, or_else: str = f", or pass epoch={LAST + 1} or less") -> int:
    """Check that a plan has all micro-batches of its first epoch.

    Args:
        batches: micro-batches in an epoch.
        or_else: what else to do than to make micro-batches larger.
    """
    if batches > LAST + 1:
        raise Infeasible(
            f"an epoch has {batches} micro-batches, and a plan has {LAST + 1}, so the first epoch would never end",
            f"let a micro-batch have {-(-batches // (LAST + 1))} times as many samples{or_else}",
        )
    return batches
