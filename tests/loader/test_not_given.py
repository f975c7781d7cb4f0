"""A batch that was read and never given does not count: a state saved after the error or the warning goes on with it."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch

import batchwright as bw

from .datasets import Numbers
from .small import PLAN

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores

TOLD, REAL = (np.random.default_rng(seed).integers(4, 100, 300) for seed in (0, 1))


class Moving(list):
    """A batch that cannot be moved to where the loader moves it, while `fails`."""

    fails = True

    def to(self, device, **options):
        if Moving.fails and 17 in self:
            raise RuntimeError("out of memory")
        return self


def broken(**options):
    return PLAN.loader(Numbers(103, broken=17), collate=list, on_error="replace", **options)


def too_many(**options):
    return broken(max_errors=0, **options)


def moved(**options):
    return PLAN.loader(Numbers(103), collate=Moving, device="cpu", **options)


def misfit(**options):
    """The plan was told lengths of other samples."""
    dataset = [{"n": n, "ids": torch.ones(int(length))} for n, length in enumerate(REAL)]
    return bw.budgeted(TOLD, 500).loader(dataset, collate=bw.Collate(ids=bw.ragged(pad=0)), **options)


CASES = {
    "broken": (broken, broken),
    "too many": (too_many, broken),
    "moved": (moved, moved),
    "misfit": (misfit, misfit),
}


def numbers(batch):
    return batch["n"].tolist() if isinstance(batch, dict) else list(batch)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("case", sorted(CASES))
def test_going_on_after_an_error_gives_the_batch_that_was_not_given(case, workers):
    first, mended = CASES[case]
    Moving.fails = True
    loader, given_ones = first(num_workers=workers), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if case == "too many" else "error")
        warnings.filterwarnings("ignore", "This DataLoader will create")
        with pytest.raises((bw.PoorWarning, bw.Infeasible, RuntimeError)):
            given_ones.extend(map(numbers, loader))  # what is given before an error stays in the list
        iterator = iter(first(num_workers=workers))
        with pytest.raises((bw.PoorWarning, bw.Infeasible, RuntimeError)):
            list(iterator)
        assert next(iterator, None) is None  # nothing that comes behind it is counted in its place
    assert given_ones
    state = json.loads(json.dumps(loader.state_dict()))
    Moving.fails = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again, whole = mended(num_workers=0), list(map(numbers, mended(num_workers=0)))
        again.load_state_dict(state)
        assert given_ones + list(map(numbers, again)) == whole
