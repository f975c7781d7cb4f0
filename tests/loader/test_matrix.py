"""torch's own DataLoader: the micro-batches are the plan's whatever the loader's settings are."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from .. import laws
from .datasets import Numbers, NumbersByList, seed_worker
from .small import COUNT, EPOCHS, EXPECTED, PLAN, batches

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores

SETTINGS = {
    "no workers": {},
    "own generator": {"generator": torch.Generator().manual_seed(5)},
    "one worker": {"num_workers": 1},
    "three workers": {"num_workers": 3},
    "three that stay": {"num_workers": 3, "persistent_workers": True},
    "hardly ahead": {"num_workers": 2, "prefetch_factor": 1},
    "an epoch ahead": {"num_workers": 2, "prefetch_factor": 16},
    "ahead and staying": {"num_workers": 2, "prefetch_factor": 16, "persistent_workers": True},
    "seeded and timed": {"num_workers": 2, "worker_init_fn": seed_worker, "timeout": 60},
    "forked": {"num_workers": 2, "multiprocessing_context": "fork"},
    "spawned": {"num_workers": 2, "multiprocessing_context": "spawn", "persistent_workers": True},
    "forkserver": {"num_workers": 1, "multiprocessing_context": "forkserver", "persistent_workers": True},
}


def batches_until_error(loader):
    seen = []
    try:
        for batch in loader:
            seen.append(batch.tolist())
    except OSError as error:
        return seen, str(error)
    return seen, ""


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_same_under_every_setting(settings):
    loader = DataLoader(Numbers(COUNT), batch_sampler=PLAN.sampler(), **settings)
    assert len(loader) == len(EXPECTED[0])
    assert [batches(loader) for _ in range(EPOCHS)] == EXPECTED


@pytest.mark.filterwarnings("ignore:the shards are divided:batchwright.PoorWarning")  # among several ranks
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", laws.EVERY_PLAN)
def test_the_same_for_every_plan(kind, workers):
    plan = laws.EVERY_PLAN[kind](7)
    loader = DataLoader(Numbers(10_000), batch_sampler=plan.sampler(), num_workers=workers)
    assert [batches(loader) for _ in range(2)] == [[b.tolist() for b in plan.epoch(epoch)] for epoch in range(2)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataset_that_takes_lists_may_change_them(workers):
    loader = DataLoader(NumbersByList(COUNT), batch_sampler=PLAN.sampler(), num_workers=workers)
    assert [batches(loader) for _ in range(EPOCHS)] == [[[-i for i in b] for b in epoch] for epoch in EXPECTED]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator is found:UserWarning")
def test_pinning_changes_nothing(workers):
    """Without an accelerator torch warns and pins nothing."""
    loader = DataLoader(Numbers(COUNT), batch_sampler=PLAN.sampler(), pin_memory=True, num_workers=workers)
    for expected in EXPECTED:
        pinned = list(loader)
        assert [batch.tolist() for batch in pinned] == expected
        assert {batch.is_pinned() for batch in pinned} == {torch.accelerator.is_available()}


@pytest.mark.parametrize("settings", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}])
def test_an_error_in_the_dataset_reaches_the_user_and_the_run_can_go_on(settings):
    at = 11
    dataset = Numbers(COUNT, broken=EXPECTED[0][at][2])
    sampler = PLAN.sampler()
    loader = DataLoader(dataset, batch_sampler=sampler, **settings)
    seen, error = batches_until_error(loader)
    assert seen == EXPECTED[0][:at]
    assert f"sample {dataset.broken} cannot be read" in error
    sampler.seek(at + 1, epoch=0)
    assert batches(loader) == EXPECTED[0][at + 1 :]


@pytest.mark.parametrize("settings", [{}, {"num_workers": 2, "prefetch_factor": 8}])
def test_going_on_from_a_step_under_any_workers(settings):
    """The trainer's step is the position: workers have drawn ahead."""
    sampler = PLAN.sampler()
    loader = DataLoader(Numbers(COUNT), batch_sampler=sampler, **settings)
    steps = iter(loader)
    for _ in range(9):
        next(steps)
    state = sampler.state_at(9)
    del steps
    for workers in (0, 1, 3):
        again = PLAN.sampler()
        again.load_state_dict(state)
        loader = DataLoader(Numbers(COUNT), batch_sampler=again, num_workers=workers)
        assert [batches(loader), batches(loader)] == [EXPECTED[0][9:], EXPECTED[1]]
