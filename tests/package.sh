#!/bin/sh
# Build the wheel and the sdist, check both, and install the wheel into a clean environment of every Python that is found here.
# VERSIONS="3.12" tries that one alone. Plans need no torch, so it is left out; WITH_TORCH=1 installs everything that the wheel asks for.
set -eu
. "$(dirname "$0")/pythons.sh"
rm -rf dist .venv-package
${PYTHON:-python3} -m venv .venv-package
.venv-package/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt build hatchling twine
.venv-package/bin/python -m build --no-isolation --outdir dist . >/dev/null
.venv-package/bin/python -m twine check --strict dist/*
for file in dist/*.whl; do wheel=$file; done
.venv-package/bin/python -m zipfile -l "$wheel" | grep 'batchwright/py.typed' >/dev/null || { echo "py.typed is not in the wheel"; exit 1; }
if tar tzf dist/*.tar.gz | grep -E '^[^/]*/(docs/_build|build|dist|\.venv)/'; then
    echo "the sdist has files that were built"
    exit 1
fi
ran=0
for version in ${VERSIONS:-3.11 3.12 3.13 3.14}; do
    python=$(python_of "$version")
    if [ -z "$python" ]; then
        echo "no Python $version here: not installed there"
        continue
    fi
    rm -rf .venv-package
    "$python" -m venv .venv-package
    install=".venv-package/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt"
    if [ -n "${WITH_TORCH:-}" ]; then
        $install torch
        $install "$wheel"
    else
        $install numpy numba narwhals
        $install --no-deps "$wheel"
    fi
    (cd .venv-package && bin/python ../tests/package_program.py)
    ran=$((ran + 1))
done
rm -rf .venv-package
[ "$ran" -gt 0 ] || { echo "no Python from 3.11 on is here"; exit 1; }
