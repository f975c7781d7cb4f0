"""Ranks of a device mesh: processes that share a data-parallel rank get the same batches."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import batchwright as bw
from batchwright.distributed import gathered, summed

from .loader.datasets import Numbers
from .processes import Gang, preload

preload("torch.distributed.device_mesh")


MESHES = [
    ((4,), ("dp",), None, [0, 1, 2, 3]),
    ((2, 2), ("dp", "tp"), ("dp",), [0, 0, 1, 1]),
    ((2, 2), ("pp", "dp"), ("dp",), [0, 1, 0, 1]),
    ((2, 2), ("dp_replicate", "dp_shard"), ("dp_replicate", "dp_shard"), [0, 1, 2, 3]),
    ((2, 2), ("dp_replicate", "dp_shard"), ("dp_shard", "dp_replicate"), [0, 2, 1, 3]),
]


def _lists_of_all(rank, world_size):
    return [_lists(shape, names, dims) for shape, names, dims, _ in MESHES]


def _lists(shape, names, dims):
    from torch.distributed.device_mesh import init_device_mesh

    mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
    plan = bw.shuffled(40, 2, seed=1)
    sampler = plan.sampler(mesh=mesh, dims=dims)
    loader = plan.loader(Numbers(40), mesh=mesh, dims=dims, num_workers=0)  # compares the ranks
    assert list(sampler) == [batch.tolist() for batch in loader]
    return sampler.rank, sampler.world_size, sampler.copies, list(plan.sampler(mesh=mesh, dims=dims))


def test_ranks_of_a_mesh():
    on_ranks = Gang(_lists_of_all, 4).results()
    for (shape, names, dims, ranks), found in zip(MESHES, zip(*on_ranks, strict=True), strict=True):
        assert [rank for rank, _, _, _ in found] == ranks, (shape, names, dims)
        assert {world_size for _, world_size, _, _ in found} == {len(set(ranks))}
        assert {copies for _, _, copies, _ in found} == {4 // len(set(ranks))}
        by_rank = {rank: lists for rank, _, _, lists in found}
        assert all(lists == by_rank[rank] for rank, _, _, lists in found)
        every = sorted(sample for lists in by_rank.values() for samples in lists for sample in samples)
        assert every == list(range(40))


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


SHAPES = {
    4: [((2, 2), ("dp", "tp"), ("dp",)), ((2, 2), ("pp", "dp"), ("dp",))],
    8: [
        ((1, 2, 2, 2), ("pp", "dp", "cp", "tp"), ("dp",)),
        ((2, 1, 2, 1, 2), ("pp", "dp_replicate", "dp_shard", "cp", "tp"), ("dp_replicate", "dp_shard")),  # torchtitan's
        ((2, 2, 2), ("dp_replicate", "dp_shard", "tp"), ("dp_replicate", "dp_shard")),
    ],
}


def _everything_on(rank, world_size):
    """On every mesh of so many processes: what is refused without it, and what each rank has with it."""
    from torch.distributed.device_mesh import init_device_mesh

    return [
        _on_mesh(init_device_mesh("cpu", shape, mesh_dim_names=names), dims)
        for shape, names, dims in SHAPES[world_size]
    ]


def _on_mesh(mesh, dims):
    plan, held_out = bw.shuffled(40, 2, seed=1), bw.evaluation(21, 4)
    with pytest.raises(bw.Infeasible) as refusal:
        plan.loader(Numbers(40), num_workers=0)
    of_mesh = {"mesh": mesh, "dims": dims}
    loader = plan.loader(Numbers(40), num_workers=0, **of_mesh)
    batches = [batch.tolist() for batch in loader]
    evaluated = held_out.loader(Numbers(21), num_workers=0, **of_mesh)
    means, counted = bw.correct.Means(evaluated.sampler), []
    for step, batch in enumerate(evaluated):
        means.add(step, number=batch)
        counted += batch[: evaluated.real].tolist()
    over = loader.sampler.over
    scale = bw.correct.loss_scale(loader.rank + 1, **of_mesh)
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(1))
    bw.correct.recalibrate(model, [torch.tensor(samples)[:, None].double().float() for samples in batches], **of_mesh)
    together = bw.correct.synchronised(torch.nn.Sequential(torch.nn.BatchNorm1d(1, momentum=None)), **of_mesh)
    for samples in batches:
        together(torch.tensor(samples)[:, None].float())
    feedback = bw.feedback.Feedback(
        bw.balanced([0] * 5 + [1] * 5, 4, target=bw.targets.moving("uniform")).sampler(**of_mesh),
        bw.feedback.by_signal(),
    )
    feedback.observe([1.0], labels=[0])
    online = {"length": lambda sample: 1, **of_mesh}
    streams = [
        bw.online.mixed({"all": range(40)}, batch_size=2, **of_mesh),
        bw.online.budgeted(range(40), max_tokens=8, **online),
        bw.online.packed(range(40), capacity=8, **online),
        bw.online.balanced(range(40), batch_size=2, key=lambda sample: 0, **of_mesh),
    ]
    return {
        "refused": str(refusal.value),
        "rank": loader.rank,
        "world": loader.world_size,
        "batches": batches,
        "counted": counted,
        "mean": means.result()["number"],
        "ranks": summed(torch.ones(1), over).item(),
        "gathered": gathered(loader.rank, over),
        "scale": scale,
        "variance": model[0].running_var.item(),
        "synchronised": together[0].running_var.item(),
        "seen": feedback.state_dict()["seen"],
        "streamed": [[sample for batch in stream for sample in batch] for stream in streams],
    }


@pytest.mark.parametrize("world", SHAPES)
def test_processes_that_hold_parts_of_one_model_count_as_one_rank(world):
    ranks = Gang(_everything_on, world).results()
    for number in range(len(SHAPES[world])):
        found = [rank[number] for rank in ranks]
        count = found[0]["world"]
        by_rank = {part["rank"]: part for part in found}
        assert sorted(by_rank) == list(range(count)) < list(range(world))
        for part in found:
            alike = {**by_rank[part["rank"]], "refused": part["refused"]}
            assert part == alike
            assert part["mean"] == 10
            assert part["ranks"] == count
            assert part["gathered"] == list(range(count))
            assert part["scale"] == count / sum(range(1, count + 1))
            assert part["seen"] == [[count, 0], [count, 0]]
            assert part["variance"] == pytest.approx(np.var(range(40), ddof=1))
        parts = [by_rank[rank] for rank in range(count)]
        assert [list(step) for step in zip(*(part["batches"] for part in parts), strict=True)] == [
            [bw.shuffled(40, 2, seed=1)[step * count + rank].tolist() for rank in range(count)]
            for step in range(20 // count)
        ]
        assert sorted(sample for part in parts for sample in part["counted"]) == list(range(21))
        for streamed in zip(*(part["streamed"] for part in parts), strict=True):
            assert {sample for samples in streamed for sample in samples} == set(range(40))
            assert sum(map(len, streamed)) == 40
        steps = [np.concatenate([part["batches"][step] for part in parts]) for step in range(20 // count)]
        assert parts[0]["synchronised"] == pytest.approx(np.mean([np.var(step, ddof=1) for step in steps]))
        for part in found:
            assert re.search(r"hold parts of one model, by their group '(tp|pp|cp)', and take", part["refused"])
            assert "pass mesh=, the device mesh, and dims=" in part["refused"]
