"""A signal handler, another thread or an interrupt may ask a sampler for its state at any moment."""

from __future__ import annotations

import copy
import pickle
import sys
from itertools import islice

import numpy as np
import pytest

import batchwright as bw

LABELS = np.arange(400) % 4
PLAN = bw.balanced(LABELS, 4, target=bw.targets.moving("uniform"))
FILES = ("epoch_iterator.py", "batches_of_run.py", "sampler.py")


def places_seen(sampler, call):
    """The places of the run before every instruction of the sampler and its iterator while `call` runs."""
    seen = set()

    def ask(frame, event, arg):
        frame.f_trace_opcodes = True
        seen.add(place(sampler))
        return ask

    def enter(frame, event, arg):
        return ask(frame, event, arg) if frame.f_code.co_filename.endswith(FILES) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(before)
    return seen


def place(sampler):
    state = sampler.state_dict()
    return state["epoch"], state["consumed"]


MOVES = {
    "set_epoch": (lambda sampler: sampler.set_epoch(3), (3, 0)),
    "seek": (lambda sampler: sampler.seek(7, epoch=2), (2, 7)),
    "load_state_dict": (lambda sampler: sampler.load_state_dict(PLAN.sampler().state_at(9, epoch=1)), (1, 9)),
    "retarget": (lambda sampler: sampler.retarget("natural"), (0, 5)),
    "another iterator": (lambda sampler: next(iter(sampler)), (1, 1)),
}


@pytest.mark.parametrize("move", MOVES)
def test_while_a_sampler_is_moved_its_state_is_that_before_or_that_after(move):
    sampler = PLAN.sampler()
    loop = iter(sampler)
    list(islice(loop, 5))
    call, after = MOVES[move]
    seen = places_seen(sampler, lambda: call(sampler))
    allowed = {(0, 5), after, (after[0], after[1] - 1)} if move == "another iterator" else {(0, 5), after}
    assert {(0, 5)} <= seen <= allowed
    assert place(sampler) == after


def test_while_a_loop_takes_batches_its_state_counts_those_that_it_has():
    sampler = PLAN.sampler()
    loop, taken = iter(sampler), 0
    while taken < len(sampler):
        seen = places_seen(sampler, lambda: next(loop))
        taken += 1
        assert seen <= {(0, taken - 1), (0, taken) if taken < len(sampler) else (1, 0)}


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_an_iterator_of_a_sampler_says_that_it_cannot_be_copied(made):
    with pytest.raises(bw.Infeasible, match=r"an iterator of a sampler cannot be copied.*; copy the sampler, or keep"):
        made(iter(PLAN.sampler()))
    assert place(copy.deepcopy(PLAN.sampler())) == (0, 0)
