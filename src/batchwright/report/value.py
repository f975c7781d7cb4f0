"""What a report holds: plain numbers, gathered once, from which the page, the plots and the tables are made."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..audit import Audit
from ..exported import Table
from ..readings import reading
from .pictures import Composition, Cost, Drift, Lengths, Padding, Passes, Presence, Shares, Walk

if TYPE_CHECKING:
    from .plot import Plots

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """A plan in numbers and pictures; made by `plan.report`. `print` it for a few lines, or `save` it as a page.

    Attributes:
        title: what stands above the page.
        plan: the plan, in one line.
        fingerprint: that of the plan.
        epoch: the epoch that was measured.
        samples: samples of the dataset.
        groups: how many groups they have.
        world_size: ranks.
        accumulate: micro-batches of a rank in a step.
        walk: which micro-batches were measured.
        audit: the guarantees of the plan, as `plan.audit` measured them; None where samples are too many for it.
        notes: those of the summary of the plan.
        shares: natural, wanted and measured shares.
        composition: what is in single micro-batches.
        presence: in how many micro-batches each group is.
        passes: how often samples came; None where samples are too many to be counted.
        drift: how far the groups are from their quotas.
        lengths: the distribution of lengths; None where lengths are not known.
        padding: what part is padding; None where lengths are not known.
        cost: how equal the work of the ranks is; None where neither costs nor lengths are known.
    """

    title: str
    plan: str
    fingerprint: str
    epoch: int
    samples: int
    groups: int
    world_size: int
    accumulate: int
    walk: Walk
    audit: Audit | None
    notes: list[str]
    shares: Shares
    composition: Composition
    presence: Presence | None
    passes: Passes | None
    drift: Drift | None
    lengths: Lengths | None
    padding: Padding | None
    cost: Cost | None

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

    @property
    def plot(self) -> Plots:
        """The pictures of the page, drawn with matplotlib: `report.plot.drift()`."""
        from .plot import Plots

        return Plots(self)

    def html(self) -> str:
        """The page: one file that needs nothing else."""
        from .page import page

        return page(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file."""
        html = self.html()
        with reading(path, "path", "pass the path of a file in a folder that can be written"):
            Path(path).write_text(html, encoding="utf-8")

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

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html())}" style="width:100%;height:640px;border:0" '
            f'title="{escape(self.title)}"></iframe>'
        )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [*value] if isinstance(value, list) else value
