"""Streams that a composer would rather not meet: (sample number, label) pairs."""

from __future__ import annotations

import random
from collections.abc import Callable

Sample = tuple[int, int]


def _numbered(labels: list[int]) -> list[Sample]:
    return list(enumerate(labels))


def shuffled(count: int, groups: int, seed: int) -> list[Sample]:
    rng = random.Random(seed)
    return _numbered([rng.randrange(groups) for _ in range(count)])


def sorted_by_class(count: int, groups: int, seed: int) -> list[Sample]:
    return _numbered(sorted(label for _, label in shuffled(count, groups, seed)))


def one_only_at_the_end(count: int, groups: int, seed: int) -> list[Sample]:
    late = max(1, count // 20)
    early = [label for _, label in shuffled(count - late, max(1, groups - 1), seed)]
    return _numbered(early + [groups - 1] * late)


def bursts(count: int, groups: int, seed: int) -> list[Sample]:
    rng = random.Random(seed)
    labels: list[int] = []
    while len(labels) < count:
        labels += [rng.randrange(groups)] * rng.randrange(1, 60)
    return _numbered(labels[:count])


def heavy_tailed(count: int, groups: int, seed: int) -> list[Sample]:
    rng = random.Random(seed)
    return _numbered([min(groups - 1, int(rng.paretovariate(0.8)) - 1) for _ in range(count)])


def a_group_of_one(count: int, groups: int, seed: int) -> list[Sample]:
    samples = shuffled(count - 1, max(1, groups - 1), seed)
    labels = [label for _, label in samples]
    labels.insert(count // 2, groups - 1)
    return _numbered(labels)


ADVERSARIES: list[Callable[[int, int, int], list[Sample]]] = [
    shuffled,
    sorted_by_class,
    one_only_at_the_end,
    bursts,
    heavy_tailed,
    a_group_of_one,
]
