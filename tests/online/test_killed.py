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


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_a_run_goes_on_elsewhere_after_many_kills(seed, tmp_path):
    """200 changes of ranks and workers, each by a kill."""
    kinds, sources = sorted(STREAMS), sorted(SOURCES)
    kills = wander_through_kills(
        kinds[seed % len(kinds)], sources[seed // len(kinds) % len(sources)], seed, 5, tmp_path
    )
    assert kills >= 1  # where little is left, a run may come to its end before it is killed
