"""Other versions, machines and systems, as far as they can be had here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import batchwright as bw

from . import kept_states

VERSIONS = sorted(path.stem for path in kept_states.FOLDER.glob("*.json"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", kept_states.PLANS)
def test_what_a_version_wrote_is_gone_on_from(version, name):
    kept = json.loads((kept_states.FOLDER / f"{version}.json").read_text())[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        for plan in (kept_states.PLANS[name](), bw.from_recipe(kept["recipe"])):
            assert plan.fingerprint == kept["recipe"]["fingerprint"]
            assert kept_states.step(kept_states.ranks(plan, kept["state"])) == kept["next"]


def test_this_version_has_written_what_it_writes():
    assert bw.__version__ in VERSIONS
    kept = json.loads((kept_states.FOLDER / f"{bw.__version__}.json").read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        assert (
            json.loads(json.dumps({name: kept_states.written(make()) for name, make in kept_states.PLANS.items()}))
            == kept
        )


@pytest.mark.parametrize("kind", ["<i4", ">i4", ">i8", ">u2", ">f8", "<f4"])
def test_arrays_of_any_byte_order_that_cannot_be_written_make_the_same_plan(kind):
    labels = np.array(kept_states.LABELS, kind)
    lengths = np.array(kept_states.LENGTHS, kind)
    for array in (labels, lengths):
        array.setflags(write=False)
    assert bw.balanced(labels, 4)[3].tolist() == bw.balanced(kept_states.LABELS, 4)[3].tolist()
    assert bw.packed(lengths, 60).fingerprint == bw.packed(kept_states.LENGTHS, 60).fingerprint
    assert bw.weighted(lengths, 4)[3].tolist() == bw.weighted(kept_states.LENGTHS, 4)[3].tolist()
    assert bw.Groups.from_labels(labels).group_of(lengths[:1].astype(np.int64)).tolist() == [
        1 if lengths[0] >= 17 else 0
    ]


def test_long_paths_and_names_that_differ_in_case_alone(tmp_path):
    deep = tmp_path.joinpath(*["a folder with a long name " * 4] * 6)
    deep.mkdir(parents=True)
    (deep / "animals.csv").write_text("kind,Kind\ncat,1\ndog,2\n")
    index = bw.index(deep / "animals.csv", label="Kind", path=deep / "animals.index")
    assert index.groups().names == [1, 2]
    assert bw.balanced(bw.Column(deep / "animals.csv", "kind"), 2).groups.names == ["cat", "dog"]


WITHOUT_FORK = """
import multiprocessing, os
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    del os.fork  # as on Windows
    import batchwright as bw
    plan = bw.balanced(["a", "b"] * 8, 4)
    loader = plan.loader(range(16), num_workers=1, rank=0, world_size=1)
    print([batch.tolist() for batch in loader] == [plan[number].tolist() for number in range(len(loader))])
"""


def test_where_processes_are_spawned_and_cannot_fork(tmp_path):
    (tmp_path / "run.py").write_text(WITHOUT_FORK)
    path = os.pathsep.join(place for place in sys.path if place)
    ran = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "run.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.stdout == "True\n", ran.stderr[-3000:]
