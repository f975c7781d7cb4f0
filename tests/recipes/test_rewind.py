"""The command that tells what came at a step, and when a sample comes."""

from __future__ import annotations

import json

import pytest

import batchwright as bw

from .commands import run, told


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 1), (3, 1), (2, 2)])
def test_rewind_tells_what_the_ranks_were_given(recipe, world_size, accumulate):
    plan = bw.from_recipe(recipe)
    ranks = [plan.sampler(rank=rank, world_size=world_size, accumulate=accumulate) for rank in range(world_size)]
    world = "--world-size", world_size, "--accumulate", accumulate
    steps = plan.epoch_length(world_size * accumulate) // (world_size * accumulate)
    epochs = [[list(rank) for rank in ranks] for _ in range(2)]
    for step in (0, 7, steps - 1, steps, steps + 5):
        lists = epochs[step // steps]
        for rank in range(world_size):
            first = step % steps * accumulate
            wanted = [sample for batch in lists[rank][first : first + accumulate] for sample in batch]
            found = told("rewind", recipe, "--step", step, "--rank", rank, *world, form="rewind")
            assert [row["sample"] for row in found["samples"]] == wanted
            assert (found["epoch"], found["step_in_epoch"]) == divmod(step, steps)


def test_rewind_finds_a_sample_before_and_after(recipe):
    plan = bw.from_recipe(recipe)
    found = told("rewind", recipe, "--sample", 7, "--step", 40, "--epochs", 6, form="rewind --sample")
    low, middle, high = found["before"]["micro_batch"], 40 * 4, found["next"]["micro_batch"]
    assert low < middle <= high
    assert [number for number in range(low, high + 1) if 7 in plan[number]] == [low, high]
    nowhere = json.loads(run("rewind", recipe, "--sample", 7, "--step", 0, "--json").stdout)
    assert nowhere["before"] is None
    assert "never came before" in run("rewind", recipe, "--sample", 7, "--step", 0).stdout


def test_rewind_shows_columns_of_the_data(recipe):
    rows = json.loads(run("rewind", recipe, "--step", 3, "--show", "file", "--show", "label", "--json").stdout)[
        "samples"
    ]
    labels = bw.Column(recipe.parent / "t.csv", "label")
    assert all(row["file"] == f"{row['sample']}.png" and row["label"] == labels[row["sample"]] for row in rows)
    assert "0.png" in run("rewind", recipe, "--step", 3, "--show", "file").stdout
