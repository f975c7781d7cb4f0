"""What a stream says of what it delivered: its representation, its summary, its audit, shares in units."""

from __future__ import annotations

import re
import warnings
from collections import Counter

import pytest

from batchwright import Infeasible, PoorWarning, online

EVENTS = [(n, "fraud" if n % 17 == 0 else "fine", 1 + n % 5) for n in range(6000)]


def balanced(source=EVENTS, **more):
    return online.balanced(source, **{"key": 1, "batch_size": 16, "buffer": 400} | more)


STREAMS = {
    "wait": balanced,
    "repeat": lambda: balanced(when_short="repeat"),
    "redistribute": lambda: balanced(when_short="redistribute"),
    "units": lambda: balanced(when_short="repeat", unit=2),
    "budgeted": lambda: online.budgeted(EVENTS, length=2, max_tokens=60, buffer=300),
    "packed": lambda: online.packed(EVENTS, length=2, capacity=50, packs=3, buffer=300),
    "mixed": lambda: online.mixed({"a": EVENTS, "b": EVENTS[:400]}, target={"a": 0.7, "b": 0.3}, batch_size=10),
    "samples": lambda: online.mixed({"a": EVENTS, "b": EVENTS[:400]}),
}


@pytest.mark.parametrize("kind", sorted(STREAMS))
@pytest.mark.filterwarnings(
    "ignore:waiting gave|group .* slots due to it|samples repeat within:batchwright.PoorWarning"
)
def test_every_stream_keeps_what_it_promises_and_tells_what_it_did(kind):
    stream = STREAMS[kind]()
    assert "nothing was read by this object yet" in str(stream.summary())
    found = stream.audit(batches=40)
    assert found.kept
    assert found.batches == (13 if kind == "samples" else 40)  # of samples, as they are composed: 64 at once
    next(iter(stream))
    report = stream.report()
    said = str(stream.summary())
    assert said.startswith(repr(stream).removeprefix("<stream: ").removesuffix(">"))
    assert f"{report.read:,} samples read, {report.delivered:,} delivered" in said
    if report.had:
        assert sum(report.shares.values()) == pytest.approx(1)
        assert stream.summary().to_pandas()["share"].sum() == pytest.approx(1)


def test_an_audit_sees_what_is_broken(monkeypatch):
    stream = balanced(when_short="repeat")
    from batchwright.online.quotas import Quotas

    deal = Quotas.deal

    def wrongly(self, shares, *, batches):
        table = deal(self, shares, batches=batches).copy()
        table[3 % len(table)] = 0
        return table

    monkeypatch.setattr(Quotas, "deal", wrongly)
    found = stream.audit(batches=40)
    assert not found["G2 quota"].kept
    assert not found["G3 drift"].kept


def test_an_audit_sees_that_a_source_gives_something_else_every_time():
    class Restless:
        passes = 0

        def __iter__(self):
            self.passes += 1
            return iter([(n, n % 2, self.passes) for n in range(600)])

    assert not balanced(Restless(), buffer=100).audit()["G7 pure"].kept


def test_an_iterator_is_not_used_up_by_an_audit():
    stream = online.packed(online.mixed({"a": iter(range(1, 90)), "b": range(1, 9)}), length=int, capacity=100)
    with pytest.raises(Infeasible, match="source 'a' is an iterator, which can be read once: an audit, which reads it"):
        stream.audit()
    assert list(stream)


@pytest.mark.parametrize(("natural", "best"), [(0.3, "wait"), (0.02, "repeat")])
def test_the_policy_that_is_recommended_would_do(natural, best):
    samples = [(n, int(n % 100 < 100 * natural)) for n in range(8000)]

    def passed(when_short):
        stream = online.balanced(samples, key=1, batch_size=16, buffer=400, when_short=when_short)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            list(stream)
        return stream.report(), [str(one.message) for one in caught if one.category is PoorWarning]

    report, [said] = passed("redistribute")
    assert report.shares[1] == pytest.approx(natural, rel=0.3)
    assert f"pass when_short='{best}', or a target nearer" in said
    exact = int(re.search(r"gives ([\d,]+) in exact shares", said)[1].replace(",", ""))
    read = int(re.search(r"for ([\d,]+) samples read", said)[1].replace(",", ""))
    waited, _ = passed("wait")
    assert waited.delivered / waited.read == pytest.approx(exact / read, rel=0.1)
    report, said = passed(best)
    assert report.shares[1] == pytest.approx(0.5, abs=0.02)
    assert not said


def test_steps_that_end_early_are_judged_too():
    stream = balanced(when_short="redistribute", steps=100)
    with pytest.warns(PoorWarning, match="group 'fraud' has"):
        list(stream)


def test_shares_may_be_of_units():
    samples = [(n, n % 2, 1 + 9 * (n % 2)) for n in range(30_000)]
    stream = online.balanced(
        samples, key=1, batch_size=22, target={0: 0.3, 1: 0.7}, unit=2, buffer=500, when_short="repeat"
    )
    units, batches = Counter(), list(stream)
    for batch in batches:
        for _, group, length in batch:
            units[group] += length
    assert stream.report().units == units
    assert stream.report().shares[0] == pytest.approx(0.3, abs=0.01)
    half = online.balanced(
        samples, key=1, batch_size=22, target={0: 0.3, 1: 0.7}, unit=2, buffer=500, when_short="repeat"
    )
    iterator = iter(half)
    head = [next(iterator) for _ in range(30)]
    again = online.balanced(
        samples, key=1, batch_size=22, target={0: 0.3, 1: 0.7}, unit=2, buffer=500, when_short="repeat"
    )
    again.load_state_dict(half.state_dict())
    assert head + list(again) == batches
    with pytest.raises(Infeasible, match="sample 0 of source 'source': its unit is 0, and must be above 0"):
        list(online.balanced([(0, 0)] * 9, key=1, unit=0, batch_size=2))


def test_small_sources_restart_until_all_were_read():
    sources = {"big": range(100), "small": range(-7, 0), "none": range(500, 900)}
    stream = online.mixed(sources, target={"big": 0.5, "small": 0.5, "none": 0}, batch_size=8, at_end="all_seen")
    given = [sample for batch in stream for sample in batch]
    counts = Counter(given)
    assert set(counts) == {*range(100), *range(-7, 0)}
    assert {counts[n] for n in range(100)} == {1}
    assert {counts[n] for n in range(-7, 0)} <= {14, 15}
    report = stream.report()
    assert report.shares["big"] == pytest.approx(0.5, abs=0.01)
    half = online.mixed(sources, target={"big": 0.5, "small": 0.5, "none": 0}, batch_size=8, at_end="all_seen")
    iterator = iter(half)
    head = [next(iterator) for _ in range(20)]
    again = online.mixed(sources, target={"big": 0.5, "small": 0.5, "none": 0}, batch_size=8, at_end="all_seen")
    again.load_state_dict(half.state_dict())
    assert [sample for batch in [*head, *again] for sample in batch] == given
