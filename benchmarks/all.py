"""Runs every benchmark several times and writes one page of what came out: `make bench-all`.

A figure is what `limits.py` prints: a ratio beside a named peer of the same run. The page has its middle and its spread over
the runs, and says where a peer is ahead.
"""

from __future__ import annotations

import argparse
import datetime
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
HEAD = """# Benchmark results

{counted}

Written by `make bench-all`; [Benchmarks](benchmarks.md) says what is compared. Each figure is the middle of the runs that
are named above its table, with the least and the most. *ours / X* is the time (or the count) of batchwright over that of
X, measured in one run, so both met the same machine. One of the two is ahead if it is in every run. Load is the number
of processes that ran or waited to run, over 1, 5 and 15 minutes.
"""
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


def section(name: str, python: str | None, runs: int, seconds: int) -> str:
    """Run a benchmark some times: its part of the page."""
    if python is None:
        return f"Not run: there is no environment of it, `make bench NAME={name}` makes it.\n"
    figures: dict[str, list[float]] = defaultdict(list)
    limits, why, began = {}, "", load()
    for number in range(runs):
        print(f"{name}, run {number + 1} of {runs}", file=sys.stderr, flush=True)
        found, said = run(name, python, seconds)
        why = why or said
        for what, (value, limit) in found.items():
            figures[what].append(value)
            limits[what] = limit
    day = datetime.date.today().isoformat()
    when = f"{runs} run{'s' * (runs > 1)} on {day} on {machine()}; load {began} before and {load()} after."
    lines = [f"{versions(name, python)} {when}", ""]
    if figures:
        lines += ["| | middle | least | most | limit | runs | ahead |", "|---|---|---|---|---|---|---|"]
    for what, values in figures.items():
        numbers = " | ".join(f"{value:.4g}" for value in (statistics.median(values), min(values), max(values)))
        lines.append(
            f"| {what} | {numbers} | {limits[what]} | {len(values)} | {ahead(what, min(values), max(values))} |"
        )
    if why:
        lines += ["", f"A run ended early: {why[:200]}"]
    return "\n".join(lines) + "\n"


def sections_of(page: str) -> dict[str, str]:
    """The parts of a page by the names of their benchmarks, as they stand there."""
    parts = re.split(r"^## (\w+)\n\n", page, flags=re.MULTILINE)[1:]
    return {name: part.strip("\n") + "\n" for name, part in zip(parts[::2], parts[1::2], strict=True)}


def page_of(sections: dict[str, str]) -> str:
    """The page of these parts, and at its top how often which side is ahead."""
    won = Counter(re.findall(r"\| ([^|]+) \|$", "".join(sections.values()), re.MULTILINE))
    peer, ours, neither = (won[who] for who in ("**the peer**", "batchwright", "neither"))
    counted = (
        f"Beside peers there are {peer + ours + neither} figures: batchwright is ahead in {ours}, the peer in {peer}, "
        f"neither in {neither}."
    )
    return HEAD.format(counted=counted) + "".join(
        f"\n## {name}\n\n{sections[name]}" for name in NAMES if name in sections
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="which benchmarks, where the others stay on the page as they are; or all"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=900, help="the longest that one run may take")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmark-results.md")
    parser.add_argument("--histograms", nargs=2, type=Path, default=(), help="length histograms of packing and lengths")
    chosen = parser.parse_args()
    for name, taken in HISTOGRAMS.items():
        ARGUMENTS[name] = [str(path.resolve()) for path in chosen.histograms[:taken]]
    sections = sections_of(chosen.page.read_text()) if chosen.names and chosen.page.exists() else {}
    for name in chosen.names or NAMES:
        sections[name] = section(name, python_of(name), chosen.runs, chosen.seconds)
        chosen.page.write_text(page_of(sections))
    print(chosen.page)


if __name__ == "__main__":
    main()
