"""Ways to break a plan on purpose."""

from __future__ import annotations

import copy

import numpy as np

__all__ = ["at", "broken", "changed", "lost", "of_another_group", "of_the_same_group_again", "one_too_many"]


class AsItWas:
    """What a broken plan yields before it is broken."""

    def __init__(self, plan):
        self._plan = plan

    def __getitem__(self, batch):
        return super(type(self._plan), self._plan).__getitem__(batch)


def broken(plan, breaks):
    """The same plan, but `plan[t]` is `breaks(plan as it was, t)`."""

    class Broken(type(plan)):
        def __getitem__(self, batch):
            return np.asarray(breaks(AsItWas(self), batch))

    found = copy.deepcopy(plan)  # a shallow copy would share the windows that the plan keeps
    found.__class__ = Broken
    return found


def changed(samples, place, sample):
    found = samples.copy()
    found[place] = sample
    return found


def at(number, breaks):
    """Breaks one micro-batch."""
    return lambda plan, batch: breaks(plan[batch]) if batch == number else plan[batch]


def one_too_many(number, plan_size):
    return at(number, lambda samples: np.append(samples, np.setdiff1d(np.arange(plan_size), samples)[0]))


def lost(number):
    """The micro-batches from one on come one too early."""
    return lambda plan, batch: plan[batch + (batch >= number)]


def of_another_group(number, groups):
    """One sample of a micro-batch makes way for one of another group that is not in it."""

    def breaks(samples):
        others = np.setdiff1d(np.flatnonzero(groups.group_of(np.arange(groups.sample_count)) == 0), samples)
        place = np.flatnonzero(groups.group_of(samples) != 0)[0]
        return changed(samples, place, others[0])

    return at(number, breaks)


def of_the_same_group_again(number, groups):
    """One sample of a micro-batch makes way for another one of it, of the same group."""

    def breaks(samples):
        group = groups.group_of(samples)
        first, second = np.flatnonzero(group == np.bincount(group).argmax())[:2]
        return changed(samples, second, samples[first])

    return at(number, breaks)
