"""Runs every benchmark several times and writes one page of what came out: `make bench-all`.

A figure is what `limits.py` prints: a ratio beside a named peer of the same run. The page has its middle and its spread over
the runs, and says where a peer is ahead.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
NAMES = (
    "balance",
    "between_steps",
    "mixture",
    "raking",
    "lengths",
    "packing",
    "long",
    "partition",
    "collate",
    "online",
    "loader",
    "scale",
    "shared_list",
)
ARGUMENTS = {"scale": ["1e6"]}
HISTOGRAMS = {"lengths": 1, "packing": 2}
FIGURE = re.compile(
    r"^(?P<what>.{60,}?) +(?P<value>[-+.\deinfa]+)  (?P<limit>no limit|at (?:most|least) [-+.\de]+ +(?:kept|MISSED))$"
)


def python_of(name: str) -> str | None:
    """The interpreter of a benchmark's environment; with PYTHON set, that one for all."""
    place = ROOT / f".venv-bench-{name}" / "bin" / "python"
    return os.environ.get("PYTHON") or (str(place) if place.exists() else None)


def run(name: str, python: str, seconds: int) -> tuple[dict[str, tuple[float, str]], str]:
    """The figures of one run, by what they are of, and why it ended early, if it did."""
    command = [python, str(HERE / f"{name}.py"), *ARGUMENTS.get(name, [])]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=seconds, check=False)
        said, errors = ran.stdout, ran.stderr.strip().splitlines()
        why = "" if not ran.returncode or (errors[-1:] and errors[-1].startswith("missed:")) else (errors or ["?"])[-1]
    except subprocess.TimeoutExpired as late:
        said, why = (late.stdout or b"").decode(), f"it took more than {seconds} seconds"
    found = {}
    for line in said.splitlines():
        figure = FIGURE.match(line)
        if figure:
            found[figure["what"].strip()] = (float(figure["value"]), re.sub(r" +(kept|MISSED)$", "", figure["limit"]))
    return found, why


def ahead(what: str, low: float, high: float) -> str:
    """Who is ahead, of a figure that is a ratio beside a peer; neither where some runs say so and others do not."""
    if "/ ours" in what:
        low, high = 1 / high, 1 / low
    elif not what.startswith("ours /"):
        return ""
    return "**the peer**" if low > 1 else "batchwright" if high <= 1 else "neither"


def machine() -> str:
    model = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ":"
    )
    return (
        f"{model.partition(':')[2].strip()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def load() -> str:
    """Processes that ran or waited to run, over 1, 5 and 15 minutes."""
    return ", ".join(f"{part:.1f}" for part in os.getloadavg())


def versions(name: str, python: str) -> str:
    """The versions of the peers of a benchmark, and of what both run on."""
    files = [HERE / "peers" / f"{name}{kind}.txt" for kind in ("", "-alone")]
    text = "".join(file.read_text() for file in files if file.exists())
    named = [*sorted(set(re.findall(r"^[A-Za-z][\w.-]*", text, re.MULTILINE))), "torch", "numpy", "numba"]
    tell = (
        "import sys; from importlib.metadata import version\nfor one in sys.argv[1:]:\n try: print(one, version(one))\n"
    )
    tell += " except Exception: pass"
    ran = subprocess.run([python, "-c", tell, *named], capture_output=True, text=True, check=True)
    return ", ".join(ran.stdout.splitlines()) + "."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, help="which benchmarks; all if left out")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=900, help="the longest that one run may take")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmark-results.md")
    parser.add_argument("--histograms", nargs=2, type=Path, default=(), help="length histograms of packing and lengths")
    chosen = parser.parse_args()
    for name, taken in HISTOGRAMS.items():
        ARGUMENTS[name] = [str(path.resolve()) for path in chosen.histograms[:taken]]
    began, won = load(), Counter[str]()
    lines = [
        "# Benchmark results",
        "",
        "Written by `make bench-all`; [Benchmarks](benchmarks.md) says what is compared. Each figure is the middle of "
        f"{chosen.runs} run{'s' * (chosen.runs > 1)}, with the least and the most. "
        "*ours / X* is the time (or the count) of batchwright over that "
        "of X, measured in one run, so both met the same machine. One of the two is ahead if it is in every run.",
    ]
    for name in chosen.names:
        python = python_of(name)
        lines += ["", f"## {name}", ""]
        if python is None:
            lines.append(f"Not run: there is no environment of it, `make bench NAME={name}` makes it.")
            continue
        figures: dict[str, list[float]] = defaultdict(list)
        limits, why = {}, ""
        for number in range(chosen.runs):
            print(f"{name}, run {number + 1} of {chosen.runs}", file=sys.stderr, flush=True)
            found, said = run(name, python, chosen.seconds)
            why = why or said
            for what, (value, limit) in found.items():
                figures[what].append(value)
                limits[what] = limit
        lines += [versions(name, python), ""]
        if figures:
            lines += ["| | middle | least | most | limit | runs | ahead |", "|---|---|---|---|---|---|---|"]
        for what, values in figures.items():
            middle = statistics.median(values)
            numbers = " | ".join(f"{value:.4g}" for value in (middle, min(values), max(values)))
            first = ahead(what, min(values), max(values))
            won[first] += 1
            lines.append(f"| {what} | {numbers} | {limits[what]} | {len(values)} | {first} |")
        if why:
            lines += ["", f"A run ended early: {why[:200]}"]
    lines[3:3] = [
        "",
        f"Beside peers there are {won.total() - won['']} figures: batchwright is ahead in {won['batchwright']}, the peer in "
        f"{won['**the peer**']}, neither in {won['neither']}.",
        "",
        f"Machine: {machine()}; load when it began {began}, when it ended {load()}.",
    ]
    chosen.page.write_text("\n".join(lines) + "\n")
    print(chosen.page)


if __name__ == "__main__":
    main()
