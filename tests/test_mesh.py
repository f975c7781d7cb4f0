"""Ranks of a device mesh: processes that share a data-parallel rank get the same batches."""

from __future__ import annotations

import pytest

import batchwright as bw

from .loader.datasets import Numbers
from .processes import Gang, preload

preload("torch.distributed.device_mesh")


def _lists(rank, world_size, shape, names, dims):
    from torch.distributed.device_mesh import init_device_mesh

    mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
    plan = bw.shuffled(40, 2, seed=1)
    sampler = plan.sampler(mesh=mesh, dims=dims)
    loader = plan.loader(Numbers(40), mesh=mesh, dims=dims, num_workers=0)  # compares the ranks
    assert list(sampler) == [batch.tolist() for batch in loader]
    return sampler.rank, sampler.world_size, sampler.copies, list(plan.sampler(mesh=mesh, dims=dims))


@pytest.mark.parametrize(
    ("shape", "names", "dims", "ranks"),
    [
        ((4,), ("dp",), None, [0, 1, 2, 3]),
        ((2, 2), ("dp", "tp"), ("dp",), [0, 0, 1, 1]),
        ((2, 2), ("pp", "dp"), ("dp",), [0, 1, 0, 1]),
        ((2, 2), ("dp_replicate", "dp_shard"), ("dp_replicate", "dp_shard"), [0, 1, 2, 3]),
        ((2, 2), ("dp_replicate", "dp_shard"), ("dp_shard", "dp_replicate"), [0, 2, 1, 3]),
    ],
)
def test_ranks_of_a_mesh(shape, names, dims, ranks):
    found = Gang(_lists, 4, shape, names, dims).results()
    assert [rank for rank, _, _, _ in found] == ranks
    assert {world_size for _, world_size, _, _ in found} == {len(set(ranks))}
    assert {copies for _, _, copies, _ in found} == {4 // len(set(ranks))}
    by_rank = {rank: lists for rank, _, _, lists in found}
    assert all(lists == by_rank[rank] for rank, _, _, lists in found)
    assert sorted(sample for lists in by_rank.values() for samples in lists for sample in samples) == list(range(40))


def _refusals(rank, world_size):
    from torch.distributed.device_mesh import init_device_mesh

    mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("dp", "tp"))
    plan = bw.shuffled(40, 2)
    told = []
    for options in (
        {"mesh": mesh},
        {"mesh": mesh, "dims": ("data",)},
        {"mesh": mesh, "dims": ()},
        {"mesh": mesh, "dims": "dp"},
        {"mesh": mesh, "dims": ("dp", "dp")},
        {"mesh": mesh, "dims": ("dp",), "rank": 0, "world_size": 1},
        {"dims": ("dp",)},
    ):
        with pytest.raises(bw.Infeasible) as refusal:
            plan.sampler(**options)
        told.append(str(refusal.value))
    assert len(plan.sampler(mesh=mesh, dims=("dp",))) == len(plan.sampler(mesh=mesh["dp"])) == 20
    return told


def test_what_a_mesh_cannot_mean_is_refused():
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        told = _refusals(0, 1)
    finally:
        dist.destroy_process_group()
    assert "has dimensions dp, tp, and none is named as data-parallel" in told[0]
    assert all("dims is " in text for text in told[1:5])
    assert "pass the mesh alone" in told[5]
    assert "without a mesh" in told[6]
