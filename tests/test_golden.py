"""The golden vectors hold here; `make test-matrix` holds them on every Python, numpy and numba that is supported."""

from __future__ import annotations

import json

import pytest

from . import golden

WRITTEN = json.loads(golden.FILE.read_text())


@pytest.fixture(scope="module")
def found():
    return golden.vectors()


@pytest.mark.parametrize("name", WRITTEN["vectors"])
def test_vectors_hold(found, name):
    assert found[name] == WRITTEN["vectors"][name]


def test_fingerprints_hold():
    assert golden.fingerprints() == WRITTEN["fingerprints"]


def test_every_plan_is_written_down(found):
    assert set(found) == set(WRITTEN["vectors"])
