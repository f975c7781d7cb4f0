"""Tables of the measured values: means over seeds, and paired differences with 95 % intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import t as student

__all__ = ["difference", "mean", "table"]


def mean(values: Sequence[float], scale: float = 100) -> str:
    """The mean of values."""
    return f"{scale * np.mean(values):.1f}"


def difference(values: Sequence[float], others: Sequence[float], scale: float = 100, digits: int = 1) -> str:
    """The mean of the paired differences and its 95 % interval (Student's t); bold where the interval does not contain 0."""
    paired = scale * (np.asarray(values) - np.asarray(others))
    half = float(student.ppf(0.975, len(paired) - 1) * paired.std(ddof=1) / np.sqrt(len(paired)))
    text = f"{paired.mean():+.{digits}f} ± {half:.{digits}f}"
    return f"**{text}**" if abs(paired.mean()) > half else text


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
