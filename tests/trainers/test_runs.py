"""Every trainer, in one process and two, whole, resumed, and gone on with elsewhere: the optimizer sees the plan."""

from __future__ import annotations

import pytest

from .. import processes
from . import programs, recorder
from .recorder import Life

TRAINERS = ["loader", "plain", "stateful", "accelerate", "transformers", "lightning", "ignite"]
ALONE = ["accelerate_alone", "transformers_alone", "lightning_alone", "ignite_alone"]
"""With `plan.loader` and without an adapter."""
every_trainer = pytest.mark.parametrize("trainer", TRAINERS)


def live(trainer, world, life):
    """One life, to its end or to the death it is to die."""
    gang = processes.Gang(programs.train, world, trainer, life)
    if life.dies_after:
        gang.kills_itself()
    else:
        gang.results()


def goes_on_from_the_end_of_an_epoch(trainer, folder, workers):
    """Lives on one process, on two with accumulation, and on one: the first ends with an epoch, the second within one."""
    for number, (world, accumulate, dies_after) in enumerate([(1, 1, 26), (2, 2, 6), (1, 1, 0)]):
        life = Life(str(folder), number, 3, accumulate, workers[number], checkpoint_every=5, dies_after=dies_after)
        live(trainer, world, life)
    assert recorder.check(folder)[:2] == [26, 6]


@every_trainer
@pytest.mark.parametrize("world", [1, 2])
def test_epochs_come_in_the_plans_order(trainer, world, tmp_path):
    live(trainer, world, Life(str(tmp_path)))
    assert recorder.check(tmp_path) == [3 * -(-25 // world)]


@every_trainer
@pytest.mark.parametrize("world", [1, 2])
def test_goes_on_in_mid_epoch(trainer, world, tmp_path):
    for number, dies_after in enumerate((4, 16 // world, 0)):
        live(trainer, world, Life(str(tmp_path), number, dies_after=dies_after, accumulate=2))
    assert len(recorder.check(tmp_path)) == 3


@every_trainer
@pytest.mark.parametrize("workers", [0, 2])
def test_goes_on_from_the_end_of_an_epoch_and_soon_again_twice(trainer, workers, tmp_path):
    for number, dies_after in enumerate((26, 7, 7, 0)):
        life = Life(str(tmp_path), number, checkpoint_every=5, dies_after=dies_after, workers=workers)
        live(trainer, 1, life)
    assert recorder.check(tmp_path) == [26, 7, 7, 40]


@every_trainer
@pytest.mark.parametrize("world", [1, 2])
def test_workers_that_draw_ahead_do_not_matter(trainer, world, tmp_path):
    for number, dies_after in enumerate((26 // world, 0)):
        live(trainer, world, Life(str(tmp_path), number, dies_after=dies_after, workers=2, epochs=2))
    assert len(recorder.check(tmp_path)) == 2


@every_trainer
def test_goes_on_in_another_world(trainer, tmp_path):
    """One process, two, four, one; another accumulation and other workers on the way."""
    lives = [(1, 1, 0, 11), (2, 2, 0, 4), (4, 1, 0, 4), (1, 1, 1, 0)]
    for number, (world, accumulate, workers, dies_after) in enumerate(lives):
        life = Life(str(tmp_path), number, dies_after=dies_after, accumulate=accumulate, workers=workers)
        live(trainer, world, life)
    assert len(recorder.check(tmp_path)) == 4


@pytest.mark.parametrize("trainer", ALONE)
@pytest.mark.parametrize("world", [1, 2])
def test_without_an_adapter_the_same_world_goes_on(trainer, world, tmp_path):
    """In mid-epoch, from its end, and soon again; workers read ahead."""
    for number, dies_after in enumerate((4, 24 // world, 3, 0)):
        live(trainer, world, Life(str(tmp_path), number, dies_after=dies_after, checkpoint_every=2, workers=2))
    assert len(recorder.check(tmp_path)) == 4
