"""Settings of the whole suite."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# Of torch, which is imported later, also in the processes of tests: tensors this small lose to a second thread's hand-over,
# tenfold on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A change is judged by the same examples each time, of which half the usual number do: more would be the same ones again the
# next time. Each run by a developer looks for new ones.
settings.register_profile(
    "suite",
    deadline=None,
    print_blob=True,
    max_examples=50 if "CI" in os.environ else 100,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("long", parent=settings.get_profile("suite"), max_examples=2000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long versions of the tests too")


def pytest_collection_finish() -> None:
    """What was imported by now stays: the garbage collector, also of forked processes, need not look at it again."""
    gc.collect()
    gc.freeze()
    # Iterators that the traceback of an expected error refers to are freed by the collector of cycles. It closes the queues
    # before torch tells the workers to end, so torch waits for each as long as this, then ends it: usually 5 s.
    if "torch" in sys.modules:
        sys.modules["torch"].utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.5


def pytest_configure(config: pytest.Config) -> None:
    # The same on every Python: from 3.14 on, another is the default. `test_platforms.py` has what is spawned.
    multiprocessing.set_start_method("fork", force=True)
    settings.load_profile("long" if config.getoption("--long") else "suite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
