"""Whether a `Collate` pads to longer lengths than those that a plan by lengths counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base_plan import BasePlan, NumberColumn
from ..collate import Collate
from ..collate.padding import Padding
from ..collate.ragged_field import RaggedField
from ..errors import exactly, listed, shown, warn

__all__ = ["check_padding"]


def check_padding(plan: BasePlan, collate: Any) -> None:
    """Compare the padded lengths of a collate function with those that the budget of a plan counts.

    Warns:
        PoorWarning: `multiple` or `menu` of a field pads micro-batches to more than the budget.
    """
    if not isinstance(collate, Collate):
        return
    for part in plan.children or [plan]:  # each task has a budget of its own
        budget = part.padded_budget
        if budget is None:
            continue
        lengths, most = budget
        for name, field in collate.fields.items():
            if isinstance(field, RaggedField) and field.form == "padded" and isinstance(field.dim, int):
                found = _over(lengths, most, field.padding, repeats=not part.same_samples)
                if found is not None:
                    warn(_text(name, field.padding, *found, most))
                    return


def _over(column: NumberColumn, budget: float, padding: Padding, *, repeats: bool) -> tuple[int, int, int] | None:
    """The most expensive micro-batch that padding may make too large: its samples, the longest of them, its padded length.

    None if there is none. With `repeats`, a sample may come several times in a micro-batch.
    """
    if padding.multiple == 1 and not padding.menu:
        return None
    lengths = column[:]
    if (lengths % 1).any():  # seconds, which are no elements
        return None
    known, counts = np.unique(lengths[(lengths > 0) & (lengths <= budget)], return_counts=True)
    samples = budget // known
    if not repeats:
        samples = np.minimum(samples, counts.cumsum())  # of those that are not longer
    if padding.menu:
        menu = np.unique(padding.menu)
        to = menu[np.minimum(np.searchsorted(menu, known), menu.size - 1)]  # longer ones are refused when they come
    else:
        to = np.ceil(known / padding.multiple) * padding.multiple
    if not known.size or (samples * to).max() <= budget:
        return None
    worst = int((samples * to).argmax())
    return int(samples[worst]), int(known[worst]), int(to[worst])


def _text(name: str, padding: Padding, samples: int, length: int, to: int, budget: float) -> str:
    how = f"menu=[{listed(padding.menu)}]" if padding.menu else f"multiple={padding.multiple}"
    rounding = f"[{listed(padding.menu)}]" if padding.menu else str(padding.multiple)
    return (
        f"collate pads field {shown(name)} to {how}, and the budget of the plan counts other lengths: {samples} samples of "
        f"length {length} at most are padded to {to}, {samples * to} in all, and the budget is {exactly(budget)}; build the "
        f"plan with round_length={rounding} (for an evaluation pass it the lengths rounded so), or pass check_data=False "
        "if its lengths are not those of this field."
    )
