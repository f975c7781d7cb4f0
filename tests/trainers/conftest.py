"""These tests run whole trainers; `make test-trainers` runs them, `make test` does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .. import processes

processes.preload(
    *["torchdata.stateful_dataloader", "accelerate", "transformers.trainer", "lightning.pytorch", "ignite.handlers"],
    "tests.trainers.places",  # which draws from a plan: a process then need not load the kernels, about a second
    # with the adapters, a quarter of a second; what a process imports by itself, each of some hundred imports
    *[f"tests.trainers.programs.{name}" for name in ("accelerate", "ignite", "lightning", "stateful", "transformers")],
    "tests.trainers.programs.evaluating",
    "tests.trainers.programs.eval_losses",
)


TOGETHER = {path.name for path in Path(__file__).parent.glob("test_*.py") if 'scope="module"' in path.read_text()}
"""Files with processes or a cluster that their tests share, which each process of xdist would start again."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Those files come first, each in one process of xdist; every other test by itself.

    The groups of xdist 3.8 itself have no effect with pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, _ = nodeid.partition("::")
            return file if Path(file).name in TOGETHER else nodeid

    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "trainers" in item.path.parts:
            item.add_marker(pytest.mark.trainers)
