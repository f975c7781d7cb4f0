"""LeRobot's frames: which are drawn, in which shares, and that a run resumes exactly."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

import batchwright as bw
from batchwright.adapters.lerobot import frames

LENGTHS = [10, 4, 0, 16, 7, 9]
ENDS = np.cumsum(LENGTHS)
STARTS = ENDS - LENGTHS
TASKS = ["pick", "place", "pick", "pick", "place", "stack"]


def as_lerobot_says(episodes=None):
    """What a `LeRobotDataset` says of its episodes: those of the whole data set, and which of them it was loaded with."""
    said = {"dataset_from_index": STARTS, "dataset_to_index": ENDS, "tasks": [[task] for task in TASKS]}
    return SimpleNamespace(meta=SimpleNamespace(episodes=Dataset.from_dict(said)), episodes=episodes)


def drawn(groups):
    return sorted(sample for name in groups.names for sample in groups.samples(name).tolist())


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=8),
    drop=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    window=st.integers(1, 4),
    stride=st.integers(1, 4),
    by=st.sampled_from(["frame", "episode", "task"]),
    data=st.data(),
)
def test_frames_are_those_whose_window_lies_within_what_is_left_of_an_episode(lengths, drop, window, stride, by, data):
    ends = np.cumsum(lengths)
    starts = ends - lengths
    chosen = data.draw(st.none() | st.lists(st.integers(0, len(lengths) - 1), unique=True, max_size=8))
    tasks = [f"task {number % 3}" for number in range(len(lengths))]
    expected = {}
    for number in range(len(lengths)) if chosen is None else sorted(chosen):
        for frame in range(starts[number] + drop[0], ends[number], stride):
            if frame + window <= ends[number] - drop[1]:
                name = {"frame": "frames", "episode": number, "task": tasks[number]}[by]
                expected.setdefault(name, []).append(frame)
    options = {"drop_first": drop[0], "drop_last": drop[1], "window": window, "stride": stride, "episodes": chosen}
    options |= {"tasks": tasks} if by == "task" else {}
    if not expected:
        with pytest.raises(bw.Infeasible, match="no frame is left to draw"):
            frames((starts, ends), by=by, **options)
        return
    groups = frames((starts, ends), by=by, **options)
    assert {name: groups.samples(name).tolist() for name in groups.names} == expected
    assert groups.sample_count == sum(lengths)


def test_a_data_set_says_its_episodes_and_tasks_itself():
    groups = frames(as_lerobot_says(), by="task", drop_last=1)
    assert {name: len(groups.samples(name)) for name in groups.names} == {"pick": 24, "place": 9, "stack": 8}
    assert drawn(groups) == drawn(frames((STARTS, ENDS), drop_last=1))


def test_frames_of_a_data_set_that_was_loaded_in_part_are_numbered_as_it_is_asked():
    """The third episode of these begins at frame 17 of them, and at 30 of the whole."""
    part = frames(as_lerobot_says(episodes=[0, 4, 5]), by="episode", drop_first=2)
    assert part.samples(2).tolist() == list(range(19, 26))
    assert part.sample_count == 26
    assert frames(as_lerobot_says(episodes=[0, 4, 5]), by="task").names == ["pick", "place", "stack"]


@pytest.mark.parametrize("by", ["frame", "episode", "task"])
def test_a_run_resumes_at_every_batch_in_any_world(by):
    plan = bw.balanced(frames(as_lerobot_says(), by=by, drop_last=2), 5, seed=3)
    every = [number for epoch in range(2) for batch in plan.epoch(epoch, 2) for number in batch.tolist()]
    assert plan.audit(batches=200).kept
    for done in range(plan.epoch_length(2) // 2 + 1):
        first = plan.loader(range(46), rank=0, world_size=2, num_workers=2 * (done == 2))
        state = first.state_at(done, epoch=0)
        again = plan.loader(range(46), num_workers=0)
        again.load_state_dict(state)
        rest = [number for epoch in again.epochs(2) for batch in epoch for number in batch.tolist()]
        assert rest[: len(every) // 2 - 10 * done] == every[10 * done : len(every) // 2]


def test_shares_are_exact():
    plan = bw.balanced(frames(as_lerobot_says(), by="task"), 6)
    for number in range(50):
        episodes = np.searchsorted(ENDS, plan[number], side="right")
        counts = {task: sum(TASKS[episode] == task for episode in episodes) for task in set(TASKS)}
        assert set(counts.values()) == {2}
    uniform = bw.balanced(frames(as_lerobot_says(), drop_last=1), 41)
    assert sorted(uniform[0].tolist()) == drawn(frames((STARTS, ENDS), drop_last=1))  # all frames once an epoch


def test_the_number_of_episodes_costs_no_loop():
    """A million episodes of a hundred frames, in the time of a few passes over an array."""
    ends = np.arange(1, 1_000_001) * 100
    groups = frames((ends - 100, ends), by="task", drop_last=98, tasks=["a", "b"] * 500_000)
    assert groups.sizes.tolist() == [1_000_000, 1_000_000]
