"""The result of an audit: one line for each guarantee."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

from ..aligned import aligned
from ..errors import Infeasible
from ..exported import Exported

__all__ = ["Audit", "Finding"]


@dataclass(frozen=True)
class Finding:
    """The measured value of one guarantee, or a value that is only reported.

    Attributes:
        guarantee: its name, such as "G1 size".
        bound: the worst value that is allowed; infinity if the value is only reported.
        worst: the worst value that was measured.
        where: the micro-batch, and the group or sample, of the worst value.
    """

    guarantee: str
    bound: float
    worst: float
    where: str

    @property
    def promised(self) -> bool:
        """Whether there is a bound."""
        return self.bound < math.inf

    @property
    def kept(self) -> bool:
        """Whether the worst value is within the bound."""
        return self.worst <= self.bound + 1e-6  # sums of quotas are floats


@dataclass(frozen=True)
class Audit(Exported):
    """The findings of an audit over `batches` micro-batches from `first` on; `print` it, or export it with `to_pandas()`.

    Attributes:
        first: the first micro-batch that was measured.
        batches: the number of micro-batches.
        findings: one for each guarantee.
    """

    first: int
    batches: int
    findings: tuple[Finding, ...]

    @property
    def kept(self) -> bool:
        """Whether every guarantee was kept."""
        return all(finding.kept for finding in self.findings)

    def __getitem__(self, guarantee: str) -> Finding:
        """The finding of a guarantee, by its name or number: `audit["G6 across"]`, `audit["G2"]`.

        If a number has several findings, the one that is nearest to its bound, or farthest beyond it.

        Raises:
            Infeasible: nothing of this name was measured.
        """
        found = [finding for finding in self.findings if guarantee in (finding.guarantee, finding.guarantee.split()[0])]
        if not found:
            names = ", ".join(repr(finding.guarantee) for finding in self.findings)
            raise Infeasible(f"no finding is called {guarantee!r}", f"pass one of {names}")
        return max(found, key=lambda finding: finding.worst - finding.bound)

    def columns(self) -> dict[str, list[Any]]:
        """See `Exported`: one line for each finding; a value that is only reported has neither a bound nor a verdict."""
        return {
            "guarantee": [one.guarantee for one in self.findings],
            "bound": [float(one.bound) if one.promised else None for one in self.findings],
            "worst": [float(one.worst) for one in self.findings],
            "kept": [one.kept if one.promised else None for one in self.findings],
            "where": [one.where for one in self.findings],
        }

    def _repr_html_(self) -> str:
        head = f"micro-batches {self.first:,} to {self.first + self.batches - 1:,}"
        return f"<p>{escape(head)}: {'kept' if self.kept else '<b>BROKEN</b>'}</p>{super()._repr_html_()}"

    def __str__(self) -> str:
        rows = [["guarantee", "bound", "worst", "", "where"]]
        for finding in self.findings:
            verdict = ("kept" if finding.kept else "BROKEN") if finding.promised else ""
            rows.append([finding.guarantee, f"{finding.bound:.4g}", f"{finding.worst:.4g}", verdict, finding.where])
        head = f"micro-batches {self.first} to {self.first + self.batches - 1}"
        return "\n".join([head, *aligned(rows, "<>><<")])
