"""The versions that are supported: golden vectors and the suite on every Python, with the oldest and the newest packages.

`make test-matrix` runs it; `CELLS="3.14-newest 3.11-oldest"` runs some cells, `TESTS="tests/plans"` less than the suite;
`KEEP=1` keeps the environments, which a later run then takes as they are.
What came out is a row of `docs/matrix.md`, where the rows of other cells stay as they are. It needs nothing but Python.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "matrix.md"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
BESIDE = {"pyarrow": "21", "duckdb": "1.1"}
"""What of the tests' needs does not go with the oldest packages in its newest release: the first pyarrow that `datasets`
takes, and the first DuckDB that narwhals takes, which is what the package asks for.
"""
FIRST = {"3.13": {"numpy": "2.1", "numba": "0.61"}, "3.14": {"numpy": "2.3", "numba": "0.63", "pyarrow": "22"}}
"""The first releases that have wheels for a Python, where they are later than what is asked for."""
SUITE = ["--ignore", "tests/trainers", "--ignore", "tests/engines", "--ignore", "tests/browser", "tests"]
SHOWN = ("numpy", "numba", "narwhals", "torch")
HEAD = """# Versions that were tested

Written by `make test-matrix`. *Oldest* are the releases that the package asks for at least, or the first that have wheels
for that Python; *newest* are those that `pip` found on the day. The golden vectors are the micro-batches that every version
must yield. Seconds are of the wall clock, without the installation.

| Python | packages | numpy | numba | narwhals | torch | golden vectors | tests | seconds | day |
|---|---|---|---|---|---|---|---|---|---|
"""


def floors() -> dict[str, str]:
    """What the package asks for at least, by name."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return dict(one.split(">=") for one in asked)


def python_of(version: str) -> str | None:
    """The interpreter of a version that is found here."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    named = os.environ.get("PYTHON_" + version.replace(".", "_"))
    for candidate in [*filter(None, [named]), f"python{version}", *map(str, pyenv.glob(f"{version}.*/bin/python"))]:
        found = shutil.which(candidate)  # a version manager's shim may be there and refuse
        if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    return None


def pins(version: str, kind: str) -> list[str]:
    """The packages of a cell, as pip is asked for them."""
    if kind == "newest":
        return list(SHOWN)
    least = floors() | BESIDE | FIRST.get(version, {})
    return [f"{name}=={one if '.' in one else one + '.0'}.*" for name, one in least.items()]


def environment(version: str, kind: str) -> Path | None:
    """Make the environment of a cell, unless it is there; None where there is no such Python."""
    home, python = ROOT / f".venv-matrix-{version}-{kind}", python_of(version)
    if python is None or (home / ".ready").exists():
        return None if python is None else home
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(home)], check=True)
    rest = home / "constraints.txt"
    lines = (ROOT / "constraints.txt").read_text().splitlines(keepends=True)
    # Beside the oldest packages, what else the tests need is of any version that goes with them.
    held = [line for line in lines if kind == "newest" and line.split("==")[0] not in (*SHOWN, "llvmlite")]
    rest.write_text("".join(held))
    install = [
        str(home / "bin/python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    asked = pins(version, kind)
    for packages in (["--upgrade", "pip"], asked, ["-c", str(rest), *asked, "--editable", ".[cli]", "--group", "test"]):
        subprocess.run([*install, *packages], cwd=ROOT, check=True)
    (home / ".ready").touch()
    return home


def run(version: str, kind: str, home: Path, tests: list[str]) -> tuple[str, bool]:
    """Golden vectors and tests in an environment: the row of the page, and whether all is well."""
    python, log = str(home / "bin/python"), home / "log.txt"
    named = "import importlib.metadata as m, json, sys; print(json.dumps([*map(m.version, sys.argv[1:])]))"
    versions = subprocess.run([python, "-c", named, *SHOWN], stdout=subprocess.PIPE, text=True, check=True).stdout
    space = os.environ | {"PYTHONPATH": "src", "NUMBA_CACHE_DIR": str(home / "cache"), "CI": "1"}
    begun, said = time.monotonic(), []
    for command in (["-m", "tests.golden"], ["-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *tests]):
        with log.open("w") as written:
            code = subprocess.run(
                [python, *command], cwd=ROOT, env=space, stdout=written, stderr=subprocess.STDOUT, check=False
            ).returncode
        text = log.read_text()
        print(text if code else text.splitlines()[-1], flush=True)
        counts = ", ".join(re.findall(r"\d+ (?:passed|failed|errors?|skipped)", text.splitlines()[-1]))
        said.append(counts or ("hold" if code == 0 else "FAIL"))
    ran = said[1] + ("" if tests == SUITE else f" ({' '.join(tests)})")
    seconds, day = round(time.monotonic() - begun), datetime.date.today().isoformat()
    row = f"| {' | '.join([version, kind, *json.loads(versions), said[0], ran, str(seconds), day])} |\n"
    return row, said[0] == "hold" and code == 0


def rows_of(page: str) -> dict[str, str]:
    """The rows of a page, by their cells."""
    rows = re.finditer(r"^\| ([\d.]+) \| (oldest|newest) \|.*\n", page, re.MULTILINE)
    return {f"{row[1]}-{row[2]}": row[0] for row in rows}


def page_of(rows: dict[str, str]) -> str:
    """The table of all cells that were run, as Markdown."""
    cells = [f"{version}-{kind}" for version in VERSIONS for kind in ("oldest", "newest")]
    return HEAD + "".join(rows[cell] for cell in cells if cell in rows)


def main(cells: list[str], tests: list[str]) -> int:
    """Run cells, and write what came out after each; 1 if any failed or none could be run."""
    rows, good = rows_of(PAGE.read_text()), []
    for cell in cells or [f"{version}-{kind}" for version in VERSIONS for kind in ("oldest", "newest")]:
        version, kind = cell.split("-")
        home = environment(version, kind)
        if home is None:
            print(f"{cell}: no Python {version} here, not run")
            continue
        rows[cell], well = run(version, kind, home, tests or SUITE)
        good.append(well)
        if "KEEP" not in os.environ:
            shutil.rmtree(home)
        PAGE.write_text(page_of(rows))
    return int(not good or not all(good))


if __name__ == "__main__":
    sys.exit(main(os.environ.get("CELLS", "").split(), os.environ.get("TESTS", "").split()))
