"""Puts the draws of each group in ascending order within a micro-batch, so that a part of it can be taken."""

from __future__ import annotations

import numpy as np

from .constant_shares import Dealing

__all__ = ["with_ascending_draws"]


def with_ascending_draws(dealing: Dealing, per_ticket: int) -> Dealing:
    """Put the draws of every group in ascending order within each micro-batch; the groups keep their places.

    The tickets of a micro-batch are shuffled. Without this, a part of it could have later draws of a group without the
    earlier ones, and some samples of the group would come a second time before others came once.
    """
    places = np.argsort(dealing.groups, axis=1, kind="stable")
    by_draw = np.lexsort((dealing.draws, dealing.groups), axis=1)
    draws = np.empty_like(dealing.draws)
    np.put_along_axis(draws, places, np.take_along_axis(dealing.draws, by_draw, 1), 1)
    tickets = dealing.samples.reshape(*dealing.groups.shape, per_ticket)
    samples = np.empty_like(tickets)
    np.put_along_axis(samples, places[..., None], np.take_along_axis(tickets, by_draw[..., None], 1), 1)
    return Dealing(samples.reshape(dealing.samples.shape), dealing.groups, draws)
