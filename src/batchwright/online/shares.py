"""The shares of the groups of a stream, of which more may appear."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import Infeasible, check_mapping, listed, shown
from ..group_parts import sorted_if_possible
from ..inputs.columns import by_label
from ..kernels.array_types import Floats, Integers
from ..targets import Target, explicit, resolve
from ..targets.target import needs_of
from .group_keys import check_label
from .measures import Refused

__all__ = ["StreamShares", "by_epoch", "depends_on_sizes"]

_EXPLICIT = explicit({None: 1}).formula
_PARTS = 1_000_000_000  # natural shares become counts that sum to this: targets take integers
_BY_NAME = "give a share to each group by name: {group: share}"


def _by_group(shares: Mapping[Any, Any], argument: str) -> dict[Hashable, Any]:
    """Shares by label that sum to 1; labels that are tensors become plain values, as keys return them."""
    try:
        named = {check_label(label, f"{argument} names"): share for label, share in shares.items()}
    except Refused as refused:
        raise Infeasible(str(refused), f"pass {argument} by labels that key gives") from None
    return dict(explicit(named).arguments[0])


def by_epoch(target: Any) -> Target:
    """The target of a stream; one that changes at micro-batches is refused: no reader counts those of all ranks."""
    found = resolve(target)
    if found.every is not None:
        raise Infeasible(
            f"{found.briefly} changes at micro-batches, and the target of a stream changes from epoch to epoch",
            "pass a schedule with epochs=, or a function of (counts, epoch)",
        )
    if "lengths" in needs_of(found):
        raise Infeasible(
            f"{found.briefly} needs a list of the lengths of all samples, which a stream has not",
            "pass the target without in_units, and unit= to the stream: the tokens, seconds or bytes of a sample",
        )
    return found


def depends_on_sizes(target: Target, names: Sequence[Hashable], epoch: int) -> bool:
    """Whether the shares of these groups, or sources, depend on how large they are."""
    if len(names) == 1:
        return False
    if needs_of(target) & {"proportions", "sizes"}:
        return True
    # Sizes that grow a little and by far, either way: a function may have a limit that is reached by one small group.
    trials = [range(1, 1 + len(names)), range(1, 1 + len(names) * 10**6, 10**6)]
    alike = target.exact([1] * len(names), epoch, names=names)
    for sizes in (*trials, trials[-1][::-1]):
        found = target.exact(sizes, epoch, names=names)
        if any(one * sum(found) != other * sum(alike) for one, other in zip(alike, found, strict=True)):
            return True
    return False


class StreamShares:
    """The target of an epoch, for groups that appear one by one.

    Args:
        target: anything that `resolve` takes.
        natural: the natural shares, if they are known.
        epoch: the epoch.
        groups: all groups, if the source says them.

    Attributes:
        labels: the groups that are named in advance, by the target, by the natural shares or by the source.

    Raises:
        Infeasible: it is no target, or one that needs to know more of the groups than a stream does.
    """

    def __init__(
        self, target: Any, natural: Mapping[Hashable, float] | None, epoch: int, groups: Sequence[Hashable] = ()
    ) -> None:
        self._target = by_epoch(target)
        needs = needs_of(self._target)
        if "sizes" in needs:
            raise Infeasible(
                f"{self._target.briefly} needs the number of samples of each group, which is not known of a stream",
                _BY_NAME,
            )
        self._natural = None if natural is None else _by_group(check_mapping(by_label(natural), "natural"), "natural")
        self._epoch = epoch
        self._named = self._natural
        if self._target.formula is _EXPLICIT:
            self._named = _by_group(dict(self._target.arguments[0]), "target")
            self._target = explicit(self._named)
        self.labels: Sequence[Hashable] = list(groups if self._named is None else self._named)
        self._order_matters = not self.labels and bool(needs & {"order", "unknown"})
        if "order" in needs:
            if not self.labels:
                raise Infeasible(
                    f"{self._target.briefly} gives shares in the order of the groups, and the groups of a stream are not "
                    "known beforehand",
                    _BY_NAME,
                )
            self.of(self.labels, np.ones(len(self.labels), np.int64))

    def refusal(self, label: Hashable) -> str | None:
        """Why a group may not appear, or None."""
        if self._named is not None and label not in self._named:
            named = listed(map(shown, self._named))
            return f"group {shown(label)} is not among the {len(self._named)} groups that were given shares: {named}"
        return None

    def of(self, labels: Sequence[Hashable], seen: Integers) -> Floats:
        """The shares of these groups, given the samples seen of each; a group not seen yet counts as seen once.

        The target is asked in the order in which the groups of a plan stand, so that it means the same.
        """
        if self._natural is None or self._target.formula is _EXPLICIT:
            counts = np.maximum(seen, 1).tolist()
        else:
            counts = [round(self._natural[label] * _PARTS) for label in labels]
        if self._target.formula is _EXPLICIT:
            return self._target.shares(counts, self._epoch, names=labels)
        count_of = dict(zip(labels, counts, strict=True))
        names = sorted_if_possible(labels)
        self._check_order(names, [count_of[name] for name in names])
        shares = self._target.shares([count_of[name] for name in names], self._epoch, names=names).tolist()
        share_of = dict(zip(names, shares, strict=True))
        return np.array([share_of[label] for label in labels])

    def estimated(self, labels: Sequence[Hashable], seen: Integers) -> Floats | None:
        """The shares by all samples read, if what has been read decides them; None if it does not."""
        if self._natural is not None or self._target.formula is _EXPLICIT:
            return None
        shares = self.of(labels, seen)
        return None if np.allclose(shares, self.of(labels, np.ones_like(seen))) else shares

    def _check_order(self, names: Sequence[Hashable], counts: Sequence[int]) -> None:
        """Refuse a function that gives a group another share at another place, where groups are not known beforehand.

        Asked with counts that all differ: of groups that are as large as each other, a function may take the first.
        """
        if not self._order_matters or len(names) == 1:
            return
        apart = [count * len(names) + place for place, count in enumerate(counts)]
        straight = self._target.shares(apart, self._epoch, names=names)
        turned = self._target.shares(apart[1:] + apart[:1], self._epoch, names=[*names[1:], names[0]])
        if not np.allclose(np.roll(straight, -1), turned):
            raise Infeasible(
                f"{self._target.briefly} gives other shares where the groups are in another order, and the groups of a "
                "stream are not known beforehand",
                f"{_BY_NAME}, or let it go by the counts alone",
            )

    def depend_on_sizes(self, labels: Sequence[Hashable]) -> bool:
        """Whether the shares of these groups depend on how large they are, and that is not known."""
        return self._natural is None and depends_on_sizes(self._target, sorted_if_possible(labels), self._epoch)
