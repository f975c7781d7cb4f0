"""The draws of a group in sequence within a window, for whoever takes a part of it."""

from __future__ import annotations

import numpy as np

from .deck import Dealing

__all__ = ["in_sequence"]


def in_sequence(dealing: Dealing, per_ticket: int) -> Dealing:
    """The same windows, whose groups have the places they had, with the draws of a group in ascending order.

    The tickets of a window are shuffled. A part of it would otherwise hold later draws of a group without the earlier ones,
    and some samples of the group would come again before others came.
    """
    places = np.argsort(dealing.groups, axis=1, kind="stable")
    by_draw = np.lexsort((dealing.draws, dealing.groups), axis=1)
    draws = np.empty_like(dealing.draws)
    np.put_along_axis(draws, places, np.take_along_axis(dealing.draws, by_draw, 1), 1)
    tickets = dealing.samples.reshape(*dealing.groups.shape, per_ticket)
    samples = np.empty_like(tickets)
    np.put_along_axis(samples, places[..., None], np.take_along_axis(tickets, by_draw[..., None], 1), 1)
    return Dealing(samples.reshape(dealing.samples.shape), dealing.groups, draws)
