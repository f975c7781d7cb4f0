"""Runs cases of the sweep within limits of memory and of time: `python -m tests.sweep.child LOWEST HIGHEST`.

It prints a line of JSON before each case and one after it. The cases run in a copy of this process; a new one goes on with
the next case where one was killed.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import sys
import traceback
import zlib
from collections.abc import Iterator
from inspect import Parameter
from pathlib import Path
from typing import Any

import batchwright as bw
from batchwright.kernels.__main__ import compile_all

from . import calls, table, values

MEMORY = 3 << 30  # bytes of address space for the cases, beyond what the libraries take
SECONDS = 5  # of processor time for one case, so that what other processes do does not matter

HERE = Path(values.__file__).name
SOURCE = Path(bw.__file__).parent


def cases(lowest: float, highest: float) -> Iterator[tuple[str, Parameter, str]]:
    """A part of all cases: the same ones every time, spread over the arguments and the values."""
    for name, parameter in calls.arguments():
        for value in values.VALUES:
            case = f"{name} {parameter.name} {value}"
            if lowest <= zlib.crc32(case.encode()) / 2**32 < highest:
                yield name, parameter, value


def outcome(name: str, parameter: Parameter, value: str) -> dict[str, Any]:
    """What becomes of a call: a result, a refusal in words, the own error of what was passed, or another error."""
    made, given = calls.swept()[name](), values.VALUES[value]()
    try:
        calls.run(made, parameter, given)
    except bw.Infeasible as refusal:
        told = refusal.way_out and len(str(refusal)) < 1300
        return {"is": "refused" if told else "refused without a way out", "said": str(refusal)[:300]}
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if SOURCE in Path(frame.filename).parents]
        where = f"{Path(ours[-1].filename).relative_to(SOURCE)}:{ours[-1].lineno}" if ours else "?"
        if name in table.BY_NUMBER and isinstance(error, (TypeError, LookupError)):
            return {"is": "refused", "said": text(error)}
        own = frames[-1].filename.endswith(HERE) and value in values.CALLED_BY_US
        own = own or (name, parameter.name) in table.FED_TO_A_MODEL
        return {"is": "own error" if own else type(error).__name__, "where": where, "said": text(error)}
    return {"is": "result"}


def text(error: BaseException) -> str:
    try:
        return str(error)[:200]
    except Exception as other:
        return f"no text: {type(other).__name__}"


def limit(kind: int, most: int) -> None:
    resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


def work(parts: list[tuple[str, Parameter, str]], at: mmap.mmap) -> None:
    """Run the cases from number `at` on, which is kept where the parent process sees it."""
    limit(resource.RLIMIT_AS, int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY)
    limit(resource.RLIMIT_CORE, 0)
    stay_within(Path(os.environ["TMPDIR"]).resolve())
    for number in range(int.from_bytes(at[:8], "little"), len(parts)):
        at[:8] = (number + 1).to_bytes(8, "little")
        name, parameter, value = parts[number]
        say({"call": name, "argument": parameter.name, "value": value})
        begun = processor_time()
        limit(resource.RLIMIT_CPU, int(begun) + SECONDS)
        found = outcome(name, parameter, value)
        say(found | {"seconds": round(processor_time() - begun, 2)})


def stay_within(folder: Path) -> None:
    """Refuse to open files for writing elsewhere: a hostile path must harm nothing on the machine that tests it."""

    def look(event: str, details: tuple[Any, ...]) -> None:
        if (
            event == "open"
            and isinstance(details[0], (str, bytes))
            and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            where = Path(os.fsdecode(details[0])).resolve()
            if not where.is_relative_to(folder) and "__pycache__" not in where.parts and where != Path(os.devnull):
                raise RuntimeError(f"a case writes to {where}")

    sys.addaudithook(look)


def processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def say(message: dict[str, Any]) -> None:
    os.write(1, (json.dumps(message) + "\n").encode())


def main(lowest: float, highest: float, only: list[str]) -> None:
    """Run all cases, each time in a new copy of this process where one has died."""
    parts = [case for case in cases(lowest, highest) if not only or case[0] in only]
    compile_all()  # within a case, the seconds of a compiler would be those of the case
    at = mmap.mmap(-1, 8)
    while int.from_bytes(at[:8], "little") < len(parts):
        worker = os.fork()
        if not worker:
            work(parts, at)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
        if code:
            say({"is": f"died of {code}", "seconds": 0})
    say({"end": len(parts)})


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
