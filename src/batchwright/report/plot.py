"""The pictures of a report, drawn with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Infeasible
from ..readings import library
from .numbers import ReportNumbers
from .sections import sections

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Plots"]

_PLAN, _SOFT, _OTHER, _TEXT = "#0068a8", "#8bb9d6", "#c2540a", "#1c2024"  # as on the page; told apart by all readers
_SPAN = 60  # shares that differ by a larger factor need a logarithmic scale


class Plots:
    """The pictures of a report, one method each; `plan.plot.drift()` draws the drift of a plan.

    Every method takes the axes to draw into, makes new ones if they are left out, and returns them. A dashed line is a
    limit, or a mean over all micro-batches. `plan.plot` measures the plan as `plan.report()` does; for other ranks,
    lengths or epochs call `plan.report(...).plot`.

    Args:
        report: the numbers.

    Raises:
        Infeasible: matplotlib is not installed, or the report has no such picture.
    """

    def __init__(self, report: ReportNumbers) -> None:
        self.report = report

    def shares(self, ax: Axes | None = None) -> Axes:
        """Natural share, target and share of the draws of each group."""
        ax, held = self._axes(ax, "shares"), self.report.shares
        rows = np.arange(len(held.names))
        ax.scatter(
            held.natural, rows, s=36, facecolors="none", edgecolors=_OTHER, linewidths=1.5, label="natural share"
        )
        ax.scatter(held.drawn, rows, s=36, color=_PLAN, label="drawn")
        ax.scatter(held.target, rows, s=90, marker="|", color=_TEXT, label="target", zorder=3)
        self._rows(ax, held.names)
        self._share_scale(ax, [held.natural, held.target, held.drawn])
        ax.set_xlabel("share of the draws")
        return _legend(ax)

    def composition(self, ax: Axes | None = None, *, shuffle: bool = False) -> Axes:
        """Samples of each group above or below its quota, micro-batch by micro-batch.

        Args:
            ax: the axes.
            shuffle: draw the same for a plain shuffle, in the same colours.
        """
        from matplotlib.colors import FuncNorm, LinearSegmentedColormap

        ax, held = self._axes(ax, "composition"), self.report.composition
        apart = held.counts - held.quotas, held.shuffled - held.shuffled_quotas
        most = max(1e-9, *(float(np.abs(one).max()) for one in apart))

        def root(values: Any) -> Any:  # shows small distances beside large ones
            return np.sign(values) * np.sqrt(np.abs(values))

        def square(values: Any) -> Any:
            return np.sign(values) * np.square(values)

        colours = LinearSegmentedColormap.from_list("quota", [_OTHER, "#f1f3f4", _PLAN])
        image = ax.imshow(
            apart[shuffle],
            aspect="auto",
            interpolation="nearest",
            cmap=colours,
            norm=FuncNorm((root, square), vmin=-most, vmax=most),
        )
        self._rows(ax, held.names)
        ax.grid(visible=False)
        numbers = held.micro_batches
        ticks = np.unique(np.linspace(0, numbers.size - 1, 5).round().astype(int))
        ax.set_xticks(ticks, [f"{numbers[at]:,}" for at in ticks])
        ax.set_xlabel("micro-batch of a plain shuffle" if shuffle else "micro-batch")
        bar = ax.figure.colorbar(image, ax=ax, ticks=[-most, -most / 4, 0, most / 4, most], format="%+.3g")
        bar.set_label("samples above the quota")
        return ax

    def presence(self, ax: Axes | None = None) -> Axes:
        """The part of all micro-batches that hold each group."""
        ax, held = self._axes(ax, "presence"), self._held("presence")
        rows = np.arange(len(held.names))
        ax.scatter(
            held.shuffled, rows, s=36, facecolors="none", edgecolors=_OTHER, linewidths=1.5, label="a plain shuffle"
        )
        ax.scatter(held.drawn, rows, s=30, color=_PLAN, label="this plan")
        self._rows(ax, held.names)
        self._share_scale(ax, [held.drawn, held.shuffled])
        ax.set_xlabel("micro-batches that hold it")
        return _legend(ax)

    def passes(self, ax: Axes | None = None) -> Axes:
        """How often the samples of each group came."""
        ax, held = self._axes(ax, "passes"), self._held("passes")
        rows = np.arange(len(held.names))
        ax.hlines(rows, held.fewest, held.most, color=_PLAN, linewidth=5, capstyle="round", label="least to most often")
        ax.scatter(held.most, rows, s=20, color=_PLAN)  # a line of no length is not drawn
        ax.scatter(held.expected, rows, s=90, marker="|", color=_TEXT, label="passes of the target", zorder=3)
        self._rows(ax, held.names)
        ax.set_xlim(left=min(0, ax.get_xlim()[0]))
        ax.set_xlabel("times that a sample came")
        return _legend(ax)

    def repeats(self, ax: Axes | None = None) -> Axes:
        """How many samples came so often."""
        ax, held = self._axes(ax, "passes"), self._held("passes")
        ax.bar(held.times - 0.2, held.samples, 0.38, color=_PLAN, label="this plan")
        ax.bar(held.times + 0.2, held.shuffled, 0.38, color=_OTHER, label="a plain shuffle")
        ax.set_xticks(held.times)
        ax.set_xlabel("times that a sample came")
        ax.set_ylabel("samples")
        return _legend(ax)

    def drift(self, ax: Axes | None = None) -> Axes:
        """How far the draws of a group are from the sum of its quotas."""
        ax, held = self._axes(ax, "drift"), self._held("drift")
        ax.plot(held.micro_batches, held.shuffled, color=_OTHER, linewidth=1.2, label="a shuffle's farthest group")
        ax.plot(held.micro_batches, held.median, color=_SOFT, linewidth=1.2, label="half of the groups")
        ax.plot(held.micro_batches, held.most_groups, color=_SOFT, linewidth=1.2, label="90 % of the groups")
        ax.plot(held.micro_batches, held.worst, color=_PLAN, label="farthest group")
        if held.bound is not None:
            ax.axhline(held.bound, color=_TEXT, linewidth=1, linestyle="--", label="limit")
        ax.set_yscale("symlog", linthresh=1)
        ax.set_ylim(0, 30 * ax.get_ylim()[1])  # with room for the legend
        ax.set_xlabel("micro-batches")
        ax.set_ylabel("samples")
        return _legend(ax)

    def lengths(self, ax: Axes | None = None) -> Axes:
        """The distribution of lengths in the data and in the draws."""
        ax, held = self._axes(ax, "lengths"), self._held("lengths")
        ax.stairs(held.drawn / max(1, held.drawn.sum()), held.edges, fill=True, color=_PLAN, alpha=0.8, label="drawn")
        ax.stairs(held.data / max(1, held.data.sum()), held.edges, color=_OTHER, linewidth=1.6, label="the data")
        widths = np.diff(held.edges)
        if widths[-1] > 2 * widths[0]:
            ax.set_xscale("log")
        ax.set_xlabel("length")
        ax.yaxis.set_major_formatter(_percent)
        return _legend(ax)

    def padding(self, ax: Axes | None = None) -> Axes:
        """The part of single micro-batches that is padding."""
        ax, held = self._axes(ax, "padding"), self._held("padding")
        numbers = held.micro_batches
        ax.scatter(numbers, held.shuffled, s=16, facecolors="none", edgecolors=_OTHER, label="a plain shuffle")
        ax.scatter(numbers, held.padding, s=14, color=_PLAN, label="this plan")
        ax.axhline(held.overall_shuffled, color=_OTHER, linewidth=1, linestyle="--")
        ax.axhline(held.overall, color=_PLAN, linewidth=1, linestyle="--")
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(_percent)
        ax.set_xlabel("micro-batch")
        return _legend(ax)

    def cost(self, ax: Axes | None = None) -> Axes:
        """The cost of the cheapest and of the most expensive rank of single steps."""
        ax, held = self._axes(ax, "cost"), self._held("cost")
        ax.plot(held.steps, held.shuffled, color=_OTHER, linewidth=1, label="a shuffle's most expensive rank")
        ax.fill_between(held.steps, held.least, held.most, color=_SOFT, alpha=0.7, label="cheapest to most expensive")
        ax.plot(held.steps, held.most, color=_PLAN, label="most expensive rank")
        ax.set_ylim(top=1.3 * ax.get_ylim()[1])  # with room for the legend
        ax.set_xlabel("step")
        return _legend(ax)

    def _held(self, name: str) -> Any:
        held = getattr(self.report, name)
        if held is None:
            raise Infeasible(
                f"the report of {self.report.plan} has no numbers of {name!r}",
                f"draw one of {', '.join(part.name for part in sections(self.report))}; lengths and costs are arguments of "
                "plan.report",
            )
        return held

    def _axes(self, ax: Axes | None, name: str) -> Axes:
        self._held(name)
        pyplot = library("matplotlib.pyplot", "a plot", install="'batchwright[plot]'")
        if ax is None:
            rows = len(self.report.shares.names) if name in ("shares", "composition", "presence", "passes") else 14
            _, ax = pyplot.subplots(figsize=(7.2, 1.4 + 0.2 * max(rows, 8)), layout="constrained")
        heading = {part.name: part.heading for part in sections(self.report)}[name]
        ax.set_title(heading, loc="left", fontsize="medium", fontweight="bold")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.grid(visible=True, color="#e3e5e7", linewidth=0.8)
        ax.set_axisbelow(True)
        ax.tick_params(length=0)
        return ax

    def _rows(self, ax: Axes, names: list[str]) -> None:
        """A row for each name, the first on top."""
        size = "small" if len(names) <= 24 else "xx-small"
        ax.set_yticks(
            range(len(names)), [name if len(name) <= 22 else f"{name[:21]}…" for name in names], fontsize=size
        )
        ax.set_ylim(len(names) - 0.4, -0.6)

    def _share_scale(self, ax: Axes, shares: list[np.ndarray]) -> None:
        """Percent, on a logarithmic scale where the shares differ by a large factor."""
        held = np.concatenate(shares)
        held = held[held > 0]
        if held.size and held.max() > _SPAN * held.min():
            ax.set_xscale("log")
        else:
            ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(_percent)


def _percent(value: float, place: Any) -> str:
    return f"{100 * value:.3g} %"


def _legend(ax: Axes) -> Axes:
    ax.legend(frameon=False, fontsize="small", loc="best")
    return ax
