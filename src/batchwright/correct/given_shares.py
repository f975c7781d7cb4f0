"""Shares of classes as users give them: numbers in the order of the logits, or by name."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import Infeasible, check_number, exactly, listed, shown
from ..inputs.columns import as_numbers
from ..kernels.array_types import Floats

__all__ = ["checked_shares", "shares_by_class", "uniform_like"]

_SUM_TOLERANCE = 1e-6  # shares written with a few digits may miss 1 by this


def checked_shares(name: str, values: npt.ArrayLike) -> Floats:
    """Shares as float64, checked: from 0 to 1, each row with sum 1."""
    if values is None:
        raise Infeasible(f"{name} is None", "pass shares of shape (C,) or (D, C)")
    shares = as_numbers(values, called=name).astype(np.float64)
    if shares.ndim not in (1, 2) or shares.size == 0:
        raise Infeasible(f"{name} has shape {shares.shape}", "pass shares of shape (C,) or (D, C)")
    wrong = shares[~np.isfinite(shares) | (shares < 0)]
    if wrong.size:
        raise Infeasible(f"{name} holds {exactly(wrong[0])}, a share is from 0 to 1", "pass shares from 0 to 1")
    sums = np.atleast_1d(shares.sum(-1))
    worst = float(sums[np.abs(sums - 1).argmax()])
    if abs(worst - 1) > _SUM_TOLERANCE:
        row = "their sum" if shares.ndim == 1 else "the sum of their row"
        raise Infeasible(
            f"the shares of {name} sum to {exactly(worst)}, which misses 1 by more than {exactly(_SUM_TOLERANCE)}",
            f"divide them by {row}" if worst else "give a share above 0 to a class that is met",
        )
    return shares


def shares_by_class(shares: Mapping[Any, float], classes: list[Hashable], called: str = "deploy") -> Floats:
    """Shares by name as float64, in the order of the classes."""
    unknown = [name for name in shares if name not in classes]
    missing = [name for name in classes if name not in shares]
    facts = []
    if unknown:
        facts.append(f"names {len(unknown)} that the plan does not know ({listed(map(shown, unknown))})")
    if missing:
        facts.append(f"lacks {len(missing)} of its {len(classes)} classes ({listed(map(shown, missing))})")
    if facts:
        raise Infeasible(f"{called} {' and '.join(facts)}", "name every class of the plan and no other, 0 if never met")
    return np.array([check_number(shares[name], f"{called}[{name!r}]") for name in classes], dtype=np.float64)


def uniform_like(trained: Floats) -> Floats:
    """Equal shares of the classes that have one."""
    present = (trained > 0).astype(np.float64)
    uniform: Floats = present / present.sum(-1, keepdims=True)
    return uniform
