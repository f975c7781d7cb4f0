"""`Report`, which `plan.report` returns: the numbers of a plan, and how they become a page and pictures."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from ..readings import reading
from .numbers import ReportNumbers
from .page import page
from .plot import Plots

__all__ = ["Report"]


class Report(ReportNumbers):
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
        labels: how often each label is drawn, and how many samples of a micro-batch have it; None unless the plan was
            made by `multilabel`.
    """

    @property
    def plot(self) -> Plots:
        """The pictures of the page, drawn with matplotlib: `report.plot.drift()`."""
        return Plots(self)

    def html(self) -> str:
        """The page: one file that needs nothing else."""
        return page(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file."""
        html = self.html()
        with reading(path, "path", "pass the path of a file in a folder that can be written"):
            Path(path).write_text(html, encoding="utf-8")

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html())}" style="width:100%;height:640px;border:0" '
            f'title="{escape(self.title)}"></iframe>'
        )
