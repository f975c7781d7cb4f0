"""Checks before training that all ranks have the same plan. Samplers communicate only here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch.distributed

from .distributed import gathered, has_process_group, meet, model_groups, ranks, this_process
from .errors import Infeasible, listed, warn
from .orders.share_change import ShareChange
from .orders.shares import without_spelling
from .position import Position
from .run.sampler import BatchSampler
from .run.sampler_of import inside, sampler_of

__all__ = ["check_ranks", "compare_loaders", "sampler_of"]


_SHARES = "the digest of the shares that were set"
_SAME_PLACE = "load the same state, and call set_epoch and seek alike, on every rank"
_WAYS_OUT = {
    "epoch": _SAME_PLACE,
    "batches_done": _SAME_PLACE,
    _SHARES: "call retarget with the same shares at the same step of every rank, or load one state on all of them",
}


def check_ranks(loader: Any, *, group: torch.distributed.ProcessGroup | None = None) -> None:
    """Check that all processes use the same plan and position; the error names what differs.

    Call it on every rank right before training. It gathers a few hundred bytes from each process; without a process
    group nothing is communicated.

    Args:
        loader: a `BatchSampler`, or a loader with one, also wrapped by a trainer.
        group: the processes that share the plan; all of them if left out.

    Raises:
        Infeasible: there is no sampler in the loader; or, on every rank, an argument of the plan, the accumulation, fetch,
            epoch or position differs, two processes have the same rank, a wrapper would take every world_size-th
            micro-batch a second time, or processes that hold parts of one model would train different batches. Those
            are found by the names of their group, such as that of a device mesh's dimension "tp", "cp" or "pp"; a dimension
            of all processes has no group of its own, and is not found.

    Example:
        >>> import batchwright as bw
        >>> bw.check_ranks(bw.shuffled(6, batch_size=2).sampler())
    """
    sampler, sharded_by = _found(loader)
    if has_process_group():
        _check(sampler, sharded_by, group, sampler.epoch, sampler.batches_done)


def compare_loaders(sampler: BatchSampler, wanted: bool | None, start: Position | None = None) -> None:
    """Check that the loaders of all processes share one plan, and that their loops begin at the same place.

    Args:
        sampler: the loader's.
        wanted: whether the user wants it; None leaves it out where rank and world size were passed and the process group has
            another size: an evaluation on one rank, groups of processes with a plan each, a rank that is only simulated.
        start: where the loop began; None when the loader is made. With ranks that were passed, only loops are compared
            unless it is wanted: one process may make the loaders of all ranks.

    Raises:
        Infeasible: as `check_ranks`, or not all processes came within five minutes.

    Warns:
        PoorWarning: the ranks that were passed are of a larger world than there are processes.
    """
    if wanted is False or not has_process_group():
        return
    count = ranks()[1]
    if wanted is None and not sampler.follows_group:
        if start is None or sampler.world_size < count:
            return
        if sampler.world_size > count:
            warn(
                f"the loader was made for rank {sampler.rank} of {sampler.world_size}, and there are {count} processes: "
                f"{sampler.world_size - count} of {sampler.world_size} micro-batches reach none of them; leave rank and "
                "world_size out, or pass compare_ranks=False if these ranks are only simulated."
            )
            return
    _refuse_absence(meet(), count, "have made" if start is None else "loop over")
    if start is None:
        _check(sampler, [], None, sampler.epoch, sampler.batches_done)
    else:
        _check(sampler, [], None, start.epoch, start.consumed // sampler.fetched_by_all)


def _refuse_absence(came: int, count: int, did: str) -> None:
    """Refuse a loader that only some of the processes use."""
    if came < count:
        raise Infeasible(
            f"{came} of {count} processes {did} this loader, and the others did not come to compare theirs",
            "do it on every process; if one process is to have all batches, pass rank=0, world_size=1, and if it simulates "
            "others, compare_ranks=False",
        )


def _check(
    sampler: BatchSampler,
    sharded_by: list[str],
    group: torch.distributed.ProcessGroup | None,
    epoch: int,
    batches_done: int,
) -> None:
    description = {
        **{f"{name} of the plan": value for name, value in sampler.plan.identity.items()},
        "accumulate": str(sampler.accumulate),
        "fetch": str(sampler.fetch),
        _SHARES: _digest(sampler.plan.share_changes),
        "world_size": str(sampler.world_size),
        "epoch": str(epoch),
        "batches_done": str(batches_done),
    }
    processes = gathered((this_process(), sampler.rank, description, model_groups()), group)
    taken = {process: rank for process, rank, _, _ in processes}
    _refuse_differences([described for _, _, described, _ in processes])
    if not sampler.of_mesh:  # else the user has said what is data-parallel
        _refuse_parts_of_a_model_apart(taken, [groups for _, _, _, groups in processes])
    _refuse_wrong_shares(list(taken.values()), sampler, sharded_by)


def _digest(share_changes: Sequence[ShareChange]) -> str:
    """Few letters for the shares that `retarget` set; those of thousands of groups are not sent around."""
    if not share_changes:
        return "none"
    return hashlib.blake2b(repr([change.as_list() for change in share_changes]).encode(), digest_size=4).hexdigest()


def _found(loader: Any) -> tuple[BatchSampler, list[str]]:
    """The sampler in a loader, and the names of the wrappers around it that give each process only some of its batches."""
    sampler = sampler_of(loader)
    if sampler is None:
        raise Infeasible(
            f"no batchwright sampler inside {type(loader).__name__}",
            "pass a loader made with batch_sampler=plan.sampler()",
        )
    inner, sharded_by = loader, []
    while inner is not sampler:
        if getattr(inner, "num_processes", 1) > 1:  # accelerate's BatchSamplerShard
            sharded_by.append(type(inner).__name__)
        inner = inside(inner)
    return sampler, sharded_by


def _refuse_differences(described: list[dict[str, str]]) -> None:
    """Refuse processes whose plans or positions differ from those of the first. All processes see the same, so all raise."""
    first = described[0]
    for process, other in enumerate(described):
        for name in first | other:
            if without_spelling(first.get(name, "")) != without_spelling(other.get(name, "")):
                raise Infeasible(
                    f"{name} is {first.get(name)} on process 0 and {other.get(name)} on process {process}",
                    _WAYS_OUT.get(name, "build the plan and its sampler from the same arguments on every rank"),
                )


def _refuse_parts_of_a_model_apart(ranks: dict[int, int], groups: list[list[tuple[str, list[int]]]]) -> None:
    """Refuse processes over which a model is split and that take different micro-batches."""
    for name, members in (found for of_process in groups for found in of_process):
        here = [process for process in members if process in ranks]
        taken = [ranks[process] for process in here]
        if len(set(taken)) > 1:
            raise Infeasible(
                f"processes {listed(here)} hold parts of one model, by their group {name!r}, and take the micro-batches of "
                f"ranks {listed(taken)}",
                'pass mesh=, the device mesh, and dims=, the names of its data-parallel dimensions such as ("dp",)',
            )


def _refuse_wrong_shares(ranks: list[int], sampler: BatchSampler, sharded_by: list[str]) -> None:
    """Refuse two processes with the same share of the micro-batches, or a share that a wrapper divides once more."""
    processes, world_size = len(ranks), sampler.world_size
    if sharded_by and world_size > 1:
        raise Infeasible(
            f"the sampler takes 1 of {world_size} micro-batches, {sharded_by[0]} 1 of {processes} of those",
            "let batchwright's adapter for this trainer prepare the loader",
        )
    if sharded_by:  # the wrapper divides the batches of a sampler that takes all of them
        return
    # A part of a mesh does not know how many processes there are beside it.
    copies = processes // world_size if sampler.of_mesh else 1
    if sorted(ranks) != [rank for rank in range(world_size) for _ in range(copies)]:
        raise Infeasible(
            f"{processes} processes take the shares of ranks {ranks} of a world of {world_size}",
            "leave rank and world_size out, or pass those of the process group",
        )
