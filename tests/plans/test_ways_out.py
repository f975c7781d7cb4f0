"""The cases of the builders and of the sampler come to every refusal in their code."""

from __future__ import annotations

import pytest
from torch.distributed.device_mesh import DeviceMesh

import batchwright as bw

from .. import processes
from ..refusals import SOURCE, check_that_all_are_reached, refusals_noted
from .test_ways_out_of_builders import CASES as BUILDERS
from .test_ways_out_of_samplers import CASES as SAMPLERS

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

PLANS = [
    *(
        "balanced",
        "alternating",
        "local",
        "mixed",
        "raked",
        "repeats",
        "multilabel",
        "rotating",
        "hierarchical",
        "tasks",
        "retarget",
        "set_shares",
    ),
    "fixed",
]
FILES = [
    *(f"plans/{name}.py" for name in PLANS),
    *(
        "lengths/layout.py",
        "base_plan.py",
        "micro_batches.py",
        "position.py",
        "run/sampler.py",
        "run/data_parallel_rank.py",
        "distributed.py",
        "run/state_checks.py",
        "run/epoch_iterator.py",
        "run/run_state.py",
    ),
]


def outside_the_mesh(rank, world_size):
    """Where a sampler of a mesh of process 0 alone is refused in another process."""
    mesh = DeviceMesh("cpu", [0], mesh_dim_names=("dp",))
    if rank == 0:
        return bw.shuffled(4, 2).sampler(mesh=mesh).world_size
    refused = pytest.raises(bw.Infeasible, match="not part of the device mesh; pass the mesh that this process")
    with refusals_noted() as noted, refused:
        bw.shuffled(4, 2).sampler(mesh=mesh)
    return noted[-1]


def test_every_refusal_in_the_code_is_among_these():
    inside, *outside = processes.run(outside_the_mesh, 2)
    assert inside == 1
    check_that_all_are_reached((SOURCE / file for file in FILES), 84, [BUILDERS, SAMPLERS], outside)
