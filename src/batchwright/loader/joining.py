"""The collate function of a loader: whether it suits the plan, and what to say where torch's own cannot join samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import default_collate

from ..base_plan import BasePlan
from ..collate import Collate
from ..collate.pack_collate import PackCollate
from ..collate.packs import PackRules
from ..collate.ragged_field import RaggedField
from ..errors import Infeasible
from ..lengths.pack_cutter import PackBorders

__all__ = ["Default", "check_collate", "declaring"]

_BY_PLAN = "pass packs=plan to collate.packs, and bw.identified(dataset) to plan.loader"


def declaring(plan: Any) -> str:
    """The code of a collate function for a plan, with `...` in place of its fields."""
    borders = plan.pack_borders
    if borders is None:
        return "bw.Collate(...)"
    by_capacity = borders.capacity_tells or (borders.packs == 1 and borders.capacity is not None)
    within = f"capacity={borders.capacity}, packs={borders.packs}" if by_capacity else "packs=plan"
    return f"bw.Collate(...).packs({within})"


def _numbered(declared: str) -> str:
    """What a collate function for a plan also needs of the dataset, to be read after how it is passed."""
    return " and bw.identified(dataset) in place of the dataset" if "packs=plan" in declared else ""


@dataclass
class Default:
    """`default_collate` of torch, or a trainer's; where it cannot join samples, the error says how fields are declared.

    Args:
        declaring: how a collate function for the plan is written.
        join: what joins samples.
        passed: how the function is passed, with `...` in place of it.
    """

    declaring: str
    join: Callable[[Any], Any] = default_collate
    passed: str = "collate=... to plan.loader"

    def __call__(self, samples: Sequence[Any]) -> Any:
        """The batch."""
        try:
            return self.join(samples)
        except (RuntimeError, TypeError) as error:
            shapes = [_shape_of(sample) for sample in samples]
            other = next((number for number, shape in enumerate(shapes) if shape != shapes[0]), 0)
            if other and None not in shapes:
                declared = self.declaring.replace("Collate(...)", "Collate(x=bw.ragged())")
                raise Infeasible(
                    f"sample {other} of the batch has shape {shapes[other]}, sample 0 has {shapes[0]}",
                    f"let the dataset return them as {{'x': sample}}, and pass {self.passed.replace('...', declared)}"
                    f"{_numbered(declared)}",
                ) from error
            try:
                Collate()(samples)
            except Infeasible as refusal:
                raise Infeasible(
                    refusal.fact,
                    f"pass {self.passed.replace('...', self.declaring)}{_numbered(self.declaring)}, with its fields; "
                    f"{refusal.way_out}",
                ) from error
            raise


def _shape_of(sample: Any) -> tuple[int, ...] | None:
    """The shape of a sample that is one tensor, array or list of numbers; None of others."""
    if isinstance(sample, (Tensor, np.ndarray)):
        return tuple(sample.shape)
    return (
        (len(sample),) if isinstance(sample, list) and all(isinstance(each, (int, float)) for each in sample) else None
    )


def check_collate(plan: BasePlan, collate: Callable[[list[Any]], Any] | None) -> None:
    """Refuse a collate function that does not make the packs of a plan of packs.

    Raises:
        Infeasible: it pads each sample of a pack, cuts by the capacity where other limits count too, makes packs of another
            capacity, or fewer, or those of another plan.
    """
    borders = plan.pack_borders
    if borders is None:
        return
    if isinstance(collate, Collate):
        padded = [
            name for name, field in collate.fields.items() if isinstance(field, RaggedField) and field.form == "padded"
        ]
        if padded:
            declared = declaring(plan)
            raise Infeasible(
                f"the plan makes packs, and collate pads every sample of field {padded[0]!r} to the longest",
                f"pass collate={declared.replace('bw.Collate(...)', 'collate')}{_numbered(declared)}",
            )
    if not isinstance(collate, PackCollate):
        return
    if collate.borders is not None:
        if not borders.cuts_as(collate.borders):
            raise Infeasible("the packs of collate are those of another plan, which has other limits", _BY_PLAN)
        return
    _check_rules(borders, collate.rules)


def _check_rules(borders: PackBorders, rules: PackRules) -> None:
    """Refuse rules by which a micro-batch of a plan is cut into other packs than the plan's."""
    # A micro-batch of one pack is that pack, whatever else limits it, if the capacity is not too low.
    if borders.packs > 1 and not borders.capacity_tells:
        raise Infeasible(
            f"the plan's packs have {borders.further_limits}, and collate cuts them by the capacity alone", _BY_PLAN
        )
    planned = f"capacity={borders.capacity}, packs={borders.packs}"
    if rules.packs < borders.packs:
        raise Infeasible(
            f"the plan was made with packs={borders.packs}, the packs of collate with packs={rules.packs}",
            f"pass {planned} to collate.packs",
        )
    if None in (rules.capacity, borders.capacity):
        return
    assert rules.capacity is not None
    assert borders.capacity is not None
    if rules.capacity < borders.capacity or (rules.capacity > borders.capacity and borders.packs > 1):
        raise Infeasible(
            f"the plan was made with capacity={borders.capacity}, the packs of collate with capacity={rules.capacity}",
            f"pass {planned} to collate.packs"
            + (f"; for the plan's packs with more room, {_BY_PLAN}" if rules.capacity > borders.capacity else ""),
        )
