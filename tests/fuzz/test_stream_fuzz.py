"""Streams of any kind over any source, through any story of readers and kills: what a slow count says, the streams keep."""

from __future__ import annotations

import math
from functools import partial

import pytest

import batchwright as bw

from . import stream_counting, stream_programs, stream_sources
from .running import outcome, run_programs
from .stream_kept import KEPT

WORKERS = (0, 1, 2)  # of a loader


def run(program: str) -> str:
    """Run a program; whether it was refused."""
    space = {
        "bw": bw,
        "inf": math.inf,
        "n": stream_sources.number_of,
        "S": partial(stream_sources.Samples, failed=set()),
        "StreamReport": bw.online.StreamReport,
        **stream_sources.SOURCES,
        **stream_counting.LAWS,
    }
    return outcome(program, space)


def run_kind(kind: str, count: int, workers: tuple[int, ...] = (0,)) -> None:
    """Run so many programs with a stream of this kind, whose loaders have so many workers."""
    run_programs(stream_programs.programs(kind, workers), count, run)


every_kind = pytest.mark.parametrize("kind", stream_programs.MAKERS)


@every_kind
def test_three_hundred_programs(kind):
    run_kind(kind, -(-280 // len(stream_programs.MAKERS)))


def test_twenty_programs_with_workers():
    run_kind("packed", 10, WORKERS)
    run_kind("mixed", 10, WORKERS)


@pytest.mark.long
@every_kind
def test_twenty_thousand_programs(kind):
    run_kind(kind, -(-19_000 // len(stream_programs.MAKERS)))


@pytest.mark.long
@every_kind
def test_a_thousand_programs_with_workers(kind):
    run_kind(kind, -(-1000 // len(stream_programs.MAKERS)), WORKERS)


def test_programs_that_once_failed():
    for name, program in KEPT.items():
        assert run(program) == "kept", name


def given_of(*batches: str, more: str = "") -> str:
    """The text of an epoch that one reader read to its end."""
    return f"[Epoch([{', '.join(f'Came(0, 0, {batch})' for batch in batches)}], {{0: (1, 0)}}, True{more})]"


REPORT = "StreamReport(read={read}, delivered=2, buffered={buffered}, seen={{0: 2}}, expected={{0: 3}}, had={{0: 2}})"
WRONG = [
    f"once({given_of('[0, 1]', '[1, 2]')}, range(3))",
    f"once({given_of('[0, 1]')}, range(3))",
    f"each_at_most_once({given_of('[0, 7]')}, range(3))",
    f"at_least_once({given_of('[0, 1, 1]')}, range(3))",
    f"counted({given_of('[0, 1]', more=', [' + REPORT.format(read=3, buffered=0) + ']')}, None)",
    f"counted({given_of('[0, 1]', more=', [' + REPORT.format(read=7, buffered=5) + ']')}, 4)",
    f"counted({given_of('[0, 1]', more=', [' + REPORT.format(read=2, buffered=0) + ']')}, None, skipped=1)",
    f"counted({given_of('[0]', more=', [' + REPORT.format(read=2, buffered=0) + ']')}, None)",
    f"accounted({given_of('[0, 1]', more=', [' + REPORT.format(read=2, buffered=0) + ']')}, range(3))",
    f"sizes({given_of('[0, 1]', '[2]')}, 2)",
    f"sizes({given_of('[0]', '[1, 2]')}, 2, last=True)",
    f"steps({given_of('[0]', '[1]')}, 3)",
    "steps([Epoch([Came(0, 0, [0])], {0: (2, 0)}, False)], 3)",
    f"budget({given_of('[2, 3]')}, n, 5, None)",
    f"budget({given_of('[2, 3]')}, n, None, 1)",
    f"packs({given_of('[2, 3], packs=[2]')}, n, 4, 1)",
    f"packs({given_of('[2, 3], packs=[1, 1]')}, n, 4, 1)",
    f"packs({given_of('[2, 3], packs=[1]')}, n, 4, 1)",
    f"grouped({given_of('[2, 3], [2, 2]')}, n)",
    f"quotas({given_of('[0, 1], [0, 0]')}, {{0: 0.5, 1: 0.5}}, 2)",
    f"quotas({given_of(*['[0, 1], [0, 1]'] * 50)}, {{0: 0.4, 1: 0.6}}, 2)",
    f"balances({given_of('[0, 1], [0, 0]', more=', [' + REPORT.format(read=2, buffered=0) + ']')}, {{0: 1}}, 2, 0)",
    f"mixture({given_of('[0, 1], [0, 0]')}, {{0: 0.4, 1: 0.6}}, {{0: range(9), 1: [9]}}, until_one_ends=False)",
    f"mixture({given_of('[0], [1]')}, {{0: 0.4, 1: 0.6}}, {{0: range(9), 1: [9]}}, until_one_ends=False)",
    f"units({given_of('[1, 2, 3], [0, 0, 0]')}, {{0: 0.5, 1: 0.5}}, lambda s: 9, 9, 9)",
    f"repeats_whole({given_of('[0, 1, 1], [0, 0, 0]')}, {{0: range(3)}})",
    f"even({given_of('[0, 1, 1, 0, 2, 0]')}, {{0: range(3)}})",
    f"prefix({given_of('[0, 1, 0]')})",
    f"prefix({given_of('[0, 2]', more=', [' + REPORT.format(read=2, buffered=0) + ']')})",
    f"failed({given_of('[0]')})",
    "fitting(lambda rank, world: bw.online.packed(Plain(S(0, 9)), length=n, capacity=9, rank=rank, world_size=world), "
    "[(2, 0, [[1, 1]], '')])",
    "streamed(lambda rank, world: bw.online.packed(Forgetting(S(0, 9)), length=lambda s: 1, capacity=1, buffer=1), "
    "[(1, 0, [[2]], 'again')])",
]


@pytest.mark.parametrize("wrong", WRONG)
def test_the_counting_sees_what_is_wrong(wrong):
    with pytest.raises(AssertionError):
        run(wrong)
