"""Which ranks a loader compares, and when: in real processes."""

from __future__ import annotations

import pytest

from ..processes import run
from . import ranks


@pytest.fixture(scope="module")
def outcomes():
    return run(ranks.outcomes, 2)


@pytest.fixture
def said(outcomes):
    """What both ranks said in a case."""
    (first, _), (second, _) = outcomes
    return {name: (first[name], second[name]) for name in ranks.CASES}


@pytest.mark.parametrize(
    ("case", "batches"),
    [
        ("the group's ranks", 9),
        ("own ranks", 9),
        ("own ranks in another order", 9),
        ("one rank twice, as is wanted", 9),
        ("each a world of its own", 18),
        ("two ranks of four, simulated", 5),
    ],
)
def test_ranks_that_agree_or_are_not_compared_get_their_batches(said, case, batches):
    assert said[case] == (f"{batches} batches",) * 2


@pytest.mark.parametrize(
    ("case", "fact"),
    [
        ("the group's ranks, another seed", "seed of the plan is 0 on process 0 and 1 on process 1"),
        ("one rank twice", "2 processes take the shares of ranks [0, 0] of a world of 2"),
        ("own ranks, another seed", "seed of the plan is 0 on process 0 and 1 on process 1"),
        ("own ranks, another accumulation", "accumulate is 1 on process 0 and 2 on process 1"),
        ("each a world of its own, compared", "2 processes take the shares of ranks [0, 0] of a world of 1"),
        ("two ranks of four, compared", "2 processes take the shares of ranks [0, 1] of a world of 4"),
        ("a state on one process", "batches_done is 4 on process 0 and 0 on process 1; load the same state"),
        (
            "the state of the last batch but one on one process",
            "batches_done is 8 on process 0 and 0 on process 1; load the same state",
        ),
        ("the state of an ended epoch on one process", "epoch is 1 on process 0 and 0 on process 1; load the same"),
        (
            "other shares",
            "; call retarget with the same shares at the same step of every rank, or load one state on all",
        ),
        ("another place in the second epoch", "batches_done is 0 on process 0 and 2 on process 1; load the same state"),
    ],
)
def test_ranks_that_differ_are_refused_on_all_of_them(said, case, fact):
    first, second = said[case]
    assert first == second
    assert fact in first


def test_ranks_of_a_larger_world_than_there_are_processes_are_told(said):
    for rank, told in enumerate(said["two ranks of four"]):
        assert told.startswith(
            f"5 batches the loader was made for rank {rank} of 4, and there are 2 processes: 2 of 4 "
        )


def test_a_process_that_compares_alone_is_refused_and_does_not_wait_for_ever(outcomes):
    (_, first), (_, second) = outcomes
    told = "1 of 2 processes loop over this loader, and the others did not come to compare theirs"
    assert first["own ranks"].startswith(told)
    assert first["own ranks of other worlds"].startswith(told)
    assert first["the group's ranks"].startswith("1 of 2 processes have made this loader, and the others did not come")
    assert second["own ranks"] == second["the group's ranks"] == "0 batches"
    assert "made for rank 1 of 4, and there are 2 processes" in second["own ranks of other worlds"]
