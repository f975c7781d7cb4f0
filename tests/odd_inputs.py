"""Values and datasets of unusual kinds, of which the tests of inputs are made, and how they are refused."""

from __future__ import annotations

import enum

import numpy as np
import pytest

import batchwright as bw


class Colour(enum.Enum):
    """Members are equal to themselves alone, and each exists once."""

    RED = 1
    BLUE = 2


class Thing:
    """Compares by identity, as most classes do."""


class Detachable:
    """Has the method by which tensors were once recognised."""

    def detach(self):
        return self


class Labelled:
    """A dataset with labels, as ImageFolder has them."""

    def __init__(self, **columns):
        vars(self).update(columns)
        self._length = len(next(iter(columns.values())))

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        return index


def objects(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def refused_in_words(build, given, said):
    with pytest.raises(bw.Infeasible, match=said) as caught:
        build(given, 2)
    assert len(str(caught.value)) < 600
