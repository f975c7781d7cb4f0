"""These tests run whole trainers; `make test-trainers` runs them, `make test` does not."""

from __future__ import annotations

import pytest

from .. import processes

processes.preload(
    *["torchdata.stateful_dataloader", "accelerate", "transformers.trainer", "lightning.pytorch", "ignite.handlers"],
    "tests.trainers.places",  # which draws from a plan: a process then need not load the kernels, about a second
    # with the adapters, a quarter of a second; what a process imports by itself, each of some hundred imports
    *[f"tests.trainers.programs.{name}" for name in ("accelerate", "ignite", "lightning", "stateful", "transformers")],
    "tests.trainers.programs.evaluating",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "trainers" in item.path.parts:
            item.add_marker(pytest.mark.trainers)
