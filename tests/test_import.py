"""What importing costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import batchwright as bw

HEAVY = ("torch", "numba", "numpy", "pandas", "matplotlib", "polars", "pyarrow", "scipy", "sklearn", "narwhals")


def test_importing_loads_nothing_heavy():
    code = f"import sys, batchwright; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_making_a_plan_loads_no_torch():
    code = "import sys, batchwright as bw; bw.labels.label_fn_map; bw.balanced([0, 1], 2)[0]; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_everything_public_is_reachable_and_nothing_else():
    for name in bw.__all__:
        assert getattr(bw, name) is not None
    assert set(bw.__all__) <= set(dir(bw))
    with pytest.raises(AttributeError, match="nothing"):
        getattr(bw, "nothing")  # noqa: B009  # the point is that the name is looked up
