"""SIGKILL of a rank's processes, or of a worker, in mid-read: other ranks and workers go on; nothing is lost or repeated."""

from __future__ import annotations

import pytest

from .elsewhere import SOURCES, STREAMS
from .killed import wander_through_kills


@pytest.mark.parametrize(
    ("kind", "source"),
    [("redistributing", "shards"), ("budgeted", "list"), ("packed", "few shards"), ("mixed", "strided")],
)
def test_a_run_goes_on_elsewhere_after_kills(kind, source, tmp_path):
    assert wander_through_kills(kind, source, 0, 2, tmp_path) == 2


KILLS = 23  # of each kind of stream; with 9 kinds, more than 200


@pytest.mark.long
@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_a_run_goes_on_elsewhere_after_many_kills(kind, tmp_path):
    """At least 200 changes of ranks and workers, each by a kill, over all kinds of streams and all sources in turn."""
    assert len(STREAMS) * KILLS >= 200
    kills, sources = 0, sorted(SOURCES)
    for seed in range(KILLS):  # where little is left, a run may come to its end before it is killed
        kills += wander_through_kills(kind, sources[seed % len(sources)], seed, 5, tmp_path)
        if kills >= KILLS:
            break
    print(f"{kind}: {kills} kills in {seed + 1} runs")
    assert kills >= KILLS
