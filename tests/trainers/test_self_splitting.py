"""Data sets of MosaicML Streaming and LitData are recognised, and split by their own means over ranks and workers."""

from __future__ import annotations

from itertools import chain

import pytest

from batchwright import Infeasible, online
from batchwright.online.own_split import splits_itself

from .. import processes
from .programs import self_splitting as program

pytestmark = pytest.mark.filterwarnings("ignore")  # of these libraries' own

processes.preload("litdata", "transformers.feature_extraction_utils")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = str(tmp_path_factory.mktemp("self"))
    processes.run(_write, 1, made)
    return made


def _write(rank, world_size, folder):
    program.write(folder)


@pytest.fixture(scope="module", params=[1, 2])
def ranks(request, folder):
    return processes.run(program.read, request.param, folder)


@pytest.mark.parametrize("kind", ["mds", "litdata"])
def test_every_sample_comes_once_over_ranks_and_workers(ranks, kind):
    for workers in (0, 2):
        parts = [list(chain.from_iterable(rank[kind, workers])) for rank in ranks]
        assert sorted(chain.from_iterable(parts)) == list(range(program.COUNT)), workers
        assert {len(part) for part in parts} == {program.COUNT // len(ranks)}


@pytest.mark.parametrize("kind", ["mds", "litdata"])
def test_a_run_goes_on_where_it_stopped(ranks, kind):
    for rank in ranks:
        assert rank[kind, -1] == rank[kind, 0]


@pytest.mark.parametrize("kind", ["mds", "litdata"])
def test_a_rank_that_the_data_set_does_not_know_is_refused(folder, kind):
    (told,) = processes.run(_refused, 1, kind, folder)
    assert "splits itself and finds rank 0 of 1, and the stream has rank 1 of 2; start the ranks with torchrun" in told


def _refused(rank, world_size, kind, folder):
    source = program.source(kind, folder)
    assert splits_itself(source) == {"mds": "streaming", "litdata": "litdata"}[kind]
    with pytest.raises(Infeasible) as refused:
        next(iter(online.packed(source, length=len, capacity=5, rank=1, world_size=2)))
    return str(refused.value)
