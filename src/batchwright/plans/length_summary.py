"""What a plan that cuts by cost does, measured on its first window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .lengthwise import LengthPlan

__all__ = ["LengthSummary", "summarise"]


@dataclass(frozen=True)
class LengthSummary:
    """A plan in numbers, those after `epoch_batches` measured on the first window of epoch 0; `print` it.

    Attributes:
        multiple: micro-batches in a step.
        epoch_batches: micro-batches in every epoch.
        windows: windows in every epoch.
        batch_sizes: the smallest and the largest micro-batch, in samples.
        padding: the share of what is computed that is no token.
        at_least: micro-batches that any plan of the same limit needs for these samples, proven.
        batches: micro-batches there are.
        step_balance: the dearest micro-batch of a step over the mean of the step, as the mean over all steps; 1 is perfect.
        composition: how far the count of any group in a micro-batch is from its share of the window, in samples, at worst.
        too_long: the policy for samples over the limit.
        too_long_count: how many samples that concerns.
    """

    multiple: int
    epoch_batches: int
    windows: int
    batch_sizes: tuple[int, int]
    padding: float
    at_least: int
    batches: int
    step_balance: float
    composition: float
    too_long: str
    too_long_count: int

    @property
    def gap(self) -> float:
        """Micro-batches above the proven bound, as a share of it."""
        return self.batches / self.at_least - 1 if self.at_least else 0.0

    def __str__(self) -> str:
        lines = [
            f"{self.epoch_batches} micro-batches an epoch in {self.windows} windows, steps of {self.multiple}",
            f"first window: {self.batches} micro-batches of {self.batch_sizes[0]} to {self.batch_sizes[1]} samples, "
            f"{self.padding:.3%} padding, {self.gap:.2%} above the bound of {self.at_least}",
            f"steps: the dearest micro-batch costs {self.step_balance:.5f} of the mean",
            f"groups: within {self.composition:.1f} samples of their share of the window",
        ]
        if self.too_long_count:
            lines.append(f"too long: {self.too_long_count} samples, policy {self.too_long!r}")
        return "\n".join(lines)


def summarise(plan: LengthPlan, multiple: int) -> LengthSummary:
    """The summary of a plan."""
    layout, cutter = plan.layout(multiple), plan.cutter
    items, cut = plan.arranged_window(0, 0, layout)
    batches = [items[cut.batch(number)] for number in range(len(cut))]
    tokens = np.array([cutter.tokens(batch) for batch in batches]).sum(axis=0)
    steps = cut.costs.reshape(-1, multiple)
    busy = steps[steps.mean(axis=1) > 0]
    composition = 0.0
    if plan.admission.pieces is None and plan.groups.group_count <= len(items):
        groups = plan.groups.group_of(items)
        share = np.bincount(groups, minlength=plan.groups.group_count) / items.size
        for number in range(len(cut)):
            held = np.bincount(groups[cut.batch(number)], minlength=share.size)
            composition = max(composition, float(np.abs(held - share * held.sum()).max()))
    sizes = np.diff(cut.offsets)
    return LengthSummary(
        multiple,
        layout.length,
        layout.windows,
        (int(sizes.min()), int(sizes.max())),
        float(1 - tokens[0] / tokens[1]) if tokens[1] else 0.0,
        cutter.at_least(items),
        len(cut),
        float((busy.max(axis=1) / busy.mean(axis=1)).mean()) if len(busy) else 1.0,
        composition,
        plan.admission.too_long,
        plan.admission.too_long_count,
    )
