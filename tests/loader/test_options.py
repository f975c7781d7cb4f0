"""What `plan.loader` takes: data sets, `collate`, `device`, workers, and whether ranks are compared."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from ..processes import Gang
from .datasets import Numbers, NumbersByList
from .small import COUNT, EXPECTED, PLAN, batches, made

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores


def test_lists_at_once_for_data_sets_that_read_so():
    loader = PLAN.loader(NumbersByList(COUNT), num_workers=2)
    assert batches(loader) == [[-sample for sample in batch] for batch in EXPECTED[0]]


def test_collate_and_device():
    loader = made(collate=lambda samples: {"sample": torch.tensor(samples)}, device="cpu")
    assert [batch["sample"].tolist() for batch in loader] == EXPECTED[0]
    assert batches(PLAN.loader(Numbers(COUNT), num_workers=0, collate_fn=torch.tensor)) == EXPECTED[0]
    meta = PLAN.loader(Numbers(COUNT), num_workers=0, device="meta")
    assert {batch.device.type for batch in meta} == {"meta"}


IN_MEMORY = torch.utils.data.TensorDataset(torch.arange(COUNT))


@given(cpus=st.integers(1, 300), ranks=st.integers(1, 16), said=st.booleans(), linux=st.booleans())
def test_workers_fit_the_cpus_that_the_processes_of_a_machine_share(cpus, ranks, said, linux):
    with pytest.MonkeyPatch.context() as machine:
        if linux:
            machine.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)
        else:  # Python does not say there which CPUs a process may use
            machine.delattr(os, "sched_getaffinity", raising=False)
            machine.setattr(os, "cpu_count", lambda: cpus)
        machine.delenv("LOCAL_WORLD_SIZE", raising=False)
        if said:  # as torchrun does
            machine.setenv("LOCAL_WORLD_SIZE", str(ranks))
        workers = PLAN.loader(Numbers(COUNT)).num_workers
        assert PLAN.loader(IN_MEMORY).num_workers == 0  # reading costs nothing
        assert PLAN.loader(Numbers(COUNT), num_workers=3).num_workers == 3
    each = cpus // (ranks if said else 1)
    assert workers == (0 if each < 2 else min(each, 8))  # one worker beside a process that trains helps little


def test_without_forks_no_worker_is_started_unasked():
    code = (
        "import multiprocessing, batchwright as bw; multiprocessing.set_start_method('spawn')\n"
        "print([bw.shuffled(4, 2).loader(range(4), **options)._loader.persistent_workers"
        " for options in ({}, {'num_workers': 1}, {'num_workers': 1, 'persistent_workers': False})],"
        " bw.shuffled(4, 2).loader(range(4)).num_workers)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "[False, True, False] 0\n"


def test_reading_ahead_and_pinning_are_those_of_torch_unless_said():
    """Two batches a worker; page-locked memory where there is a GPU to copy to."""
    for workers, ahead in ((0, None), (1, 2), (3, 2)):
        loader = made(num_workers=workers)
        assert (loader.prefetch_factor, loader.pin_memory) == (ahead, torch.cuda.is_available())
    assert made(num_workers=1, prefetch_factor=5).prefetch_factor == 5
    assert not made(pin_memory=False).pin_memory
    if torch.cuda.is_available():
        for loader in (made(), made(num_workers=1)):
            assert all(batch.is_pinned() for batch in loader)


class Asked(Numbers):
    """Counts, over all workers, how many samples were read."""

    def __init__(self, count):
        super().__init__(count)
        self.read = torch.zeros(1, dtype=torch.int64).share_memory_()

    def __getitem__(self, index):
        self.read += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_worker_reads_as_far_ahead_as_it_is_told(ahead):
    """However long the loop takes for its first batch; the position counts what the loop has."""
    asked = Asked(COUNT)
    loader = PLAN.loader(asked, num_workers=1, prefetch_factor=ahead)
    batches = iter(loader)
    next(batches)
    until = time.monotonic() + 60
    while (read := int(asked.read)) < 4 * (1 + ahead) and time.monotonic() < until:
        time.sleep(0.01)
    assert read == 4 * (1 + ahead)
    assert loader.batches_done == 1


def _compare(rank, seeds):
    loader = bw.shuffled(40, 2, seed=seeds[rank]).loader(Numbers(40), num_workers=0)
    return sum(len(batch) for batch in loader)


def _look_alone(rank):
    loader = bw.shuffled(40, 2).loader(Numbers(40), num_workers=0)
    if rank == 0:
        next(iter(loader))
    return sum(len(batch) for batch in loader)


def _uncompared(rank):
    return sum(len(batch) for batch in bw.shuffled(40, 2, seed=rank).loader(Numbers(40), compare_ranks=False))


def _one_after_the_other(rank, world_size):
    """One gang does all: to start one costs more than they do."""
    counts = [_compare(rank, [1, 1]), _look_alone(rank), _uncompared(rank)]
    with pytest.raises(bw.Infeasible, match="seed of the plan is 1 on process 0 and 2 on process 1"):
        _compare(rank, [1, 2])
    return counts


def test_ranks_are_compared_once():
    assert Gang(_one_after_the_other, 2).results() == [[20, 20, 20]] * 2


def test_wrong_values_are_refused_by_name():
    for options, name in [
        ({"num_workers": -1}, "num_workers"),
        ({"on_error": "ignore"}, "on_error"),
        ({"seeded": "yes"}, "seeded"),
        ({"max_errors": 0.5}, "max_errors"),
        ({"compare_ranks": 2}, "compare_ranks"),
    ]:
        with pytest.raises(bw.Infeasible, match=name):
            made(**options)


OWN = [name for name in inspect.signature(PLAN.loader).parameters if name not in ("dataset", "options")]


@pytest.mark.parametrize("name", OWN)
def test_every_argument_is_recognised_when_it_is_misspelt(name):
    with pytest.raises(bw.Infeasible) as refusal:
        made(**{f"{name}s": 1})
    assert f"(did you mean '{name}'?)" in str(refusal.value)
