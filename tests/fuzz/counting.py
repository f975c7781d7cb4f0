"""Runs a plan through a story and counts what came: slow, obvious, and sharing no code with the audit.

A story is a list of legs. Each leg is a run of its own, in another world, that goes on from the state of the one before and
is then killed: nothing but the state, as JSON, is left of it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

Batches = list[list[Any]]


def delivered(plan: Any, story: Sequence[tuple[Any, ...]]) -> Batches:
    """The micro-batches that all ranks together got, in order; of evaluation without the fillers.

    Args:
        plan: the plan.
        story: for each leg the world size, the accumulation, what is fetched at once, the steps, and shares that are set
            after them, or None.
    """
    given: Batches = []
    state: dict[str, Any] = {}
    for world, accumulate, fetch, steps, shares in story:
        samplers = [
            plan.sampler(rank=rank, world_size=world, accumulate=accumulate, fetch=fetch) for rank in range(world)
        ]
        for sampler in samplers:
            sampler.load_state_dict(json.loads(json.dumps(state)))
        taken, together = 0, {"micro": 1, "step": accumulate}.get(fetch, fetch)
        for _ in range(1000):
            if taken == steps:
                break
            epoch, begun = samplers[0].epoch, samplers[0].batches_done
            length = len(samplers[0])
            assert {(one.epoch, one.batches_done, len(one)) for one in samplers} == {(epoch, begun, length)}
            number = begun
            for lists in zip(*samplers, strict=True):
                given += in_order(lists, together, [one.real(number, epoch=epoch) for one in samplers])
                number, taken = number + 1, taken + 1
                if taken == steps:
                    break
            else:
                assert number == length, "an epoch has the length that it tells"
        else:
            raise AssertionError("a thousand epochs without a step")
        if shares is not None:
            for sampler in samplers:
                sampler.retarget(shares)
        states = [sampler.state_dict() for sampler in samplers]
        assert all(other == states[0] for other in states), "the ranks have one state"
        state = states[0]
    return given


def in_order(lists: Sequence[list[Any]], together: int, real: list[int]) -> Batches:
    """Micro-batches in the order of the plan, from what each rank fetched."""
    if together == 1:
        return [one[:count] for one, count in zip(lists, real, strict=True)]
    size = len(lists[0]) // together
    assert {len(one) for one in lists} == {size * together}
    return [one[size * at : size * (at + 1)] for at in range(together) for one in lists]


def sizes(batches: Batches, size: int) -> None:
    assert {len(batch) for batch in batches} <= {size}


def samples_of(batches: Batches, count: int) -> None:
    assert all(type(sample) is int and 0 <= sample < count for batch in batches for sample in batch)


def quotas(batches: Batches, groups: Sequence[int], shares: Sequence[float], size: int, per: int = 1) -> None:
    """In each micro-batch each group has its quota, rounded down or up; and over any number of them it lacks 6 at most."""
    due = [share * size / per for share in shares]
    drawn = [0] * len(due)
    for number, batch in enumerate(batches, 1):
        had = Counter(groups[sample] for sample in batch)
        for group, quota in enumerate(due):
            tickets, rest = divmod(had[group], per)
            assert rest == 0, f"micro-batch {number - 1}: group {group} has {had[group]} samples"
            assert math.floor(quota + 1e-6) <= tickets <= math.ceil(quota - 1e-6), (number - 1, group, tickets, quota)
            drawn[group] += tickets
            assert abs(drawn[group] - number * quota) <= 6 + 1e-6, (number - 1, group, drawn[group], number * quota)


def coverage(batches: Batches, groups: Sequence[int]) -> None:
    """The samples of a group were drawn equally often, or differ by one."""
    times = Counter(sample for batch in batches for sample in batch)
    for group in set(groups):
        found = {times[sample] for sample, own in enumerate(groups) if own == group}
        assert max(found) - min(found) <= 1, (group, found)


def once(batches: Batches, everything: Sequence[int], repeats: int = 1) -> None:
    """Every sample comes once, or as often as it has pieces, before any comes again."""
    wanted = Counter(dict.fromkeys(everything, repeats))
    gone: Counter[int] = Counter()
    for batch in batches:
        gone.update(batch)
        if gone.total() >= wanted.total():
            assert gone == wanted, "an epoch has all samples, and a micro-batch does not go on into the next"
            gone = Counter()
    assert not gone - wanted


def sequence(batches: Batches, order: Sequence[int]) -> None:
    """Whole passes of an order, one after the other."""
    flat = [sample for batch in batches for sample in batch]
    assert flat == (list(order) * (1 + len(flat) // len(order)))[: len(flat)]


def few_shards(batches: Batches, shard_sizes: Sequence[int], most: int, start: int = 0) -> None:
    """Every micro-batch has samples of a few shards, which begin at sample `start`."""
    shard_of = [shard for shard, size in enumerate(shard_sizes) for _ in range(size)]
    for batch in batches:
        read = {shard_of[sample - start] for sample in batch if start <= sample < start + len(shard_of)}
        assert len(read) <= most, (batch, read)


def within(batches: Batches, lengths: Sequence[int], most: float, *, padded: bool, samples: int | None) -> None:
    for batch in batches:
        found = [lengths[sample] for sample in batch]
        assert found
        assert (max(found) * len(found) if padded else sum(found)) <= most, (batch, found)
        assert samples is None or len(batch) <= samples


def packs(plan: Any, batches: Batches, lengths: Sequence[int], capacity: int, count: int, each: int | None) -> None:
    for batch in batches:
        parts = [part.tolist() for part in plan.packs(batch)]
        assert [sample for part in parts for sample in part] == batch
        assert len(parts) <= count
        assert all(sum(lengths[sample] for sample in part) <= capacity for part in parts)
        assert each is None or all(len(part) <= each for part in parts)


def nested(batches: Batches, levels: Sequence[Sequence[int]], per: Sequence[int]) -> None:
    """Every micro-batch has so many groups, each so many groups within it, each so many samples."""
    for batch in batches:
        tree: dict[Any, Any] = {}
        for sample in batch:
            branch = tree
            for level in levels:
                branch = branch.setdefault(level[sample], {})
            branch[len(branch)] = sample
        widths: list[set[int]] = [set() for _ in per]

        def walk(branch: dict[Any, Any], depth: int, widths: list[set[int]] = widths) -> None:
            widths[depth].add(len(branch))
            for inner in branch.values():
                if isinstance(inner, dict):
                    walk(inner, depth + 1)

        walk(tree, 0)
        assert [{width} for width in per] == widths, (batch, widths)


def cohort(batches: Batches, groups: Sequence[int], cohorts: Sequence[Sequence[int]], per_class: int) -> None:
    """Every micro-batch has the classes of one cohort, equally many samples of each."""
    for batch in batches:
        had = Counter(groups[sample] for sample in batch)
        assert sorted(had) in [sorted(one) for one in cohorts], (batch, had)
        assert set(had.values()) == {per_class}


def turns(batches: Batches, children: dict[str, Any], starts: Sequence[int]) -> None:
    """Every micro-batch is the next of one of the tasks."""
    had = [0] * len(children)
    for batch in batches:
        next_ones = [child[had[at]] + starts[at] for at, child in enumerate(children.values())]
        (task,) = (at for at, one in enumerate(next_ones) if one.tolist() == batch)
        had[task] += 1


def parts(plan: Any, lengths: Sequence[int], tokens_per_rank: int) -> None:
    """Of a plan that divides long samples: an epoch has each once, and no rank runs more tokens at once than it can."""
    times: Counter[int] = Counter()
    for step in range(plan.epoch_batches // plan.ranks):
        ranks_of: dict[int, list[int]] = {}
        groups: dict[int, tuple[int, ...]] = {}
        for rank in range(plan.ranks):
            for part in plan.parts(step, rank):
                assert rank in part.group
                tokens = sum(lengths[sample] for sample in part.samples.tolist())
                assert tokens / len(part.group) <= tokens_per_rank, (step, rank, part)
                for sample in part.samples.tolist():
                    ranks_of.setdefault(sample, []).append(rank)
                    groups.setdefault(sample, tuple(part.group))
        assert all(tuple(ranks) == groups[sample] for sample, ranks in ranks_of.items())
        assert sorted(ranks_of) == sorted(plan.samples(step).tolist())
        times.update(list(ranks_of))
    assert times == Counter(range(len(lengths)))


def shares_of(target: Any, counts: Sequence[int]) -> list[float] | None:
    """The shares of a target by its definition; None of one that is not defined here."""
    total = sum(counts)
    if isinstance(target, dict):
        return [target[group] / sum(target.values()) for group in range(len(counts))]
    weights = {
        "uniform": [1.0] * len(counts),
        "natural": [float(count) for count in counts],
        "sqrt": [math.sqrt(count) for count in counts],
    }.get(target if isinstance(target, str) else "")
    if isinstance(target, float):
        weights = [(1 - target) * count / total + target / len(counts) for count in counts]
    if isinstance(target, tuple) and target[0] == "power":
        weights = [count ** target[1] for count in counts]
    return None if weights is None else [weight / sum(weights) for weight in weights]


LAWS = {
    law.__name__: law
    for law in (
        *(delivered, samples_of, sizes, quotas, coverage, once, sequence, within, packs, nested, cohort, turns, parts),
        few_shards,
        shares_of,
    )
}
"""What a program may name."""
