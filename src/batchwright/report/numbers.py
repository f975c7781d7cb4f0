"""What a report holds: plain numbers, gathered once, from which the page, the plots and the tables are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..audit import Audit
from ..exported import Table
from .labels import Labels
from .pictures import (
    CompositionPicture,
    CostPicture,
    DriftPicture,
    LengthsPicture,
    MeasuredBatches,
    PaddingPicture,
    PassesPicture,
    PresencePicture,
    SharesPicture,
)

__all__ = ["ReportNumbers"]


@dataclass(frozen=True)
class ReportNumbers:
    """What was measured on a plan, as plain numbers; `Report` says what each field holds."""

    title: str
    plan: str
    fingerprint: str
    epoch: int
    samples: int
    groups: int
    world_size: int
    accumulate: int
    walk: MeasuredBatches
    audit: Audit | None
    notes: list[str]
    shares: SharesPicture
    composition: CompositionPicture
    presence: PresencePicture | None
    passes: PassesPicture | None
    drift: DriftPicture | None
    lengths: LengthsPicture | None
    padding: PaddingPicture | None
    cost: CostPicture | None
    labels: Labels | None = None

    @property
    def tables(self) -> dict[str, Table]:
        """The table behind each picture, by its name; each goes `to_pandas()`, `to_polars()`, `to_arrow()`."""
        found = {name: picture.table() for name, picture in self._pictures()}
        if self.passes is not None:
            found["repeats"] = self.passes.histogram()
        return found

    def _pictures(self) -> Iterator[tuple[str, Any]]:
        for field in dataclasses.fields(self):
            picture = getattr(self, field.name)
            if hasattr(picture, "table"):
                yield field.name, picture

    def to_dict(self) -> dict[str, Any]:
        """All numbers as a dictionary of JSON types; the page holds the same."""
        found = {
            field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self) if field.name != "audit"
        }
        found["walk"]["text"] = str(self.walk)
        found["audit"] = (
            None
            if self.audit is None
            else {
                "first": self.audit.first,
                "batches": self.audit.batches,
                "kept": self.audit.kept,
                "findings": [
                    {
                        "guarantee": one.guarantee,
                        "bound": one.bound if one.promised else None,
                        "worst": one.worst,
                        "kept": one.kept,
                        "where": one.where,
                    }
                    for one in self.audit.findings
                ],
            }
        )
        return found

    def __str__(self) -> str:
        lines = [self.plan, str(self.walk)]
        if self.audit is not None:
            lines.append("all guarantees kept" if self.audit.kept else "a guarantee is BROKEN")
        if self.padding is not None:
            lines.append(f"padding {self.padding.overall:.2%}, under a shuffle {self.padding.overall_shuffled:.2%}")
        if self.cost is not None:
            lines.append(
                f"the most expensive of {self.cost.ranks} ranks costs {self.cost.waiting:.3f} of the mean, under a shuffle "
                f"{self.cost.waiting_shuffled:.3f}"
            )
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"<report of {self.plan}>"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [*value] if isinstance(value, list) else value
