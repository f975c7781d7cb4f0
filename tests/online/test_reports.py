"""Reports account for every sample, whatever broke on the way."""

from __future__ import annotations

import pickle
import re
import warnings
from collections import Counter

import pytest
import torch.utils.data
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from batchwright import Infeasible, PoorWarning, online

from ..examples import examples

pytestmark = pytest.mark.filterwarnings(
    "ignore:waiting gave|group .* slots due to it|samples repeat within:batchwright.PoorWarning",
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
            source, key=lambda n: int(n % 9 == 0), batch_size=7, buffer=60, on_error="skip", max_deficit=0,
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
    assert report.read == report.delivered - report.repeated + report.dropped + report.skipped + report.buffered
    assert min(report.read, report.repeated, report.dropped, report.skipped, report.buffered) >= 0
    assert report.written_off <= report.redistributed <= report.delivered


@given(
    st.sampled_from(sorted(STREAMS)),
    st.sets(st.integers(0, 100).map(lambda third: 3 * third)),
    st.sets(st.integers(0, 299)),
)
@examples(60)
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


ASKED = {"fraud": 0.5, "fine": 0.5}


def rare(share, count=4000):
    return [(n, "fraud" if n % round(1 / share) == 0 else "fine") for n in range(count)]


def shares_of(source, **arguments):
    return online.balanced(source, **{"key": 1, "batch_size": 16, "buffer": 400, "target": ASKED} | arguments)


@pytest.mark.filterwarnings("default:group .* slots due to it:batchwright.PoorWarning")
@pytest.mark.parametrize("share", [0.05, 0.02, 0.01])
def test_groups_that_have_less_than_their_share_are_warned_of_with_figures(share):
    """By redistributing, a rare group has what it naturally is, whatever was asked for it."""
    stream = shares_of(rare(share), when_short="redistribute", name="clicks")
    with pytest.warns(PoorWarning) as caught:
        batches = list(stream)
    assert len(caught) == 1
    said = str(caught[0].message)
    assert re.match(
        r"group 'fraud' has [\d,]+ of the [\d,]+ slots due to it, \d\.\d\d% of what was given for 50.00%: ", said
    )
    read, exact, times, natural = re.search(
        r"samples read from source 'clicks' were of it; 2 groups in all are off by more than a tenth; for ([\d,]+) samples "
        r"read, when_short='wait' gives ([\d,]+) in exact shares, 'repeat' gives \1 with each of group 'fraud' about "
        r"([\d.]+) times, 'redistribute' gives \1 with ([\d.]+)% of group 'fraud'; pass when_short='repeat', or a "
        r"target nearer to the natural shares$",
        said,
    ).groups()
    read, exact = (int(figure.replace(",", "")) for figure in (read, exact))
    assert exact / read == pytest.approx(2 * share, rel=0.1)
    assert float(times) == pytest.approx(0.5 / share, rel=0.1)
    assert float(natural) == pytest.approx(100 * share, rel=0.1)
    report, had = stream.report(), Counter(group for batch in batches for group in batch.groups)
    assert report.had == had
    assert report.expected == {"fraud": report.delivered / 2, "fine": report.delivered / 2}
    assert had["fraud"] < 2.5 * share * report.delivered


def test_the_ways_out_of_a_missed_share_work():
    for stream in (
        shares_of(rare(0.02), when_short="repeat"),
        shares_of(rare(0.02), when_short="redistribute", target={"fraud": 0.02, "fine": 0.98}),
        shares_of(rare(0.02), when_short="redistribute", target="natural"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            list(stream)
        report = stream.report()
        assert all(report.had[group] >= 0.9 * report.expected[group] for group in ASKED)


@pytest.mark.parametrize(
    ("samples", "arguments", "said"),
    [
        (rare(0.02, 900), {"when_short": "wait", "patience": 20}, "group 'fraud' has"),  # given up after 20 samples
        ([(n, n >= 3000) for n in range(3200)], {"when_short": "repeat", "target": {True: 0.5, False: 0.5}}, "group True"),
        ([(n, n % 100) for n in range(9000)], {"when_short": "redistribute", "target": dict.fromkeys(range(101), 1 / 101)},
         "group 100 has 0 of the "),
        ([(n, 0) for n in range(3000)], {"when_short": "redistribute", "target": {0: 0.4, 1: 0.3, 2: 0.3}},
         "; 3 groups in all are off by more than a tenth; for"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("default:group .* slots due to it:batchwright.PoorWarning")
def test_a_missed_share_is_warned_of_in_every_mode(samples, arguments, said):
    with pytest.warns(PoorWarning) as caught:
        list(shares_of(samples, **arguments))
    assert len(caught) == 1
    assert said in str(caught[0].message)


@given(
    st.sampled_from(["wait", "repeat", "redistribute"]),
    st.lists(st.integers(1, 20), min_size=2, max_size=5),
    st.lists(st.integers(0, 4), min_size=60, max_size=400),
    st.integers(1, 9),
)
@examples(60)
def test_what_was_due_and_what_was_had_are_what_the_batches_hold(when_short, weights, labels, batch_size):
    target = {group: weight / sum(weights) for group, weight in enumerate(weights)}
    labels = [*target, *(label % len(weights) for label in labels)]  # a group that never came would be refused
    stream = online.balanced(
        labels, key=int, batch_size=batch_size, buffer=50, target=target, when_short=when_short, max_deficit=5
    )
    had, steps = Counter(), 0
    for steps, batch in enumerate(stream, 1):
        had.update(batch.groups)
        report = stream.report()
        assert {group: slots for group, slots in report.had.items() if slots} == had
        assert sum(report.expected.values()) == sum(report.had.values()) == report.delivered == steps * batch_size
        for group, share in target.items():
            assert abs(report.expected[group] - steps * batch_size * share) < 4
            if not report.written_off:
                assert report.expected[group] - report.had[group] == report.deficit.get(group, 0)
