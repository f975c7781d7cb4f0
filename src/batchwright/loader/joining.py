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
from ..collate.ragged_field import RaggedField
from ..errors import Infeasible

__all__ = ["Default", "check_collate", "declaring"]


def declaring(plan: Any) -> str:
    """The code of a collate function for a plan, with `...` in place of its fields."""
    borders = plan.pack_borders
    if borders is None:
        return "bw.Collate(...)"
    within = "packs=plan" if borders.capacity is None else f"capacity={borders.capacity}, packs={borders.packs}"
    return f"bw.Collate(...).packs({within})"


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
                    f"let the dataset return them as {{'x': sample}}, and pass {self.passed.replace('...', declared)}",
                ) from error
            try:
                Collate()(samples)
            except Infeasible as refusal:
                raise Infeasible(
                    refusal.fact,
                    f"pass {self.passed.replace('...', self.declaring)}, with its fields; {refusal.way_out}",
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
        Infeasible: it pads each sample of a pack, or makes packs of a lower capacity, or fewer.
    """
    borders = plan.pack_borders
    if borders is None:
        return
    if isinstance(collate, Collate):
        padded = [
            name for name, field in collate.fields.items() if isinstance(field, RaggedField) and field.form == "padded"
        ]
        if padded:
            raise Infeasible(
                f"the plan makes packs, and collate pads every sample of field {padded[0]!r} to the longest",
                f"pass collate={declaring(plan).replace('bw.Collate(...)', 'collate')}",
            )
    if not isinstance(collate, PackCollate) or collate.follows_plan:
        return
    planned = {"capacity": borders.capacity, "packs": borders.packs}
    for name, most in planned.items():
        given = getattr(collate.rules, name)
        if None not in (given, most) and given < most:
            raise Infeasible(
                f"the plan was made with {name}={most}, the packs of collate with {name}={given}",
                f"pass {name}={most} to collate.packs",
            )
