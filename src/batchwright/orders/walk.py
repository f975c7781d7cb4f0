"""The decks of an order whose shares move, found by walking from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import Infeasible
from ..targets.target import MOST_EPOCHS
from .deck import Deck, changed

__all__ = ["Walk"]

_MARKS = 1024  # epochs from which a walk may begin, at most
_MARKED_NUMBERS = 1 << 19  # in all of them, of each array of a deck
_FEWEST_MARKS = 16

Decks = tuple[Deck, ...]


class Walk:
    """From any epoch to the decks it is dealt from.

    What an epoch is dealt from depends on what was dealt before it, so that nothing is skipped and drift does not add up.
    So the epochs before it are gone through, each once. Of those that were gone through only some are kept, evenly spaced:
    memory is bounded, and going back takes few steps.

    Args:
        first: the deck that the order begins with.
        line: the groups on the line of a round's tickets, in an epoch.
        epoch_batches: micro-batches in an epoch.
        settles_at: the epoch from which shares no longer change; None for never.
    """

    def __init__(
        self, first: Deck, line: Callable[[int], np.ndarray], *, epoch_batches: int, settles_at: int | None
    ) -> None:
        self._line = line
        self._epoch_batches = epoch_batches
        self._settles_at = settles_at
        self._most = max(_FEWEST_MARKS, min(_MARKS, _MARKED_NUMBERS // first.wanted.size))
        self._known: tuple[int, Decks] = 0, (first,)  # the epoch asked for last
        self._marks: tuple[int, tuple[Decks, ...]] = 1, ((first,),)  # how many epochs lie between two, and they

    def at(self, batch: int) -> tuple[Deck, int | None]:
        """The deck that holds a micro-batch, and up to which micro-batch it surely does; None for ever.

        Raises:
            Infeasible: so many epochs are not followed.
        """
        epoch, ends = batch // self._epoch_batches, []
        if self._settles_at is not None and epoch >= self._settles_at:
            epoch = self._settles_at
        else:
            ends.append((epoch + 1) * self._epoch_batches)
        decks = self._of(epoch)
        ends += [deck.first for deck in decks if deck.first > batch]
        return next(deck for deck in reversed(decks) if deck.first <= batch), min(ends, default=None)

    def _of(self, epoch: int) -> Decks:
        """The decks that the micro-batches of an epoch lie in. Threads that race find the same."""
        known, decks = self._known
        if known == epoch:
            return decks
        if epoch > MOST_EPOCHS:
            raise Infeasible(
                f"epoch {epoch} is asked for, a target that moves is followed for {MOST_EPOCHS} epochs",
                "build the plan with a longer epoch=, or with a target that settles, such as targets.schedule(...)",
            )
        apart, marks = self._marks
        nearest = min(epoch // apart, len(marks) - 1)
        if not nearest * apart < known < epoch:
            known, decks = nearest * apart, marks[nearest]
        for following in range(known + 1, epoch + 1):
            decks = self._after(decks, following)
            self._mark(following, decks)
        self._known = epoch, decks
        return decks

    def _after(self, decks: Decks, epoch: int) -> Decks:
        """The decks of an epoch, given those of the one before it."""
        wanted = self._line(epoch)
        if np.array_equal(wanted, decks[-1].wanted):
            return decks
        first = epoch * self._epoch_batches
        last = next(deck for deck in reversed(decks) if deck.first < first)
        drawn, owed = last.drawn(first - last.first), last.owed_at(first - last.first)
        return changed(
            first,
            wanted,
            drawn,
            owed,
            last.seed,
            last.change + 1,
            last.tickets,
            epoch=self._epoch_batches,
            may_change=True,
            together=last.together,
            seldom=last.seldom,
        )

    def _mark(self, epoch: int, decks: Decks) -> None:
        """Keep the decks of an epoch if it is the next to be kept; where that makes too many, of every other one."""
        apart, marks = self._marks
        if epoch != apart * len(marks):
            return
        marks = (*marks, decks)
        self._marks = (apart, marks) if len(marks) <= self._most else (2 * apart, marks[::2])
