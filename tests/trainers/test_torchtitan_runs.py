"""torchtitan's own trainer, on gloo: whole, killed and resumed; the optimizer sees the plan.

In an environment of its own (`make test-trainers`), beside the others of torchtitan.
"""

from __future__ import annotations

from collections import Counter

import pytest

from .. import processes
from . import recorder
from .packs import LENGTHS, plan
from .recorder import Life
from .test_kills import survive
from .test_runs import live

processes.preload("tests.trainers.programs.torchtitan")


def lived(folder, *lives, **shared):
    """Each life is `(world, accumulate, workers, dies_after)`."""
    for number, (world, accumulate, workers, dies_after) in enumerate(lives):
        life = Life(str(folder), number, accumulate=accumulate, workers=workers, dies_after=dies_after, **shared)
        live("torchtitan", world, life)


def times_trained(folder):
    """Hold each life against a sampler that resumes where those before it had come; gives how often each document came."""
    ranks = [recorder.lives(folder, rank) for rank in range(4)]
    begun = [header["from"] for header, _ in ranks[0].values()]
    state, times = {}, Counter()
    for number, (header, steps) in ranks[0].items():
        world, accumulate = header["world"], header["accumulate"]
        sampler = plan().sampler(rank=0, world_size=1, accumulate=world * accumulate)
        sampler.load_state_dict(state)
        upcoming = (batch for _ in range(10) for batch in sampler)
        kept = begun[number + 1] - begun[number] if number + 1 in ranks[0] else len(steps)
        for step in range(len(steps)):
            expected = [next(upcoming) for _ in range(world * accumulate)]
            for rank in range(world):
                _, own = ranks[rank][number]
                assert step >= len(own) or own[step] == expected[rank::world], f"life {number} rank {rank} step {step}"
            if step < kept:
                state = sampler.state_dict()
                times.update(document for batch in expected for document in batch)
    return times


def test_finite_data_go_on_on_two_processes_and_end_with_a_whole_step(tmp_path):
    """Of 15 micro-batches 4 were trained on, and each rank has 6 more: the trainer would cancel the second step of four."""
    lived(tmp_path, (1, 1, 0, 5), (2, 4, 1, 0), epochs=1, checkpoint_every=2)
    assert len(times_trained(tmp_path)) == len(LENGTHS)
    assert [len(recorder.lives(tmp_path, rank)[1][1]) for rank in range(2)] == [2, 2]


@pytest.mark.long
def test_goes_on_over_epochs_and_in_other_worlds(tmp_path):
    """From within an epoch, its last step, and its end; another accumulation, and workers."""
    lived(tmp_path, (1, 1, 0, 16), (2, 2, 1, 4), (4, 1, 0, 4), (1, 1, 1, 0), epochs=4)
    times = times_trained(tmp_path)
    assert len(times) == len(LENGTHS)
    assert max(times.values()) - min(times.values()) <= 1


@pytest.mark.long
@pytest.mark.parametrize("world", [1, 2])
def test_survives_ten_kills(world, tmp_path):
    survive("torchtitan", world, 10, tmp_path, plan())
    assert len(recorder.check(tmp_path, plan().stepped(world))) == 11


@pytest.mark.long
def test_processes_that_hold_parts_of_one_model_get_the_same_documents(tmp_path):
    """Four processes are two ranks: the first two of them hold one model."""
    live("torchtitan_parts", 4, Life(str(tmp_path), epochs=1))
    seen = [recorder.lives(tmp_path, process)[0][1] for process in range(4)]
    whole = plan().stepped(2)
    ranks = [[[whole[step * 2 + rank].tolist()] for step in range(8)] for rank in range(2)]
    assert seen == [ranks[0], ranks[0], ranks[1], ranks[1]]
