"""What tests run in processes of their own: they kill them, take their disk, let their clock jump."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import batchwright as bw

LABELS = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
EPOCHS = 3


def plan() -> Any:
    return bw.balanced(LABELS, 8, seed=3)


def train(folder: str, workers: str) -> None:
    """Go through the epochs from the last state on; before a state counts a step, the step is in the log."""
    place = Path(folder)
    loader = plan().loader(range(len(LABELS)), num_workers=int(workers), rank=0, world_size=1)
    if (place / "state.json").exists():
        loader.load_state_dict(json.loads((place / "state.json").read_text()))
    with (place / "log").open("a") as log:
        for epoch in loader.epochs(EPOCHS):
            for batch in epoch:
                state = loader.state_dict()
                log.write(json.dumps([state["epoch"], state["consumed"], batch.tolist()]) + "\n")
                log.flush()
                (place / "new.json").write_text(json.dumps(state))
                os.replace(place / "new.json", place / "state.json")
    (place / "done").write_text("")


def small_files(most: str, what: str, folder: str) -> None:
    """Write something where no file may be larger than so many bytes, as on a full disk."""
    writers = {
        "index": lambda: bw.index(Path(folder) / "animals.csv", label="kind", path=Path(folder) / "animals.index"),
        "report": lambda: plan().report(Path(folder) / "page.html"),
        "shared list": lambda: bw.SharedList(["x" * 1000] * 1000),
    }
    sys.dont_write_bytecode = True  # Python keeps a file of bytecode that was cut off, and later cannot read it
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        writers[what]()
    except Exception as error:
        said = f"{type(error).__name__}: {str(error)[:300]}"
    else:
        said = "written"
    (Path(folder) / "said").write_text(said)


def first(*arguments: str) -> None:
    """A micro-batch, with kernels that are compiled for it."""
    print(plan()[0].tolist())


def forked() -> None:
    """A plan and a sampler that were used are used on in a fork, and in the process that was forked."""
    used = plan()
    sampler = used.sampler(rank=0, world_size=1)
    walk = iter(sampler)
    begun = [next(walk) for _ in range(3)]
    inside, outside = os.pipe()
    child = os.fork()
    rest = [*walk]
    if not child:
        os.write(outside, json.dumps(rest).encode())
        os._exit(0)
    os.close(outside)
    told = b""
    while block := os.read(inside, 1 << 16):
        told += block
    assert os.waitpid(child, 0)[1] == 0
    assert json.loads(told) == rest
    assert begun + rest == [used[number].tolist() for number in range(len(sampler))]


def threads() -> None:
    """Many threads that ask one plan, in any order, get what one gets."""
    for made in (
        plan(),
        bw.budgeted([3, 5, 2, 8, 1, 4] * 20, 16, window=4),
        bw.packed([3, 5, 2, 8] * 20, 16, window=4),
    ):
        numbers = [(7 * place) % 90 for place in range(90)]
        expected = {number: plan_of(made)[number].tolist() for number in numbers}
        wrong: list[int] = []

        def ask(
            shift: int, made: Any = made, numbers: Any = numbers, expected: Any = expected, wrong: Any = wrong
        ) -> None:
            for number in numbers[shift:] + numbers[:shift]:
                if made[number].tolist() != expected[number]:
                    wrong.append(number)

        crowd = [threading.Thread(target=ask, args=(11 * shift,)) for shift in range(8)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        assert wrong == []


def plan_of(made: Any) -> Any:
    """The same plan, that nobody has asked yet."""
    import pickle

    return pickle.loads(pickle.dumps(made))


def clock(folder: str) -> None:
    """A clock that jumps, to the front and back by years, changes nothing."""
    jumps = [0.0]

    def jumping() -> float:
        jumps[0] = -1.5 * jumps[0] + 1e8
        return 1.7e9 + jumps[0] % 3e9

    sampler = plan().sampler(rank=0, world_size=1)
    expected = list(sampler)
    for name in ("time", "monotonic", "perf_counter"):
        setattr(time, name, jumping)
    again = plan().sampler(rank=0, world_size=1)
    assert list(again) == expected
    loader = plan().loader(range(len(LABELS)), num_workers=0, rank=0, world_size=1)
    assert [batch.tolist() for batch in loader] == expected
    assert loader.state_dict()["epoch"] == 1
    (Path(folder) / "animals.csv").write_text("kind\ncat\ndog\n")
    index = bw.index(Path(folder) / "animals.csv", label="kind", path=Path(folder) / "animals.index")
    for moment in (0, 4e9):  # the data files are as old as the system, or of a time to come
        os.utime(Path(folder) / "animals.csv", (moment, moment))
        index = bw.index(Path(folder) / "animals.csv", label="kind", path=Path(folder) / "animals.index")
    assert len(index) == 2


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
