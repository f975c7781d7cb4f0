"""Reports account for every sample, whatever broke on the way."""

from __future__ import annotations

import pickle

import pytest
import torch.utils.data
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from batchwright import Infeasible, online

pytestmark = pytest.mark.filterwarnings(
    "ignore:waiting gave|group .* slots due to it:batchwright.PoorWarning",
    "ignore:.*gave no batch:batchwright.PoorWarning",
)


class Flaky:
    """An iterator of numbers that fails at some, and goes on; some numbers are broken."""

    def __init__(self, failing, broken=frozenset(), count=300):
        self.failing, self.broken, self.count, self.number = failing, broken, count, -1

    def __iter__(self):
        return self

    def __next__(self):
        self.number += 1
        if self.number >= self.count:
            raise StopIteration
        if self.number in self.failing:
            raise ConnectionError("timeout")
        return None if self.number in self.broken else self.number

    def state_dict(self):
        return {"number": self.number}

    def load_state_dict(self, state):
        self.number = state["number"]


def balanced(when_short):
    def make(source):
        return online.balanced(
            source, key=lambda n: int(n % 9 == 0), batch_size=7, buffer=60, on_error="skip", max_debt=0,
            when_short=when_short,
        )  # fmt: skip

    return make


def length(number):
    return 1 + number % 7


STREAMS = {
    "wait": balanced("wait"),
    "repeat": balanced("repeat"),
    "redistribute": balanced("redistribute"),
    "budgeted": lambda source: online.budgeted(source, length=length, max_tokens=50, buffer=60, on_error="skip"),
    "packed": lambda source: online.packed(source, length=length, capacity=50, buffer=60, on_error="skip"),
    "mixed": lambda source: online.mixed(
        {"a": source, "b": range(100)}, batch_size=7, unit=length, on_error="skip", at_end="continue"
    ),
}


def check(report):
    assert report.read == report.delivered - report.repeated + report.dropped + report.skipped + report.held
    assert min(report.read, report.repeated, report.dropped, report.skipped, report.held) >= 0
    assert report.forgiven <= report.given_away <= report.delivered


@given(
    st.sampled_from(sorted(STREAMS)),
    st.sets(st.integers(0, 150).map(lambda half: 2 * half)),  # twice in a row is a source that is gone
    st.sets(st.integers(0, 299)),
)
@settings(max_examples=60)
def test_what_was_read_is_given_dropped_skipped_or_held(kind, failing, broken):
    stream = STREAMS[kind](Flaky(failing, broken))
    states = []
    for _ in stream:
        check(stream.report())
        states.append(pickle.dumps(stream.state_dict()))
    check(report := stream.report())
    assert report.read == 300 + 100 * (kind == "mixed")
    assert report.skipped == len({number for number in failing if number < 300} | broken)
    if len(states) > 4:
        again = STREAMS[kind](Flaky(failing, broken))
        again.load_state_dict(pickle.loads(states[3]))
        list(again)
        assert again.report() == report


def report_here(batch):
    return list(batch), torch.utils.data.get_worker_info().dataset.report()


def test_workers_tell_their_own_reports():
    stream = online.balanced(range(1000), key=lambda n: n % 3, batch_size=6, buffer=100)
    loader = DataLoader(stream, batch_size=None, num_workers=2, collate_fn=report_here)
    reports = [report for _, report in loader]
    assert max(report.delivered for report in reports) in (480, 486, 492, 498)
    with pytest.raises(Infeasible, match="nothing of source 'source' was read in this process; ask after the first"):
        stream.report()
