"""The words of the page and of the plots: what each picture shows, and its main numbers in a sentence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .numbers import ReportNumbers

__all__ = ["Section", "key_numbers", "sections"]


class Section(NamedTuple):
    """One part of the page.

    Attributes:
        name: of the picture; the attribute of the report that it shows.
        heading: above it.
        text: what it shows.
        found: its main numbers, as a sentence; read by screen readers in place of the picture.
    """

    name: str
    heading: str
    text: str
    found: str


def sections(report: ReportNumbers) -> list[Section]:
    """The parts of the page that this plan has, in order."""
    makers = _shares, _composition, _presence, _passes, _drift, _lengths, _padding, _cost
    return [section for make in makers if (section := make(report)) is not None]


def key_numbers(report: ReportNumbers) -> list[tuple[str, str, str]]:
    """What stands at the top of the page: a name, a value, a remark."""
    found = [
        ("samples", _short(report.samples), f"in {_count(report.groups, 'group')}"),
        ("micro-batches", _short(report.walk.epoch_batches), f"an epoch, {_mean_size(report)} samples each"),
        ("ranks", f"{report.world_size:,}", f"{_count(report.accumulate, 'micro-batch', 'es')} of each in a step"),
    ]
    if report.audit is not None:
        promised = [one for one in report.audit.findings if one.promised]
        kept = sum(one.kept for one in promised)
        found.append(("guarantees kept", f"{kept} of {len(promised)}", f"on {report.audit.batches:,} micro-batches"))
    if report.padding is not None:
        shuffled = f"{_percent(report.padding.overall_shuffled)} with a shuffle"
        found.append(("padding", _percent(report.padding.overall), shuffled))
    if report.cost is not None and report.world_size > 1:
        cost = report.cost
        found.append(("waiting", _percent(cost.waiting - 1), f"{_percent(cost.waiting_shuffled - 1)} with a shuffle"))
    return found


def _shares(report: ReportNumbers) -> Section:
    shares = report.shares
    apart = float(np.abs(shares.drawn - shares.target).max())
    return Section(
        "shares",
        "Shares of the groups",
        "The share of each group in the data, its target, and its share of what was drawn.",
        f"What was drawn is within {_percent(apart)} of the target in every row.",
    )


def _composition(report: ReportNumbers) -> Section:
    held = report.composition
    own, other = (
        float(np.abs(counts - quotas).max())
        for counts, quotas in ((held.counts, held.quotas), (held.shuffled, held.shuffled_quotas))
    )
    return Section(
        "composition",
        "Composition of micro-batches",
        "Each column is one micro-batch, each row a group. The colour says how many samples it has above (blue) or below "
        "(orange) its quota; both pictures have the same colours.",
        f"A row is at most {own:.3g} samples from its quota; {other:.3g} under a plain shuffle.",
    )


def _presence(report: ReportNumbers) -> Section | None:
    if report.presence is None:
        return None
    own, other = report.presence.drawn, report.presence.shuffled
    rarest = int(other.argmin())
    return Section(
        "presence",
        "Presence of groups",
        "The part of all micro-batches that hold a group. A row of several groups shows their mean.",
        f"{report.presence.names[rarest]}, rarest in a plain shuffle: in {_percent(own[rarest])} of the micro-batches, "
        f"{_percent(other[rarest])} under a shuffle.",
    )


def _passes(report: ReportNumbers) -> Section | None:
    passes = report.passes
    if passes is None:
        return None
    never = int(passes.samples[0])
    return Section(
        "passes",
        "Passes and repeats",
        "How often the samples of a group came: from the one that came least often to the one that came most often.",
        f"{never:,} samples did not come, {int(passes.samples[2:].sum()):,} came more than once; {passes.repeated:,} draws "
        "repeat another of their micro-batch.",
    )


def _drift(report: ReportNumbers) -> Section | None:
    drift = report.drift
    if drift is None:
        return None
    bound = "" if drift.bound is None else f"; the guaranteed limit is {drift.bound:.3g}"
    return Section(
        "drift",
        "Drift",
        "How far the draws of a group are from the sum of its quotas, in samples, as the epoch goes on. The vertical scale "
        "is linear below 1 and logarithmic above.",
        f"At most {drift.worst.max():.3g} samples, of {drift.worst_group}{bound}. Under a plain shuffle "
        f"{drift.shuffled.max():.3g}, from the natural shares.",
    )


def _lengths(report: ReportNumbers) -> Section | None:
    if report.lengths is None:
        return None
    lengths = report.lengths
    return Section(
        "lengths",
        "Lengths",
        "How lengths are distributed, in the data and in what was drawn.",
        f"Lengths go from {lengths.edges[0]:,.6g} to {lengths.longest:,.6g}.",
    )


def _padding(report: ReportNumbers) -> Section | None:
    padding = report.padding
    if padding is None:
        return None
    bound = (
        f" The samples fill {padding.batches:,} micro-batches, {_percent(padding.gap)} more than the proven least of "
        f"{padding.at_least:,}."
        if padding.at_least
        else ""
    )
    return Section(
        "padding",
        "Padding",
        "The part of what a micro-batch computes that is padding, or empty space of packs. The shuffle makes "
        "micro-batches of as many samples as this plan has on average.",
        f"{_percent(padding.overall)} over all; {_percent(padding.overall_shuffled)} under a plain shuffle.{bound}",
    )


def _cost(report: ReportNumbers) -> Section | None:
    cost = report.cost
    if cost is None:
        return None
    if cost.ranks == 1:
        return Section("cost", "Cost of steps", "What each step costs.", f"The mean is {cost.mean.mean():,.6g}.")
    return Section(
        "cost",
        "Cost of the ranks",
        "The cost of the cheapest and of the most expensive rank of a step. The others wait for the most expensive one.",
        f"The most expensive rank costs {_percent(cost.waiting - 1)} more than the mean of the ranks; "
        f"{_percent(cost.waiting_shuffled - 1)} under a plain shuffle.",
    )


def _mean_size(report: ReportNumbers) -> str:
    return f"{report.walk.samples / report.walk.batches:.4g}"


def _count(number: int, what: str, plural: str = "s") -> str:
    return f"{_short(number)} {what}{'' if number == 1 else plural}"


def _percent(part: float) -> str:
    """A share in percent, with three significant digits."""
    return f"{100 * part:.3g} %"


def _short(number: int) -> str:
    """A count: in full up to a million, then in millions, billions or trillions."""
    for unit, word in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if number >= unit:
            return f"{number / unit:.4g} {word}"
    return f"{number:,}"
