"""Kernels are compiled before the random programs run."""

from __future__ import annotations

import pytest

from batchwright.kernels.__main__ import compile_all


@pytest.fixture(scope="package", autouse=True)
def compiled() -> None:
    """What a program takes is not to be what compiling the kernels takes."""
    compile_all()
