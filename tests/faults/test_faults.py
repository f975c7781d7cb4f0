"""What may happen to a run: it is killed, its disk is full, its files are damaged, its clock jumps, its input is hostile.

Nothing is lost, nothing wrong is delivered, the error is named, and time and memory are bounded. `docs/trust.md` has the
table of these and of the tests elsewhere.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import batchwright as bw

from .. import processes
from . import programs

ROOT = Path(__file__).parents[2]
SERVER = multiprocessing.get_context("forkserver")  # it imports torch once, so that a run begins at once
SERVER.set_forkserver_preload(["tests.faults.programs", "batchwright.loader", "torch.utils.data"])


def program(*arguments, **options):
    path = os.pathsep.join([str(ROOT), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.programs", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path} | options.pop("env", {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def done(name, *arguments):
    """Run a program to its end, in a process of its own."""
    run = SERVER.Process(target=getattr(programs, name), args=tuple(map(str, arguments)))
    run.start()
    run.join(300)
    assert run.exitcode == 0


def log_of(folder):
    """What was logged, without a last line that a kill cut off."""
    lines = (folder / "log").read_text().split("\n")[:-1] if (folder / "log").exists() else []
    return [json.loads(line) for line in lines]


def killed_again_and_again(folder, workers, kills, chance):
    """Train, be killed after a random number of steps, and go on, until the training is through."""
    for kill in range(kills + 1):
        wanted = len(log_of(folder)) + chance.randrange(1, 12)
        run = SERVER.Process(target=programs.train, args=(str(folder), str(workers)))
        run.start()
        begun = time.monotonic()
        while kill < kills and run.is_alive() and len(log_of(folder)) < wanted and time.monotonic() < begun + 120:
            time.sleep(0.002 * chance.random())
        if kill < kills:
            run.kill()
        run.join(300)
        assert run.exitcode in ((0, -signal.SIGKILL) if kill < kills else (0,))
    assert (folder / "done").exists()
    plan = programs.plan()
    length = plan.epoch_length()
    expected = [plan[number].tolist() for number in range(programs.EPOCHS * length)]
    got = {}
    for epoch, consumed, batch in log_of(
        folder
    ):  # a step may be in the log twice: it was killed before its state was kept
        number = epoch * length + consumed - 1
        assert got.setdefault(number, batch) == batch
    assert [got[number] for number in range(len(expected))] == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_is_killed_at_any_moment_loses_and_repeats_nothing(tmp_path, workers):
    killed_again_and_again(tmp_path, workers, 2, random.Random(workers))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_a_training_that_is_killed_a_hundred_times_loses_and_repeats_nothing(tmp_path, seed):
    killed_again_and_again(tmp_path, seed % 3, 10, random.Random(seed))


def after_a_killed_worker(rank, world_size):
    """What a loop gets until its workers are killed, the error that it gets then, and what a new loop gets."""
    loader = programs.plan().loader(range(100), num_workers=2, rank=0, world_size=1, prefetch_factor=2)
    walk = iter(loader)
    given = [next(walk).tolist() for _ in range(3)]
    state = loader.state_dict()
    # torch's handler would raise its error wherever Python is when the signal comes, twice for two workers; without it,
    # torch finds the dead workers when it waits for them.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGKILL)
    try:
        given += [batch.tolist() for batch in walk]
    except (RuntimeError, EOFError, OSError) as error:  # also of a batch that waits in the memory of a worker
        said = type(error).__name__
    again = programs.plan().loader(range(100), num_workers=0, rank=0, world_size=1)
    again.load_state_dict(state)
    return given, said, [batch.tolist() for batch in again]


def test_a_worker_that_is_killed_is_an_error_and_the_next_loop_goes_on():
    ((given, said, rest),) = processes.run(after_a_killed_worker, 1)
    assert said
    assert len(given) == 3
    assert given + rest == [programs.plan()[number].tolist() for number in range(3 + len(rest))]


@pytest.mark.parametrize("what", ["index", "report", "shared list"])
def test_a_full_disk_is_named_and_nothing_half_written_is_used(tmp_path, what):
    """No file may be larger than a few kilobytes: files on disk, and those of shared memory."""
    (tmp_path / "animals.csv").write_text("kind\n" + "cat\ndog\n" * 20_000)
    done("small_files", 3000, what, tmp_path)
    said = (tmp_path / "said").read_text()
    assert said != "written"
    assert any(word in said for word in ("OSError", "Infeasible", "RuntimeError")), said
    assert any(word in said for word in ("File too large", "resize", "No space", "large")), said
    if what == "index":
        assert not (tmp_path / "animals.index" / "meta.json").exists()
        done("small_files", 1 << 30, what, tmp_path)
        assert (tmp_path / "said").read_text() == "written"
        assert len(bw.Index.open(tmp_path / "animals.index")) == 40_000


def test_a_recipe_that_was_cut_off_or_changed_is_refused_or_means_the_same(tmp_path):
    plan = programs.plan()
    text = json.dumps(plan.to_recipe()).encode()
    chance = random.Random(0)
    damaged = [text[:cut] for cut in range(0, len(text), 17)]
    for _ in range(150):
        at = chance.randrange(len(text))
        damaged.append(text[:at] + bytes([text[at] ^ 1 << chance.randrange(7)]) + text[at + 1 :])
    for content in damaged:
        (tmp_path / "plan.json").write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bw.PoorWarning)
            try:
                made = bw.from_recipe(tmp_path / "plan.json")
            except bw.Infeasible:
                continue
        assert made.fingerprint == plan.fingerprint or b'"fingerprint"' not in content


def test_nothing_in_a_recipe_or_in_an_index_is_executed(tmp_path):
    for name in ("os.system", "__import__", "eval", "balanced.__init__", "../balanced"):
        with pytest.raises(bw.Infeasible):
            bw.from_recipe({"batchwright": 1, "plan": name, "arguments": {"labels": ["a"], "batch_size": 1}})
    (tmp_path / "animals.csv").write_text("kind\ncat\ndog\n")
    bw.index(tmp_path / "animals.csv", label="kind", path=tmp_path / "animals.index")
    bad = np.empty(1, object)
    bad[0] = Bomb(str(tmp_path / "executed"))
    np.save(tmp_path / "animals.index" / "0.codes.npy", bad, allow_pickle=True)
    with pytest.raises(bw.Infeasible):
        bw.balanced(bw.Index.open(tmp_path / "animals.index"), 1)
    assert not (tmp_path / "executed").exists()


class Bomb:
    """Whoever unpickles it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("name", ["forked", "threads"])
def test_a_plan_that_is_used_in_forks_and_threads_gives_the_same(name):
    done(name)


def test_a_clock_that_jumps_changes_nothing(tmp_path):
    done("clock", tmp_path)


@pytest.mark.long
def test_processes_that_compile_at_once_all_deal_the_same(tmp_path):
    runs = [program("first", env={"NUMBA_CACHE_DIR": str(tmp_path)}) for _ in range(4)]
    assert {run.communicate(timeout=600)[0] for run in runs} == {f"{programs.plan()[0].tolist()}\n"}
    assert (
        program("first", env={"NUMBA_CACHE_DIR": str(tmp_path)}).communicate()[0] == f"{programs.plan()[0].tolist()}\n"
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, KeyError, MemoryError])
def test_an_interrupt_in_a_collate_passes_and_its_batch_comes_again(error):
    def collate(samples):
        calls.append(samples)
        if len(calls) == 4:
            raise error("now")
        return samples

    calls = []
    plan = programs.plan()
    loader = plan.loader(range(100), num_workers=0, rank=0, world_size=1, collate=collate)
    given = []
    with pytest.raises(error):
        given += [given.append(batch) or batch for batch in loader]
    state = loader.state_dict()
    again = plan.loader(range(100), num_workers=0, rank=0, world_size=1)
    again.load_state_dict(state)
    assert given + [batch.tolist() for batch in again] == [plan[number].tolist() for number in range(len(loader))]


def limited(seconds, megabytes, call):
    """Call within limits of processor time and of memory beyond what is held now."""
    begun, held = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = call()
    assert time.process_time() - begun < seconds
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 1024 * megabytes
    return result


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_labels_that_all_differ(count):
    names = [f"label {number}" for number in range(count)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plan = limited(20, 900, lambda: bw.balanced(names, 8))
        assert len(set(plan[0].tolist())) == 8
        assert len(str(plan)) < 2000
        assert len(str(plan.summary())) < 20_000


@pytest.mark.parametrize(
    "length", [2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 10**30, -1, float("inf"), float("nan")]
)
@pytest.mark.parametrize("build", [bw.budgeted, bw.packed])
def test_lengths_that_no_sum_holds_are_refused_by_their_place(build, length):
    for lengths in ([3, length], np.array([3, length], object), pd.Series([3, length], dtype=object)):
        refused = refusal_of(build, lengths, 100)  # some have a length that cannot be, others one above the budget
        assert re.search("sample 1|longest", str(refused)), refused


def test_a_state_of_a_hundred_megabytes_is_refused_in_short():
    sampler = programs.plan().sampler(rank=0, world_size=1)
    good = sampler.state_dict()
    for state in (
        {**good, "fingerprint": "x" * 100_000_000},
        {**good, "epoch": [0] * 10_000_000},
        {**good, "fingerprint": "of another", "identity": {str(key): "x" * 90 for key in range(1_000_000)}},
    ):
        refused = limited(10, 400, lambda state=state: refusal_of(sampler.load_state_dict, state))
        assert len(str(refused)) < 1300
    assert sampler.state_dict() == good


def refusal_of(call, *arguments):
    with pytest.raises(bw.Infeasible) as refused:
        call(*arguments)
    return refused.value


def deep(depth):
    found = {}
    for _ in range(depth):
        found = {"arguments": [found]}
    return found


@pytest.mark.parametrize("depth", [100, 100_000])
def test_nesting_without_end_is_refused(tmp_path, depth):
    sampler = programs.plan().sampler(rank=0, world_size=1)
    refusal_of(sampler.load_state_dict, {**sampler.state_dict(), "plan": deep(depth)})
    refusal_of(bw.from_recipe, {**programs.plan().to_recipe(), "arguments": deep(depth)})
    (tmp_path / "plan.json").write_text('{"plan": ' * depth + "1" + "}" * depth)
    refusal_of(bw.from_recipe, tmp_path / "plan.json")


def test_a_recipe_reads_nothing_outside_of_its_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.csv").write_text("kind\ncat\ndog\n")
    (tmp_path / "in" / "animals.csv").write_text("kind\ncat\ndog\n")
    os.symlink(tmp_path / "secret.csv", tmp_path / "in" / "linked.csv")
    recipe = bw.balanced(bw.Column(tmp_path / "in" / "animals.csv", "kind"), 1).to_recipe()
    text = json.dumps(recipe)
    for path in (
        "../secret.csv",
        "../../../../etc/passwd",
        "/dev/zero",
        "//host/share",
        "file:///etc/passwd",
        "http://a/b",
    ):
        refused = {**recipe, "arguments": {**recipe["arguments"]}}
        refused["arguments"]["labels"] = {**recipe["arguments"]["labels"], "in": path}
        assert limited(5, 200, lambda refused=refused: refusal_of(bw.from_recipe, refused)), text


MISSING = {
    "list": [1.0, None, 2.0],
    "nan": [1.0, float("nan"), 2.0],
    "array": np.array([1.0, np.nan, 2.0]),
    "masked": np.ma.masked_array([1.0, 5.0, 2.0], [False, True, False]),
    "times": np.array(["2020", "NaT", "2021"], "M8[D]"),
    "series": pd.Series([1, None, 2], dtype="Int64"),
    "category": pd.Series(["a", None, "b"], dtype="category"),
    "arrow": pa.array([1, None, 2]),
    "dictionary": pa.array(["a", None, "b"]).dictionary_encode(),
    "text": ["a", None, "b"],
}


@pytest.mark.parametrize("kind", MISSING)
def test_a_missing_value_is_told_by_its_sample(kind):
    assert "sample 1" in str(refusal_of(bw.balanced, MISSING[kind], 2))
    if kind not in ("times", "category", "dictionary", "text"):
        assert "sample 1" in str(refusal_of(bw.packed, MISSING[kind], 9))
        assert "sample 1" in str(refusal_of(bw.weighted, MISSING[kind], 2))
