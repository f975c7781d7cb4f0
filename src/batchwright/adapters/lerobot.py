"""LeRobot: groups of the frames of episodes, so that plans draw frames, windows, episodes and tasks in exact shares.

Nothing of LeRobot is imported: its data sets are asked where their episodes begin and end.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..errors import Infeasible, check_integer, one_of, shown
from ..groups import Groups
from ..inputs.columns import whole_numbers

__all__ = ["frames"]

By = Literal["frame", "episode", "task"]


def frames(
    dataset: Any,
    *,
    by: By = "frame",
    drop_first: int = 0,
    drop_last: int = 0,
    window: int = 1,
    stride: int = 1,
    episodes: ArrayLike | None = None,
    tasks: Sequence[Hashable] | None = None,
) -> Groups:
    """Group the frames that training may draw, in place of LeRobot's `EpisodeAwareSampler`; the others are never drawn.

    `bw.balanced` of them has equal shares of the groups, or those of `target=`. Frames are numbered as the data set is
    asked for them: if it was loaded with some of its episodes, within those.

    Args:
        dataset: a `LeRobotDataset`; or a pair (starts, ends), int array-like of shape (n_episodes,) each: the first frame of
            each episode, and the one behind its last.
        by: "frame": one group, so that all frames come equally often; "episode": each is a group; "task": each is a group.
        drop_first: frames left out at the beginning of each episode.
        drop_last: frames left out at its end.
        window: frames that are read from each drawn frame on; windows end within their episode.
        stride: frames from the first of a window to the first of the next.
        episodes: the episodes to draw from, int array-like; all if left out. They are numbered from 0 among those of the
            data set as it is: if it was loaded with `episodes=[3, 7]`, 0 is episode 3.
        tasks: the task of each episode, for `by="task"`; the data set's if left out.

    Raises:
        Infeasible: episodes that are none or overlap, an episode without one task, or no frame left to draw.

    Example:
        >>> import batchwright as bw
        >>> groups = frames(([0, 10, 14], [10, 14, 30]), by="episode", drop_last=2)
        >>> groups
        Groups(3 groups of 30 samples: 0 8, 1 2, 2 14)
        >>> bw.balanced(groups, batch_size=6)[0].shape
        (6,)
    """
    one_of(by, "by", get_args(By))
    drop_first, drop_last = (
        check_integer(drop_first, "drop_first", least=0),
        check_integer(drop_last, "drop_last", least=0),
    )
    window, stride = check_integer(window, "window", least=1), check_integer(stride, "stride", least=1)
    if tasks is not None and by != "task":
        raise Infeasible(f"tasks are given, and frames are grouped by {by!r}", 'pass by="task", or leave tasks out')
    found = _episodes(dataset, tasks if by == "task" else [], by == "task")
    numbers = np.arange(len(found.starts)) if episodes is None else whole_numbers(episodes, called="episodes", least=0)
    if numbers.max(initial=-1) >= len(found.starts):
        raise Infeasible(
            f"episode {numbers.max()} is asked for, the data set has {len(found.starts)}",
            f"pass numbers from 0 to {len(found.starts) - 1}",
        )
    numbers = np.unique(numbers)
    first = found.starts[numbers] + drop_first
    room = found.ends[numbers] - drop_last - (window - 1) - first
    counts = np.maximum(-(-room // stride), 0)
    asked, drawn = len(numbers), counts > 0
    numbers, first, counts = numbers[drawn], first[drawn], counts[drawn]
    if not counts.size:
        raise Infeasible(
            f"no frame is left to draw from {asked} episodes, of which the longest has "
            f"{int((found.ends - found.starts).max(initial=0))} frames",
            "drop fewer frames, or read smaller windows",
        )
    names: list[Hashable] = ["frames"]
    group_of = np.zeros(len(numbers), np.int64)
    if by == "episode":
        names, group_of = numbers.tolist(), np.arange(len(numbers))
    elif by == "task":
        of_episodes = [found.tasks[number] for number in numbers.tolist()]
        names = list(dict.fromkeys(of_episodes))
        numbered = {name: number for number, name in enumerate(names)}
        group_of = np.array([numbered[name] for name in of_episodes])
        order = np.argsort(group_of, kind="stable")
        first, counts, group_of = first[order], counts[order], group_of[order]
    before = np.cumsum(counts) - counts
    index = np.repeat(first - before * stride, counts) + np.arange(counts.sum()) * stride
    sizes = np.bincount(group_of, counts, len(names)).astype(np.int64)
    return Groups(names, np.concatenate([[0], np.cumsum(sizes)]), index, found.frames)


class _Episodes(NamedTuple):
    """Where episodes lie, their tasks, and how many frames the data set has."""

    starts: np.ndarray
    ends: np.ndarray
    tasks: Sequence[Hashable]
    frames: int


def _episodes(dataset: Any, tasks: Sequence[Hashable] | None, by_task: bool) -> _Episodes:
    """What is known of the episodes of a data set, or of a pair of starts and ends."""
    meta, chosen = getattr(getattr(dataset, "meta", None), "episodes", None), getattr(dataset, "episodes", None)
    if meta is not None:
        starts, ends = (whole_numbers(meta[f"dataset_{side}_index"], called=side, least=0) for side in ("from", "to"))
        names = meta["tasks"] if tasks is None else None
        if chosen is not None:  # the data set numbers their frames from 0
            numbers = np.sort(whole_numbers(chosen, called="episodes", least=0))
            lengths = (ends - starts)[numbers]
            ends = np.cumsum(lengths)
            starts = ends - lengths
            names = None if names is None else [names[number] for number in numbers.tolist()]
        tasks = tasks if names is None else [_only(each, number) for number, each in enumerate(names)]
    elif isinstance(dataset, (tuple, list)) and len(dataset) == 2:
        starts, ends = (
            whole_numbers(column, called=name, least=0)
            for column, name in zip(dataset, ("starts", "ends"), strict=True)
        )
    else:
        raise Infeasible(
            f"the data set is {shown(dataset)}, which has no meta.episodes",
            "pass a LeRobotDataset, or the pair (starts, ends) of the episodes",
        )
    if len(starts) != len(ends) or (starts > ends).any() or (starts[1:] < ends[:-1]).any():
        raise Infeasible(
            f"{len(starts)} episodes begin and {len(ends)} end, of which some overlap or end before they begin",
            "pass where each begins, and the frame behind its last, in ascending order",
        )
    if by_task and (tasks is None or len(tasks) != len(starts)):
        raise Infeasible(
            f"there are {len(starts)} episodes and {0 if tasks is None else len(tasks)} tasks",
            "pass tasks=, one of each episode",
        )
    return _Episodes(starts, ends, tasks or [], int(ends.max(initial=0)))


def _only(tasks: Any, number: int) -> Hashable:
    """The task of an episode."""
    if isinstance(tasks, str):
        return tasks
    if len(tasks) != 1:
        raise Infeasible(
            f"episode {number} has {len(tasks)} tasks, and its frames are to be of one group",
            "pass tasks=, one of each episode",
        )
    only: Hashable = tasks[0]
    return only
