"""Kernels are compiled before the random programs run."""

from __future__ import annotations

import pytest

from batchwright.kernels.__main__ import compile_all


@pytest.fixture(scope="package", autouse=True)
def compiled() -> None:
    """The time of a program must not include compiling the kernels."""
    compile_all()
