"""How a stream is balanced: the arguments of `balanced`, validated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .byte_limit import Weigher

__all__ = ["Rules", "WhenShort"]

WhenShort = Literal["wait", "repeat", "redistribute"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The arguments of `balanced`, validated."""

    batch_size: int
    buffer: int
    when_short: WhenShort
    patience: int
    max_deficit: int
    weigher: Weigher | None
    unit: Callable[[Any], float] | None = None
