"""How many examples a test draws: CI half as many as a developer, `make test-long` twenty times as many."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

__all__ = ["examples"]

_USUAL = 100  # of a test that says no number


def examples(count: int, **more: Any) -> settings:
    """Settings of a test that draws another number of examples than usual; `count` is that of a developer's run."""
    return settings(max_examples=max(1, count * settings().max_examples // _USUAL), **more)
