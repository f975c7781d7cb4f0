#!/bin/sh
# The golden vectors on every Python that is found here, with the oldest and the newest numpy and numba it can have.
set -eu
. "$(dirname "$0")/pythons.sh"
for version in 3.11 3.12 3.13 3.14; do
    python=$(python_of "$version")
    if [ -z "$python" ]; then
        echo "no Python $version here: not run"
        continue
    fi
    case $version in
        3.14) oldest="numpy numba" ;; # the first that have wheels for it are the newest
        3.13) oldest="numpy==2.1.* numba==0.61.*" ;;
        *) oldest="numpy==1.26.* numba==0.60.*" ;;
    esac
    for packages in "$oldest" "numpy numba"; do
        environment=.venv-versions-$version
        rm -rf "$environment"
        "$python" -m venv "$environment"
        # shellcheck disable=SC2086
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check $packages
        PYTHONPATH=src NUMBA_CACHE_DIR=$environment/cache "$environment/bin/python" -m tests.golden
        rm -rf "$environment"
    done
done
